use crate::config::webhook::Provider;
use crate::config::webhook::Source;
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::*;
use crate::base::error::Problems;
use crate::base::timing::{is_within, shortest};
use crate::document::from_yaml;
use crate::run::request::Request;

/// A call from `events/webhook/`, as the function receives it.
struct Sample {
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

impl Sample {
    fn new(headers: &[(&str, &str)], body: &str) -> Self {
        let headers = headers.iter().map(|(name, value)| (name.to_string(), value.to_string()));
        Self { headers: headers.collect(), body: body.as_bytes().to_vec() }
    }

    fn read(event: &str) -> Self {
        let event: Value = serde_json::from_str(event).unwrap();
        let body = event["body"].as_str().unwrap().as_bytes().to_vec();
        Self { headers: serde_json::from_value(event["headers"].clone()).unwrap(), body }
    }

    fn call(&self) -> Call<'_> {
        Call { headers: &self.headers, body: &self.body }
    }
}

const ISSUE: &str = include_str!("../../../../events/webhook/github-issue-opened.json");
const MENTION: &str = include_str!("../../../../events/webhook/slack-app-mention.json");
const COMMAND: &str = include_str!("../../../../events/webhook/slack-command.json");
const INVOICE: &str = include_str!("../../../../events/webhook/stripe-invoiceitem.json");
const STANDARD: &str = include_str!("../../../../events/webhook/standard-webhooks.json");

const GITHUB_SECRET: &str = "It's a Secret to Everybody";
const SLACK_SECRET: &str = "8f742231b10e8888abcd99yyyzzz85a5";
const STANDARD_SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

fn source(text: &str) -> Source {
    from_yaml(text).finished().unwrap()
}

fn of(provider: &str) -> Source {
    source(&format!("version: 1\nprovider: {provider}\nsecrets: [one]\nrules: []\n"))
}

fn plain(signature: &str) -> Source {
    source(&format!(
        "version: 1\nprovider: hmac\nsecrets: [one]\nsignature: {signature}\nrules: []\n"
    ))
}

fn verified(source: &Source, secrets: &[&str], call: &Sample, at: i64) -> Result<(), Refusal> {
    let secret = |text: &&str| Secret::parse(source.provider, text).unwrap();
    let secrets: Vec<Secret> = secrets.iter().map(secret).collect();
    verify(source, &secrets, &call.call(), OffsetDateTime::from_unix_timestamp(at).unwrap())
}

fn is_unsigned(verified: Result<(), Refusal>) -> bool {
    matches!(verified, Err(Refusal::Unsigned(_) | Refusal::Forged))
}

/// <https://docs.github.com/webhooks/using-webhooks/validating-webhook-deliveries>
#[test]
fn githubs_published_vector() {
    let signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    let call = Sample::new(&[("x-hub-signature-256", signature)], "Hello, World!");
    assert_eq!(verified(&of("github"), &[GITHUB_SECRET], &call, 0), Ok(()));
    let other = Sample::new(&[("x-hub-signature-256", signature)], "Hello, World");
    assert!(is_unsigned(verified(&of("github"), &[GITHUB_SECRET], &other, 0)));
}

/// <https://api.slack.com/authentication/verifying-requests-from-slack>
#[test]
fn slacks_published_vector() {
    let call = Sample::read(COMMAND);
    let signature = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503";
    assert_eq!(call.headers["x-slack-signature"], signature);
    let at = 1_531_420_618;
    assert_eq!(verified(&of("slack"), &[SLACK_SECRET], &call, at), Ok(()));
    for late in [at + 301, at - 301] {
        let reported = verified(&of("slack"), &[SLACK_SECRET], &call, late);
        assert_eq!(reported, Err(Refusal::OutsideWindow));
    }
    assert_eq!(verified(&of("slack"), &[SLACK_SECRET], &call, at + 300), Ok(()));
    // A call that was never signed is not reported as a replay.
    assert!(is_unsigned(verified(&of("slack"), &["other"], &call, at + 301)));
}

/// The vector is from the tests of Stripe's own libraries.
#[test]
fn stripes_published_vector() {
    let call = Sample::read(INVOICE);
    let signed = "v1=f0bdba6d4eacbd8ad8a3bbadd7248e633ec1477f7899c124c51b39405fa36613";
    assert!(call.headers["stripe-signature"].contains(signed));
    let at = 1_533_204_620;
    assert_eq!(verified(&of("stripe"), &["webhook_secret"], &call, at + 300), Ok(()));
    let reported = verified(&of("stripe"), &["webhook_secret"], &call, at + 301);
    assert_eq!(reported, Err(Refusal::OutsideWindow));
    // Other schemes do not count as a signature.
    let mut old = Sample::read(INVOICE);
    let header = old.headers.get_mut("stripe-signature").unwrap();
    *header = header.replace("v1=", "v2=");
    assert!(is_unsigned(verified(&of("stripe"), &["webhook_secret"], &old, at)));
    // The same signature with another time.
    let mut moved = Sample::read(INVOICE);
    let header = moved.headers.get_mut("stripe-signature").unwrap();
    *header = header.replace("t=1533204620", "t=1533204621");
    assert!(is_unsigned(verified(&of("stripe"), &["webhook_secret"], &moved, at)));
}

/// The vector is from the reference libraries of the specification.
#[test]
fn the_published_vector_of_standard_webhooks() {
    let call = Sample::read(STANDARD);
    let signature = "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=";
    assert_eq!(call.headers["webhook-signature"], signature);
    let (standard, at) = (of("standard-webhooks"), 1_649_367_553);
    assert_eq!(verified(&standard, &[STANDARD_SECRET], &call, at), Ok(()));
    // A call has several signatures while a secret is being replaced. Signatures of other versions are ignored.
    let mut several = Sample::read(STANDARD);
    let header = several.headers.get_mut("webhook-signature").unwrap();
    *header = format!("v1a,AAAA v1,AAAA {signature}");
    assert_eq!(verified(&standard, &[STANDARD_SECRET], &several, at), Ok(()));
    let mut other = Sample::read(STANDARD);
    other.headers.insert("webhook-id".into(), "msg_other".into());
    assert!(is_unsigned(verified(&standard, &[STANDARD_SECRET], &other, at)));
}

/// RFC 4231, test case 2.
#[test]
fn the_published_vectors_of_hmac() {
    let body = "what do ya want for nothing?";
    let sha256 = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
    let sha512 = "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554\
                  9758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737";
    let base64 = "W9zBRr9gdU5qBCQmCJV1x1oAPwidJzmDnexYuWTsOEM=";
    let several = format!("v1=00,v1={sha256}");
    #[rustfmt::skip]
    let table = [
        ("{ header: X-Signature }", sha256),
        ("{ header: x-signature, prefix: 'sha256=' }", &format!("sha256={sha256}")),
        ("{ header: X-Signature, algorithm: sha512 }", sha512),
        ("{ header: X-SIGNATURE, encoding: base64 }", base64),
        ("{ header: X-Signature, prefix: 'v1=' }", &several),
    ];
    for (scheme, header) in table {
        let call = Sample::new(&[("x-signature", header)], body);
        assert_eq!(verified(&plain(scheme), &["Jefe"], &call, 0), Ok(()), "{scheme}");
        assert!(is_unsigned(verified(&plain(scheme), &["jefe"], &call, 0)), "{scheme}");
    }
}

#[test]
fn what_is_not_a_signature_of_this_body_is_refused() {
    let right = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    #[rustfmt::skip]
    let table = [
        ("x-hub-signature-256", String::new()),
        ("x-hub-signature-256", "sha256=".to_owned()),
        ("x-hub-signature-256", right.to_owned()),
        ("x-hub-signature-256", format!("sha1={right}")),
        ("x-hub-signature-256", format!("sha256={}", &right[..62])),
        ("x-hub-signature-256", format!("sha256={}", &right[..63])),
        ("x-hub-signature-256", format!("sha256={right}00")),
        ("x-hub-signature-256", format!("sha256={}", right.replace('7', "g"))),
        ("x-hub-signature", format!("sha256={right}")),
        ("x-signature", format!("sha256={right}")),
    ];
    for (header, value) in table {
        let call = Sample::new(&[(header, &value)], "Hello, World!");
        assert!(
            is_unsigned(verified(&of("github"), &[GITHUB_SECRET], &call, 0)),
            "{header}: {value}"
        );
    }
    // The case of hex digits does not matter.
    let upper = format!("sha256={}", right.to_uppercase());
    let call = Sample::new(&[("x-hub-signature-256", &upper)], "Hello, World!");
    assert_eq!(verified(&of("github"), &[GITHUB_SECRET], &call, 0), Ok(()));
}

#[test]
fn times_that_are_none_are_refused() {
    for time in
        ["", "now", "+1531420618", "1531420618.5", "99999999999999999999", "-9223372036854775808"]
    {
        let mut call = Sample::read(COMMAND);
        call.headers.insert("x-slack-request-timestamp".into(), time.into());
        let reported = verified(&of("slack"), &[SLACK_SECRET], &call, 1_531_420_618);
        assert!(is_unsigned(reported), "{time}");
    }
}

#[test]
fn either_secret_does_while_one_is_being_replaced() {
    let call = Sample::read(ISSUE);
    for secrets in [["new", GITHUB_SECRET], [GITHUB_SECRET, "new"]] {
        assert_eq!(verified(&of("github"), &secrets, &call, 0), Ok(()));
    }
    assert!(is_unsigned(verified(&of("github"), &["new"], &call, 0)));
}

#[test]
fn a_secret_is_never_empty_and_never_printed() {
    let parse = Secret::parse;
    assert!(parse(Provider::Github, "\n").is_err());
    assert!(parse(Provider::StandardWebhooks, "whsec_").is_err());
    assert!(parse(Provider::StandardWebhooks, "whsec_not base64").is_err());
    let line = parse(Provider::Github, "secret\r\n").unwrap();
    assert_eq!(line, parse(Provider::Github, "secret").unwrap());
    assert_eq!(format!("{line:?}"), "Secret(..)");
}

#[test]
fn an_id_is_what_the_provider_signs() {
    let id = |provider: &str, call: &Sample| {
        Event::read(&of(provider), "hook", &call.call()).unwrap().id
    };
    let issue = Sample::read(ISSUE);
    let mut again = Sample::read(ISSUE);
    again.headers.insert("x-github-delivery".into(), "another".into());
    assert_eq!(
        id("github", &issue),
        format!("hook:{}", crate::base::digest::sha256_hex(&issue.body))
    );
    assert_eq!(id("github", &issue), id("github", &again), "the delivery id is not signed");
    let mut retried = Sample::read(MENTION);
    retried.headers.insert("x-slack-retry-num".into(), "1".into());
    assert_eq!((id("slack", &retried).as_str()), "hook:Ev0LAN670R");
    assert_eq!(id("stripe", &Sample::read(INVOICE)), "hook:evt_123");
    let standard = id("standard-webhooks", &Sample::read(STANDARD));
    assert_eq!(standard, "hook:msg_27UH4WbU6Z5A5EzD8u03UvzRbpk");
    let long = Sample::new(&[("webhook-id", &"x".repeat(300))], "{}");
    assert_eq!(id("standard-webhooks", &long).len(), "hook:".len() + 64);
}

#[test]
fn a_body_that_is_no_event_is_reported_by_field() {
    const JSON: &str = "application/json";
    const FORM: &str = "application/x-www-form-urlencoded";
    #[rustfmt::skip]
    let table: &[(&str, &str, &[u8], &str)] = &[
        ("github", JSON, b"", "body: is not JSON: EOF"),
        ("github", JSON, b"\xff{}", "body: is not UTF-8 from byte 0 on"),
        ("github", JSON, br#"{"a":{"b":1,"b":2}}"#, "body.a.b: appears twice"),
        ("github", FORM, b"payload=%7B", "body.payload: is not JSON"),
        ("github", FORM, b"a=1&a=2", "body: contains a form field twice; send each once"),
        ("stripe", JSON, b"{}", "body.id: is missing or empty"),
        ("stripe", JSON, br#"{"id":" "}"#, "body.id: is missing or empty"),
        ("slack", JSON, br#"{"event_id":""}"#, "body.id: is missing or empty"),
    ];
    for (provider, media, body, expected) in table {
        let call = Sample { body: body.to_vec(), ..Sample::new(&[("content-type", media)], "") };
        let reported = Event::read(&of(provider), "hook", &call.call()).unwrap_err().to_string();
        assert!(reported.starts_with(expected), "{reported}");
    }
    let deep = Sample::new(&[], &"[".repeat(100_000));
    assert!(Event::read(&of("github"), "hook", &deep.call()).is_err());
}

#[test]
fn forms_are_read_as_their_fields_or_as_the_json_in_them() {
    let command = Event::read(&of("slack"), "hook", &Sample::read(COMMAND).call()).unwrap();
    assert_eq!(
        (command.name.as_str(), &command.payload["user_name"]),
        ("/webhook-collect", &json!("roadrunner"))
    );
    let form = [("content-type", "Application/X-WWW-Form-Urlencoded; charset=utf-8")];
    let call = Sample::new(&form, "payload=%7B%22action%22%3A%22opened%22%7D");
    let event = Event::read(&of("github"), "hook", &call.call()).unwrap();
    assert_eq!(event.payload, json!({ "action": "opened" }));
}

/// Returns the requests that `rules` make from the sample of an opened issue.
fn mapped(rules: &str) -> Result<Vec<Mapped>, Problems> {
    let source = format!("version: 1\nprovider: github\nsecrets: [one]\nrules:\n{rules}");
    let source = parse_source(&source)?;
    let event = Event::read(&source, "hook", &Sample::read(ISSUE).call()).unwrap();
    requests(&source, &event)
}

fn parse_source(text: &str) -> Result<Source, Problems> {
    from_yaml(text).finished()
}

#[test]
fn a_payload_becomes_the_inputs_of_every_workflow_that_wants_it() {
    let rules = r#"
- id: explain
  when: event == "issues" and body.action in ["opened", "reopened"]
  workflow: explain
  inputs:
    text: "{{ body.issue.title }}\n\n{{ body.issue.body or '' }}"
    audience: maintainer
  tags: { repository: "{{ body.repository.full_name }}", number: "{{ body.issue.number }}" }
- id: triage
  workflow: triage
  model: haiku
  inputs: { labels: "{{ body.issue.labels }}", number: "{{body.issue.number}}", deep: [{ open: "{{ body.issue.state == 'open' }}" }], none: "{{ body.issue.closed_at }}" }
- id: second
  workflow: explain
  inputs: { text: not this one }
- id: closed
  when: body.action == "closed"
  workflow: bug-hunt
"#;
    let mapped = mapped(rules).unwrap();
    let [explain, triage] = mapped.as_slice() else { panic!("{mapped:?}") };
    assert_eq!((explain.workflow.as_str(), triage.workflow.as_str()), ("explain", "triage"));
    assert_eq!(explain.id, triage.id, "the run id contains the workflow");
    let [explain, triage] = [explain, triage].map(|one| Request::parse(&one.body).unwrap());
    let text = "Spelling error in the README file\n\nIt looks like you accidently spelled 'commit' with two 't's.";
    assert_eq!(explain.inputs["text"], text);
    assert_eq!(explain.tags["repository"], "Codertocat/Hello-World");
    assert_eq!(explain.tags["number"], "1");
    assert_eq!(triage.inputs["labels"][0]["name"], "bug");
    assert_eq!(triage.inputs["number"], 1);
    assert_eq!(triage.inputs["deep"], json!([{ "open": true }]));
    assert_eq!((&triage.inputs["none"], triage.model.as_deref()), (&Value::Null, Some("haiku")));
}

#[test]
fn what_an_event_does_not_have_fits_no_condition_and_fills_no_input() {
    let none = "- { id: a, when: body.pull_request.draft, workflow: w }\n- { id: b, when: \"'x' in body.nothing.there\", workflow: v }\n";
    assert_eq!(mapped(none), Ok(Vec::new()));
    let reported = mapped(
        "- { id: a, workflow: w, inputs: { diff: '{{ body.pull_request.diff_url }}', text: '# {{ body.issue.title }}{{ body.gone }}' }, tags: { t: '{{ body.issue.labels }}' } }\n",
    );
    let reported = reported.unwrap_err().to_string();
    assert_eq!(
        reported,
        "rules.a.inputs.diff: reads body.pull_request.diff_url, which the event does not have; \
         rules.a.inputs.text: reads body.gone, which the event does not have"
    );
    let reported = mapped("- { id: a, workflow: w, tags: { t: '{{ body.issue }}' } }\n");
    let reported = reported.unwrap_err().to_string();
    assert!(
        reported.starts_with("rules.a.tags.t: must be at most 1024 characters, is "),
        "{reported}"
    );
    let labels = mapped("- { id: a, workflow: w, tags: { t: '{{ body.issue.labels }}' } }\n");
    let labels = Request::parse(&labels.unwrap()[0].body).unwrap().tags["t"].clone();
    assert!(labels.starts_with("[{"), "a tag holds any text: {labels}");
}

#[test]
fn a_source_is_checked_as_a_whole() {
    #[rustfmt::skip]
    let table = [
        ("version: 2\nprovider: github\nsecrets: []\nrules: []", "version: must be 1; secrets: must be 1 to 5, there are 0"),
        ("version: 1\nprovider: gitlab\nsecrets: [a]\nrules: []", "provider: "),
        ("version: 1\nprovider: hmac\nsecrets: [a/b]\nrules: []", "secrets[0]: must be 1 to 64 letters"),
        ("version: 1\nprovider: hmac\nsecrets: [a]\nrules: []", "signature: is missing"),
        ("version: 1\nprovider: slack\nsecrets: [a]\ntenant: default\nrules: []", "tenant: must be the name of a tenant's stack"),
        ("version: 1\nprovider: slack\nsecrets: [a]\ntenant: A/b\nrules: []", "tenant: must be the name of a tenant's stack"),
        ("version: 1\nprovider: slack\nsecrets: [a]\nrules: [{ id: a, workflow: w, tags: { run_id: x } }]", "rules.a.tags.run_id: is set by BCCE itself"),
        ("version: 1\nprovider: slack\nsecrets: [a]\nrules: [{ id: a, workflow: w, tags: { \"t\\n\": 'é' } }]", "its key must be 1 to 256 characters"),
        ("version: 1\nprovider: slack\nsecrets: [a]\nevent_id: x\nsignature: { header: x }\nrules: []", "signature: is determined by the provider"),
        ("version: 1\nprovider: hmac\nsecrets: [a]\nsignature: { header: 'x y' }\nrules: []", "signature.header: must be the name of a header"),
        ("version: 1\nprovider: hmac\nsecrets: [a]\nsignature: { header: x, encoding: hexa }\nrules: []", "signature.encoding: "),
        ("version: 1\nprovider: slack\nsecrets: [a]\nrules: [{ id: a, workflow: w }, { id: a, workflow: v }]", "rules.a: is the id of two rules"),
        ("version: 1\nprovider: slack\nsecrets: [a]\nrules: [{ id: a, workflow: w, when: 'body.x ==' }]", "rules.a.when: syntax error"),
        ("version: 1\nprovider: slack\nsecrets: [a]\nrules: [{ id: a, workflow: w, when: 'inputs.x' }]", "rules.a.when: reads inputs.x; it can read only event and body"),
        ("version: 1\nprovider: slack\nsecrets: [a]\nrules: [{ id: a, workflow: w, when: 'range(9)' }]", "rules.a.when: a call on line 1 is not available"),
        ("version: 1\nprovider: slack\nsecrets: [a]\nrules: [{ id: a, workflow: w, inputs: { x: [{ y: '{{ body' }] } }]", "rules.a.inputs.x[0].y: syntax error"),
        ("version: 1\nprovider: slack\nsecrets: [a]\nrules: [{ id: a, workflow: w, tag: {} }]", "rules.a.tag: is unknown"),
    ];
    for (text, expected) in table {
        let reported = parse_source(text).unwrap_err().to_string();
        assert!(reported.contains(expected), "{expected} is missing in {reported}");
    }
}

#[test]
fn a_rule_cannot_take_long() {
    let body = json!({ "text": "x".repeat(900_000), "many": vec![1; 90_000] }).to_string();
    let call = Sample::new(&[], &body);
    let mapped = |template: &str| {
        let rule = json!([{ "id": "a", "workflow": "w", "inputs": { "x": template } }]);
        let text = format!("version: 1\nprovider: github\nsecrets: [a]\nrules: {rule}");
        let source = source(&text);
        let event = Event::read(&source, "hook", &call.call()).unwrap();
        requests(&source, &event).map_err(|error| error.to_string())
    };
    // This template visits the same values and is accepted.
    let walk = "{% for a in body.many %}{% if a == 2 %}x{% endif %}{% endfor %}";
    let plain = shortest(|| assert!(mapped(walk).is_ok()));
    for (template, expected) in [
        (
            "{% for a in body.many %}{% for b in body.many %}{{ body.text }}{% endfor %}{% endfor %}",
            "renders to more than",
        ),
        ("{{ body.text | replace('x', 'xxxxxxxxxx') }}", "renders to more than"),
        (
            "{% for a in body.many %}{% for b in body.many %}{{ a }}{% endfor %}{% endfor %}",
            "takes too much time",
        ),
        ("{{ body }}{{ body }}", "request: is "),
    ] {
        let bounded = is_within(plain * 10, || {
            let reported = mapped(template).unwrap_err();
            assert!(reported.contains(expected), "{template}: {reported}");
        });
        assert_eq!(bounded, Ok(()), "{template}: a plain loop takes {plain:?}");
    }
}

/// Together they must fit one message, so that the function can send them in time.
#[test]
fn an_event_makes_no_more_messages_than_fit_into_one() {
    let call = Sample::new(&[], &json!({ "text": "x".repeat(400_000) }).to_string());
    let rule = |n| json!({ "id": format!("r{n}"), "workflow": format!("w{n}"), "inputs": { "x": "{{ body.text }}" } });
    let mapped = |rules: usize| {
        let rules: Vec<Value> = (0..rules).map(rule).collect();
        let text = format!("version: 1\nprovider: github\nsecrets: [a]\nrules: {}", json!(rules));
        let source = source(&text);
        requests(&source, &Event::read(&source, "hook", &call.call()).unwrap())
    };
    assert_eq!(mapped(2).unwrap().len(), 2);
    let reported = mapped(3).unwrap_err().to_string();
    assert!(reported.starts_with("rules: make 1200"), "{reported}");
}

/// The content type is not signed, so an attacker can send a captured body with another one.
#[test]
fn text_within_a_body_is_never_a_form() {
    let body = r#"{"issue":{"title":"x&payload=%7B%22action%22%3A%22opened%22%7D&y="}}"#;
    for media in ["application/x-www-form-urlencoded", "application/json", ""] {
        let call = Sample::new(&[("content-type", media)], body);
        let event = Event::read(&of("github"), "hook", &call.call()).unwrap();
        assert!(event.payload["issue"].is_object() && !event.is_form, "{media}: {event:?}");
    }
}

#[test]
fn the_parts_of_what_is_signed_cannot_be_shifted() {
    let secret = Secret::parse(Provider::StandardWebhooks, STANDARD_SECRET).unwrap();
    let body = r#"{"text":"a.1893456000.{\"type\":\"paid\"}"}"#;
    let signed = format!("msg_1.1649367553.{body}");
    let mut mac = <hmac::Hmac<sha2::Sha256> as hmac::Mac>::new_from_slice(secret.bytes()).unwrap();
    hmac::Mac::update(&mut mac, signed.as_bytes());
    let mac = base64::Engine::encode(
        &base64::engine::general_purpose::STANDARD,
        hmac::Mac::finalize(mac).into_bytes(),
    );
    let call = |id: &str, time: &str, body: &str| {
        let signature = format!("v1,{mac}");
        let headers =
            [("webhook-id", id), ("webhook-timestamp", time), ("webhook-signature", &signature)];
        verified(
            &of("standard-webhooks"),
            &[STANDARD_SECRET],
            &Sample::new(&headers, body),
            1_893_456_000,
        )
    };
    assert_eq!(call("msg_1", "1649367553", body), Err(Refusal::OutsideWindow));
    let (id, rest) = signed.split_once(".1893456000.").unwrap();
    assert!(is_unsigned(call(id, "1893456000", rest)));
}

#[test]
fn an_event_without_an_id_is_no_event() {
    let source = source(
        "version: 1\nprovider: hmac\nsecrets: [one]\nsignature: { header: x }\nevent_id: '{{ body.id }}'\nrules: []\n",
    );
    let id = |body: &str| {
        let call = Sample::new(&[], body);
        Event::read(&source, "hook", &call.call()).map(|event| event.id).map_err(|p| p.to_string())
    };
    assert_eq!(id(r#"{"id":7}"#).unwrap(), "hook:7");
    for body in [r#"{"id":null}"#, r#"{"id":""}"#, r#"{"id":" "}"#] {
        assert_eq!(id(body).unwrap_err(), "event_id: is missing or empty");
    }
    assert!(id("{}").unwrap_err().starts_with("event_id: reads body.id, which the event"));
}
