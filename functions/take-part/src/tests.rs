use bcce_core::base::error::ErrorName;
use bcce_core::base::json::{add_line, parse_lines, to_json};
use bcce_core::base::usage::Usage;
use bcce_core::batch::bulk::{Rendered, output_key};
use bcce_core::batch::{Item, bulk};
use bcce_core::call::attempt::{Attempt, AttemptKind, Cause};
use bcce_core::config::pricing::Tier;
use bcce_core::fakes::{MemoryLedger, MemoryStore, StoppedClock, now};
use bcce_core::io::packed::find_runs;
use bcce_core::ports::PartOf;
use bcce_core::run::artifact::StepFailure;
use bcce_core::run::ids::{Run, RunRef};
use bcce_core::run::manifest::Manifest;
use bcce_core::run::notification::RunStatus;
use bcce_core::run::plan::Plan;
use serde_json::{Value, json};
use time::macros::datetime;

use super::*;

const EVENT: &str = include_str!("../../../events/take-part/first.json");
const PLAN: &str = include_str!("../../../events/invoke/plan.json");
const ARN: &str = "arn:aws:bedrock:us-east-1:000000000000:model-invocation-job/abc123def456";

type Fakes = Ports<MemoryStore, MemoryLedger, StoppedClock>;

fn batch() -> BatchRun {
    serde_json::from_str::<Request>(EVENT).unwrap().batch
}

fn config() -> Config {
    Config {
        bucket: "bucket".into(),
        key_arn: "key".into(),
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

/// Returns the planned run of an item.
fn planned(n: u64, plan: &Plan) -> PackedRun {
    let (reference, started_at) = (run(n), datetime!(2026-11-01 11:00 UTC));
    let execution_arn = batch().execution_arn;
    let mut run = PackedRun::new(n, Run { reference, execution_arn, started_at });
    run.add("request.json", &json!({})).unwrap();
    run.add("plan.json", plan).unwrap();
    run
}

/// Returns ports with a part of three items, for which a job returned the lines of `output`.
fn ports(output: Option<&[Value]>) -> Fakes {
    ports_with(&plan(), output)
}

fn ports_with(plan: &Plan, output: Option<&[Value]>) -> Fakes {
    let mut objects = Vec::new();
    let (mut entries, mut places, mut runs) = (Vec::new(), Vec::new(), Vec::new());
    for n in 1..=3 {
        add_line(&mut entries, &item(n)).unwrap();
        add_line(&mut places, &Place { n, part: 1, at: n, bytes: 1, attempt_no: 1 }).unwrap();
        add_line(&mut runs, &planned(n, plan)).unwrap();
    }
    let opened = json!({
        "version": 1, "items": 3, "rejected": 0, "to_run": 3, "parts": 1,
        "source": { "uri": "s3://bucket/k", "format": "jsonl", "bytes": 1 },
        "mode": "bulk", "way": "packed", "because": [], "concurrency": 20, "allowed_failures": 20,
    });
    objects.push((batch().part_key(1), entries));
    objects.push((batch().places_key(1), places));
    objects.push((batch().segment_key(1, 1), runs));
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
        ledger: MemoryLedger::default(),
        clock: StoppedClock(datetime!(2026-11-01 12:11 UTC)),
    }
}

/// Returns what the segments have of the run of an item.
fn stored(ports: &Fakes, n: u64) -> PackedRun {
    now(find_runs(&ports.store, &batch(), 1, |_| true)).unwrap().remove(&n).unwrap()
}

fn manifest(ports: &Fakes, n: u64) -> Manifest {
    stored(ports, n).manifest().unwrap().expect("the run is over")
}

/// Returns an object of the run of an item. `key` has the prefix of the run.
fn object<T: serde::de::DeserializeOwned>(ports: &Fakes, n: u64, key: &str) -> T {
    let stored = stored(ports, n);
    let name = key.strip_prefix(&stored.run.prefix()).unwrap();
    serde_json::from_slice(stored.object(name).expect("the object is stored")).unwrap()
}

/// Returns the runs that are over, as the ledger has the progress of the part.
fn progress(ports: &Fakes) -> PartProgress {
    let part = PartOf { batch: batch().item_of(), part: 1 };
    ports.ledger.parts.borrow()[&part].progress.clone()
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
    Response { taken, left }
}

fn take(ports: &Fakes) -> Result<Response, Fault> {
    now(handle(ports, &config(), serde_json::from_str(EVENT).unwrap()))
}

fn others(ports: &Fakes) -> Vec<u64> {
    let objects = ports.store.objects.borrow();
    let body = objects.get(&batch().others_key(1)).cloned().unwrap_or_default();
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
    let ports = ports(Some(&[answered(3, "{\"ok\":true}"), refused(1)]));
    assert_eq!(take(&ports), Ok(response(1, 2)));
    assert_eq!((left(&ports), others(&ports)), (vec![1, 2], vec![]));
    let taken = ports.store.json(&batch().taken_key(1));
    let error = &taken["error"]["name"];
    assert_eq!((error, &taken["left"]), (&json!("Bcce.TargetThrottled"), &json!(2)));
    // One record failed and the other is missing. A completed job has processed both.
    assert_eq!((&taken["processed"], &taken["failed"]), (&json!(3), &json!(2)));
    let manifest = manifest(&ports, 3);
    assert_eq!(manifest.status, RunStatus::Succeeded);
    assert_eq!(manifest.started_at, datetime!(2026-11-01 12:00 UTC));
    assert_eq!(manifest.execution_arn, batch().execution_arn);
    assert_eq!(manifest.artifacts.len(), 3);
    let artifact: Value = object(&ports, 3, &run(3).step_key(&step, None));
    assert_eq!(artifact["output"]["json"], json!({ "ok": true }));
    assert_eq!(artifact["attempts"][0]["kind"], "bulk");
    assert!(artifact["decisions"][0]["because"][0].as_str().unwrap().contains(ARN));
    let used = Usage { input_tokens: 100, output_tokens: 10, ..Default::default() };
    let attempt: Attempt = serde_json::from_value(artifact["attempts"][0].clone()).unwrap();
    let model_id = &attempt.target.model_id;
    let half = plan().cost(model_id, attempt.started_at, Tier::Batch, &used);
    assert_eq!(manifest.totals.cost_usd, half);
    // A record that used no tokens leaves nothing in its run.
    assert_eq!((stored(&ports, 1).state, stored(&ports, 1).objects.len()), (RunState::Planned, 2));
    assert_eq!((progress(&ports).runs.succeeded, progress(&ports).runs.over()), (1, 1));
    // Each run is found by its id, and a later function may take the part at once.
    let places = ports.ledger.places.borrow();
    let numbers: Vec<u64> = places.values().map(|place| place.n).collect();
    assert_eq!(numbers.len(), 3);
    let part = PartOf { batch: batch().item_of(), part: 1 };
    assert_eq!(ports.ledger.parts.borrow()[&part].until, ports.clock.0);
}

/// A second invocation stores no run a second time: the first line of a run that is over counts.
#[test]
fn taking_a_part_again_changes_nothing() {
    let ports = ports(Some(&[answered(3, "{\"ok\":true}"), answered(2, "no JSON")]));
    assert_eq!(take(&ports), Ok(response(1, 2)));
    let (before, lists) = (manifest(&ports, 3), ports.store.json(&batch().taken_key(1)));
    let charged = stored(&ports, 2);
    assert_eq!(take(&ports), Ok(response(1, 2)));
    assert_eq!((manifest(&ports, 3), ports.store.json(&batch().taken_key(1))), (before, lists));
    assert_eq!(stored(&ports, 2).objects.len(), charged.objects.len());
    assert_eq!(progress(&ports).runs.over(), 1);
}

/// After its batch has ended, a part may have runs that `run-part` worked on. Its answers are not taken for them.
#[test]
fn a_run_that_runs_on_demand_already_is_not_touched() {
    let ports = ports(Some(&[answered(1, "{}"), answered(2, "{}")]));
    let mut under_way = planned(1, &plan());
    under_way.state = RunState::UnderWay(Vec::new());
    let mut failed = planned(2, &plan());
    let (ended_at, fault) = (datetime!(2026-11-01 12:05 UTC), Fault::internal("it failed"));
    failed.state = RunState::Over { ended_at, fault: Some(fault), ending: None };
    let mut lines = Vec::new();
    [under_way, failed].iter().try_for_each(|run| add_line(&mut lines, run)).unwrap();
    ports.store.objects.borrow_mut().insert(batch().segment_key(1, 2), lines);
    assert_eq!(take(&ports), Ok(response(1, 2)));
    assert!(matches!(stored(&ports, 1).state, RunState::UnderWay(_)));
    assert_eq!(manifest(&ports, 2).status, RunStatus::Failed);
    assert_eq!(progress(&ports).runs.failed, 1);
}

#[test]
fn an_invalid_answer_is_kept_with_its_cost_and_asked_again() {
    let step = plan().result;
    let ports = ports(Some(&[answered(2, "no JSON")]));
    assert_eq!(take(&ports), Ok(response(0, 3)));
    let failure: StepFailure = object(&ports, 2, &run(2).record_failure_key(&step));
    assert_eq!(failure.error.name, ErrorName::OutputInvalid);
    assert!(failure.record.totals.cost_usd.unwrap() > Default::default());
    let stored = stored(&ports, 2);
    assert_eq!(
        (&stored.state, stored.record_failure()),
        (&RunState::Planned, Ok(Some(failure.error)))
    );
    assert_eq!(progress(&ports).runs.over(), 0);
    assert_eq!(left(&ports), [1, 2, 3]);
}

#[test]
fn what_a_job_was_not_done_with_has_not_failed_and_what_was_no_record_runs_on_demand() {
    let ports = ports(Some(&[refused(1)]));
    end(&ports, "PartiallyCompleted", &[2]);
    assert_eq!(take(&ports), Ok(response(0, 3)));
    assert_eq!((left(&ports), others(&ports)), (vec![1, 3], vec![2]));
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
    let manifest = manifest(&ports, 2);
    assert_eq!(manifest.status, RunStatus::Failed);
    assert_eq!(manifest.error.unwrap().name, ErrorName::RequestRejected);
    assert!(manifest.totals.cost_usd.unwrap() > Default::default());
    let failure: StepFailure = object(&ports, 2, &run(2).failure_key(&step, None));
    assert_eq!(failure.record.attempts[0].kind, AttemptKind::Bulk);
    assert_eq!(progress(&ports).runs.failed, 1);
}

/// A run on demand tries a target with a larger context. If there is none, its answer would be the same.
#[test]
fn a_prompt_that_is_too_long_is_left_where_another_target_takes_more() {
    for (larger, expected) in [(true, response(0, 3)), (false, response(1, 2))] {
        let mut long = answered(2, "");
        long["modelOutput"]["stopReason"] = json!("model_context_window_exceeded");
        let mut plan = plan();
        let route = plan.routes.get_mut("haiku").unwrap();
        route.targets[1].context_tokens += u64::from(larger);
        let ports = ports_with(&plan, Some(&[long]));
        assert_eq!(take(&ports), Ok(expected));
        let is_left = left(&ports).contains(&2);
        assert_eq!((is_left, stored(&ports, 2).is_over()), (larger, !larger));
        let key = match larger {
            true => run(2).record_failure_key(&plan.result),
            false => run(2).failure_key(&plan.result, None),
        };
        let failure: StepFailure = object(&ports, 2, &key);
        assert_eq!(failure.record.attempts[0].cause, Some(Cause::ContextTooLong));
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
    assert_eq!((left(&ports), others(&ports)), (vec![1, 2, 3], vec![]));
    let taken = ports.store.json(&batch().taken_key(1));
    assert_eq!((&taken["records"], &taken["processed"]), (&json!(3), &json!(0)));
    // A job that was too small to be started is not at fault.
    ports.store.objects.borrow_mut().remove(&batch().left_key(1));
    jobs["jobs"][0]["is_refused"] = json!(false);
    put(&jobs);
    assert_eq!(take(&ports), Ok(response(0, 3)));
    assert_eq!((left(&ports), others(&ports)), (vec![], vec![1, 2, 3]));
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
    assert_eq!(others(&ports), [1, 2, 3]);
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
        let over = progress(&ports).runs.over();
        assert_eq!((over, left(&ports)), (1, vec![1, 2]), "call {call}");
    }
}

#[test]
fn whatever_call_of_the_ledger_fails_the_retry_finishes_it() {
    for call in 1..=3 {
        let ports = ports(Some(&[answered(3, "{}"), answered(1, "no")]));
        ports.ledger.failing.set(call);
        assert!(take(&ports).is_err(), "call {call}");
        assert_eq!(take(&ports), Ok(response(1, 2)), "call {call}");
        assert_eq!((progress(&ports).runs.over(), left(&ports)), (1, vec![1, 2]), "call {call}");
        assert_eq!(ports.ledger.places.borrow().len(), 3);
    }
}

#[test]
fn a_part_that_another_function_owns_is_left_to_it() {
    let ports = ports(Some(&[answered(3, "{}")]));
    let part = PartOf { batch: batch().item_of(), part: 1 };
    let (at, until) = (datetime!(2026-11-01 12:10 UTC), datetime!(2026-11-01 12:12 UTC));
    now(ports.ledger.take_part(&part, "f", at, until)).unwrap();
    assert_eq!(take(&ports), Ok(Response::default()));
    assert_eq!(stored(&ports, 3).state, RunState::Planned);
}

#[test]
fn a_records_answer_that_was_cut_is_marked_in_its_run() {
    let mut cut = answered(3, "{\"ok\":true}");
    cut["modelOutput"]["stopReason"] = json!("max_tokens");
    let ports = ports(Some(&[cut]));
    take(&ports).unwrap();
    assert_eq!(manifest(&ports, 3).truncated, 1);
}

/// The runs of such a batch were not planned, and its retry gives each item an execution of its own.
#[test]
fn of_a_batch_that_an_earlier_version_opened_nothing_is_taken() {
    let ports = ports(Some(&[answered(3, "{}")]));
    let opened =
        ports.store.json(&batch().opened_key()).to_string().replace("packed", "executions");
    ports.store.objects.borrow_mut().insert(batch().opened_key(), opened.into_bytes());
    assert_eq!(take(&ports), Ok(Response::default()));
    assert!(ports.ledger.places.borrow().is_empty());
}
