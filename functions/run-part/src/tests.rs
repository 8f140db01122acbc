mod budgets; // steps that a budget pays
mod responses; // steps that the response cache answers

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use bcce_core::base::error::ErrorName;
use bcce_core::base::json::{add_line, parse, to_json};
use bcce_core::base::target::Target;
use bcce_core::base::usage::Usage;
use bcce_core::batch::packed::{PackedRun, RunState, StartedCall, parse_segment};
use bcce_core::batch::reference::{BatchRef, Place};
use bcce_core::batch::{BatchRequest, StoredBatch};
use bcce_core::call::model::{Blame, CallFailure, CallReport, ModelAnswer, ModelCall, Served};
use bcce_core::config::budgets::Budgets;
use bcce_core::config::configuration::Configuration;
use bcce_core::config::policy::Policy;
use bcce_core::config::profiles::Profiles;
use bcce_core::config::routing::Routing;
use bcce_core::document::{Document, from_yaml};
use bcce_core::fakes::{MemoryHealth, MemoryLedger, MemorySources, MemoryStore};
use bcce_core::io::packed::{find_runs, lost};
use bcce_core::io::shared_breakers::SharedBreakers;
use bcce_core::ledger::RunRecord;
use bcce_core::ports::{LogCalls, PartOf};
use bcce_core::run::artifact::{StepArtifact, StepFailure, StepStatus};
use bcce_core::run::call_log::LoggedCall;
use bcce_core::run::manifest::Manifest;
use bcce_core::run::notification::RunStatus;
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::*;

const EVENT: &str = include_str!("../../../events/run-part/first.json");
const MODELS: &str = include_str!("../../../infra/config/dev/models.yaml");
const PRICES: &str = include_str!("../../../infra/config/dev/prices.yaml");
const ONE: &str = include_str!("../../../infra/config/dev/workflows/explain.yaml");
const TWO: &str = "version: 1\nname: explain\ninputs:\n  text: { type: string }\nsteps:\n- { id: first, model: haiku, prompt: \"one {{ inputs.text }}\" }\n- { id: second, needs: [first], model: haiku, prompt: \"two {{ inputs.text }} {{ steps.first }}\" }\n";
/// The time of a function with the longest timeout.
const AMPLE: Duration = Duration::from_secs(900);

/// The clock of the machine, as far ahead as a test sets it.
#[derive(Default)]
struct Now {
    ahead: Cell<time::Duration>,
}

impl Clock for Now {
    fn now(&self) -> OffsetDateTime {
        OffsetDateTime::now_utc() + self.ahead.get()
    }
}

/// A model that answers by what the prompt contains, and records its calls.
#[derive(Default)]
struct Model {
    asked: RefCell<Vec<String>>,
    /// The most calls that were under way at a time.
    most: RefCell<(usize, usize)>,
    /// The errors of calls of a prompt with these texts, which `&` separates, in order. Further calls are answered.
    script: RefCell<BTreeMap<&'static str, Vec<ErrorName>>>,
    at_first_call: RefCell<Option<Box<dyn FnOnce()>>>,
    /// True if the model receives calls and never answers.
    is_silent: Cell<bool>,
}

impl CallModel for &Model {
    async fn call(&self, call: &ModelCall<'_>) -> CallReport {
        let prompt = call.prompt.user.clone();
        let first = self.at_first_call.borrow_mut().take();
        first.into_iter().for_each(|act| act());
        self.asked.borrow_mut().push(prompt.clone());
        if self.is_silent.get() {
            std::future::pending::<()>().await;
        }
        let (now, most) = *self.most.borrow();
        *self.most.borrow_mut() = (now + 1, most.max(now + 1));
        tokio::time::sleep(Duration::from_millis(5)).await;
        self.most.borrow_mut().0 -= 1;
        let mut script = self.script.borrow_mut();
        let scripted =
            script.iter_mut().find(|(texts, _)| texts.split('&').all(|text| prompt.contains(text)));
        match scripted.and_then(|(_, errors)| (!errors.is_empty()).then(|| errors.remove(0))) {
            None => answers(&format!("answer to {prompt}")),
            Some(name) => fails(name),
        }
    }
}

fn answers(text: &str) -> CallReport {
    CallReport {
        result: Ok(ModelAnswer {
            text: text.into(),
            stop_reason: "end_turn".into(),
            thought: false,
        }),
        latency: Duration::from_millis(5),
        first_token: Some(Duration::from_millis(1)),
        usage: Some(Usage { input_tokens: 1_000, output_tokens: 100, ..Usage::default() }),
        served: Served::default(),
    }
}

fn fails(name: ErrorName) -> CallReport {
    let (message, blame) = ("on request".into(), Blame::Target);
    let failure = CallFailure { name, message, advice: None, retry_after_s: None, blame };
    CallReport {
        result: Err(failure),
        latency: Duration::ZERO,
        first_token: None,
        usage: Some(Usage::default()),
        served: Served::default(),
    }
}

type Fakes = Ports<
    MemoryStore,
    MemorySources,
    MemoryLedger,
    &'static Model,
    Now,
    &'static MemoryHealth,
    Box<dyn Fn(&str)>,
>;

struct Fixture {
    ports: Fakes,
    model: &'static Model,
    request: Request,
}

impl Fixture {
    /// Returns a part of `items` items of a workflow.
    fn new(template: &str, items: u64) -> Self {
        let model: &Model = Box::leak(Box::default());
        let health: &MemoryHealth = Box::leak(Box::default());
        let mut request: Request = serde_json::from_str(EVENT).unwrap();
        request.remaining = AMPLE;
        let batch = &request.batch.reference;
        let message = json!({ "workflow": "explain", "id": batch.request_id, "batch": { "source": "s3://bucket/a.jsonl" } });
        let message = BatchRequest::parse(&message.to_string()).unwrap();
        let stored = StoredBatch::new(message, "default", "m");
        let (mut lines, mut places) = (Vec::new(), Vec::new());
        for n in 1..=items {
            let at = lines.len() as u64;
            let item = json!({ "n": n, "line": n, "id": format!("i{n}"), "inputs": { "text": format!("number {n}.") } });
            add_line(&mut lines, &item).unwrap();
            let bytes = lines.len() as u64 - at - 1;
            let place = Place { n, part: 1, at, bytes, attempt_no: 1 };
            add_line(&mut places, &place).unwrap();
        }
        let store = MemoryStore::with([
            (batch.request_key(), to_json(&stored).unwrap()),
            (batch.configuration_key(), to_json(&configuration(template)).unwrap()),
            (batch.part_key(1), lines),
            (batch.places_key(1), places),
        ]);
        let ports = Ports {
            store,
            sources: MemorySources::default(),
            ledger: MemoryLedger::default(),
            caller: Caller {
                model,
                clock: Now::default(),
                health: SharedBreakers::new(health),
                grammars: Default::default(),
            },
            metrics: Box::new(|_: &str| {}) as Box<dyn Fn(&str)>,
        };
        Self { ports, model, request }
    }

    fn script(self, text: &'static str, errors: &[ErrorName]) -> Self {
        self.model.script.borrow_mut().insert(text, errors.to_vec());
        self
    }

    async fn run(&self) -> Result<Response, Fault> {
        let config = Config {
            environment: "dev".into(),
            bucket: "b".into(),
            key_arn: "k".into(),
            ledger_table: "t".into(),
            bedrock_endpoint: None,
            retries: Retries::default(),
        };
        handle(&self.ports, &config, self.request.clone()).await
    }

    fn batch(&self) -> &BatchRef {
        &self.request.batch.reference
    }

    fn part(&self) -> PartOf {
        PartOf { batch: self.batch().item_of(), part: 1 }
    }

    async fn stored(&self) -> BTreeMap<u64, PackedRun> {
        find_runs(&self.ports.store, self.batch(), 1, |_| true).await.unwrap()
    }

    async fn manifests(&self) -> Vec<Manifest> {
        let stored = self.stored().await;
        stored.values().filter_map(|run| run.manifest().unwrap()).collect()
    }
}

fn configuration(template: &str) -> Configuration {
    fn read<T: Document>(yaml: &str) -> T {
        from_yaml(yaml).finished().unwrap()
    }
    let routing = Routing { backoff_base_ms: 1, ..Routing::default() };
    Configuration {
        template: read(template),
        template_sha256: "t".into(),
        models: read(MODELS),
        routing,
        policy: Policy::default(),
        policy_sha256: "p".into(),
        profiles: Profiles::default(),
        budgets: Budgets::default(),
        prices: read(PRICES),
    }
}

const OVER: Response = Response::Over { notification: None };

#[tokio::test]
async fn every_item_is_answered_stored_placed_and_logged_once() {
    let fixture = Fixture::new(ONE, 30);
    assert_eq!(fixture.run().await, Ok(OVER));
    let manifests = fixture.manifests().await;
    assert_eq!(manifests.len(), 30);
    assert!(manifests.iter().all(|manifest| manifest.status == RunStatus::Succeeded));
    assert_eq!(fixture.model.asked.borrow().len(), 30);
    for (n, run) in fixture.stored().await {
        let answer = run.object("steps/answer.answer.json").unwrap();
        let answer: Value = serde_json::from_slice(answer).unwrap();
        assert!(answer["output"]["text"].as_str().unwrap().contains(&format!("number {n}.")));
        let id = (run.run.run_id.clone(), 1);
        assert_eq!(fixture.ports.ledger.places.borrow()[&id].n, n);
        assert_eq!(run.started, []);
    }
    let calls = fixture.ports.ledger.calls.borrow();
    let calls: Vec<u64> = calls[&fixture.part()].values().flatten().map(|call| call.n).collect();
    assert_eq!(calls.len(), 30);
    let progress = &fixture.ports.ledger.parts.borrow()[&fixture.part()].progress;
    assert_eq!((progress.runs.succeeded, progress.rate.most), (30, fixture.request.calls));
}

#[tokio::test]
async fn no_more_calls_are_under_way_than_the_part_may_make() {
    let mut fixture = Fixture::new(ONE, 30);
    fixture.request.calls = 3;
    fixture.run().await.unwrap();
    assert_eq!(fixture.model.most.borrow().1, 3);
}

/// The second step gets the answer of the first.
#[tokio::test]
async fn the_steps_of_an_item_run_one_after_the_other() {
    let fixture = Fixture::new(TWO, 2);
    assert_eq!(fixture.run().await, Ok(OVER));
    assert!(fixture.manifests().await.iter().all(|m| m.status == RunStatus::Succeeded));
    let asked = fixture.model.asked.borrow();
    let seconds: Vec<&String> = asked.iter().filter(|prompt| prompt.contains("two")).collect();
    assert_eq!(asked.len(), 4);
    assert!(seconds.iter().all(|prompt| prompt.contains("answer to")), "{seconds:?}");
}

#[tokio::test]
async fn a_failed_item_stops_no_other_and_a_second_invocation_calls_nothing() {
    let fixture = Fixture::new(ONE, 5).script("number 2.", &[ErrorName::RequestRejected]);
    assert_eq!(fixture.run().await, Ok(OVER));
    let statuses: Vec<RunStatus> = fixture.manifests().await.iter().map(|m| m.status).collect();
    let failed = statuses.iter().filter(|status| **status == RunStatus::Failed).count();
    assert_eq!((statuses.len(), failed, statuses[1]), (5, 1, RunStatus::Failed));
    assert_eq!(fixture.run().await, Ok(OVER));
    assert_eq!(fixture.model.asked.borrow().len(), 5);
}

#[tokio::test]
async fn a_target_that_fails_is_followed_by_the_next() {
    let fixture = Fixture::new(ONE, 3).script("number 1.", &[ErrorName::TargetUnavailable]);
    fixture.run().await.unwrap();
    let stored = fixture.stored().await;
    let answer = stored[&1].object("steps/answer.answer.json").unwrap();
    let answer: Value = serde_json::from_slice(answer).unwrap();
    let attempts = answer["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), 2);
    assert_ne!(attempts[0]["target"]["region"], attempts[1]["target"]["region"]);
}

/// The calls of a function that was ended are lost. The next one makes them again, and the manifests count both.
#[tokio::test]
async fn calls_of_a_function_that_was_ended_are_made_again_and_counted_as_lost() {
    let fixture = Fixture::new(ONE, 4);
    fixture.model.is_silent.set(true);
    let all_called = async {
        while fixture.model.asked.borrow().len() < 4 {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        ended = fixture.run() => panic!("no call was answered: {ended:?}"),
        () = all_called => {}
    }
    fixture.model.is_silent.set(false);
    assert_eq!(fixture.stored().await.len(), 0, "nothing was stored yet");
    let lost = fixture.ports.ledger.calls.borrow()[&fixture.part()].values().flatten().count();
    assert_eq!((lost, fixture.model.asked.borrow().len()), (4, 4));
    assert!(matches!(fixture.run().await, Ok(Response::Waiting { wait_s: 9..=11 })));
    fixture.ports.ledger.parts.borrow_mut().get_mut(&fixture.part()).unwrap().until =
        OffsetDateTime::UNIX_EPOCH;
    assert_eq!(fixture.run().await, Ok(OVER));
    let manifests = fixture.manifests().await;
    assert_eq!((manifests.len(), fixture.model.asked.borrow().len()), (4, 8));
    for manifest in manifests {
        assert_eq!(
            (manifest.status, manifest.usage_by_model[0].lost_calls),
            (RunStatus::Succeeded, 1)
        );
        assert_eq!(manifest.totals.cost_usd, None, "the cost of a lost call is unknown");
    }
    let fence = fixture.batch().segment_key(1, 1);
    let fence = fixture.ports.store.objects.borrow()[&fence].clone();
    assert!(fence.starts_with(b"# ") && parse_segment("k", &fence).unwrap().is_empty());
}

/// An owner from before finds the next number taken, and stores nothing.
#[tokio::test]
async fn two_owners_never_store_the_same_segment() {
    let fixture: &Fixture = Box::leak(Box::new(Fixture::new(ONE, 3)));
    let key = fixture.batch().segment_key(1, 1);
    // The other owner writes its segment after this one has listed them.
    let write = move || {
        fixture.ports.store.objects.borrow_mut().insert(key, b"# another\n".to_vec());
    };
    *fixture.model.at_first_call.borrow_mut() = Some(Box::new(write));
    assert_eq!(fixture.run().await, Err(lost()));
    assert_eq!(fixture.stored().await.len(), 0);
}

#[tokio::test]
async fn too_many_failures_halt_the_batch_and_one_owner_notifies() {
    let fixture = Fixture::new(ONE, 60);
    fixture.model.script.borrow_mut().insert("number", vec![ErrorName::RequestRejected; 60]);
    let mut request = fixture.request.clone();
    request.tolerance.failures = 3;
    request.calls = 5;
    let fixture = Fixture { request, ..fixture };
    let Ok(Response::Over { notification: Some(notification) }) = fixture.run().await else {
        panic!("no notification")
    };
    let error = notification.error.unwrap();
    assert_eq!(error.name, ErrorName::TooManyFailures);
    assert!(error.message.contains("4 items failed (limit: 3)"), "{}", error.message);
    let asked = fixture.model.asked.borrow().len();
    assert!((4..=9).contains(&asked), "{asked} calls");
    assert_eq!(fixture.ports.ledger.halts.borrow().len(), 1);
}

#[tokio::test]
async fn a_stopped_batch_starts_no_call() {
    let fixture = Fixture::new(ONE, 5);
    let stopped = (fixture.batch().item_of(), OffsetDateTime::now_utc());
    fixture.ports.ledger.stopped.borrow_mut().extend([stopped]);
    assert_eq!(fixture.run().await, Ok(OVER));
    assert_eq!(fixture.model.asked.borrow().len(), 0);
}

#[tokio::test]
async fn a_cancelled_run_is_over_without_a_call() {
    let fixture = Fixture::new(ONE, 3);
    let item: Value = json!({ "n": 2, "line": 2, "id": "i2", "inputs": {} });
    let item: bcce_core::batch::Item = serde_json::from_value(item).unwrap();
    let run_id = item.run(fixture.batch(), 1).run_id;
    let cancelled = (fixture.batch().item_of(), [run_id].into());
    fixture.ports.ledger.cancelled.borrow_mut().extend([cancelled]);
    assert_eq!(fixture.run().await, Ok(OVER));
    let statuses: Vec<RunStatus> = fixture.manifests().await.iter().map(|m| m.status).collect();
    assert_eq!(statuses, [RunStatus::Succeeded, RunStatus::Cancelled, RunStatus::Succeeded]);
    assert_eq!(fixture.model.asked.borrow().len(), 2);
}

/// A function without time starts nothing, and says that it has to be invoked again.
#[tokio::test]
async fn without_time_nothing_is_started() {
    let mut fixture = Fixture::new(ONE, 3);
    fixture.request.remaining = Duration::from_secs(60);
    assert_eq!(fixture.run().await, Ok(Response::Continue));
    assert_eq!(fixture.model.asked.borrow().len(), 0);
}

/// If the plan refuses an item, its run is over with the reason.
#[tokio::test]
async fn an_item_that_may_not_run_fails_without_a_call() {
    let fixture = Fixture::new(ONE, 1);
    let key = fixture.batch().configuration_key();
    let mut configuration = fixture.ports.store.json(&key);
    configuration["template"]["inputs"]["text"]["type"] = json!("integer");
    let body = to_json(&configuration).unwrap();
    fixture.ports.store.objects.borrow_mut().insert(key, body);
    assert_eq!(fixture.run().await, Ok(OVER));
    let manifest = fixture.manifests().await.remove(0);
    assert_eq!(manifest.error.unwrap().name, ErrorName::InvalidRequest);
    assert_eq!(fixture.model.asked.borrow().len(), 0);
}

/// A retried item keeps its plan and the answers that it has, and calls only what failed.
#[tokio::test]
async fn a_retried_item_keeps_its_plan_and_its_answers() {
    let first = Fixture::new(TWO, 2).script("two&number 1.", &[ErrorName::RequestRejected]);
    first.run().await.unwrap();
    let second = retry_of(&first, TWO, &[(1, 2)]);
    assert_eq!(second.run().await, Ok(OVER));
    assert_eq!(second.model.asked.borrow().len(), 1);
    let stored = second.stored().await;
    let (before, after) = (&first.stored().await[&1], &stored[&1]);
    assert_eq!(stored.len(), 1);
    for name in ["plan.json", "request.json", "steps/first.answer.json"] {
        assert_eq!(before.object(name), after.object(name), "{name}");
    }
    let manifest = after.manifest().unwrap().unwrap();
    assert_eq!((manifest.status, manifest.attempt_no), (RunStatus::Succeeded, 2));
    assert_eq!(manifest.usage_by_model[0].calls, 1, "only what this attempt paid counts");
}

/// A part that an earlier batch attempt worked off and never sealed is not paid again: its runs are stored and counted
/// by this attempt.
#[tokio::test]
async fn what_an_attempt_finished_and_never_sealed_is_adopted() {
    let first = Fixture::new(ONE, 3);
    first.run().await.unwrap();
    let second = retry_of(&first, ONE, &[(1, 1), (2, 1), (3, 1)]);
    assert_eq!(second.run().await, Ok(OVER));
    assert_eq!(second.model.asked.borrow().len(), 0);
    let stored = second.stored().await;
    assert_eq!(stored.len(), 3);
    let places = second.ports.ledger.places.borrow();
    assert!(places.values().all(|place| place.batch.attempt_no == 2));
    let progress = &second.ports.ledger.parts.borrow()[&second.part()].progress;
    assert_eq!(progress.runs.succeeded, 3);
}

/// Returns the second attempt at a batch of `first`, which runs the items of `due` again, each with this run attempt.
fn retry_of(first: &Fixture, template: &str, due: &[(u64, u32)]) -> Fixture {
    let mut second = Fixture::new(template, due.len() as u64);
    second.request.batch.reference.attempt_no = 2;
    let mut objects = first.ports.store.objects.borrow().clone();
    let (batch, before) = (second.batch().clone(), first.batch());
    let mut places = Vec::new();
    for place in first.ports.store.lines(&before.places_key(1)) {
        let mut place: Place = serde_json::from_value(place).unwrap();
        if let Some((_, attempt_no)) = due.iter().find(|(n, _)| *n == place.n) {
            place.attempt_no = *attempt_no;
            add_line(&mut places, &place).unwrap();
        }
    }
    objects.insert(batch.places_key(1), places);
    objects.insert(batch.configuration_key(), objects[&before.configuration_key()].clone());
    *second.ports.store.objects.borrow_mut() = objects;
    second
}

/// The function was ended before it stored anything, and the part was never sealed. The next batch attempt makes the
/// calls again and counts the lost ones. Those of a part that was sealed are counted by its seal.
#[tokio::test]
async fn lost_calls_of_a_part_that_was_never_sealed_are_counted_by_the_next_attempt() {
    for is_sealed in [false, true] {
        let first = Fixture::new(ONE, 1);
        let second = retry_of(&first, ONE, &[(1, 1)]);
        let target = answers_of(&first).await;
        let call = LoggedCall::new(OffsetDateTime::now_utc(), target);
        let call = StartedCall { n: 1, step: "answer".into(), allowance: None, call };
        second.ports.ledger.log_calls(&first.part(), "f", 1, &[call]).await.unwrap();
        if is_sealed {
            let key = first.batch().part_manifest_key(1);
            second.ports.store.objects.borrow_mut().insert(key, b"{}".to_vec());
        }
        assert_eq!(second.run().await, Ok(OVER));
        let lost = second.manifests().await[0].usage_by_model[0].lost_calls;
        assert_eq!(lost, u64::from(!is_sealed), "sealed: {is_sealed}");
    }
}

/// The calls of the run attempt before are in its own manifest, whichever batch attempt sealed that.
#[tokio::test]
async fn calls_of_an_earlier_run_attempt_are_not_counted_again() {
    let first = Fixture::new(ONE, 1);
    let second = retry_of(&first, ONE, &[(1, 2)]);
    let target = answers_of(&first).await;
    let call = LoggedCall::new(OffsetDateTime::now_utc(), target);
    let call = StartedCall { n: 1, step: "answer".into(), allowance: None, call };
    second.ports.ledger.log_calls(&first.part(), "f", 1, &[call]).await.unwrap();
    assert_eq!(second.run().await, Ok(OVER));
    assert_eq!(second.manifests().await[0].usage_by_model[0].lost_calls, 0);
}

/// Returns the target of the first call of the first item.
async fn answers_of(fixture: &Fixture) -> Target {
    fixture.run().await.unwrap();
    let answer = fixture.stored().await[&1].object("steps/answer.answer.json").unwrap().to_vec();
    let answer: StepArtifact = parse("k", &answer).unwrap();
    answer.record.attempts[0].target.clone()
}

/// A person has retried the run of item 1 alone. That execution has answered its first step and failed at its second.
#[tokio::test]
async fn the_answers_of_a_run_that_was_retried_alone_are_not_paid_again() {
    let first = Fixture::new(TWO, 1).script("one&number 1.", &[ErrorName::RequestRejected]);
    first.run().await.unwrap();
    let second = retry_of(&first, TWO, &[(1, 3)]);
    let run = first.stored().await[&1].run.clone();
    let answered = Fixture::new(TWO, 1);
    answered.run().await.unwrap();
    let answer = answered.stored().await[&1].object("steps/first.answer.json").unwrap().to_vec();
    second.ports.store.objects.borrow_mut().insert(run.step_key("first", None), answer);
    for is_retried in [false, true] {
        let records = &second.ports.ledger.records;
        if is_retried {
            records.borrow_mut().push(record(&run.run_id, 2));
        }
        let retry = retry_of(&second, TWO, &[(1, 3)]);
        retry.ports.ledger.records.replace(records.borrow().clone());
        assert_eq!(retry.run().await, Ok(OVER));
        let calls = retry.model.asked.borrow().len();
        assert_eq!(calls, if is_retried { 1 } else { 2 }, "retried alone: {is_retried}");
    }
}

fn record(run_id: &str, attempt_no: u32) -> RunRecord {
    RunRecord {
        run_id: run_id.to_owned(),
        attempt_no,
        tenant: "default".into(),
        workflow: "explain".into(),
        request_id: "i1".into(),
        execution_arn: "arn".into(),
        trace_id: None,
        status: RunStatus::Failed,
        started_at: OffsetDateTime::UNIX_EPOCH,
        ended_at: None,
        manifest: None,
        cost_usd: None,
        cost_is_complete: true,
        truncated: 0,
        tags: BTreeMap::new(),
        error_name: None,
        error_message: None,
    }
}

/// An object that cannot be read holds up no other item. The function fails only when nothing else is left, so that it
/// is tried again.
#[tokio::test]
async fn an_object_that_cannot_be_read_holds_up_no_other_item() {
    let fixture = Fixture::new(ONE, 3);
    let (batch, sources) = (fixture.batch().clone(), &fixture.ports.sources);
    let uri = "s3://bucket/docs/1";
    sources.put(uri, "e", "number 1.");
    sources.forbidden.borrow_mut().insert(uri.into());
    let objects = &fixture.ports.store.objects;
    let mut stored = fixture.ports.store.json(&batch.request_key());
    stored["batch"]["source"] = json!("s3://bucket/docs/");
    stored["batch"]["map"] = json!({ "text": "{{ item.text }}" });
    objects.borrow_mut().insert(batch.request_key(), to_json(&stored).unwrap());
    let (mut lines, mut places) = (Vec::new(), Vec::new());
    for n in 1..=3 {
        let object = json!({ "key": "docs/1", "etag": "e", "bytes": 9 });
        let mut item = json!({ "n": n, "line": n, "id": format!("i{n}"), "inputs": { "text": format!("number {n}.") } });
        if n == 1 {
            (item["inputs"], item["object"]) = (json!({}), object);
        }
        let at = lines.len() as u64;
        add_line(&mut lines, &item).unwrap();
        let bytes = lines.len() as u64 - at - 1;
        add_line(&mut places, &Place { n, part: 1, at, bytes, attempt_no: 1 }).unwrap();
    }
    objects.borrow_mut().extend([(batch.part_key(1), lines), (batch.places_key(1), places)]);
    let fault = fixture.run().await.unwrap_err();
    assert!(fault.message.contains("docs/1 cannot be read"), "{fault}");
    assert_eq!(fixture.stored().await.into_keys().collect::<Vec<_>>(), [2, 3]);
    fixture.ports.sources.forbidden.borrow_mut().clear();
    assert_eq!(fixture.run().await, Ok(OVER));
    assert_eq!((fixture.stored().await.len(), fixture.model.asked.borrow().len()), (3, 3));
}

/// Makes the router wait for up to 20 minutes before a further round.
fn wait_for_long(fixture: &Fixture) {
    let key = fixture.batch().configuration_key();
    let mut configuration = fixture.ports.store.json(&key);
    configuration["routing"]["backoff_base_ms"] = json!(1_200_000);
    configuration["routing"]["backoff_cap_s"] = json!(1_200);
    let body = to_json(&configuration).unwrap();
    fixture.ports.store.objects.borrow_mut().insert(key, body);
}

/// If every run waits for long, they go on in a later invocation, with their attempts and decisions.
#[tokio::test]
async fn a_run_that_waits_for_long_goes_on_in_a_later_invocation() {
    let errors = [ErrorName::TargetUnavailable; 8];
    let fixture = Fixture::new(ONE, 1).script("number 1.", &errors);
    wait_for_long(&fixture);
    let response = fixture.run().await;
    let Ok(Response::Waiting { wait_s }) = response else { panic!("{response:?}") };
    assert!((7..=1_200).contains(&wait_s), "{wait_s}");
    let stored = fixture.stored().await;
    let RunState::UnderWay(open) = &stored[&1].state else { panic!("{:?}", stored[&1].state) };
    // Each target was called once, and then the router decided to wait.
    let asked = fixture.model.asked.borrow().len();
    assert_eq!((open[0].attempts.len(), open[0].decisions.len()), (asked, 2));
    assert!(asked >= 2);
}

/// The second step waits for long after two calls of its own. The first one is not called again, and the attempts of the
/// second one are kept.
#[tokio::test]
async fn a_later_step_that_waits_goes_on_with_its_attempts() {
    let errors = [ErrorName::TargetUnavailable; 8];
    let fixture = Fixture::new(TWO, 1).script("two&number 1.", &errors);
    wait_for_long(&fixture);
    let response = fixture.run().await;
    assert!(matches!(response, Ok(Response::Waiting { .. })), "{response:?}");
    let open = |run: &PackedRun| match &run.state {
        RunState::UnderWay(open) => open.clone(),
        state => panic!("{state:?}"),
    };
    let before = open(&fixture.stored().await[&1]);
    assert_eq!((before.len(), before[0].step.as_str()), (1, "second"));
    assert!(before[0].attempts.len() >= 2);
    let asked = fixture.model.asked.borrow().len();
    let response = fixture.run().await;
    assert!(matches!(response, Ok(Response::Waiting { .. })), "{response:?}");
    assert_eq!(open(&fixture.stored().await[&1])[0].attempts, before[0].attempts);
    assert_eq!(fixture.model.asked.borrow().len(), asked, "the wait is not over");
}

/// The second attempt at the run was closed by its call log alone, without a plan. The third has the answers of the
/// first.
#[tokio::test]
async fn a_run_attempt_without_a_plan_does_not_hide_the_answers_before_it() {
    let first = Fixture::new(TWO, 1).script("two&number 1.", &[ErrorName::RequestRejected]);
    first.run().await.unwrap();
    let mut third = retry_of(&first, TWO, &[(1, 3)]);
    let second = third.batch().clone();
    third.request.batch.reference.attempt_no = 3;
    let batch = third.batch().clone();
    let mut closed = PackedRun::new(1, first.stored().await[&1].run.clone());
    closed.run.reference.attempt_no = 2;
    closed.add("request.json", &json!({})).unwrap();
    let ended_at = OffsetDateTime::UNIX_EPOCH;
    closed.state = RunState::Over { ended_at, fault: None, ending: None };
    let mut lines = Vec::new();
    add_line(&mut lines, &closed).unwrap();
    let store = &third.ports.store.objects;
    store.borrow_mut().insert(second.segment_key(1, 1), lines);
    for (to, from) in [
        (batch.places_key(1), second.places_key(1)),
        (batch.configuration_key(), second.configuration_key()),
    ] {
        let body = store.borrow()[&from].clone();
        store.borrow_mut().insert(to, body);
    }
    assert_eq!(third.run().await, Ok(OVER));
    assert_eq!(third.model.asked.borrow().len(), 1, "only the second step is called");
}

/// An execution that was started before an update of the stack does not pass the mode.
#[test]
fn a_request_without_a_mode_is_on_demand() {
    let mut event: Value = serde_json::from_str(EVENT).unwrap();
    event.as_object_mut().unwrap().remove("mode").unwrap();
    assert_eq!(serde_json::from_value::<Request>(event).unwrap().mode, Mode::OnDemand);
}

/// Stores lists of a part's items in bulk mode, and the verdict on the leftovers of its job.
fn in_bulk(fixture: &mut Fixture, left: &[u64], others: &[u64], verdict: &str, sample: &[u64]) {
    fixture.request.mode = Mode::Bulk;
    let batch = fixture.batch().clone();
    let places = fixture.ports.store.lines(&batch.places_key(1));
    let list = |key: String, items: &[u64]| {
        let mut lines = Vec::new();
        let wanted = places.iter().filter(|place| items.contains(&place["n"].as_u64().unwrap()));
        wanted.for_each(|place| add_line(&mut lines, place).unwrap());
        fixture.ports.store.objects.borrow_mut().insert(key, lines);
    };
    list(batch.left_key(1), left);
    list(batch.others_key(1), others);
    list(batch.sample_key(), sample);
    let opened = json!({
        "version": 1, "items": 5, "rejected": 0, "to_run": 5, "parts": 1,
        "source": { "uri": "s3://bucket/k", "format": "jsonl", "bytes": 1 },
        "mode": "bulk", "because": [], "concurrency": 20, "allowed_failures": 20,
    });
    let leftovers = json!({ "processed": 4, "failed": 4, "left": 4, "verdict": verdict });
    let job = json!({ "job": 1, "arn": "a", "status": "Completed", "given": 4, "records": {}, "leftovers": leftovers });
    let jobs = json!({ "version": 1, "started_at": "2026-11-01T12:00:00Z", "jobs": [job] });
    for (key, value) in [(batch.opened_key(), opened), (batch.jobs_key(), jobs)] {
        fixture.ports.store.objects.borrow_mut().insert(key, to_json(&value).unwrap());
    }
}

/// Item 1 is over, item 5 was not a record, and the others are leftovers of the job.
#[tokio::test]
async fn in_bulk_mode_only_what_the_verdict_allows_runs() {
    for (verdict, expected) in [
        ("on_demand", vec![2, 3, 4, 5]),
        ("sample", vec![3]),
        ("held", vec![5]),
        ("not_started", vec![5]),
    ] {
        let mut fixture = Fixture::new(ONE, 5);
        in_bulk(&mut fixture, &[2, 3, 4], &[5], verdict, &[3]);
        assert_eq!(fixture.run().await, Ok(OVER));
        let ran: Vec<u64> = fixture.stored().await.into_keys().collect();
        assert_eq!(ran, expected, "{verdict}");
    }
}

/// A record was charged and gave no valid answer. Its run on demand starts now, and has the cost of both.
#[tokio::test]
async fn the_run_of_a_charged_record_has_the_cost_of_both_calls() {
    let fixture = Fixture::new(ONE, 2);
    let batch = fixture.batch().clone();
    fixture.run().await.unwrap();
    let mut before = fixture.stored().await;
    let mut charged = before.remove(&1).unwrap();
    let key = charged.run.step_key("answer", None);
    let name = key.strip_prefix(&charged.run.prefix()).unwrap();
    let answer: StepArtifact = parse(name, charged.object(name).unwrap()).unwrap();
    let once = answer.record.totals.cost_usd.unwrap();
    charged.objects.remove(name);
    let error = Fault::new(ErrorName::OutputInvalid, "it is no JSON");
    let failure = StepFailure { record: answer.record, status: StepStatus::Failed, error };
    charged.add_at(&charged.run.record_failure_key("answer"), &failure).unwrap();
    charged.state = RunState::Planned;
    charged.run.started_at -= Duration::from_secs(86_400);
    charged.run.execution_arn = "that of an attempt before".into();

    let mut fixture = Fixture::new(ONE, 2);
    in_bulk(&mut fixture, &[1], &[], "on_demand", &[]);
    let mut lines = Vec::new();
    add_line(&mut lines, &charged).unwrap();
    fixture.ports.store.objects.borrow_mut().insert(batch.segment_key(1, 1), lines);
    assert_eq!(fixture.run().await, Ok(OVER));
    let manifest = fixture.manifests().await.remove(0);
    assert_eq!((manifest.status, fixture.model.asked.borrow().len()), (RunStatus::Succeeded, 1));
    assert_eq!(manifest.totals.cost_usd, Some(once + once));
    assert_eq!(manifest.execution_arn, fixture.request.batch.execution_arn);
    assert!(OffsetDateTime::now_utc() - manifest.started_at < Duration::from_secs(3_600));
}
