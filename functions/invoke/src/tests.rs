mod adapted; // targets that do not take what the step asks for
mod budgets; // calls that budgets pay
mod responses; // steps that the response cache answers

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use bcce_core::base::digest::sha256_hex;
use bcce_core::base::error::ErrorName;
use bcce_core::base::json::parse;
use bcce_core::base::limits::MAX_STATE_MESSAGE_BYTES;
use bcce_core::base::usage::Usage;
use bcce_core::call::attempt::{AttemptKind, AttemptOutcome};
use bcce_core::call::model::{
    Blame, CallFailure, CallReport, Limit, ModelAnswer, ModelCall, Served,
};
use bcce_core::failover::breaker::Breaker;
use bcce_core::fakes::{MemoryHealth, MemoryStore, StoppedClock};
use bcce_core::io::shared_breakers::SharedBreakers;
use bcce_core::io::step::Grammars;
use bcce_core::run::artifact::StepRecord;
use serde_json::{Value, json};
use time::macros::datetime;

use super::*;

const EVENT: &str = include_str!("../../../events/invoke/first.json");
const PLAN: &str = include_str!("../../../events/invoke/plan.json");
/// The time of a function with the longest timeout.
const AMPLE: Duration = Duration::from_secs(900);

/// A model that answers as scripted, in order, and records its calls.
#[derive(Default)]
struct Model {
    says: RefCell<VecDeque<CallReport>>,
    asked: RefCell<Vec<Asked>>,
}

/// The parts of a call that the tests check.
struct Asked {
    region: String,
    user: String,
    system: String,
    repair: Option<String>,
    item: Option<String>,
    schema: Option<Value>,
    first_token_s: u64,
}

/// Replaces each tag that encloses data by `data`, since the digits of the tag depend on the data.
fn with_plain_tags(text: &str) -> String {
    let mut parts = text.split("data-");
    let mut plain = parts.next().unwrap().to_owned();
    for part in parts {
        let digits = part.bytes().take_while(u8::is_ascii_hexdigit).count();
        assert_eq!(digits, 32, "data-{part}");
        plain.extend(["data", &part[digits..]]);
    }
    plain
}

impl CallModel for Model {
    async fn call(&self, call: &ModelCall<'_>) -> CallReport {
        self.asked.borrow_mut().push(Asked {
            region: call.target.region.clone(),
            user: with_plain_tags(&call.prompt.user),
            system: call.prompt.system.clone().unwrap_or_default(),
            repair: call.repair.map(|repair| repair.fault.to_owned()),
            item: call.metadata.get("item").cloned(),
            schema: call.parameters.schema.clone(),
            first_token_s: call.limits.first_token.as_secs(),
        });
        self.says.borrow_mut().pop_front().expect("a call that the test did not script")
    }
}

fn says(text: &str, stop_reason: &str) -> CallReport {
    CallReport {
        result: Ok(ModelAnswer {
            text: text.into(),
            stop_reason: stop_reason.into(),
            thought: false,
        }),
        latency: Duration::from_millis(800),
        first_token: Some(Duration::from_millis(90)),
        usage: Some(Usage { input_tokens: 1_000, output_tokens: 100, ..Usage::default() }),
        served: Served::default(),
    }
}

fn fails(name: ErrorName, usage: Option<Usage>) -> CallReport {
    let (message, blame) = ("Code (429): quoted input".into(), Blame::Target);
    let failure = CallFailure { name, message, advice: None, retry_after_s: Some(3), blame };
    CallReport {
        result: Err(failure),
        latency: Duration::ZERO,
        first_token: None,
        usage,
        served: Served::default(),
    }
}

type FakePorts<S, M, C = StoppedClock> = Ports<S, M, C, &'static MemoryHealth, Box<dyn Fn(&str)>>;
type Fakes = FakePorts<MemoryStore, Model>;

async fn handle<S, M, C>(
    ports: &FakePorts<S, M, C>,
    request: Request,
    remaining: Duration,
) -> Result<Response, Fault>
where
    S: GetObject + PutOnce,
    M: CallModel,
    C: Clock,
{
    let config = Config {
        environment: "dev".into(),
        ledger_table: "t".into(),
        bucket: "b".into(),
        key_arn: "k".into(),
        bedrock_endpoint: None,
    };
    super::handle(ports, &config, Request { remaining, ..request }).await
}

fn ports(reports: impl IntoIterator<Item = CallReport>) -> Fakes {
    let run = request().run;
    Ports {
        store: MemoryStore::with([(run.plan_key(), PLAN.as_bytes().to_vec())]),
        caller: Caller {
            model: Model { says: RefCell::new(reports.into_iter().collect()), ..Model::default() },
            clock: StoppedClock(datetime!(2026-11-01 12:00:01 UTC)),
            health: SharedBreakers::new(Box::leak(Box::default())),
            grammars: Grammars::default(),
        },
        plans: Plans::default(),
        metrics: Box::new(|_| {}),
    }
}

fn request() -> Request {
    let mut request: Request = serde_json::from_str(EVENT).unwrap();
    request.plan_sha256 = sha256_hex(PLAN.as_bytes());
    request
}

fn artifact(ports: &Fakes) -> Value {
    ports.store.json(&request().run.step_key("answer", None))
}

fn regions(ports: &Fakes) -> Vec<String> {
    ports.caller.model.asked.borrow().iter().map(|asked| asked.region.clone()).collect()
}

const ANSWERED: Response = Response::Answered { status: StepStatus::Succeeded };

#[tokio::test]
async fn an_answer_is_priced_and_stored() {
    let ports = ports([says("It opens.", "end_turn")]);
    assert_eq!(handle(&ports, request(), AMPLE).await, Ok(ANSWERED));
    let artifact = artifact(&ports);
    assert_eq!(artifact["output"], json!({ "text": "It opens." }));
    // The cost is 1,000 x 0.11 + 100 x 0.55 USD per million tokens.
    assert_eq!(artifact["cost_usd"], "0.000165");
    assert_eq!(artifact["attempts"][0]["first_token_ms"], 90);
    assert!(
        ports.caller.model.asked.borrow()[0]
            .user
            .contains("<data>A breaker opens on evidence.</data>")
    );
}

/// Returns the artifact of a call on 2026-11-01. Its model has no price before the date `known`, and costs ten times as
/// much from the date `dearer`.
async fn priced(known: &str, dearer: &str) -> Value {
    let mut plan: Value = serde_json::from_str(PLAN).unwrap();
    for rows in plan["prices"].as_object_mut().unwrap().values_mut() {
        let mut row = rows[0].clone();
        rows[0]["from"] = json!(known);
        row["from"] = json!(dearer);
        (row["price"]["input"], row["price"]["output"]) = (json!("1.1"), json!("5.5"));
        rows.as_array_mut().unwrap().push(row);
    }
    let (plan, mut ports) = (plan.to_string(), ports([says("It opens.", "end_turn")]));
    let request = Request { plan_sha256: sha256_hex(plan.as_bytes()), ..request() };
    ports.store = MemoryStore::with([(request.run.plan_key(), plan.into_bytes())]);
    assert_eq!(handle(&ports, request, AMPLE).await, Ok(ANSWERED));
    artifact(&ports)
}

#[tokio::test]
async fn a_call_has_the_price_of_its_day_and_none_before_the_first_row() {
    let cost = async |known, dearer| priced(known, dearer).await["cost_usd"].clone();
    assert_eq!(cost("2026-10-07", "2026-11-02").await, "0.000165");
    assert_eq!(cost("2026-10-07", "2026-11-01").await, "0.00165");
    let unpriced = priced("2026-11-02", "2026-11-03").await;
    assert_eq!(
        (&unpriced["cost_usd"], &unpriced["priced_subtotal_usd"]),
        (&Value::Null, &json!("0"))
    );
    assert_eq!(unpriced["unpriced"], json!(["us.anthropic.claude-haiku-5-5"]));
}

#[tokio::test]
async fn a_stored_answer_is_returned_without_a_call() {
    let ports = ports([says("It opens.", "end_turn")]);
    for _ in 0..2 {
        assert_eq!(handle(&ports, request(), AMPLE).await, Ok(ANSWERED));
    }
    assert_eq!(regions(&ports).len(), 1);
}

#[tokio::test]
async fn a_stored_answer_is_returned_though_the_plan_cannot_be_read() {
    let ports = ports([says("It opens.", "end_turn")]);
    assert_eq!(handle(&ports, request(), AMPLE).await, Ok(ANSWERED));
    let other = Request { plan_sha256: "0".repeat(64), ..request() };
    assert_eq!(handle(&ports, other, AMPLE).await, Ok(ANSWERED));
    assert_eq!(regions(&ports).len(), 1);
}

#[tokio::test]
async fn the_next_target_is_asked_at_once_and_both_attempts_are_kept() {
    for name in [ErrorName::TargetThrottled, ErrorName::TargetBroken, ErrorName::TargetRejected] {
        let ports = ports([fails(name, Some(Usage::default())), says("It opens.", "end_turn")]);
        assert_eq!(handle(&ports, request(), AMPLE).await, Ok(ANSWERED));
        assert_eq!(regions(&ports), ["us-east-1", "us-west-2"]);
        let artifact = artifact(&ports);
        assert_eq!(artifact["attempts"][0]["error"], name.as_str());
        assert_eq!(artifact["attempts"][1]["outcome"], "answered");
    }
}

#[tokio::test]
async fn a_cut_stream_leaves_the_cost_unknown_and_says_what_is_known() {
    let ports = ports([fails(ErrorName::TargetBroken, None), says("It opens.", "end_turn")]);
    assert_eq!(handle(&ports, request(), AMPLE).await, Ok(ANSWERED));
    let artifact = artifact(&ports);
    assert_eq!(artifact["cost_usd"], Value::Null);
    assert_eq!(artifact["priced_subtotal_usd"], "0.000165");
    assert_eq!(artifact["attempts"][0]["usage"], Value::Null);
}

#[tokio::test]
async fn a_list_used_up_goes_back_with_every_attempt() {
    let throttled = || fails(ErrorName::TargetThrottled, Some(Usage::default()));
    let ports = ports([throttled(), throttled()]);
    let Response::Exhausted { attempts } = handle(&ports, request(), AMPLE).await.unwrap() else {
        panic!()
    };
    assert_eq!(attempts.len(), 2);
    assert_eq!(attempts[0].retry_after_s, Some(3));
}

#[tokio::test]
async fn without_time_for_another_attempt_it_goes_back_early() {
    let ports = ports([fails(ErrorName::TargetTimeout, None)]);
    let short = Duration::from_secs(120);
    let Response::Exhausted { attempts } = handle(&ports, request(), short).await.unwrap() else {
        panic!()
    };
    assert_eq!(attempts.len(), 1, "the second target is left for the next invocation");
}

#[tokio::test]
async fn what_no_target_can_take_fails_the_step_without_quoting() {
    for (report, name, status) in [
        (
            fails(ErrorName::RequestRejected, Some(Usage::default())),
            ErrorName::RequestRejected,
            StepStatus::Failed,
        ),
        (says("", "content_filtered"), ErrorName::RequestRejected, StepStatus::Failed),
        (says("No.", "guardrail_intervened"), ErrorName::GuardrailIntervened, StepStatus::Blocked),
    ] {
        let ports = ports([report]);
        let Response::Failed { status: got, error } =
            handle(&ports, request(), AMPLE).await.unwrap()
        else {
            panic!()
        };
        assert_eq!((got, error.name), (status, name));
        assert!(!error.message.contains("quoted input"), "{error}");
        let failure = ports.store.json(&request().run.failure_key("answer", None));
        assert_eq!(failure["attempts"].as_array().unwrap().len(), 1);
        assert!(
            !ports.store.objects.borrow().contains_key(&request().run.step_key("answer", None))
        );
    }
}

#[tokio::test]
async fn a_wrong_stop_reason_moves_on() {
    let ports = ports([says("{", "malformed_model_output"), says("It opens.", "end_turn")]);
    assert_eq!(handle(&ports, request(), AMPLE).await, Ok(ANSWERED));
    assert_eq!(artifact(&ports)["attempts"][0]["error"], "Bcce.TargetBroken");
}

#[tokio::test]
async fn a_truncated_text_is_an_answer_that_says_so() {
    let ports = ports([says("It op", "max_tokens")]);
    assert_eq!(handle(&ports, request(), AMPLE).await, Ok(ANSWERED));
    assert_eq!(artifact(&ports)["truncated"], true);
}

/// Stores a changed plan, and returns a request with its digest.
fn planned(ports: &Fakes, change: impl Fn(&mut Value)) -> Request {
    let mut plan: Value = serde_json::from_str(PLAN).unwrap();
    change(&mut plan);
    let body = serde_json::to_vec(&plan).unwrap();
    let mut request = request();
    request.plan_sha256 = sha256_hex(&body);
    ports.store.objects.borrow_mut().insert(request.run.plan_key(), body);
    request
}

fn wants_json(plan: &mut Value) {
    let schema = json!({ "type": "object", "required": ["ok"], "properties": { "ok": { "type": "boolean" } } });
    plan["steps"][0]["output"] = json!({ "type": "json", "schema": schema });
}

fn json_request(ports: &Fakes) -> Request {
    planned(ports, wants_json)
}

#[tokio::test]
async fn a_model_that_the_service_does_not_bind_gets_the_schema_in_its_prompt() {
    type Change = fn(&mut Value);
    let cases: [(Change, Option<&str>); 3] = [
        (|_| {}, None),
        (|plan| plan["takes"]["haiku"][0]["json_schema"] = json!(false), Some("JSON schema:\n{")),
        (|plan| plan["steps"][0]["output"] = json!({ "type": "json" }), Some("one JSON value")),
    ];
    for (change, expected) in cases {
        let ports = ports([says(r#"{"ok":true}"#, "end_turn")]);
        let request = planned(&ports, |plan| {
            wants_json(plan);
            change(plan);
        });
        assert_eq!(handle(&ports, request, AMPLE).await, Ok(ANSWERED));
        let system = &ports.caller.model.asked.borrow()[0].system;
        assert_eq!(system.contains("Answer with one JSON value"), expected.is_some(), "{system}");
        assert!(expected.is_none_or(|text| system.contains(text)), "{system}");
    }
}

fn fans_out(plan: &mut Value) {
    plan["inputs"]["list"] = json!([{ "path": "a.rs" }, { "path": "b.rs" }]);
    let answer = &mut plan["steps"][0];
    answer["for_each"] = json!("inputs.list");
    answer["prompt"] = json!("{{ index }}: {{ item.path }}");
    let all = json!({ "id": "all", "model": "haiku", "needs": ["answer"], "max_tokens": 9,
                      "prompt": "{{ steps.answer[1] }}, {{ steps.answer | length }}" });
    plan["steps"].as_array_mut().unwrap().push(all);
}

#[tokio::test]
async fn an_item_is_asked_for_and_stored_by_its_position() {
    let ports = ports([
        says("About b.", "end_turn"),
        says("About a.", "end_turn"),
        says("Both.", "end_turn"),
    ]);
    let mut request = planned(&ports, fans_out);
    for item in [1, 0] {
        request.step.item = Some(item);
        assert_eq!(handle(&ports, request.clone(), AMPLE).await, Ok(ANSWERED));
    }
    assert_eq!(ports.caller.model.asked.borrow()[0].user, "1: <data>b.rs</data>");
    assert_eq!(ports.caller.model.asked.borrow()[0].item.as_deref(), Some("1"));
    let stored = ports.store.json(&request.run.step_key("answer", Some(1)));
    assert_eq!((&stored["item"], &stored["output"]["text"]), (&json!(1), &json!("About b.")));
    // The next step gets the answers in the order of the list, not in the order of the calls.
    request.step = StepRef { step: "all".into(), item: None, route: "haiku".into() };
    assert_eq!(handle(&ports, request, AMPLE).await, Ok(ANSWERED));
    assert_eq!(ports.caller.model.asked.borrow()[2].user, "<data>About b.</data>, 2");
}

#[tokio::test]
async fn an_item_that_the_plan_does_not_have_is_an_internal_fault() {
    let ports = ports([]);
    let mut request = planned(&ports, fans_out);
    request.step.item = Some(2);
    assert_eq!(handle(&ports, request, AMPLE).await.unwrap_err().name, ErrorName::Internal);
}

#[tokio::test]
async fn json_that_does_not_fit_is_repaired_once_on_the_same_target() {
    let ports = ports([says(r#"{"ok":1}"#, "end_turn"), says(r#"{"ok":true}"#, "end_turn")]);
    assert_eq!(handle(&ports, json_request(&ports), AMPLE).await, Ok(ANSWERED));
    assert_eq!(regions(&ports), ["us-east-1", "us-east-1"]);
    assert!(ports.caller.model.asked.borrow()[1].repair.as_ref().unwrap().contains("/ok"));
    let artifact = artifact(&ports);
    assert_eq!(artifact["output"]["json"], json!({ "ok": true }));
    assert_eq!(artifact["attempts"][0]["error"], "Bcce.OutputInvalid");
    assert_eq!(artifact["attempts"][1]["kind"], "repair");
    assert_eq!(artifact["cost_usd"], "0.00033", "both calls are paid");
}

#[tokio::test]
async fn json_that_never_fits_fails_the_step() {
    let ports = ports([says("no", "end_turn"), says(r#"{"ok":"#, "max_tokens")]);
    let Response::Failed { error, .. } = handle(&ports, json_request(&ports), AMPLE).await.unwrap()
    else {
        panic!()
    };
    assert_eq!(error.name, ErrorName::OutputInvalid);
    assert!(error.message.contains("cut by max_tokens"), "{error}");
}

#[tokio::test]
async fn an_answer_without_text_is_none_and_not_repaired() {
    let ports = ports([says(" \n", "max_tokens")]);
    let Response::Failed { error, .. } = handle(&ports, request(), AMPLE).await.unwrap() else {
        panic!()
    };
    assert_eq!(error.name, ErrorName::OutputInvalid);
    assert!(error.message.contains("cut by max_tokens = 400: there is no text"), "{error}");
}

#[tokio::test]
async fn a_repair_needs_a_call_that_is_left() {
    let ports = ports([says("no", "end_turn")]);
    let mut request = json_request(&ports);
    let key = request.run.plan_key();
    let mut plan = ports.store.json(&key);
    plan["routes"]["haiku"]["routing"]["attempts"] = json!(1);
    let body = serde_json::to_vec(&plan).unwrap();
    request.plan_sha256 = sha256_hex(&body);
    ports.store.objects.borrow_mut().insert(key, body);
    let Response::Failed { error, .. } = handle(&ports, request, AMPLE).await.unwrap() else {
        panic!()
    };
    assert_eq!((error.name, regions(&ports).len()), (ErrorName::OutputInvalid, 1));
}

#[tokio::test]
async fn a_stop_records_every_attempt_and_why() {
    let ports = ports([]);
    let mut request = request();
    request.next = Next::Stop(ErrorName::NoTarget);
    request.decisions[0].because = vec!["the step's rounds are used up".into()];
    let Response::Failed { error, .. } = handle(&ports, request, AMPLE).await.unwrap() else {
        panic!()
    };
    assert_eq!(error.name, ErrorName::NoTarget);
    assert!(error.message.contains("the step's rounds are used up"), "{error}");
}

#[tokio::test]
async fn the_first_writer_wins() {
    // Another invocation of the same step stores its answer while this one waits for the model.
    struct Racing<'a>(&'a MemoryStore, Vec<u8>);
    impl CallModel for Racing<'_> {
        async fn call(&self, _: &ModelCall<'_>) -> CallReport {
            self.0
                .objects
                .borrow_mut()
                .insert(request().run.step_key("answer", None), self.1.clone());
            says("Second.", "end_turn")
        }
    }
    let first = ports([says("First.", "end_turn")]);
    handle(&first, request(), AMPLE).await.unwrap();
    let stored =
        first.store.objects.borrow_mut().remove(&request().run.step_key("answer", None)).unwrap();
    let Ports { store, caller, plans, metrics } = first;
    let caller = with_model(caller, |_| Racing(&store, stored));
    let ports = Ports { store: ByRef(&store), caller, plans, metrics };
    assert_eq!(handle(&ports, request(), AMPLE).await, Ok(ANSWERED));
    assert_eq!(store.json(&request().run.step_key("answer", None))["output"]["text"], "First.");
}

/// Replaces the model of a caller.
fn with_model<M, N, C, L>(caller: Caller<M, C, L>, model: impl FnOnce(M) -> N) -> Caller<N, C, L> {
    let Caller { model: replaced, clock, health, grammars } = caller;
    Caller { model: model(replaced), clock, health, grammars }
}

struct ByRef<'a>(&'a MemoryStore);

impl GetObject for ByRef<'_> {
    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Fault> {
        self.0.get(key).await
    }
}

impl PutOnce for ByRef<'_> {
    async fn put_once(
        &self,
        key: &str,
        run_id: &str,
        body: &[u8],
    ) -> Result<bcce_core::ports::Put, Fault> {
        self.0.put_once(key, run_id, body).await
    }
}

#[test]
fn kinds_and_outcomes_have_their_documented_spelling() {
    assert_eq!(serde_json::to_value(AttemptKind::First).unwrap(), "first");
    assert_eq!(serde_json::to_value(AttemptOutcome::Answered).unwrap(), "answered");
}

/// The state of an execution has to hold the responses of 200 items, even if each one failed with the longest message.
#[tokio::test]
async fn the_failures_of_200_items_fit_into_the_state_of_an_execution() {
    let ports = ports([says("{}", "end_turn"), says("{}", "end_turn")]);
    let request = planned(&ports, |plan| {
        let names: Vec<String> = (0..20).map(|n| format!("{n}{}", "\u{e9}".repeat(200))).collect();
        let schema = json!({ "type": "object", "required": names });
        plan["steps"][0]["output"] = json!({ "type": "json", "schema": schema });
    });
    let response = handle(&ports, request.clone(), AMPLE).await.unwrap();
    let output = serde_json::to_string(&response).unwrap();
    let step = serde_json::to_string(&request.step).unwrap();
    assert!(200 * (output.len() + step.len() + 100) < 200_000, "{} bytes each", output.len());
    let whole = ports.store.json(&request.run.failure_key("answer", None));
    assert!(
        whole["error"]["message"].as_str().unwrap().len() > 2_000,
        "the artifact has all of it"
    );
}

#[tokio::test]
async fn a_repair_counts_as_a_call_of_the_step() {
    let throttled = fails(ErrorName::TargetThrottled, Some(Usage::default()));
    let ports = ports([says("no", "end_turn"), throttled]);
    let request = planned(&ports, |plan| {
        wants_json(plan);
        plan["routes"]["haiku"]["routing"]["attempts"] = json!(2);
    });
    let response = handle(&ports, request, AMPLE).await.unwrap();
    assert!(matches!(response, Response::Exhausted { .. }), "{response:?}");
    assert_eq!(regions(&ports).len(), 2, "the second target is beyond the step's calls");
}

fn breaker(ports: &Fakes, region: &str) -> Breaker {
    let kept = ports.caller.health.ledger().kept.borrow();
    let of = kept.iter().find(|(key, _)| key.starts_with(region));
    of.map(|(_, kept)| kept.breaker.clone()).unwrap_or_default()
}

/// A failure without `Retry-After`.
fn plain(name: ErrorName) -> CallReport {
    let report = fails(name, None);
    CallReport {
        result: report.result.map_err(|f| CallFailure { retry_after_s: None, ..f }),
        ..report
    }
}

#[tokio::test]
async fn a_failure_is_on_record_before_the_step_is_over() {
    struct Looking(Model, &'static MemoryHealth);
    impl CallModel for Looking {
        async fn call(&self, call: &ModelCall<'_>) -> CallReport {
            let report = self.0.call(call).await;
            if report.result.is_ok() {
                // The report is sent while the next call waits.
                tokio::task::yield_now().await;
                assert_eq!(self.1.kept.borrow().values().next().unwrap().breaker.failures, 1);
            }
            report
        }
    }
    let Ports { store, caller, plans, metrics } =
        ports([plain(ErrorName::TargetUnavailable), says("Yes.", "end_turn")]);
    let ledger = *caller.health.ledger();
    let caller = with_model(caller, |model| Looking(model, ledger));
    let ports = Ports { store, caller, plans, metrics };
    assert_eq!(handle(&ports, request(), AMPLE).await, Ok(ANSWERED));
    assert_eq!(ledger.kept.borrow().len(), 1, "an answer of a healthy target causes no write");
}

#[tokio::test]
async fn a_step_speaks_against_a_target_once() {
    let reports = (0..4).map(|_| plain(ErrorName::TargetBroken));
    let ports = ports(reports);
    let mut request = request();
    for round in 0..2 {
        let Ok(Response::Exhausted { attempts }) = handle(&ports, request.clone(), AMPLE).await
        else {
            panic!()
        };
        assert_eq!(attempts.len(), 2 * (round + 1));
        request.attempts = attempts;
    }
    assert_eq!(breaker(&ports, "us-east-1").failures, 1);
    assert_eq!(breaker(&ports, "us-west-2").failures, 1);
}

#[tokio::test]
async fn what_is_no_doing_of_the_target_is_not_held_against_it() {
    let blamed = |blame| {
        let report = plain(ErrorName::TargetTimeout);
        let result = report.result.map_err(|failure| CallFailure { blame, ..failure });
        CallReport { result, ..report }
    };
    for (blame, first_token_s, held) in [
        (Blame::Limit(Limit::FirstToken), 30, 1),
        (Blame::Limit(Limit::FirstToken), 29, 0),
        (Blame::Limit(Limit::Stall), 30, 1),
        // The target was silent for the whole attempt timeout of the routing document.
        (Blame::Limit(Limit::Attempt), 30, 1),
        (Blame::Request, 30, 0),
    ] {
        let ports = ports([blamed(blame), says("Yes.", "end_turn")]);
        let request = planned(&ports, |plan| {
            let route = &mut plan["routes"]["haiku"];
            route["patience"] = json!({ "first_token_s": 30, "stall_s": 30, "attempt_s": 600 });
            route["routing"]["timeouts"] =
                json!({ "first_token_s": first_token_s, "stall_s": 30, "attempt_s": 600 });
        });
        assert_eq!(handle(&ports, request, AMPLE).await, Ok(ANSWERED));
        let failures = breaker(&ports, "us-east-1").failures;
        assert_eq!(failures, held, "{blame:?} after {first_token_s} s");
    }
}

/// The deadline of the run leaves less time than the timeouts of the routing document.
#[tokio::test]
async fn a_runs_own_deadline_is_not_held_against_a_target() {
    let report = plain(ErrorName::TargetTimeout);
    let blame = Blame::Limit(Limit::FirstToken);
    let result = report.result.map_err(|failure| CallFailure { blame, ..failure });
    let ports = ports([CallReport { result, ..report }, says("Yes.", "end_turn")]);
    let mut request = request();
    request.deadline = ports.caller.clock.now() + Duration::from_secs(5);
    handle(&ports, request, AMPLE).await.unwrap();
    assert_eq!(breaker(&ports, "us-east-1").failures, 0);
}

/// The step waited for a free instance until the deadline of its run. The router ends the step.
#[tokio::test]
async fn no_target_is_called_after_the_deadline_of_the_run() {
    let ports = ports([says("Yes.", "end_turn")]);
    let mut request = request();
    request.deadline = ports.caller.clock.now() - Duration::from_secs(1);
    let response = handle(&ports, request, AMPLE).await;
    assert!(matches!(response, Ok(Response::Exhausted { .. })), "{response:?}");
    assert!(ports.caller.model.asked.borrow().is_empty());
}

#[tokio::test]
async fn the_elected_probe_closes_the_breaker_by_its_answer() {
    let ports = ports([says("Yes.", "end_turn")]);
    let mut request = request();
    let Next::Targets(targets) = &request.next else { panic!() };
    let key = bcce_core::failover::breaker::target_key(&targets[0]);
    let mut open = Breaker { open_until: Some(ports.caller.clock.now()), ..Breaker::default() };
    assert!(open.elect("token", ports.caller.clock.now(), Duration::from_secs(9)));
    let kept = bcce_core::ports::StoredBreaker { breaker: open, revision: 3 };
    ports.caller.health.ledger().kept.borrow_mut().insert(key, kept);
    request.decisions[0].probe = Some("token".into());
    assert_eq!(handle(&ports, request, AMPLE).await, Ok(ANSWERED));
    let closed = breaker(&ports, "us-east-1");
    assert_eq!((closed.open_until, closed.closed_at), (None, Some(ports.caller.clock.now())));
}

#[tokio::test]
async fn an_answer_of_a_target_with_failures_on_record_takes_one_back() {
    let ports = ports([says("Yes.", "end_turn")]);
    let mut request = request();
    let Next::Targets(targets) = &request.next else { panic!() };
    let key = bcce_core::failover::breaker::target_key(&targets[0]);
    let until = ports.caller.clock.now() + Duration::from_secs(9);
    let watched = Breaker { failures: 2, counts_until: Some(until), ..Breaker::default() };
    let kept = bcce_core::ports::StoredBreaker { breaker: watched, revision: 1 };
    ports.caller.health.ledger().kept.borrow_mut().insert(key, kept);
    request.decisions[0].watched = vec![0];
    assert_eq!(handle(&ports, request, AMPLE).await, Ok(ANSWERED));
    assert_eq!(breaker(&ports, "us-east-1").failures, 1);
}

#[tokio::test]
async fn calls_are_measured_where_the_strategy_asks_for_it() {
    for (strategy, calls) in [("latency", 1), ("priority", 0)] {
        let ports = ports([says("Yes.", "end_turn")]);
        let request = planned(&ports, |plan| {
            plan["routes"]["haiku"]["routing"]["strategy"] = json!(strategy);
        });
        assert_eq!(handle(&ports, request, AMPLE).await, Ok(ANSWERED));
        let measured = ports.caller.health.ledger().latencies.borrow();
        let sum: u64 = measured.values().map(|histogram| histogram.calls()).sum();
        assert_eq!(sum, calls, "{strategy}");
    }
}

/// The call log and the artifact must agree on each call, or an ordinary run would seem to have lost it.
#[tokio::test]
async fn every_call_is_logged_as_its_attempt_records_it() {
    let ports = ports([plain(ErrorName::TargetUnavailable), says("Yes.", "end_turn")]);
    assert_eq!(handle(&ports, request(), AMPLE).await, Ok(ANSWERED));
    let key = request().run.step_key("answer", None);
    let record: StepRecord = parse(&key, &ports.store.objects.borrow()[&key]).unwrap();
    let logged = ports.caller.health.ledger().logged_calls.borrow();
    assert_eq!((logged.len(), record.attempts.len()), (2, 2));
    assert!(logged.iter().all(|call| !call.is_lost([&record])));
    assert!(logged.iter().all(|call| call.is_lost([])));
}

#[tokio::test]
async fn without_the_ledger_it_answers_and_says_so_in_a_metric() {
    let mut ports = ports([plain(ErrorName::TargetUnavailable), says("Yes.", "end_turn")]);
    ports.caller.health.ledger().is_gone.set(true);
    let emitted = Rc::new(RefCell::new(String::new()));
    let sink = emitted.clone();
    ports.metrics = Box::new(move |document| sink.borrow_mut().push_str(document));
    assert_eq!(handle(&ports, request(), AMPLE).await, Ok(ANSWERED));
    let document: Value = serde_json::from_str(&emitted.borrow()).unwrap();
    assert_eq!(
        (&document["LedgerUnreachable"], &document["function"]),
        (&json!(1), &json!("invoke"))
    );
}

/// The step waited for a free instance after the decision.
#[tokio::test]
async fn what_opened_since_the_decision_is_not_called() {
    let ports = ports([says("Yes.", "end_turn")]);
    let mut request = request();
    let now = ports.caller.clock.now();
    let Next::Targets(targets) = &request.next else { panic!() };
    let key = bcce_core::failover::breaker::target_key(&targets[0]);
    let open = Breaker { open_until: Some(now + Duration::from_secs(9)), ..Breaker::default() };
    let kept = bcce_core::ports::StoredBreaker { breaker: open, revision: 1 };
    ports.caller.health.ledger().kept.borrow_mut().insert(key, kept);
    request.decisions[0].at = now - Duration::from_secs(6);
    assert_eq!(handle(&ports, request, AMPLE).await, Ok(ANSWERED));
    assert_eq!(regions(&ports), ["us-west-2"]);
}

/// The lease of the elected step is over, and another step may have been elected.
#[tokio::test]
async fn a_probe_that_comes_too_late_is_not_made() {
    let ports = ports([says("Yes.", "end_turn")]);
    let mut request = request();
    let now = ports.caller.clock.now();
    let Next::Targets(targets) = &request.next else { panic!() };
    let key = bcce_core::failover::breaker::target_key(&targets[0]);
    let mut open = Breaker { open_until: Some(now), ..Breaker::default() };
    assert!(open.elect("another", now, Duration::from_secs(9)));
    let kept = bcce_core::ports::StoredBreaker { breaker: open, revision: 1 };
    ports.caller.health.ledger().kept.borrow_mut().insert(key, kept);
    request.decisions[0].at = now - Duration::from_secs(40);
    request.decisions[0].probe = Some("mine".into());
    assert_eq!(handle(&ports, request, AMPLE).await, Ok(ANSWERED));
    assert_eq!(regions(&ports), ["us-west-2"]);
}

/// Returns the failure of the first target, and the answer of the second.
fn after(change: impl Fn(CallFailure) -> CallFailure) -> [CallReport; 2] {
    let report = plain(ErrorName::TargetThrottled);
    [CallReport { result: report.result.map_err(change), ..report }, says("Yes.", "end_turn")]
}

#[tokio::test]
async fn a_quota_of_the_day_leaves_the_target_alone_until_the_day_turns() {
    let until = datetime!(2026-11-02 00:00 UTC);
    let used_up = |failure| CallFailure {
        blame: Blame::TargetUntil(until),
        advice: Some("raise the quota".into()),
        ..failure
    };
    let ports = ports(after(used_up));
    let mut request = request();
    // An earlier failure of the same target does not suppress the report.
    let before = Attempt {
        target: bcce_core::base::target::Target {
            account: None,
            region: "us-east-1".into(),
            model_id: "us.anthropic.claude-haiku-5-5".into(),
            guardrail: None,
        },
        kind: AttemptKind::First,
        outcome: AttemptOutcome::Failed,
        error: Some(ErrorName::TargetUnavailable),
        message: None,
        cause: None,
        adapted: vec![],
        advice: None,
        retry_after_s: None,
        started_at: ports.caller.clock.now(),
        latency_ms: 1,
        first_token_ms: None,
        service_tier: None,
        guardrail_origin: vec![],
        usage: Some(Usage::default()),
        cost_usd: Some(0.into()),
        cache: None,
    };
    request.attempts = vec![before];
    assert_eq!(handle(&ports, request, AMPLE).await, Ok(ANSWERED));
    let breaker = breaker(&ports, "us-east-1");
    assert_eq!((breaker.open_until, breaker.used_up), (Some(until), true));
    let attempt = &artifact(&ports)["attempts"][1];
    assert_eq!(
        (&attempt["advice"], attempt.get("retry_after_s")),
        (&json!("raise the quota"), None)
    );
}

#[tokio::test]
async fn a_step_that_no_target_takes_says_what_a_person_should_do() {
    let advised = |advice: &str| {
        let rejects = plain(ErrorName::TargetRejected);
        let advice = Some(advice.to_owned());
        let result = rejects.result.map_err(|failure| CallFailure { advice, ..failure });
        CallReport { result, ..rejects }
    };
    let ports = ports([advised("fill in the form"), advised("subscribe to the model")]);
    let mut request = request();
    let Ok(Response::Exhausted { attempts }) = handle(&ports, request.clone(), AMPLE).await else {
        panic!()
    };
    request.attempts = attempts;
    request.next = Next::Stop(ErrorName::NoTarget);
    let Ok(Response::Failed { error, .. }) = handle(&ports, request, AMPLE).await else { panic!() };
    assert_eq!(error.name, ErrorName::NoTarget);
    for part in ["after 2 calls", "; to do: fill in the form", "; to do: subscribe to the model"] {
        assert!(error.message.contains(part), "{part} is missing in {error}");
    }
    assert!(!error.message.contains("quoted input"), "{error}");
    assert!(error.message.len() <= MAX_STATE_MESSAGE_BYTES);
}

#[tokio::test]
async fn how_the_service_served_a_call_is_recorded() {
    let served = Served {
        service_tier: Some("flex".into()),
        guardrail_origin: vec!["ACCOUNT_ENFORCED".into()],
    };
    let ports = ports([CallReport { served, ..says("Yes.", "end_turn") }]);
    assert_eq!(handle(&ports, request(), AMPLE).await, Ok(ANSWERED));
    let attempt = &artifact(&ports)["attempts"][0];
    assert_eq!(attempt["service_tier"], "flex");
    assert_eq!(attempt["guardrail_origin"], json!(["ACCOUNT_ENFORCED"]));
}

#[tokio::test]
async fn a_blank_prompt_is_refused_before_any_call() {
    for (field, system, prompt) in [
        ("prompt", Value::Null, "{{ inputs.text | safe }}"),
        ("system", json!("{{ inputs.text | safe }}"), "Say yes."),
    ] {
        let ports = ports([]);
        let request = planned(&ports, |plan| {
            plan["inputs"]["text"] = json!(" \n");
            plan["steps"][0]["prompt"] = json!(prompt);
            plan["steps"][0]["system"] = system.clone();
        });
        let Ok(Response::Failed { error, .. }) = handle(&ports, request, AMPLE).await else {
            panic!()
        };
        let expected = format!("Bcce.InvalidRequest: steps.answer.{field}: is blank");
        assert_eq!(error.to_string(), expected);
        assert_eq!(regions(&ports).len(), 0);
    }
}
