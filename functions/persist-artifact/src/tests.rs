use std::time::Duration;

use bcce_core::base::digest::{sha256, sha256_hex};
use bcce_core::base::error::ErrorName;
use bcce_core::base::json::parse;
use bcce_core::config::budgets::Unit;
use bcce_core::fakes::{MemoryHealth, MemoryKey, MemoryStore, StoppedClock};
use bcce_core::run::artifact::StepRecord;
use bcce_core::run::budgets::Reserved;
use bcce_core::run::call_log::{LoggedCall, LoggedStep};
use bcce_core::run::ending::ExecutionStatus;
use bcce_core::run::ids::RunRef;
use bcce_core::run::manifest::Kind;
use bcce_core::run::notification::RunStatus;
use rust_decimal::Decimal;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::macros::datetime;

use super::*;

const EVENT: &str = include_str!("../../../events/persist-artifact/succeeded.json");
const PLAN: &str = include_str!("../../../events/invoke/plan.json");
const ANSWER: &str = include_str!("../../../events/persist-artifact/answer.json");

type Fakes = Ports<MemoryStore, MemoryKey, StoppedClock, &'static MemoryHealth>;

fn config() -> Config {
    Config {
        bucket: String::new(),
        key_arn: String::new(),
        signing_key_arn: String::new(),
        ledger_table: String::new(),
    }
}

fn request() -> Request {
    serde_json::from_str(EVENT).unwrap()
}

fn ports() -> Fakes {
    let run = request().run;
    Ports {
        store: MemoryStore::with([
            (run.request_key(), b"{}".to_vec()),
            (run.plan_key(), PLAN.as_bytes().to_vec()),
            (run.step_key("answer", None), ANSWER.as_bytes().to_vec()),
        ]),
        ledger: Box::leak(Box::default()),
        signing_key: MemoryKey::default(),
        clock: StoppedClock(datetime!(2026-11-01 12:00:09 UTC)),
    }
}

fn manifest(ports: &Fakes) -> Value {
    ports.store.json(&request().run.manifest_key())
}

async fn seal(ports: &Fakes, request: Request) -> Result<(ManifestRef, RunNotification), Fault> {
    match handle(ports, &config(), request).await? {
        Response::Sealed { manifest, notification } => Ok((manifest, *notification)),
        Response::AtWork { wait_s } => panic!("waits for {wait_s} s"),
    }
}

#[tokio::test]
async fn a_run_is_sealed_with_every_digest_and_signed() {
    let ports = ports();
    let (sealed, notification) = seal(&ports, request()).await.unwrap();
    let manifest = manifest(&ports);
    assert_eq!(manifest["status"], "SUCCEEDED");
    let keys: Vec<&str> = manifest["artifacts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|a| a["key"].as_str().unwrap())
        .collect();
    assert_eq!(keys.len(), 3);
    assert_eq!(manifest["artifacts"][0]["sha256"], sha256_hex(PLAN.as_bytes()));
    assert_eq!(manifest["result"], request().run.step_key("answer", None));
    assert_eq!(manifest["totals"]["cost_usd"], "0.000165");
    let bytes = ports.store.objects.borrow()[&request().run.manifest_key()].clone();
    assert_eq!(sealed.sha256, sha256_hex(&bytes));
    let signature = ports.store.objects.borrow()[&request().run.signature_key()].clone();
    assert_eq!(signature, sha256(&Kind::Run.message(&bytes)));
    assert_eq!(notification.status, RunStatus::Succeeded);
}

/// A forged manifest, garbage, or a signed manifest of another run at the run's key is neither signed nor notified.
#[tokio::test]
async fn what_lies_at_the_manifests_key_and_no_sealer_made_is_not_signed() {
    let (honest, key) = (ports(), request().run.manifest_key());
    seal(&honest, request()).await.unwrap();
    let mut forged = manifest(&honest);
    forged["totals"]["cost_usd"] = json!("0");
    let mut other = request();
    other.run.reference = RunRef::first("default", "explain", "another");
    let elsewhere = ports();
    for (from, to) in [
        (request().run.request_key(), other.run.request_key()),
        (request().run.plan_key(), other.run.plan_key()),
    ] {
        let body = elsewhere.store.objects.borrow()[&from].clone();
        elsewhere.store.objects.borrow_mut().insert(to, body);
    }
    let others = other.run.manifest_key();
    handle(&elsewhere, &config(), other).await.unwrap();
    let theirs = elsewhere.store.objects.borrow()[&others].clone();
    let signature = elsewhere.store.signatures.borrow()[&others].clone();
    for (body, signature) in [
        (b"garbage".to_vec(), None),
        (forged.to_string().into_bytes(), None),
        (forged.to_string().into_bytes(), Some(signature.clone())),
        (theirs, Some(signature)),
    ] {
        let ports = ports();
        ports.store.objects.borrow_mut().insert(key.clone(), body);
        let laid = signature.map(|signature| (key.clone(), signature));
        ports.store.signatures.borrow_mut().extend(laid);
        let fault = handle(&ports, &config(), request()).await.unwrap_err();
        assert!(fault.name == ErrorName::Internal && fault.message.contains(&key), "{fault}");
        assert_eq!(ports.signing_key.signed.get(), 0);
        assert!(!ports.store.objects.borrow().contains_key(&request().run.signature_key()));
    }
}

/// A principal that may write below the run's prefix adds objects that are not artifacts.
#[tokio::test]
async fn what_is_no_artifact_is_not_listed_as_one() {
    let ports = ports();
    let prefix = request().run.prefix();
    for planted in ["manifest-1.json.bak", "steps/answer.json", "steps.answer.json", "a.txt"] {
        ports.store.objects.borrow_mut().insert(format!("{prefix}{planted}"), b"{}".to_vec());
    }
    seal(&ports, request()).await.unwrap();
    assert_eq!(manifest(&ports)["artifacts"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn a_second_seal_returns_the_first() {
    let mut ports = ports();
    let first = seal(&ports, request()).await.unwrap();
    ports.clock = StoppedClock(datetime!(2026-11-01 13:00 UTC));
    assert_eq!(seal(&ports, request()).await.unwrap(), first);
    assert_eq!(ports.signing_key.signed.get(), 1);
}

#[tokio::test]
async fn a_seal_that_breaks_between_manifest_and_signature_is_finished_by_the_retry() {
    let ports = ports();
    ports.signing_key.failing.set(true);
    assert_eq!(handle(&ports, &config(), request()).await.unwrap_err().name, ErrorName::Internal);
    assert!(!ports.store.objects.borrow().contains_key(&request().run.manifest_key()));
    // The calls of the store: the listing, three artifacts, the manifest and its signature.
    ports.store.failing.set(6);
    assert_eq!(handle(&ports, &config(), request()).await.unwrap_err().name, ErrorName::Internal);
    let half = manifest(&ports);
    assert!(!ports.store.objects.borrow().contains_key(&request().run.signature_key()));
    handle(&ports, &config(), request()).await.unwrap();
    assert_eq!(manifest(&ports), half);
    assert!(ports.store.objects.borrow().contains_key(&request().run.signature_key()));
}

#[tokio::test]
async fn a_refused_run_is_sealed_with_its_reason() {
    let ports = ports();
    let run = request().run;
    ports.store.objects.borrow_mut().retain(|key, _| *key == run.request_key());
    let fault = Fault::new(ErrorName::InvalidRequest, "inputs.text: is required");
    let request = Request { fault: Some(fault.clone()), ..request() };
    let (_, notification) = seal(&ports, request).await.unwrap();
    assert_eq!((notification.status, notification.error), (RunStatus::Failed, Some(fault)));
    assert_eq!(manifest(&ports)["template_sha256"], Value::Null);
    assert_eq!(notification.totals.cost_usd.map(|cost| cost.to_string()), Some("0".into()));
}

#[tokio::test]
async fn a_step_that_failed_by_our_fault_is_reported() {
    let ports = ports();
    ports.store.objects.borrow_mut().remove(&request().run.step_key("answer", None));
    let failures = json!([{ "step": "answer", "route": "haiku", "status": "FAILED",
                            "error": { "name": "Bcce.Internal", "message": "see the log" } }]);
    let failures = serde_json::from_value(failures).unwrap();
    let (_, notification) = seal(&ports, Request { failures, ..request() }).await.unwrap();
    assert_eq!(notification.error.unwrap().to_string(), "Bcce.Internal: step answer: see the log");
    assert_eq!(manifest(&ports)["steps"][0]["status"], "FAILED");
}

#[tokio::test]
async fn whatever_call_fails_nothing_half_is_sealed_and_the_retry_seals() {
    // The calls list the objects, read three artifacts, and write the manifest and its signature.
    for call in 1..=6 {
        let ports = ports();
        ports.store.failing.set(call);
        assert!(handle(&ports, &config(), request()).await.is_err(), "call {call}");
        let sealed = ports.store.objects.borrow().contains_key(&request().run.manifest_key());
        assert_eq!(sealed, call > 5, "call {call}");
        handle(&ports, &config(), request()).await.unwrap();
        assert_eq!(manifest(&ports)["status"], "SUCCEEDED");
        assert!(ports.store.objects.borrow().contains_key(&request().run.signature_key()));
    }
}

/// The function was killed before it could store the answer, and the next one called the model again.
#[tokio::test]
async fn a_call_that_no_artifact_records_is_counted_and_its_cost_unknown() {
    let ports = ports();
    let answer: StepRecord = parse("answer", ANSWER.as_bytes()).unwrap();
    let recorded = answer.attempts.last().unwrap();
    let call = LoggedCall::new(recorded.started_at, recorded.target.clone());
    let lost =
        LoggedCall { started_at: recorded.started_at - Duration::from_secs(3), ..call.clone() };
    let calls = [call, lost].map(|call| LoggedStep {
        step: "answer".into(),
        item: None,
        call,
        is_committed: false,
    });
    *ports.ledger.logged_calls.borrow_mut() = calls.to_vec();
    seal(&ports, request()).await.unwrap();
    let manifest = manifest(&ports);
    let (step, line) = (&manifest["steps"][0], &manifest["usage_by_model"][0]);
    assert_eq!((&step["lost_calls"], &step["attempts"]), (&json!(1), &json!(1)));
    assert_eq!(
        (&line["lost_calls"], &line["calls"], &line["unknown_calls"]),
        (&json!(1), &json!(2), &json!(1))
    );
    for totals in [step, &manifest["totals"], line] {
        assert_eq!(totals["cost_usd"], Value::Null);
        assert_eq!(totals["priced_subtotal_usd"], "0.000165");
    }
}

/// The call log is needed to find lost calls.
#[tokio::test]
async fn nothing_is_sealed_without_the_ledger() {
    let ports = ports();
    ports.ledger.is_gone.set(true);
    assert!(handle(&ports, &config(), request()).await.is_err());
    assert!(!ports.store.objects.borrow().contains_key(&request().run.manifest_key()));
    ports.ledger.is_gone.set(false);
    seal(&ports, request()).await.unwrap();
    assert_eq!(manifest(&ports)["steps"][0].get("lost_calls"), None);
}

fn ended(at: OffsetDateTime) -> Request {
    let ending = Ending { status: ExecutionStatus::Aborted, at, error: None, cause: None };
    Request { ending: Some(ending), ..request() }
}

#[tokio::test]
async fn a_call_that_may_still_be_answered_is_waited_for() {
    let ports = ports();
    let answer = ports.store.objects.borrow_mut().remove(&request().run.step_key("answer", None));
    let at = datetime!(2026-11-01 12:00:05 UTC);
    assert_eq!(handle(&ports, &config(), ended(at)).await, Ok(Response::AtWork { wait_s: 2 }));
    assert!(!ports.store.objects.borrow().contains_key(&request().run.manifest_key()));
    // The answer is stored after all, and the run succeeds.
    ports
        .store
        .objects
        .borrow_mut()
        .insert(request().run.step_key("answer", None), answer.unwrap());
    let (_, notification) = seal(&ports, ended(at)).await.unwrap();
    assert_eq!(notification.status, RunStatus::Succeeded);
}

/// The response cache has answered the step, so no call can be under way.
#[tokio::test]
async fn a_step_without_a_call_is_not_waited_for() {
    let ports = ports();
    let key = request().run.step_key("answer", None);
    let mut answer = ports.store.json(&key);
    let target = answer["attempts"][0]["target"].clone();
    answer["attempts"] = json!([]);
    answer["cost_usd"] = json!("0");
    answer["cached_from"] = json!({
        "key": "runs/default/r/steps/answer.answer.json", "sha256": "0", "run_id": "r",
        "target": target, "stored_at": "2026-11-01T11:00:00Z",
    });
    ports.store.objects.borrow_mut().insert(key, answer.to_string().into_bytes());
    let at = datetime!(2026-11-01 12:00:05 UTC);
    let (_, notification) = seal(&ports, ended(at)).await.unwrap();
    assert_eq!(notification.status, RunStatus::Succeeded);
    let step = &manifest(&ports)["steps"][0];
    assert_eq!((&step["cached"], &step["cost_usd"]), (&json!(1), &json!("0")));
}

/// The step then runs on demand, and its call may be under way.
#[tokio::test]
async fn an_invalid_answer_of_a_job_does_not_end_its_step() {
    let ports = ports();
    let key = request().run.step_key("answer", None);
    let answer = ports.store.objects.borrow_mut().remove(&key).unwrap();
    let mut failure: Value = serde_json::from_slice(&answer).unwrap();
    failure["status"] = json!("FAILED");
    failure["error"] = json!({ "name": "Bcce.OutputInvalid", "message": "m" });
    let ended = || ended(datetime!(2026-11-01 12:00:05 UTC));
    let note = |failure: &Value, key: String| {
        ports.store.objects.borrow_mut().insert(key, failure.to_string().into_bytes());
    };
    failure["attempts"][0]["kind"] = json!("bulk");
    note(&failure, request().run.record_failure_key("answer"));
    assert_eq!(handle(&ports, &config(), ended()).await, Ok(Response::AtWork { wait_s: 2 }));
    failure["attempts"][0]["kind"] = json!("first");
    note(&failure, request().run.failure_key("answer", None));
    assert!(matches!(handle(&ports, &config(), ended()).await, Ok(Response::Sealed { .. })));
}

#[tokio::test]
async fn a_run_that_was_stopped_is_sealed_as_cancelled() {
    let ports = ports();
    ports.store.objects.borrow_mut().remove(&request().run.step_key("answer", None));
    let (_, notification) = seal(&ports, ended(datetime!(2026-11-01 11:44 UTC))).await.unwrap();
    assert_eq!((notification.status, notification.error), (RunStatus::Cancelled, None));
    assert_eq!(manifest(&ports)["steps"][0]["status"], "SKIPPED");
}

#[tokio::test]
async fn what_is_sealed_is_not_waited_for() {
    let ports = ports();
    let sealed = seal(&ports, request()).await.unwrap();
    ports.store.objects.borrow_mut().remove(&request().run.step_key("answer", None));
    assert_eq!(seal(&ports, ended(datetime!(2026-11-01 12:00:05 UTC))).await, Ok(sealed));
}

#[tokio::test]
async fn an_answer_that_was_cut_is_marked_in_the_manifest_and_the_notification() {
    let ports = ports();
    let cut = ANSWER.replace("\"truncated\": false", "\"truncated\": true");
    ports.store.objects.borrow_mut().insert(request().run.step_key("answer", None), cut.into());
    let (_, notification) = seal(&ports, request()).await.unwrap();
    let manifest = manifest(&ports);
    assert_eq!((&manifest["status"], &manifest["truncated"]), (&json!("SUCCEEDED"), &json!(1)));
    assert_eq!(manifest["steps"][0]["truncated"], 1);
    assert_eq!(notification.truncated, 1);
}

/// The function was killed during its first call, and before it committed the second one.
#[tokio::test]
async fn what_calls_have_reserved_is_committed_once_before_the_seal() {
    let ports = ports();
    let answer: StepRecord = parse("answer", ANSWER.as_bytes()).unwrap();
    let recorded = answer.attempts.last().unwrap();
    let reserved = Reserved {
        counter: "day##2026-11-01".into(),
        shard: 0,
        revision: 1,
        unit: Unit::Usd,
        amount: Decimal::ONE,
    };
    let call = LoggedCall {
        reserved: vec![reserved],
        ..LoggedCall::new(recorded.started_at, recorded.target.clone())
    };
    let lost =
        LoggedCall { started_at: recorded.started_at - Duration::from_secs(3), ..call.clone() };
    let logged = |call| LoggedStep { step: "answer".into(), item: None, call, is_committed: false };
    *ports.ledger.logged_calls.borrow_mut() = vec![logged(call), logged(lost)];
    ports.store.failing.set(5);
    assert!(handle(&ports, &config(), request()).await.is_err(), "the manifest is not written");
    seal(&ports, request()).await.unwrap();
    let state = ports.ledger.counters.get("day##2026-11-01");
    assert_eq!(state.spent(), Decimal::ONE + recorded.cost_usd.unwrap());
    assert_eq!(state.shards[&0].reserved, -Decimal::TWO, "both were committed, and once");
}
