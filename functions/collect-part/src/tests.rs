mod packed; // parts that one function call works off

use bcce_core::base::error::ErrorName;
use bcce_core::base::json::{add_line, parse, to_json};
use bcce_core::batch::reference::{BatchRef, Place};
use bcce_core::batch::{Entry, Item};
use bcce_core::call::answer::Output;
use bcce_core::fakes::{MemoryKey, MemoryLedger, MemoryStore, StoppedClock, now};
use bcce_core::ledger::RunRecord;
use bcce_core::run::artifact::{ArtifactRef, FinishedStep, StepArtifact, StepRecord};
use bcce_core::run::ids::{Run, RunRef};
use bcce_core::run::manifest::{Evidence, Manifest};
use bcce_core::run::notification::RunStatus;
use serde_json::{Value, json};
use time::macros::datetime;

use super::*;

const EVENT: &str = include_str!("../../../events/collect-part/first.json");
const PLAN: &str = include_str!("../../../events/invoke/plan.json");
const ANSWER: &str = include_str!("../../../events/persist-artifact/answer.json");

fn record(run_id: &str, attempt_no: u32) -> RunRecord {
    RunRecord {
        run_id: run_id.to_owned(),
        attempt_no,
        tenant: "default".into(),
        workflow: "explain".into(),
        request_id: "r".into(),
        execution_arn: "arn".into(),
        trace_id: None,
        status: RunStatus::Running,
        started_at: datetime!(2026-11-01 12:00 UTC),
        ended_at: None,
        manifest: None,
        cost_usd: None,
        cost_is_complete: false,
        truncated: 0,
        tags: Default::default(),
        error_name: None,
        error_message: None,
    }
}

type Fakes = Ports<MemoryStore, MemoryLedger, MemoryKey, StoppedClock, Box<dyn Fn(&str)>>;

fn batch() -> BatchRef {
    serde_json::from_str::<Request>(EVENT).unwrap().batch.reference
}

fn item(n: u64) -> Item {
    let item = json!({ "n": n, "line": n, "id": format!("i{n}"), "inputs": { "text": "t" } });
    serde_json::from_value(item).unwrap()
}

/// Returns ports with the result of opening both attempts of a batch.
fn fakes(way: Way) -> Fakes {
    let ports = Ports {
        store: MemoryStore::default(),
        ledger: MemoryLedger::default(),
        signing_key: MemoryKey::default(),
        clock: StoppedClock(datetime!(2026-11-01 12:02 UTC)),
        metrics: Box::new(|_: &str| {}) as Box<dyn Fn(&str)>,
    };
    let opened = json!({
        "version": 1, "items": 1, "rejected": 0, "to_run": 1, "parts": 1, "way": way,
        "source": { "uri": "s3://b/k", "format": "jsonl", "bytes": 1 }, "mode": "on_demand", "because": [],
        "concurrency": 1, "allowed_failures": 0,
    });
    for attempt_no in 1..=3 {
        let batch = BatchRef { attempt_no, ..batch() };
        put(&ports, batch.opened_key(), &opened);
    }
    ports
}

/// Returns ports with a part of `items` items, all of which the attempt runs.
fn ports(items: u64) -> Fakes {
    let ports = fakes(Way::Executions);
    put_lines(&ports, batch().part_key(1), (1..=items).map(item));
    place(&ports, &batch(), (1..=items).map(|n| (n, 1)));
    ports
}

fn place(ports: &Fakes, batch: &BatchRef, due: impl Iterator<Item = (u64, u32)>) {
    let place = |(n, attempt_no)| Place { n, part: 1, at: 0, bytes: 0, attempt_no };
    put_lines(ports, batch.places_key(1), due.map(place));
}

fn put_lines<T: serde::Serialize>(ports: &Fakes, key: String, lines: impl Iterator<Item = T>) {
    let mut body = Vec::new();
    lines.for_each(|line| add_line(&mut body, &line).unwrap());
    ports.store.objects.borrow_mut().insert(key, body);
}

fn put<T: serde::Serialize>(ports: &Fakes, key: String, value: &T) {
    ports.store.objects.borrow_mut().insert(key, to_json(value).unwrap());
}

/// Stores the sealed manifest of an item's run with `status`. The run has a paid answer, even if it failed.
fn end(ports: &Fakes, n: u64, attempt_no: u32, status: RunStatus) -> RunRef {
    let reference = item(n).run(&batch(), attempt_no);
    let started_at = datetime!(2026-11-01 12:00 UTC);
    let run = Run { reference, execution_arn: "arn".into(), started_at };
    let plan = serde_json::from_str(PLAN).unwrap();
    let answer: StepArtifact = serde_json::from_str(ANSWER).unwrap();
    put(ports, run.step_key("answer", None), &answer);
    let failed = status != RunStatus::Succeeded;
    let mut manifest = Manifest::seal(Evidence {
        run: &run,
        plan: Some(&plan),
        artifacts: vec![],
        answers: vec![FinishedStep {
            record: StepRecord { attempt_no, ..answer.record },
            truncated: answer.truncated,
        }],
        failures: vec![],
        broken: vec![],
        logged_calls: vec![],
        fault: failed.then(|| Fault::new(ErrorName::NoTarget, "every target failed")),
        ending: None,
        ended_at: datetime!(2026-11-01 12:01 UTC),
    });
    manifest.status = status;
    put(ports, run.manifest_key(), &manifest);
    run.reference
}

fn config() -> Config {
    Config {
        environment: "dev".into(),
        bucket: String::new(),
        key_arn: String::new(),
        signing_key_arn: String::new(),
        ledger_table: String::new(),
    }
}

fn ask(ports: &Fakes, batch: &BatchRef) -> Result<u64, Fault> {
    let mut request: Request = serde_json::from_str(EVENT).unwrap();
    request.batch.reference = batch.clone();
    now(handle(ports, &config(), request)).map(|response| response.running)
}

fn statuses(ports: &Fakes, batch: &BatchRef) -> Vec<String> {
    let results = ports.store.lines(&batch.part_results_key(1));
    results.iter().map(|result| result["status"].as_str().unwrap().to_owned()).collect()
}

fn retried() -> BatchRef {
    batch().retry().unwrap()
}

#[test]
fn each_item_is_listed_with_its_status() {
    let ports = ports(7);
    let error = Fault::new(ErrorName::InvalidRequest, "line: is not JSON");
    let bad = Rejected { n: 8, line: 9, id: None, error };
    let entries = (1..=7).map(|n| Entry::Item(Box::new(item(n))));
    put_lines(&ports, batch().part_key(1), entries.chain([Entry::Rejected(bad)]));
    let succeeded = end(&ports, 1, 1, RunStatus::Succeeded);
    end(&ports, 2, 1, RunStatus::Failed);
    end(&ports, 3, 1, RunStatus::Cancelled);
    end(&ports, 4, 1, RunStatus::Rejected);
    let refusal = Fault::new(ErrorName::InvalidRequest, "object: is not UTF-8, at byte 3");
    put(&ports, batch().refused_key(5), &refusal);
    let run_id = item(7).run(&batch(), 1).run_id;
    ports.ledger.records.borrow_mut().push(record(&run_id, 1));
    assert_eq!(ask(&ports, &batch()), Ok(1));
    let expected = [
        "SUCCEEDED",
        "FAILED",
        "CANCELLED",
        "FAILED",
        "REJECTED",
        "SKIPPED",
        "RUNNING",
        "REJECTED",
    ];
    assert_eq!(statuses(&ports, &batch()), expected);
    let results = ports.store.lines(&batch().part_results_key(1));
    assert_eq!(results[0]["manifest"], succeeded.manifest_key());
    assert_eq!(
        (&results[0]["id"], &results[0]["totals"]["cost_usd"]),
        (&json!("i1"), &json!("0.000165"))
    );
    assert_eq!(results[1]["error"]["name"], "Bcce.NoTarget");
    assert_eq!(results[4]["error"]["message"], "object: is not UTF-8, at byte 3");
    assert_eq!((&results[5]["run_id"], &results[5]["attempt_no"]), (&Value::Null, &json!(1)));
    assert_eq!(results[6]["run_id"], item(7).run(&batch(), 1).run_id);
    assert_eq!((&results[7]["line"], &results[7]["run_id"]), (&json!(9), &Value::Null));
    let sums = ports.store.json(&batch().part_sums_key(1));
    let counts = json!({ "items": 8, "succeeded": 1, "failed": 2, "cancelled": 1, "rejected": 2, "skipped": 1, "running": 1 });
    assert_eq!(sums["counts"], counts);
    assert_eq!(sums["errors"], json!({ "Bcce.NoTarget": 3, "Bcce.InvalidRequest": 2 }));
    // Failed runs were paid too, and the cost of runs under way is unknown.
    assert_eq!(
        (&sums["totals"]["cost_usd"], &sums["totals"]["priced_subtotal_usd"]),
        (&Value::Null, &json!("0.00066"))
    );
    let outputs = ports.store.lines(&batch().part_outputs_key(1));
    let run_id = &succeeded.run_id;
    assert_eq!(
        outputs,
        [json!({ "n": 1, "line": 1, "id": "i1", "run_id": run_id, "output": "It opens." })]
    );
    assert_eq!(ports.ledger.record_reads.get(), 2, "only for runs that stored nothing");
}

#[test]
fn another_look_finds_what_is_over_by_then() {
    let ports = ports(1);
    let run_id = item(1).run(&batch(), 1).run_id;
    ports.ledger.records.borrow_mut().push(record(&run_id, 1));
    assert_eq!(ask(&ports, &batch()), Ok(1));
    end(&ports, 1, 1, RunStatus::Succeeded);
    assert_eq!(ask(&ports, &batch()), Ok(0));
    assert_eq!(statuses(&ports, &batch()), ["SUCCEEDED"]);
}

#[test]
fn whatever_fails_a_retry_finishes() {
    let whole = |ports: &Fakes| {
        end(ports, 1, 1, RunStatus::Succeeded);
        end(ports, 2, 1, RunStatus::Failed);
    };
    let reference = ports(3);
    whole(&reference);
    ask(&reference, &batch()).unwrap();
    let mut failures = 0;
    loop {
        let ports = ports(3);
        whole(&ports);
        ports.store.failing.set(failures + 1);
        let Err(fault) = ask(&ports, &batch()) else { break };
        assert_eq!(fault.name, ErrorName::Internal);
        assert_eq!(ask(&ports, &batch()), Ok(0));
        assert_eq!(*ports.store.objects.borrow(), *reference.store.objects.borrow());
        failures += 1;
    }
    // The calls that can fail read what was opened, the part, its places, two manifests, an answer and the objects of the third item,
    // and write three objects.
    assert_eq!(failures, 11);
}

/// Returns ports with a first attempt whose items 1 to 4 succeeded, failed, were refused and were not started, in this
/// order.
fn first_attempt() -> Fakes {
    let ports = ports(4);
    end(&ports, 1, 1, RunStatus::Succeeded);
    end(&ports, 2, 1, RunStatus::Failed);
    let refusal = Fault::new(ErrorName::InvalidRequest, "object: is not UTF-8, at byte 3");
    put(&ports, batch().refused_key(3), &refusal);
    ask(&ports, &batch()).unwrap();
    ports
}

#[test]
fn a_retry_keeps_what_an_earlier_attempt_did_and_pays_for_its_own() {
    let ports = first_attempt();
    place(&ports, &retried(), [(2, 2), (4, 1)].into_iter());
    end(&ports, 2, 2, RunStatus::Succeeded);
    end(&ports, 4, 1, RunStatus::Succeeded);
    assert_eq!(ask(&ports, &retried()), Ok(0));
    assert_eq!(statuses(&ports, &retried()), ["SUCCEEDED", "SUCCEEDED", "REJECTED", "SUCCEEDED"]);
    let results = ports.store.lines(&retried().part_results_key(1));
    let attempts: Vec<&Value> = results.iter().map(|result| &result["attempt_no"]).collect();
    assert_eq!(attempts, [&json!(1), &json!(2), &Value::Null, &json!(1)]);
    let sums = ports.store.json(&retried().part_sums_key(1));
    assert_eq!(sums["totals"]["cost_usd"], "0.00033", "the cost of two runs");
    let outputs = ports.store.lines(&retried().part_outputs_key(1));
    let ids: Vec<&Value> = outputs.iter().map(|output| &output["id"]).collect();
    assert_eq!(ids, ["i1", "i2", "i4"], "the merged outputs are whole");
    assert_eq!(statuses(&ports, &batch()), ["SUCCEEDED", "FAILED", "REJECTED", "SKIPPED"]);
}

/// The attempt in between ended before any of its results was collected.
#[test]
fn a_retry_uses_the_last_attempt_that_was_collected() {
    let ports = first_attempt();
    let third = retried().retry().unwrap();
    place(&ports, &third, [(4, 1)].into_iter());
    ask(&ports, &third).unwrap();
    assert_eq!(statuses(&ports, &third), ["SUCCEEDED", "FAILED", "REJECTED", "SKIPPED"]);
    assert_eq!(ports.store.json(&third.part_sums_key(1))["totals"]["cost_usd"], "0");
}

#[test]
fn the_answers_of_a_step_that_fans_out_are_a_list_in_its_order() {
    let ports = ports(1);
    let run = end(&ports, 1, 1, RunStatus::Succeeded);
    let mut manifest: Manifest =
        parse("", &ports.store.objects.borrow()[&run.manifest_key()]).unwrap();
    manifest.result = Some(run.items_prefix("answer"));
    for n in [0, 10, 2] {
        let answer: StepArtifact = serde_json::from_str(ANSWER).unwrap();
        let output =
            Output { text: format!("number {n}"), json: (n == 10).then(|| json!({ "n": 10 })) };
        let key = run.step_key("answer", Some(n));
        put(&ports, key.clone(), &StepArtifact { output, ..answer });
        manifest.artifacts.push(ArtifactRef::of(key, b""));
    }
    // This artifact is of another step.
    manifest.artifacts.push(ArtifactRef::of(run.step_key("part", Some(1)), b""));
    put(&ports, run.manifest_key(), &manifest);
    ask(&ports, &batch()).unwrap();
    let outputs = ports.store.lines(&batch().part_outputs_key(1));
    assert_eq!(outputs[0]["output"], json!(["number 0", "number 2", { "n": 10 }]));
}

#[test]
fn an_answer_that_is_gone_is_our_fault() {
    let ports = ports(1);
    let run = end(&ports, 1, 1, RunStatus::Succeeded);
    ports.store.objects.borrow_mut().remove(&run.step_key("answer", None));
    let fault = ask(&ports, &batch()).unwrap_err();
    assert_eq!(fault.name, ErrorName::Internal);
    assert!(fault.message.ends_with("is missing"), "{}", fault.message);
}

#[test]
fn an_item_whose_answer_was_cut_is_marked_next_to_its_status() {
    let ports = ports(2);
    end(&ports, 1, 1, RunStatus::Succeeded);
    let run = end(&ports, 2, 1, RunStatus::Succeeded);
    let key = run.manifest_key();
    let mut manifest: Manifest = parse(&key, &ports.store.objects.borrow()[&key]).unwrap();
    manifest.truncated = 3;
    put(&ports, key, &manifest);
    assert_eq!(ask(&ports, &batch()), Ok(0));
    for key in [batch().part_results_key(1), batch().part_outputs_key(1)] {
        let lines = ports.store.lines(&key);
        assert_eq!((lines[0].get("truncated"), &lines[1]["truncated"]), (None, &json!(3)), "{key}");
    }
    let counts = &ports.store.json(&batch().part_sums_key(1))["counts"];
    assert_eq!((&counts["succeeded"], &counts["truncated"]), (&json!(2), &json!(1)));
}
