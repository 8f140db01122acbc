use bcce_core::batch::packed::{PackedRun, PartManifest, RunState, StartedCall, fence_line, tree};
use bcce_core::call::attempt::Attempt;
use bcce_core::io::seal::{Sealable, Subject};
use bcce_core::ports::{LogCalls, PartOf};
use bcce_core::run::artifact::{StepFailure, StepStatus};
use bcce_core::run::call_log::LoggedCall;
use bcce_core::run::plan::Plan;
use rust_decimal::Decimal;

use super::*;

/// Returns ports with a packed part of `items` items, all of which the attempt runs.
fn packed(items: u64) -> Fakes {
    let ports = fakes(Way::Packed);
    put_lines(&ports, batch().part_key(1), (1..=items).map(item));
    place(&ports, &batch(), (1..=items).map(|n| (n, 1)));
    let message =
        json!({ "workflow": "explain", "id": "42", "batch": { "source": "s3://bucket/a.jsonl" } });
    let message = bcce_core::batch::BatchRequest::parse(&message.to_string()).unwrap();
    let stored = bcce_core::batch::StoredBatch::new(message, "default", "m");
    put(&ports, batch().request_key(), &stored);
    ports
}

fn part_of() -> PartOf {
    PartOf { batch: batch().item_of(), part: 1 }
}

/// Makes a function take the part. It owns the part until a moment ago.
fn work_off(ports: &Fakes) {
    let before = datetime!(2026-11-01 12:01 UTC);
    now(ports.ledger.take_part(&part_of(), "f", before, before)).unwrap();
}

/// Returns the run of an item that was answered.
fn answered(n: u64) -> PackedRun {
    let mut run = planned(n);
    let answer: StepArtifact = serde_json::from_str(ANSWER).unwrap();
    run.add_at(&run.run.step_key("answer", None), &answer).unwrap();
    run.state =
        RunState::Over { ended_at: datetime!(2026-11-01 12:01 UTC), fault: None, ending: None };
    run
}

fn planned(n: u64) -> PackedRun {
    let run = Run {
        reference: item(n).run(&batch(), 1),
        execution_arn: "arn".into(),
        started_at: datetime!(2026-11-01 12:00 UTC),
    };
    let mut run = PackedRun::new(n, run);
    run.add("request.json", &json!({ "n": n })).unwrap();
    run.add("plan.json", &serde_json::from_str::<Plan>(PLAN).unwrap()).unwrap();
    run
}

fn under_way(n: u64) -> PackedRun {
    PackedRun { state: RunState::UnderWay(Vec::new()), ..planned(n) }
}

fn attempt() -> Attempt {
    serde_json::from_str::<StepArtifact>(ANSWER).unwrap().record.attempts.remove(0)
}

fn segment(ports: &Fakes, number: u32, runs: impl IntoIterator<Item = PackedRun>) {
    put_lines(ports, batch().segment_key(1, number), runs.into_iter());
}

fn sealed(ports: &Fakes) -> PartManifest {
    serde_json::from_value(ports.store.json(&batch().part_manifest_key(1))).unwrap()
}

fn manifests(ports: &Fakes) -> Vec<Vec<u8>> {
    let body = ports.store.objects.borrow()[&batch().part_runs_key(1)].clone();
    body.split(|b| *b == b'\n').filter(|line| !line.is_empty()).map(<[u8]>::to_vec).collect()
}

#[test]
fn a_part_is_sealed_by_one_signature_over_the_tree_of_its_runs() {
    let ports = packed(3);
    work_off(&ports);
    segment(&ports, 1, [answered(3)]);
    segment(&ports, 2, [answered(1), answered(2)]);
    assert_eq!(ask(&ports, &batch()), Ok(0));
    assert_eq!(statuses(&ports, &batch()), ["SUCCEEDED"; 3]);
    let (sealed, lines) = (sealed(&ports), manifests(&ports));
    let leaves: Vec<tree::Hash> = lines.iter().map(|line| tree::leaf(line)).collect();
    assert_eq!((sealed.runs, sealed.root), (3, hex::encode(tree::root(&leaves))));
    let ids: Vec<Manifest> = lines.iter().map(|line| parse("k", line).unwrap()).collect();
    let expected: Vec<String> = (1..=3).map(|n| item(n).run(&batch(), 1).run_id).collect();
    assert_eq!(ids.iter().map(|m| m.run_id.clone()).collect::<Vec<_>>(), expected);
    let signatures = ports.store.signatures.borrow();
    assert!(signatures.contains_key(&batch().part_manifest_key(1)) && signatures.len() == 1);
    let outputs = ports.store.lines(&batch().part_outputs_key(1));
    assert_eq!(outputs[2]["n"], 3);
    let subject = Subject::of_part(&batch(), 1);
    let manifest: PartManifest =
        serde_json::from_value(ports.store.json(&batch().part_manifest_key(1))).unwrap();
    assert_eq!(subject.differences(&manifest), Vec::<String>::new());
    assert_eq!(manifest.identity()[3], ("part", "1".to_owned()));
}

#[test]
fn the_costs_of_the_runs_are_those_of_the_part_and_of_the_ledger() {
    let ports = packed(3);
    work_off(&ports);
    segment(&ports, 1, (1..=3).map(answered));
    ask(&ports, &batch()).unwrap();
    ask(&ports, &batch()).unwrap();
    let lines = manifests(&ports);
    let cost = |line: &Vec<u8>| parse::<Manifest>("k", line).unwrap().totals.cost_usd.unwrap();
    let sum: Decimal = lines.iter().map(cost).sum();
    let counted = ports.ledger.counted.borrow();
    let [part] = counted.as_slice() else { panic!("counted {} times", counted.len()) };
    assert_eq!(part.manifest.sums.totals.cost_usd, Some(sum));
    assert_eq!((part.manifest.progress.succeeded, part.manifest.progress.cost_usd), (3, sum));
    let usage: Decimal =
        part.manifest.usage_by_model.iter().map(|line| line.totals.cost_usd.unwrap()).sum();
    assert_eq!(usage, sum);
}

#[test]
fn a_part_that_a_function_works_off_is_not_sealed() {
    let ports = packed(1);
    let (at, until) = (datetime!(2026-11-01 12:01 UTC), datetime!(2026-11-01 12:03 UTC));
    now(ports.ledger.take_part(&part_of(), "f", at, until)).unwrap();
    segment(&ports, 1, [answered(1)]);
    assert_eq!(ask(&ports, &batch()), Ok(1));
    assert!(!ports.store.objects.borrow().contains_key(&batch().part_manifest_key(1)));
}

/// Items without a trace are skipped, one that was refused is rejected, and one whose step is open is closed with
/// everything that it paid.
#[test]
fn what_is_not_over_is_closed_and_counted() {
    let ports = packed(4);
    work_off(&ports);
    let mut open = planned(2);
    let (attempts, decisions) = (vec![attempt()], Vec::new());
    let step = bcce_core::batch::packed::OpenStep { step: "answer".into(), attempts, decisions };
    open.state = RunState::UnderWay(vec![step]);
    let mut refused = planned(3);
    refused.state = RunState::Refused(Fault::new(ErrorName::InvalidRequest, "object: is empty"));
    segment(&ports, 1, [answered(1), open, refused]);
    let mut request: Request = serde_json::from_str(EVENT).unwrap();
    request.ended = Some(ExecutionStatus::Aborted);
    assert_eq!(now(handle(&ports, &config(), request)).unwrap().running, 0);
    let expected = ["SUCCEEDED", "CANCELLED", "REJECTED", "SKIPPED"];
    assert_eq!(statuses(&ports, &batch()), expected);
    let results = ports.store.lines(&batch().part_results_key(1));
    assert_eq!(results[1]["totals"]["cost_usd"], results[0]["totals"]["cost_usd"]);
    assert_eq!(sealed(&ports).runs, 2);
    // The failure of the open step is stored, so that the manifest's artifacts have everything that was paid.
    let closing = ports.store.objects.borrow()[&batch().segment_key(1, 3)].clone();
    let closing = bcce_core::batch::packed::parse_segment("k", &closing).unwrap().remove(0);
    let failure = closing.object("failures/1/answer.failure.json").unwrap();
    assert_eq!(parse::<StepFailure>("k", failure).unwrap().record.attempts.len(), 1);
}

/// Returns ports with a part of a bulk job that had three records: the first was answered, and the second was charged and
/// gave no valid answer. `verdict` is the one on the leftovers of the job.
fn bulk(verdict: &str) -> Fakes {
    let ports = packed(3);
    let mut opened = ports.store.json(&batch().opened_key());
    opened["mode"] = json!("bulk");
    put(&ports, batch().opened_key(), &opened);
    let leftovers = json!({
        "processed": 3, "failed": 3, "left": 2, "verdict": verdict,
        "sample": { "items": 1, "answered": 0, "failed": 1 },
    });
    let job = json!({ "job": 1, "arn": "arn", "status": "Completed", "given": 3, "records": {}, "leftovers": leftovers });
    let jobs = json!({ "version": 1, "started_at": "2026-11-01T12:00:00Z", "jobs": [job] });
    put(&ports, batch().jobs_key(), &jobs);
    work_off(&ports);
    let mut charged = planned(2);
    let answer: StepArtifact = serde_json::from_str(ANSWER).unwrap();
    let error = Fault::new(ErrorName::OutputInvalid, "it is no JSON");
    let failure = StepFailure { record: answer.record, status: StepStatus::Failed, error };
    charged.add_at(&charged.run.record_failure_key("answer"), &failure).unwrap();
    segment(&ports, 1, (1..=3).map(planned));
    segment(&ports, 2, [answered(1), charged]);
    let left = [2, 3].map(|n| Place { n, part: 1, at: 0, bytes: 1, attempt_no: 1 });
    put_lines(&ports, batch().left_key(1), left.into_iter());
    ports
}

#[test]
fn the_records_of_a_job_that_are_held_have_failed_with_what_the_job_charged() {
    let ports = bulk("held");
    assert_eq!(ask(&ports, &batch()), Ok(0));
    assert_eq!(statuses(&ports, &batch()), ["SUCCEEDED", "FAILED", "FAILED"]);
    let results = ports.store.lines(&batch().part_results_key(1));
    for result in &results[1..] {
        assert_eq!(result["error"]["name"], "Bcce.TooManyFailures");
        let why = result["error"]["message"].as_str().unwrap();
        assert!(why.starts_with("job 1 of the batch: 3 of 3 records failed"), "{why}");
    }
    let cost = |n: usize| results[n]["totals"]["cost_usd"].clone();
    assert_eq!((cost(1), cost(2)), (cost(0), json!("0")));
    assert_eq!((sealed(&ports).runs, sealed(&ports).progress.failed), (3, 2));
}

/// Answers that take-part could not take are paid. The next batch attempt may take them.
#[test]
fn a_record_that_take_part_has_not_left_over_is_not_held() {
    let ports = bulk("held");
    ports.store.objects.borrow_mut().remove(&batch().left_key(1));
    assert_eq!(ask(&ports, &batch()), Ok(0));
    assert_eq!(statuses(&ports, &batch()), ["SUCCEEDED", "FAILED", "SKIPPED"]);
}

/// The batch has ended before its leftovers could run.
#[test]
fn a_leftover_that_was_charged_and_did_not_run_has_failed_and_any_other_was_not_started() {
    let ports = bulk("not_started");
    assert_eq!(ask(&ports, &batch()), Ok(0));
    assert_eq!(statuses(&ports, &batch()), ["SUCCEEDED", "FAILED", "SKIPPED"]);
    let results = ports.store.lines(&batch().part_results_key(1));
    assert_eq!(results[1]["error"]["message"], "it is no JSON");
    assert_eq!(results[1]["totals"]["cost_usd"], results[0]["totals"]["cost_usd"]);
    assert_eq!(sealed(&ports).runs, 2);
}

/// A function was ended before it stored anything of its calls.
#[test]
fn calls_that_no_segment_has_are_lost_and_counted_as_unknown() {
    let ports = packed(2);
    work_off(&ports);
    let started_at = datetime!(2026-11-01 12:00:30 UTC);
    let target = attempt().target;
    let call = LoggedCall::new(started_at, target);
    let started = StartedCall { n: 2, step: "answer".into(), allowance: None, call };
    now(ports.ledger.log_calls(&part_of(), "f", 1, &[started])).unwrap();
    segment(&ports, 1, [answered(1)]);
    assert_eq!(ask(&ports, &batch()), Ok(0));
    assert_eq!(statuses(&ports, &batch()), ["SUCCEEDED", "FAILED"]);
    let sealed = sealed(&ports);
    assert_eq!(sealed.usage_by_model.iter().map(|line| line.lost_calls).sum::<u64>(), 1);
    assert_eq!((sealed.progress.unknown_cost, sealed.sums.totals.cost_usd), (1, None));
    let results = ports.store.lines(&batch().part_results_key(1));
    assert_eq!(results[1]["totals"]["cost_usd"], Value::Null);
}

/// The first line of a run that is over counts, whatever another owner wrote later.
#[test]
fn a_run_that_two_owners_finished_counts_once() {
    let ports = packed(1);
    work_off(&ports);
    let mut again = answered(1);
    again.started = Vec::new();
    again.add("request.json", &json!({ "another": true })).unwrap();
    segment(&ports, 1, [answered(1)]);
    ports
        .store
        .objects
        .borrow_mut()
        .insert(batch().segment_key(1, 2), fence_line("other").into_bytes());
    segment(&ports, 3, [again]);
    ask(&ports, &batch()).unwrap();
    let line = manifests(&ports).remove(0);
    let first = answered(1).manifest().unwrap().unwrap();
    assert_eq!((parse::<Manifest>("k", &line).unwrap(), sealed(&ports).runs), (first, 1));
}

#[test]
fn a_retry_keeps_the_results_and_answers_of_the_attempt_before() {
    let ports = packed(2);
    work_off(&ports);
    segment(&ports, 1, [answered(1)]);
    ask(&ports, &batch()).unwrap();
    let retry = retried();
    put(&ports, retry.request_key(), &ports.store.json(&batch().request_key()));
    place(&ports, &retry, [(2, 1)].into_iter());
    let mut second = answered(2);
    second.run.reference.batch = Some(retry.item_of());
    put_lines(&ports, retry.segment_key(1, 1), [second].into_iter());
    assert_eq!(ask(&ports, &retry), Ok(0));
    assert_eq!(statuses(&ports, &retry), ["SUCCEEDED", "SUCCEEDED"]);
    let outputs = ports.store.lines(&retry.part_outputs_key(1));
    assert_eq!(outputs.len(), 2);
    let sealed: PartManifest =
        serde_json::from_value(ports.store.json(&retry.part_manifest_key(1))).unwrap();
    assert_eq!((sealed.runs, sealed.progress.succeeded), (1, 1), "only what this attempt ran");
    assert_eq!(statuses(&ports, &batch()), ["SUCCEEDED", "SKIPPED"]);
}

/// Every call of the store fails once, and a retry seals the part.
#[test]
fn whatever_fails_a_retry_seals_the_same_part() {
    let whole = || {
        let ports = packed(3);
        work_off(&ports);
        segment(&ports, 1, [answered(1), under_way(2)]);
        ports
    };
    let mut failures = 0;
    loop {
        let ports = whole();
        ports.store.failing.set(failures + 1);
        let Err(fault) = ask(&ports, &batch()) else { break };
        assert_eq!(fault.name, ErrorName::Internal);
        assert_eq!(ask(&ports, &batch()), Ok(0), "after failure {failures}");
        assert_eq!(statuses(&ports, &batch()), ["SUCCEEDED", "FAILED", "SKIPPED"]);
        assert_eq!(ports.ledger.counted.borrow().len(), 1);
        assert_eq!(manifests(&ports).len(), 2);
        failures += 1;
    }
    assert!(failures > 12, "{failures}");
}

#[test]
fn a_manifest_that_no_sealer_made_is_never_signed() {
    let ports = packed(1);
    work_off(&ports);
    segment(&ports, 1, [answered(1)]);
    put(&ports, batch().part_manifest_key(1), &json!({ "forged": true }));
    let fault = ask(&ports, &batch()).unwrap_err();
    assert!(fault.message.contains("was not written by a sealer"), "{}", fault.message);
    assert_eq!(ports.ledger.counted.borrow().len(), 0);
}
