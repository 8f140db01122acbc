use std::cell::RefCell;
use std::rc::Rc;

use bcce_core::base::digest::sha256;
use bcce_core::base::json::{add_line, parse_lines, to_json};
use bcce_core::base::usage::Usage;
use bcce_core::batch::bulk::{Rendered, output_key};
use bcce_core::batch::{Item, bulk};
use bcce_core::call::attempt::Attempt;
use bcce_core::fakes::{MemoryKey, MemoryStore, StoppedClock, now};
use bcce_core::ledger::ClosedRun;
use bcce_core::ports::Closed;
use bcce_core::run::ids::RunRef;
use bcce_core::run::manifest::Kind;
use bcce_core::run::plan::Plan;
use serde_json::{Value, json};
use time::macros::datetime;

use super::*;

const EVENT: &str = include_str!("../../../events/take-part/first.json");
const HELD: &str = include_str!("../../../events/take-part/held.json");
const PLAN: &str = include_str!("../../../events/invoke/plan.json");
const ARN: &str = "arn:aws:bedrock:us-east-1:000000000000:model-invocation-job/abc123def456";

/// A ledger that counts each run once.
#[derive(Default)]
struct Ledger(RefCell<Vec<ClosedRun>>);

impl CloseRun for Ledger {
    async fn close(&self, closed: &ClosedRun) -> Result<Closed, Fault> {
        let mut runs = self.0.borrow_mut();
        if runs.iter().any(|run| run.run.run_id == closed.run.run_id) {
            return Ok(Closed::Before { notification_owner: None });
        }
        runs.push(closed.clone());
        Ok(Closed::Now)
    }
}

type Fakes = Ports<MemoryStore, MemoryKey, Ledger, StoppedClock, Box<dyn Fn(&str)>>;

/// Makes the ports keep the metrics documents, and returns them.
fn keep_metrics(ports: &mut Fakes) -> Rc<RefCell<Vec<String>>> {
    let kept = Rc::<RefCell<Vec<String>>>::default();
    let metrics = Rc::clone(&kept);
    ports.metrics = Box::new(move |document| metrics.borrow_mut().push(document.to_owned()));
    kept
}

fn batch() -> BatchRun {
    serde_json::from_str::<Request>(EVENT).unwrap().batch
}

fn config() -> Config {
    Config {
        environment: "dev".into(),
        bucket: "bucket".into(),
        key_arn: "key".into(),
        signing_key_arn: "key".into(),
        ledger_table: "t".into(),
        region: "us-east-1".into(),
    }
}

fn item(n: u64) -> Item {
    let item = json!({ "n": n, "line": n, "id": format!("i{n}"), "inputs": { "text": "t" } });
    serde_json::from_value(item).unwrap()
}

fn run(n: u64) -> RunRef {
    item(n).run(&batch(), 1)
}

/// Returns a plan with one step that fits a job and answers with JSON.
fn plan() -> Plan {
    let mut plan: Plan = serde_json::from_str(PLAN).unwrap();
    plan.steps.truncate(1);
    plan.result = plan.steps[0].id.clone();
    let step = &mut plan.steps[0];
    step.for_each = None;
    step.output = Some(serde_json::from_value(json!({ "type": "json" })).unwrap());
    plan
}

/// Returns ports with a part of three items, for which a job returned the lines of `output`.
fn ports(output: Option<&[Value]>) -> Fakes {
    let mut objects = Vec::new();
    let (mut entries, mut places) = (Vec::new(), Vec::new());
    for n in 1..=3 {
        add_line(&mut entries, &item(n)).unwrap();
        add_line(&mut places, &Place { n, part: 1, at: n, bytes: 1, attempt_no: 1 }).unwrap();
        objects.push((run(n).request_key(), b"{}".to_vec()));
        objects.push((run(n).plan_key(), to_json(&plan()).unwrap()));
    }
    let opened = json!({
        "version": 1, "items": 3, "rejected": 0, "to_run": 3, "parts": 1,
        "source": { "uri": "s3://bucket/k", "format": "jsonl", "bytes": 1 },
        "mode": "bulk", "because": [], "concurrency": 20, "allowed_failures": 20,
    });
    objects.push((batch().part_key(1), entries));
    objects.push((batch().places_key(1), places));
    objects.push((batch().opened_key(), opened.to_string().into_bytes()));
    if let Some(lines) = output {
        let rendered = Rendered { records: 3, bytes: 9, ..Rendered::default() };
        objects.push((batch().rendered_key(1), to_json(&rendered).unwrap()));
        let job = json!({
            "job": 1, "arn": ARN, "status": "Completed", "given": 3, "records": {},
            "submitted_at": "2026-11-01T12:00:00Z", "ended_at": "2026-11-01T12:10:00Z",
        });
        let jobs = json!({ "version": 1, "started_at": "2026-11-01T12:00:00Z", "jobs": [job] });
        objects.push((batch().jobs_key(), jobs.to_string().into_bytes()));
        let key = output_key(&batch().bulk_output_prefix(), ARN, "000001.jsonl");
        let lines: String = lines.iter().map(|line| format!("{line}\n")).collect();
        objects.push((key, lines.into_bytes()));
    }
    Ports {
        store: MemoryStore::with(objects),
        signing_key: MemoryKey::default(),
        ledger: Ledger::default(),
        clock: StoppedClock(datetime!(2026-11-01 12:11 UTC)),
        metrics: Box::new(|_| ()),
    }
}

fn answered(n: u64, text: &str) -> Value {
    let message = json!({ "role": "assistant", "content": [{ "text": text }] });
    let usage = json!({ "inputTokens": 100, "outputTokens": 10, "totalTokens": 110 });
    let output =
        json!({ "output": { "message": message }, "stopReason": "end_turn", "usage": usage });
    json!({ "recordId": bulk::record_id(n), "modelOutput": output })
}

fn refused(n: u64) -> Value {
    let error = json!({ "errorCode": 429, "errorMessage": "slow down" });
    json!({ "recordId": bulk::record_id(n), "error": error })
}

fn response(taken: u64, left: u64) -> Response {
    Response { taken, left, held: 0 }
}

fn take(ports: &Fakes) -> Result<Response, Fault> {
    now(handle(ports, &config(), serde_json::from_str(EVENT).unwrap()))
}

fn rest(ports: &Fakes) -> Vec<u64> {
    let objects = ports.store.objects.borrow();
    let body = objects.get(&batch().rest_key(1)).cloned().unwrap_or_default();
    parse_lines::<Place>("leftovers", &body).unwrap().iter().map(|place| place.n).collect()
}

/// Returns the numbers of the job's records without a finished run.
fn left(ports: &Fakes) -> Vec<u64> {
    let objects = ports.store.objects.borrow();
    let body = objects.get(&batch().left_key(1)).cloned().unwrap_or_default();
    parse_lines::<Place>("left", &body).unwrap().iter().map(|place| place.n).collect()
}

/// Stores that the job ended with `status`, and that the items of `without` are not records of it.
fn end(ports: &Fakes, status: &str, without: &[u64]) {
    let mut objects = ports.store.objects.borrow_mut();
    let jobs = String::from_utf8(objects[&batch().jobs_key()].clone()).unwrap();
    objects.insert(batch().jobs_key(), jobs.replace("Completed", status).into_bytes());
    let without = without.iter().copied().collect();
    let rendered = Rendered { records: 1, bytes: 9, without };
    objects.insert(batch().rendered_key(1), to_json(&rendered).unwrap());
}

#[test]
fn an_answer_is_a_finished_run_and_the_other_items_are_listed() {
    let step = plan().result;
    let mut ports = ports(Some(&[answered(3, "{\"ok\":true}"), refused(1)]));
    let emitted = keep_metrics(&mut ports);
    assert_eq!(take(&ports), Ok(response(1, 2)));
    assert_eq!((left(&ports), rest(&ports)), (vec![1, 2], vec![]));
    let taken = ports.store.json(&batch().taken_key(1));
    let error = &taken["error"]["name"];
    assert_eq!((error, &taken["left"]), (&json!("Bcce.TargetThrottled"), &json!(2)));
    // One record failed and the other is missing. A completed job has processed both.
    assert_eq!((&taken["processed"], &taken["failed"]), (&json!(3), &json!(2)));
    let manifest = ports.store.json(&run(3).manifest_key());
    assert_eq!(
        (&manifest["status"], &manifest["started_at"]),
        (&json!("SUCCEEDED"), &json!("2026-11-01T12:00:00Z"))
    );
    assert_eq!(manifest["execution_arn"], batch().execution_arn);
    assert_eq!(manifest["artifacts"].as_array().unwrap().len(), 3);
    let artifact = ports.store.json(&run(3).step_key(&step, None));
    assert_eq!(artifact["output"]["json"], json!({ "ok": true }));
    assert_eq!(artifact["attempts"][0]["kind"], "bulk");
    assert!(artifact["decisions"][0]["because"][0].as_str().unwrap().contains(ARN));
    let used = Usage { input_tokens: 100, output_tokens: 10, ..Default::default() };
    let attempt: Attempt = serde_json::from_value(artifact["attempts"][0].clone()).unwrap();
    let model_id = &attempt.target.model_id;
    let half = plan().batch_cost(model_id, attempt.started_at, &used).unwrap();
    assert_eq!(manifest["totals"]["cost_usd"], half.to_string());
    assert!(ports.store.objects.borrow().contains_key(&run(3).signature_key()));
    assert_eq!(ports.ledger.0.borrow()[0].run.batch, Some(batch().item_of()));
    assert!(emitted.borrow()[0].contains("RunsSucceeded"));
    // A record that used no tokens has no stored failure.
    assert!(!ports.store.objects.borrow().contains_key(&run(1).record_failure_key(&step)));
    // A second call changes nothing, and counts nothing again.
    let before = (ports.store.objects.borrow().clone(), emitted.borrow().len());
    assert_eq!(take(&ports), Ok(response(1, 2)));
    assert_eq!((ports.store.objects.borrow().clone(), emitted.borrow().len()), before);
    assert_eq!((ports.ledger.0.borrow().len(), ports.signing_key.signed.get()), (1, 1));
}

#[test]
fn a_manifest_of_an_item_that_no_sealer_made_is_not_signed() {
    let honest = ports(Some(&[answered(3, "{\"ok\":true}")]));
    take(&honest).unwrap();
    let manifest = honest.store.json(&run(3).manifest_key());
    assert_eq!(manifest["kind"], "item");
    let body = honest.store.objects.borrow()[&run(3).manifest_key()].clone();
    let signature = honest.store.objects.borrow()[&run(3).signature_key()].clone();
    assert_eq!(signature, sha256(&Kind::Item.message(&body)));
    // The objects are garbage, a forgery, and a signed manifest of another item.
    for (n, body, signature) in
        [(3, b"garbage".to_vec(), None), (3, body.clone(), None), (2, body, Some(signature))]
    {
        let ports = ports(Some(&[answered(n, "{\"ok\":true}")]));
        let key = run(n).manifest_key();
        ports.store.objects.borrow_mut().insert(key.clone(), body);
        let laid = signature.map(|signature| (key.clone(), signature));
        ports.store.signatures.borrow_mut().extend(laid);
        let fault = take(&ports).unwrap_err();
        assert!(fault.message.contains(&key), "{fault}");
        assert_eq!((ports.ledger.0.borrow().len(), ports.signing_key.signed.get()), (0, 0));
    }
}

#[test]
fn an_invalid_answer_is_kept_with_its_cost_and_asked_again() {
    let step = plan().result;
    let mut ports = ports(Some(&[answered(2, "no JSON")]));
    let emitted = keep_metrics(&mut ports);
    assert_eq!(take(&ports), Ok(response(0, 3)));
    let failure = ports.store.json(&run(2).record_failure_key(&step));
    assert_eq!(failure["error"]["name"], "Bcce.OutputInvalid");
    assert_ne!(failure["cost_usd"], "0");
    assert!(!ports.store.objects.borrow().contains_key(&run(2).manifest_key()));
    assert!(ports.ledger.0.borrow().is_empty() && emitted.borrow().is_empty());
    assert_eq!(left(&ports), [1, 2, 3]);
}

#[test]
fn what_a_job_was_not_done_with_has_not_failed_and_what_was_no_record_runs_on_demand() {
    let ports = ports(Some(&[refused(1)]));
    end(&ports, "PartiallyCompleted", &[2]);
    assert_eq!(take(&ports), Ok(response(0, 3)));
    assert_eq!((left(&ports), rest(&ports)), (vec![1, 3], vec![2]));
    let taken = ports.store.json(&batch().taken_key(1));
    let count = |name: &str| taken[name].as_u64().unwrap();
    assert_eq!(["records", "processed", "failed", "left", "others"].map(count), [2, 1, 1, 2, 1]);
}

/// A run on demand would cost the same again without a better answer.
#[test]
fn an_answer_that_no_target_would_better_is_a_run_that_failed() {
    let step = plan().result;
    let mut filtered = answered(2, "");
    filtered["modelOutput"]["stopReason"] = json!("content_filtered");
    let ports = ports(Some(&[filtered]));
    assert_eq!(take(&ports), Ok(response(1, 2)));
    assert_eq!(left(&ports), [1, 3]);
    let manifest = ports.store.json(&run(2).manifest_key());
    assert_eq!(
        (&manifest["status"], &manifest["error"]["name"]),
        (&json!("FAILED"), &json!("Bcce.RequestRejected")),
        "{manifest}"
    );
    assert_ne!(manifest["totals"]["cost_usd"], "0");
    let failure = ports.store.json(&run(2).failure_key(&step, None));
    assert_eq!(failure["attempts"][0]["kind"], "bulk");
    assert_eq!(ports.ledger.0.borrow()[0].run.run_id, run(2).run_id);
}

/// A run on demand tries a target with a larger context. If there is none, its answer would be the same.
#[test]
fn a_prompt_that_is_too_long_is_left_where_another_target_takes_more() {
    for (larger, expected) in [(true, response(0, 3)), (false, response(1, 2))] {
        let mut long = answered(2, "");
        long["modelOutput"]["stopReason"] = json!("model_context_window_exceeded");
        let ports = ports(Some(&[long]));
        let mut plan = plan();
        let route = plan.routes.get_mut("haiku").unwrap();
        route.targets[1].context_tokens += u64::from(larger);
        let plan = to_json(&plan).unwrap();
        ports.store.objects.borrow_mut().insert(run(2).plan_key(), plan);
        assert_eq!(take(&ports), Ok(expected));
        let is_left = left(&ports).contains(&2);
        assert_eq!((is_left, ports.ledger.0.borrow().len()), (larger, usize::from(!larger)));
        let step = self::plan().result;
        let key = match larger {
            true => run(2).record_failure_key(&step),
            false => run(2).failure_key(&step, None),
        };
        assert_eq!(ports.store.json(&key)["attempts"][0]["cause"], "context_too_long");
    }
}

#[test]
fn records_of_a_job_that_was_refused_are_left_as_those_of_one_that_failed() {
    let ports = ports(Some(&[]));
    let mut jobs = ports.store.json(&batch().jobs_key());
    jobs["jobs"][0] = json!({ "job": 1, "arn": null, "status": null, "given": 3, "records": {}, "message": "no" });
    let put = |jobs: &Value| {
        let body = jobs.to_string().into_bytes();
        ports.store.objects.borrow_mut().insert(batch().jobs_key(), body);
    };
    jobs["jobs"][0]["is_refused"] = json!(true);
    put(&jobs);
    assert_eq!(take(&ports), Ok(response(0, 3)));
    assert_eq!((left(&ports), rest(&ports)), (vec![1, 2, 3], vec![]));
    let taken = ports.store.json(&batch().taken_key(1));
    assert_eq!((&taken["records"], &taken["processed"]), (&json!(3), &json!(0)));
    // A job that was too small to be started is not at fault.
    ports.store.objects.borrow_mut().remove(&batch().left_key(1));
    jobs["jobs"][0]["is_refused"] = json!(false);
    put(&jobs);
    assert_eq!(take(&ports), Ok(response(0, 3)));
    assert_eq!((left(&ports), rest(&ports)), (vec![], vec![1, 2, 3]));
}

/// Returns ports with a part in which the answer to item 2 was paid and is invalid, and item 1 was in a sample that
/// failed.
fn held() -> Fakes {
    let ports = ports(Some(&[answered(2, "no JSON"), refused(1)]));
    assert_eq!(take(&ports), Ok(response(0, 3)));
    let mut jobs = ports.store.json(&batch().jobs_key());
    jobs["jobs"][0]["leftovers"] = json!({
        "processed": 3, "failed": 3, "left": 3, "verdict": "held",
        "sample": { "items": 1, "answered": 0, "failed": 1 },
    });
    let mut sample = Vec::new();
    add_line(&mut sample, &Place { n: 1, part: 1, at: 1, bytes: 1, attempt_no: 1 }).unwrap();
    let mut objects = ports.store.objects.borrow_mut();
    objects.insert(batch().jobs_key(), jobs.to_string().into_bytes());
    objects.insert(batch().sample_key(), sample);
    drop(objects);
    ports
}

fn hold(ports: &Fakes) -> Result<Response, Fault> {
    now(handle(ports, &config(), serde_json::from_str(HELD).unwrap()))
}

#[test]
fn what_is_held_is_a_run_that_failed_and_counts_what_the_job_charged_once() {
    let (mut ports, step) = (held(), plan().result);
    let emitted = keep_metrics(&mut ports);
    let (taken, lists) = (batch().taken_key(1), batch().left_key(1));
    let before = [&taken, &lists].map(|key| ports.store.objects.borrow()[key].clone());
    assert_eq!(hold(&ports), Ok(Response { taken: 0, left: 0, held: 2 }));
    let charged = ports.store.json(&run(2).record_failure_key(&step));
    for (n, cost, artifacts) in [(2, charged["cost_usd"].clone(), 3), (3, json!("0"), 2)] {
        let manifest = ports.store.json(&run(n).manifest_key());
        assert_eq!(
            (&manifest["status"], &manifest["error"]["name"]),
            (&json!("FAILED"), &json!("Bcce.TooManyFailures")),
            "{manifest}"
        );
        let why = manifest["error"]["message"].as_str().unwrap();
        assert!(why.starts_with("job 1 of the batch: 3 of 3 records failed"), "{why}");
        assert_eq!(manifest["totals"]["cost_usd"], cost);
        assert_eq!(manifest["artifacts"].as_array().unwrap().len(), artifacts);
        assert!(ports.store.objects.borrow().contains_key(&run(n).signature_key()));
    }
    assert_ne!(charged["cost_usd"], "0");
    let usage = |closed: &ClosedRun| {
        closed.usage().iter().map(|line| line.totals.usage.unwrap().input_tokens).sum()
    };
    let runs: BTreeMap<String, u64> =
        ports.ledger.0.borrow().iter().map(|run| (run.run.run_id.clone(), usage(run))).collect();
    assert_eq!(runs, [(run(2).run_id.clone(), 100), (run(3).run_id.clone(), 0)].into());
    assert!(!ports.store.objects.borrow().contains_key(&run(1).manifest_key()), "it ran");
    assert!(emitted.borrow()[0].contains("RunsFailed"), "{emitted:?}");
    assert_eq!([&taken, &lists].map(|key| ports.store.objects.borrow()[key].clone()), before);
    // A second call changes nothing and counts nothing again, with `hold` or after the batch has ended.
    let (objects, documents) = (ports.store.objects.borrow().clone(), emitted.borrow().len());
    assert_eq!(hold(&ports), Ok(Response { taken: 0, left: 0, held: 2 }));
    assert_eq!(*ports.store.objects.borrow(), objects);
    take(&ports).unwrap();
    assert_eq!((ports.ledger.0.borrow().len(), emitted.borrow().len()), (2, documents));
}

#[test]
fn a_batch_that_ended_meanwhile_closes_what_is_held() {
    let ports = held();
    assert_eq!(take(&ports), Ok(Response { taken: 0, left: 3, held: 2 }));
    assert_eq!(ports.ledger.0.borrow().len(), 2);
}

#[test]
fn where_nothing_is_held_a_second_call_closes_nothing() {
    let ports = held();
    let jobs = ports.store.json(&batch().jobs_key()).to_string();
    let jobs = jobs.replace("\"held\"", "\"not_started\"").into_bytes();
    ports.store.objects.borrow_mut().insert(batch().jobs_key(), jobs);
    assert_eq!(hold(&ports), Ok(Response::default()));
    assert!(ports.ledger.0.borrow().is_empty());
}

/// A completed job was paid, so its records must not run on demand as well.
#[test]
fn a_completed_job_without_its_file_is_not_asked_for_once_more() {
    let ports = ports(Some(&[]));
    let key = output_key(&batch().bulk_output_prefix(), ARN, "000001.jsonl");
    let rendered = ports.store.objects.borrow_mut().remove(&batch().rendered_key(1)).unwrap();
    ports.store.objects.borrow_mut().remove(&key);
    assert_eq!(take(&ports), Ok(response(0, 3)));
    ports.store.objects.borrow_mut().insert(batch().rendered_key(1), rendered);
    let fault = take(&ports).unwrap_err();
    assert!(
        fault.message.ends_with(&format!("is completed, but its output {key} does not exist")),
        "{}",
        fault.message
    );
}

#[test]
fn without_a_job_everything_is_left() {
    let ports = ports(None);
    assert_eq!(take(&ports), Ok(response(0, 3)));
    assert_eq!(rest(&ports), [1, 2, 3]);
    ports.store.objects.borrow_mut().remove(&batch().places_key(1));
    assert_eq!(take(&ports), Ok(response(0, 0)));
}

#[test]
fn whatever_call_of_the_store_fails_the_retry_finishes_it() {
    for call in 1.. {
        let ports = ports(Some(&[answered(3, "{}"), answered(1, "no")]));
        ports.store.failing.set(call);
        let first = take(&ports);
        let is_done = ports.store.failing.get() > 0;
        assert_eq!(first.is_ok(), is_done, "call {call}");
        if is_done {
            assert!(call > 12);
            return;
        }
        assert_eq!(take(&ports), Ok(response(1, 2)));
        assert_eq!((ports.ledger.0.borrow().len(), left(&ports)), (1, vec![1, 2]), "call {call}");
    }
}

#[test]
fn whatever_call_of_the_store_fails_the_retry_closes_what_is_held() {
    for call in 1.. {
        let ports = held();
        ports.store.failing.set(call);
        let first = hold(&ports);
        let is_done = ports.store.failing.get() > 0;
        assert_eq!(first.is_ok(), is_done, "call {call}");
        if is_done {
            assert!(call > 12);
            return;
        }
        assert_eq!(hold(&ports).map(|response| response.held), Ok(2), "call {call}");
        let closed = ports.ledger.0.borrow();
        let failed = closed.iter().filter(|run| run.manifest.error.is_some()).count();
        assert_eq!((closed.len(), failed), (2, 2), "call {call}");
    }
}

#[test]
fn a_records_answer_that_was_cut_is_marked_in_its_run() {
    let mut cut = answered(3, "{\"ok\":true}");
    cut["modelOutput"]["stopReason"] = json!("max_tokens");
    let ports = ports(Some(&[cut]));
    take(&ports).unwrap();
    assert_eq!(ports.store.json(&run(3).manifest_key())["truncated"], 1);
}
