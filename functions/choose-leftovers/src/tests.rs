use std::collections::BTreeSet;

use bcce_core::base::error::ErrorName;
use bcce_core::base::json::add_line;
use bcce_core::batch::Item;
use bcce_core::batch::packed::{PackedRun, RunState};
use bcce_core::batch::reference::Place;
use bcce_core::fakes::{MemoryStore, now};
use bcce_core::run::ids::Run;
use bcce_core::run::plan::Plan;
use serde_json::{Value, json};
use time::macros::datetime;

use super::*;

const FIRST: &str = include_str!("../../../events/choose-leftovers/first.json");
const PLAN: &str = include_str!("../../../events/invoke/plan.json");
const ANSWER: &str = include_str!("../../../events/persist-artifact/answer.json");
const SAMPLED: &str = include_str!("../../../events/choose-leftovers/sampled.json");

fn batch() -> BatchRef {
    serde_json::from_str::<Request>(FIRST).unwrap().batch.reference
}

fn item(n: u64) -> Item {
    let item = json!({ "n": n, "line": n, "id": format!("i{n}"), "inputs": { "text": "t" } });
    serde_json::from_value(item).unwrap()
}

/// Returns ports with a batch of 101 parts, so that it has two jobs. The first part of each job has 50 items.
fn ports() -> Ports<MemoryStore> {
    let opened = json!({
        "version": 1, "items": 100, "rejected": 0, "to_run": 100, "parts": 101,
        "source": { "uri": "s3://bucket/k", "format": "jsonl", "bytes": 1 },
        "mode": "bulk", "because": [], "concurrency": 20, "allowed_failures": 20,
    });
    let job = |job: u32| json!({ "job": job, "arn": format!("arn{job}"), "status": "Completed", "given": 50, "records": {} });
    let jobs =
        json!({ "version": 1, "started_at": "2026-11-01T12:00:00Z", "jobs": [job(1), job(2)] });
    let mut parts = Vec::new();
    (1..=101).try_for_each(|part| add_line(&mut parts, &Part { part, lines: 50 })).unwrap();
    let store = MemoryStore::with([
        (batch().parts_key(), parts),
        (batch().opened_key(), opened.to_string().into_bytes()),
        (batch().jobs_key(), jobs.to_string().into_bytes()),
    ]);
    Ports { store }
}

/// The first parts of the two jobs.
const PARTS: [u32; 2] = [1, 52];

/// Stores a part of which `failed` records failed and `others` items were not records.
fn take(ports: &Ports<MemoryStore>, part: u32, failed: u64, others: u64) {
    let (mut entries, mut left) = (Vec::new(), Vec::new());
    for line in 1..=50_u64 {
        let n = u64::from(part) * 1_000 + line;
        let at = entries.len() as u64;
        add_line(&mut entries, &item(n)).unwrap();
        let place = Place { n, part, at, bytes: entries.len() as u64 - at - 1, attempt_no: 1 };
        if line > 50 - failed {
            add_line(&mut left, &place).unwrap();
        }
    }
    let error = (failed > 0).then(|| Fault::new(ErrorName::RequestRejected, "m"));
    let taken = TakenPart { records: 50, processed: 50, failed, left: failed, others, error };
    let mut objects = ports.store.objects.borrow_mut();
    objects.insert(batch().part_key(part), entries);
    objects.insert(batch().left_key(part), left);
    objects.insert(batch().taken_key(part), to_json(&taken).unwrap());
}

fn choose(ports: &Ports<MemoryStore>, event: &str) -> Result<Response, Fault> {
    let config = Config { bucket: "b".into(), key_arn: "k".into() };
    now(handle(ports, &config, serde_json::from_str(event).unwrap()))
}

fn leftovers() -> Response {
    Response::Leftovers { parts: batch().leftover_parts_key() }
}

fn sample() -> Response {
    Response::Sample { parts: batch().sample_parts_key() }
}

/// Returns the parts that an object lists.
fn parts(ports: &Ports<MemoryStore>, key: &str) -> Vec<u32> {
    let lines = ports.store.lines(key);
    lines.iter().map(|line| line["part"].as_u64().unwrap() as u32).collect()
}

/// Returns the numbers of the items that an object lists.
fn listed(ports: &Ports<MemoryStore>, key: &str) -> BTreeSet<u64> {
    match ports.store.objects.borrow().contains_key(key) {
        false => BTreeSet::new(),
        true => ports.store.lines(key).iter().map(|line| line["n"].as_u64().unwrap()).collect(),
    }
}

fn verdicts(ports: &Ports<MemoryStore>) -> Vec<Value> {
    let jobs = ports.store.json(&batch().jobs_key());
    jobs["jobs"].as_array().unwrap().iter().map(|job| job["leftovers"]["verdict"].clone()).collect()
}

/// Stores that the first runs of the sample succeeded and the following ones failed.
fn run_sample(ports: &Ports<MemoryStore>, succeeded: usize, failed: usize) {
    let outcomes = [vec![true; succeeded], vec![false; failed]];
    let items = listed(ports, &batch().sample_key());
    let mut lines = Vec::new();
    for (n, has_succeeded) in items.into_iter().zip(outcomes.concat()) {
        let at = datetime!(2026-11-01 12:00 UTC);
        let reference = item(n).run(&batch(), 1);
        let run = Run { reference, execution_arn: "arn".into(), started_at: at };
        let mut run = PackedRun::new(n, run);
        run.add("plan.json", &serde_json::from_str::<Plan>(PLAN).unwrap()).unwrap();
        if has_succeeded {
            let answer: Value = serde_json::from_str(ANSWER).unwrap();
            run.add("steps/answer.answer.json", &answer).unwrap();
        }
        let fault = (!has_succeeded).then(|| Fault::internal("it failed"));
        run.state = RunState::Over { ended_at: at, fault, ending: None };
        add_line(&mut lines, &run).unwrap();
    }
    let key = batch().segment_key(PARTS[0], 1);
    ports.store.objects.borrow_mut().insert(key, lines);
}

const SAMPLE_SIZE: usize = bcce_core::batch::bulk::SAMPLE as usize;

#[test]
fn few_leftovers_run_on_demand_at_once() {
    let ports = ports();
    take(&ports, PARTS[0], 3, 2);
    take(&ports, PARTS[1], 0, 0);
    assert_eq!(choose(&ports, FIRST), Ok(leftovers()));
    assert_eq!(parts(&ports, &batch().leftover_parts_key()), [1]);
    assert_eq!(ports.store.lines(&batch().leftover_parts_key())[0]["lines"], 50);
    assert_eq!(verdicts(&ports), [json!("on_demand"), Value::Null]);
}

#[test]
fn where_nothing_is_left_nothing_runs() {
    let ports = ports();
    assert_eq!(choose(&ports, FIRST), Ok(Response::Nothing), "no part could be taken");
    PARTS.iter().for_each(|part| take(&ports, *part, 0, 0));
    assert_eq!(choose(&ports, FIRST), Ok(Response::Nothing));
    take(&ports, 1, 0, 1);
    assert_eq!(choose(&ports, FIRST), Ok(leftovers()));
    ports.store.objects.borrow_mut().remove(&batch().jobs_key());
    assert_eq!(choose(&ports, FIRST), Ok(leftovers()));
}

/// Returns ports with a batch of two jobs. Nearly all records of the first job failed.
fn suspicious() -> Ports<MemoryStore> {
    let ports = ports();
    take(&ports, PARTS[0], 50, 0);
    take(&ports, PARTS[1], 5, 1);
    assert_eq!(choose(&ports, FIRST), Ok(sample()));
    ports
}

#[test]
fn where_nearly_all_failed_a_sample_runs_and_nothing_else() {
    let ports = suspicious();
    let sample = listed(&ports, &batch().sample_key());
    assert_eq!(sample.len(), SAMPLE_SIZE);
    assert!(sample.iter().all(|n| (1_001..=1_050).contains(n)), "of the first job: {sample:?}");
    assert_eq!(verdicts(&ports), ["sample", "on_demand"]);
    assert_eq!(parts(&ports, &batch().sample_parts_key()), [1]);
    assert!(!ports.store.objects.borrow().contains_key(&batch().leftover_parts_key()));
}

#[test]
fn when_the_sample_is_answered_the_others_run() {
    let ports = suspicious();
    run_sample(&ports, 6, 4);
    assert_eq!(choose(&ports, SAMPLED), Ok(leftovers()));
    assert_eq!(parts(&ports, &batch().leftover_parts_key()), PARTS);
    assert_eq!(verdicts(&ports), ["on_demand", "on_demand"]);
}

#[test]
fn when_the_sample_fails_the_others_are_held_with_the_reason_and_the_other_job_is_not() {
    let ports = suspicious();
    run_sample(&ports, 0, SAMPLE_SIZE);
    assert_eq!(choose(&ports, SAMPLED), Ok(leftovers()));
    assert_eq!(parts(&ports, &batch().leftover_parts_key()), [PARTS[1]]);
    let jobs: JobsRecord = serde_json::from_value(ports.store.json(&batch().jobs_key())).unwrap();
    assert_eq!(jobs.jobs[1].held(), None);
    let error = jobs.jobs[0].held().unwrap();
    let why = "job 1 of the batch: 50 of 50 records failed, the first with Bcce.RequestRejected";
    assert_eq!(error.name, ErrorName::TooManyFailures);
    assert!(error.message.starts_with(why), "{}", error.message);
    assert_eq!(verdicts(&ports), ["held", "on_demand"]);
    // A second call changes nothing.
    let before = ports.store.objects.borrow().clone();
    choose(&ports, SAMPLED).unwrap();
    assert_eq!(*ports.store.objects.borrow(), before);
}

/// A job that Bedrock refused to start is as suspicious as one that returned nothing.
#[test]
fn of_a_job_that_was_refused_a_sample_runs_first() {
    let ports = ports();
    take(&ports, PARTS[0], 50, 0);
    take(&ports, PARTS[1], 5, 0);
    let mut jobs = ports.store.json(&batch().jobs_key());
    jobs["jobs"][0] = json!({
        "job": 1, "arn": null, "status": null, "is_refused": true, "given": 50, "records": {},
        "message": "no",
    });
    let mut taken = ports.store.json(&batch().taken_key(PARTS[0]));
    (taken["processed"], taken["failed"]) = (json!(0), json!(0));
    taken.as_object_mut().unwrap().remove("error");
    for (key, value) in [(batch().jobs_key(), jobs), (batch().taken_key(PARTS[0]), taken)] {
        ports.store.objects.borrow_mut().insert(key, value.to_string().into_bytes());
    }
    assert_eq!(choose(&ports, FIRST), Ok(sample()));
    assert_eq!(verdicts(&ports), ["sample", "on_demand"]);
    run_sample(&ports, SAMPLE_SIZE, 0);
    assert_eq!(choose(&ports, SAMPLED), Ok(leftovers()));
    assert_eq!(parts(&ports, &batch().leftover_parts_key()), PARTS);
}

#[test]
fn when_the_sample_was_not_started_the_others_are_not_either_and_have_not_failed() {
    let ports = suspicious();
    assert_eq!(choose(&ports, SAMPLED), Ok(leftovers()));
    assert_eq!(parts(&ports, &batch().leftover_parts_key()), [PARTS[1]]);
    assert_eq!(verdicts(&ports), ["not_started", "on_demand"]);
}

#[test]
fn whatever_call_of_the_store_fails_the_retry_finishes_it() {
    let whole = suspicious();
    run_sample(&whole, 0, SAMPLE_SIZE);
    choose(&whole, SAMPLED).unwrap();
    let whole = whole.store.objects.into_inner();
    for call in 1.. {
        let ports = suspicious();
        run_sample(&ports, 0, SAMPLE_SIZE);
        ports.store.failing.set(call);
        if choose(&ports, SAMPLED).is_ok() {
            assert!(call > 100, "a part is a read, and there are 101");
            return;
        }
        choose(&ports, SAMPLED).unwrap();
        assert_eq!(*ports.store.objects.borrow(), whole, "call {call}");
    }
}
