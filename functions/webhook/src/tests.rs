use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;

use bcce_core::fakes::{MemoryParameters, MemoryStore};
use bcce_core::ports::Parameter;
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::*;

const ISSUE: &str = include_str!("../../../events/webhook/github-issue-opened.json");
const PING: &str = include_str!("../../../events/webhook/github-ping.json");
const COMMAND: &str = include_str!("../../../events/webhook/slack-command.json");
const MENTION: &str = include_str!("../../../events/webhook/slack-app-mention.json");
const VERIFICATION: &str = include_str!("../../../events/webhook/slack-url-verification.json");

/// The time at which the samples with a timestamp were sent, in seconds since 1970.
const THEN: i64 = 1_793_534_400;

/// A clock that stands still until a test sets it.
struct SetClock(Cell<i64>);

impl Clock for &SetClock {
    fn now(&self) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(self.0.get()).unwrap()
    }
}

/// An inbox that records what is sent, with the tenant. `next` has the outcomes of the next messages.
#[derive(Default)]
struct Inbox {
    sent: RefCell<Vec<(Option<String>, String)>>,
    next: RefCell<Vec<Result<Sent, Fault>>>,
}

impl SendRequest for &Inbox {
    async fn send(&self, tenant: Option<&str>, body: &str) -> Result<Sent, Fault> {
        if let Some(next) = self.next.borrow_mut().pop() {
            return next;
        }
        self.sent.borrow_mut().push((tenant.map(str::to_owned), body.to_owned()));
        Ok(Sent::Accepted)
    }
}

/// A parameter store that counts its calls and fails on request.
struct Counted<'a>(&'a Stage);

impl Counted<'_> {
    fn asked(&self, count: &Cell<u32>) -> Result<MemoryParameters, Fault> {
        count.set(count.get() + 1);
        if self.0.is_gone.get() {
            return Err(Fault::internal("SSM is gone on request"));
        }
        Ok(MemoryParameters(self.0.parameters.borrow().clone()))
    }
}

impl GetParameters for Counted<'_> {
    async fn parameters(&self, names: &[String]) -> Result<BTreeMap<String, Parameter>, Fault> {
        self.asked(&self.0.reads)?.parameters(names).await
    }
}

impl ListParameters for Counted<'_> {
    async fn below(&self, path: &str) -> Result<BTreeMap<String, String>, Fault> {
        self.asked(&self.0.listings)?.below(path).await
    }
}

struct Stage {
    parameters: RefCell<BTreeMap<String, String>>,
    inbox: Inbox,
    clock: SetClock,
    /// The cache that the function keeps between calls.
    sources: RefCell<Sources>,
    /// The number of readings of secrets.
    reads: Cell<u32>,
    /// The number of listings of the sources.
    listings: Cell<u32>,
    is_gone: Cell<bool>,
}

const GITHUB: &str = "
version: 1
provider: github
secrets: [github, github-next]
rules:
- { id: opened, when: 'event == \"issues\" and body.action == \"opened\"', workflow: explain, inputs: { text: '{{ body.issue.title }}' } }
- { id: labelled, when: 'event == \"issues\" and body.issue.labels', workflow: triage, inputs: { number: '{{ body.issue.number }}' } }
- { id: merged, when: 'event == \"pull_request\"', workflow: code-review, inputs: { diff: '{{ body.pull_request.diff }}' } }
";
const SLACK: &str = "
version: 1
provider: slack
tenant: support
secrets: [slack]
rules:
- { id: command, when: body.command, workflow: explain, inputs: { text: '{{ body.command }}' } }
- { id: mention, when: body.event, workflow: explain, inputs: { text: '{{ body.event.text }}' } }
";

impl Stage {
    fn new() -> Self {
        let parameters = [
            ("webhooks/github", GITHUB),
            ("webhooks/slack", SLACK),
            ("webhooks/wrong", "version: 1\nprovider: gitlab\nsecrets: [github]\nrules: []"),
            ("webhooks/keyless", "version: 1\nprovider: github\nsecrets: [gone]\nrules: []"),
            ("secrets/github", "It's a Secret to Everybody"),
            ("secrets/slack", "8f742231b10e8888abcd99yyyzzz85a5"),
        ];
        let parameters =
            parameters.map(|(name, value)| (format!("/bcce/dev/{name}"), value.to_owned()));
        Self {
            parameters: RefCell::new(parameters.into()),
            inbox: Inbox::default(),
            clock: SetClock(Cell::new(THEN)),
            sources: RefCell::default(),
            reads: Cell::new(0),
            listings: Cell::new(0),
            is_gone: Cell::new(false),
        }
    }

    async fn call(&self, event: &Value) -> (u16, Value, Response) {
        let ports = Ports {
            store: MemoryStore::default(),
            parameters: Counted(self),
            inbox: &self.inbox,
            clock: &self.clock,
            sources: self.sources.take(),
        };
        let config = Config {
            environment: "dev".into(),
            bucket: "b".into(),
            inbox_queue_url: "https://q/inbox".into(),
        };
        let request = serde_json::from_value(event.clone()).unwrap();
        let response = handle(&ports, &config, request).await.unwrap();
        self.sources.replace(ports.sources);
        let body = serde_json::from_str(&response.body).unwrap_or_default();
        (response.status_code, body, response)
    }
}

fn sample(event: &str) -> Value {
    serde_json::from_str(event).unwrap()
}

#[tokio::test]
async fn a_signed_event_becomes_a_request_for_each_workflow() {
    let stage = Stage::new();
    let (status, body, _) = stage.call(&sample(ISSUE)).await;
    assert_eq!(status, 202, "{body}");
    let sent = stage.inbox.sent.borrow().clone();
    let requests: Vec<Value> =
        sent.iter().map(|(_, body)| serde_json::from_str(body).unwrap()).collect();
    assert_eq!(requests.len(), 2);
    assert_eq!(requests[0]["inputs"], json!({ "text": "Spelling error in the README file" }));
    assert_eq!(requests[1]["inputs"], json!({ "number": 1 }));
    let id = requests[0]["id"].as_str().unwrap();
    assert!(id.starts_with("github:"), "{id}");
    let run = run_id("default", "explain", id);
    assert_eq!(body["requests"][0], json!({ "workflow": "explain", "id": id, "run_id": run }));

    // A redelivered call, and a captured call that is sent under another delivery id, yield the same requests.
    let mut again = sample(ISSUE);
    again["headers"]["x-github-delivery"] = json!("another");
    stage.call(&again).await;
    let all = stage.inbox.sent.borrow();
    assert_eq!(all[..2], all[2..]);
}

use bcce_core::run::ids::run_id;

#[tokio::test]
async fn an_event_that_no_rule_wants_is_accepted_and_starts_nothing() {
    let stage = Stage::new();
    let mut push = sample(ISSUE);
    push["headers"]["x-github-event"] = json!("push");
    let (status, body, _) = stage.call(&push).await;
    assert_eq!((status, body), (202, json!({ "requests": [] })));
}

#[tokio::test]
async fn the_first_calls_of_a_provider_are_answered() {
    let stage = Stage::new();
    // Lambda encodes the body as base64 if it takes the content for binary.
    assert_eq!(stage.call(&sample(PING)).await.0, 200);
    let (status, body, _) = stage.call(&sample(VERIFICATION)).await;
    let challenge = "3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P";
    assert_eq!((status, body), (200, json!({ "challenge": challenge })));
    // A challenge is only returned if it was signed.
    let mut unsigned = sample(VERIFICATION);
    unsigned["headers"]["x-slack-signature"] = json!("v0=00");
    assert_eq!(stage.call(&unsigned).await.0, 401);
    assert!(stage.inbox.sent.borrow().is_empty());
}

#[tokio::test]
async fn a_source_sends_for_its_own_tenant() {
    let stage = Stage::new();
    let (status, body, _) = stage.call(&sample(MENTION)).await;
    assert_eq!(status, 202, "{body}");
    assert_eq!(stage.inbox.sent.borrow()[0].0.as_deref(), Some("support"));
    let id = body["requests"][0]["id"].as_str().unwrap();
    assert_eq!(body["requests"][0]["run_id"], run_id("support", "explain", id));
    stage.inbox.next.borrow_mut().push(Ok(Sent::NoInbox));
    assert_eq!(stage.call(&sample(MENTION)).await.0, 500, "a person has to fix it");
}

/// Slack shows the response to the person who typed the command.
#[tokio::test]
async fn a_command_is_answered_without_a_word() {
    let stage = Stage::new();
    stage.clock.0.set(1_531_420_618);
    let (status, _, response) = stage.call(&sample(COMMAND)).await;
    assert_eq!((status, response.body.as_str()), (200, ""));
    assert_eq!(stage.inbox.sent.borrow().len(), 1);
}

#[tokio::test]
async fn what_is_wrong_is_answered_and_sends_nothing() {
    type Change = fn(&mut Value);
    #[rustfmt::skip]
    let table: &[(&str, Change, u16, &str)] = &[
        (ISSUE, |e| e["rawPath"] = json!("/"), 404, "there is no such webhook"),
        (ISSUE, |e| e["rawPath"] = json!("/hooks/unknown"), 404, "there is no such webhook"),
        (ISSUE, |e| e["rawPath"] = json!("/hooks/../secrets/github"), 404, "there is no such webhook"),
        (ISSUE, |e| e["requestContext"]["http"]["method"] = json!("GET"), 405, "POST"),
        (ISSUE, |e| { e["headers"].as_object_mut().unwrap().remove("x-hub-signature-256"); }, 401, "the header x-hub-signature-256 is missing"),
        (ISSUE, |e| e["body"] = json!(e["body"].as_str().unwrap().replace("opened", "closed")), 401, "the signature does not match the body"),
        // The body has the same JSON value but other bytes, and the signature covers the bytes.
        (ISSUE, |e| e["body"] = json!(serde_json::to_string_pretty(&sample(e["body"].as_str().unwrap())).unwrap()), 401, "the signature does not match the body"),
        (ISSUE, |e| e["headers"]["x-hub-signature-256"] = json!("sha1=00"), 401, "does not have the provider's format"),
        // Lambda joins the values of a header that occurs twice.
        (VERIFICATION, |e| e["headers"]["x-slack-signature"] = json!(format!("v0=00,{}", e["headers"]["x-slack-signature"].as_str().unwrap())), 401, "does not have the provider's format"),
        (VERIFICATION, |e| e["headers"]["x-slack-request-timestamp"] = json!("1793534400,1793534400"), 401, "not a number of seconds"),
        (ISSUE, |e| e["isBase64Encoded"] = json!(true), 400, "base64"),
        (ISSUE, |e| e["body"] = json!("x".repeat(1_048_577)), 413, "above 1 MiB"),
        (PING, |e| e["body"] = json!("AAAA".repeat(2_000_000)), 413, "above 1 MiB"),
        (ISSUE, |e| e["body"] = Value::Null, 401, "the signature does not match the body"),
        (COMMAND, |_| {}, 409, "a replay, or a wrong clock"),
        (ISSUE, |e| e["headers"]["x-github-event"] = json!("pull_request"), 422, "no request can be made from the event"),
        (ISSUE, |e| e["rawPath"] = json!("/hooks/wrong"), 401, "cannot verify signatures yet"),
        (ISSUE, |e| e["rawPath"] = json!("/hooks/keyless"), 401, "cannot verify signatures yet"),
    ];
    for (event, change, expected, message) in table {
        let stage = Stage::new();
        let mut event = sample(event);
        change(&mut event);
        let (status, body, _) = stage.call(&event).await;
        assert_eq!(status, *expected, "{body}");
        assert!(body["message"].as_str().unwrap().contains(message), "{message}: {body}");
        assert!(!body.to_string().contains("Everybody"), "{body}");
        assert!(stage.inbox.sent.borrow().is_empty(), "{message}");
    }
}

#[tokio::test]
async fn a_mapping_that_fails_names_the_field() {
    let stage = Stage::new();
    let mut event = sample(ISSUE);
    event["headers"]["X-GitHub-Event"] = event["headers"]["x-github-event"].take();
    event["headers"].as_object_mut().unwrap().remove("x-github-event");
    event["headers"]["X-GitHub-Event"] = json!("pull_request");
    let (status, body, _) = stage.call(&event).await;
    assert_eq!(status, 422);
    let problem = json!({ "field": "rules.merged.inputs.diff",
                          "cause": "reads body.pull_request.diff, which the event does not have" });
    assert_eq!(body["problems"], json!([problem]));
}

#[tokio::test]
async fn an_inbox_that_cannot_take_it_has_the_provider_call_again() {
    let stage = Stage::new();
    stage.inbox.next.borrow_mut().push(Ok(Sent::Throttled));
    let (status, _, response) = stage.call(&sample(ISSUE)).await;
    assert_eq!((status, response.headers["retry-after"]), (429, "5"));
    stage.inbox.next.borrow_mut().push(Err(Fault::internal("sqs:SendMessage: no connection")));
    let (status, body, response) = stage.call(&sample(ISSUE)).await;
    assert_eq!((status, response.headers["retry-after"]), (503, "5"));
    assert!(!body.to_string().contains("sqs"), "{body}");
    assert_eq!(stage.call(&sample(ISSUE)).await.0, 202);
}

/// The requests that were sent before the inbox throttled are sent again unchanged.
#[tokio::test]
async fn a_call_that_was_taken_in_part_is_the_same_again() {
    let stage = Stage::new();
    stage.inbox.next.borrow_mut().extend([Ok(Sent::Throttled), Ok(Sent::Accepted)]);
    assert_eq!(stage.call(&sample(ISSUE)).await.0, 429);
    assert_eq!(stage.call(&sample(ISSUE)).await.0, 202);
    assert_eq!(stage.call(&sample(ISSUE)).await.0, 202);
    let sent = stage.inbox.sent.borrow();
    assert_eq!(sent[..2], sent[2..]);
}

/// A call with a well-formed signature that no secret made, and a new body each time.
fn forged(n: i64) -> Value {
    let mut forged = sample(ISSUE);
    forged["headers"]["x-hub-signature-256"] = json!(format!("sha256={n:064x}"));
    forged
}

fn at(source: &str, mut call: Value) -> Value {
    call["rawPath"] = json!(format!("/hooks/{source}"));
    call
}

/// Sends a thousand calls over 29 seconds, and returns the statuses of the responses.
async fn flood(stage: &Stage, call: impl Fn(i64) -> Value) -> BTreeSet<u16> {
    let start = stage.clock.0.get();
    let mut seen = BTreeSet::new();
    for n in 0..1_000 {
        stage.clock.0.set(start + n * 29 / 1_000);
        seen.insert(stage.call(&call(n)).await.0);
    }
    seen
}

#[tokio::test]
async fn a_flood_of_forged_signatures_reads_each_thing_once() {
    let stage = Stage::new();
    assert_eq!(flood(&stage, forged).await, BTreeSet::from([401]));
    assert_eq!((stage.listings.get(), stage.reads.get()), (1, 1));
    // The real sender is served during the flood. Half a minute later, listing and secrets are read once more.
    assert_eq!(stage.call(&sample(ISSUE)).await.0, 202);
    stage.clock.0.set(THEN + 30);
    assert_eq!(flood(&stage, forged).await, BTreeSet::from([401]));
    assert_eq!((stage.listings.get(), stage.reads.get()), (2, 2));
}

#[tokio::test]
async fn a_call_without_a_well_formed_signature_reads_no_secret() {
    let stage = Stage::new();
    for malformed in ["", "sha256=", "sha256=00", "sha1=00", "sha256=zz", &"0".repeat(64)] {
        let call = |_| {
            let mut call = sample(ISSUE);
            call["headers"]["x-hub-signature-256"] = json!(malformed);
            call
        };
        assert_eq!(flood(&stage, |n| at("keyless", call(n))).await, BTreeSet::from([401]));
        stage.clock.0.set(THEN);
        assert_eq!(stage.call(&call(0)).await.0, 401, "{malformed}");
    }
    assert_eq!(stage.reads.get(), 0);
}

#[tokio::test]
async fn strangers_get_no_5xx_of_a_source_that_is_not_set_up() {
    for source in ["keyless", "wrong"] {
        let stage = Stage::new();
        assert_eq!(flood(&stage, |n| at(source, forged(n))).await, BTreeSet::from([401]));
        assert!(stage.reads.get() + stage.listings.get() <= 2, "{source}");
    }
    // A secret in another form than the provider's is ignored, and the other secret is used.
    let stage = Stage::new();
    stage.parameters.borrow_mut().insert("/bcce/dev/secrets/github-next".into(), String::new());
    assert_eq!(stage.call(&sample(ISSUE)).await.0, 202);
}

#[tokio::test]
async fn unknown_names_cost_nothing() {
    let stage = Stage::new();
    let nobody = |n: i64| at(&format!("unknown-{n}"), sample(ISSUE));
    assert_eq!(flood(&stage, nobody).await, BTreeSet::from([404]));
    assert_eq!((stage.listings.get(), stage.reads.get()), (1, 0));
    // The next listing finds a source that was set up in the meantime.
    let github = stage.parameters.borrow()["/bcce/dev/webhooks/github"].clone();
    stage.parameters.borrow_mut().insert("/bcce/dev/webhooks/new".into(), github);
    let new = at("new", sample(ISSUE));
    assert_eq!(stage.call(&new).await.0, 404);
    stage.clock.0.set(THEN + 30);
    assert_eq!(stage.call(&new).await.0, 202);
}

#[tokio::test]
async fn a_service_that_fails_is_asked_at_growing_pauses() {
    let stage = Stage::new();
    stage.is_gone.set(true);
    assert_eq!(flood(&stage, forged).await, BTreeSet::from([503]));
    // The listings are at 0, 1, 3, 7 and 15 seconds.
    assert_eq!(stage.listings.get(), 5);
    stage.is_gone.set(false);
    stage.clock.0.set(THEN + 31);
    assert_eq!(stage.call(&sample(ISSUE)).await.0, 202);
}

#[tokio::test]
async fn an_old_reading_serves_while_there_is_no_new_one() {
    let stage = Stage::new();
    assert_eq!(stage.call(&sample(ISSUE)).await.0, 202);
    stage.is_gone.set(true);
    for (seconds, expected) in [(29, 202), (31, 202), (599, 202), (600, 503)] {
        stage.clock.0.set(THEN + seconds);
        assert_eq!(stage.call(&sample(ISSUE)).await.0, expected, "{seconds}");
    }
    let asked = || stage.listings.get() + stage.reads.get();
    let before = asked();
    stage.call(&sample(ISSUE)).await;
    stage.call(&sample(ISSUE)).await;
    assert!(asked() - before <= 1, "not every call waits for a service that hangs");
}

#[tokio::test]
async fn readings_are_shared_and_a_new_secret_counts_within_half_a_minute() {
    let stage = Stage::new();
    stage.parameters.borrow_mut().insert("/bcce/dev/secrets/github".into(), "old".into());
    assert_eq!(stage.call(&sample(ISSUE)).await.0, 401);

    let secret = "It's a Secret to Everybody".to_owned();
    stage.parameters.borrow_mut().insert("/bcce/dev/secrets/github-next".into(), secret);
    stage.clock.0.set(THEN + 29);
    assert_eq!(stage.call(&sample(ISSUE)).await.0, 401);
    stage.clock.0.set(THEN + 30);
    assert_eq!(stage.call(&sample(ISSUE)).await.0, 202);
    // A secret that is removed is used for another half a minute.
    stage.parameters.borrow_mut().remove("/bcce/dev/secrets/github-next");
    stage.clock.0.set(THEN + 59);
    assert_eq!(stage.call(&sample(ISSUE)).await.0, 202);
    stage.clock.0.set(THEN + 60);
    assert_eq!(stage.call(&sample(ISSUE)).await.0, 401);
}

#[tokio::test]
async fn the_secrets_of_a_document_that_changed_are_read_anew() {
    let stage = Stage::new();
    assert_eq!(stage.call(&sample(ISSUE)).await.0, 202);
    let other = GITHUB.replace("[github, github-next]", "[gone]");
    stage.parameters.borrow_mut().insert("/bcce/dev/webhooks/github".into(), other);
    stage.clock.0.set(THEN + 30);
    assert_eq!(stage.call(&sample(ISSUE)).await.0, 401);
}
