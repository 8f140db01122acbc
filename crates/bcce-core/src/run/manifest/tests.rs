use super::*;
use crate::base::error::ErrorName;
use crate::base::platform::Charge;
use crate::base::usage::Usage;
use crate::call::attempt::tests::failed;
use crate::call::attempt::{AttemptKind, AttemptOutcome};
use crate::config::policy::Policy;
use crate::failover::decision::{Decision, Next};
use crate::run::artifact::{StepRecord, StepStatus};
use crate::run::ids::{RunRef, StepRef};
use crate::run::plan::tests::of;
use rust_decimal::Decimal;
use serde_json::json;
use time::macros::datetime;

fn run(attempt_no: u32) -> Run {
    let reference = RunRef { attempt_no, ..RunRef::first("default", "code-review", "m-1") };
    Run { reference, execution_arn: "arn".into(), started_at: datetime!(2026-11-01 12:00 UTC) }
}

fn step_record(step: &str, attempt_no: u32) -> StepRecord {
    let attempts = vec![Attempt {
        outcome: AttemptOutcome::Answered,
        error: None,
        usage: Some(Usage { input_tokens: 100, ..Usage::default() }),
        cost_usd: Some(Decimal::new(11, 5)),
        ..failed("us-east-1", ErrorName::Internal)
    }];
    let totals = Totals::of(&attempts);
    let (step_id, run_id) = (step.to_owned(), "r".to_owned());
    StepRecord {
        version: 1,
        run_id,
        attempt_no,
        step_id,
        item: None,
        decisions: vec![],
        attempts,
        cached_from: None,
        totals,
    }
}

fn whole(record: StepRecord) -> FinishedStep {
    FinishedStep { record, truncated: false }
}

fn seal(
    run: &Run,
    answers: Vec<StepRecord>,
    failures: Vec<StepFailure>,
    fault: Option<Fault>,
) -> Manifest {
    seal_with(run, answers, fault, |evidence| Manifest::seal(Evidence { failures, ..evidence }))
}

fn seal_with(
    run: &Run,
    answers: Vec<StepRecord>,
    fault: Option<Fault>,
    seal: impl FnOnce(Evidence<'_>) -> Manifest,
) -> Manifest {
    let plan = crate::run::plan::tests::plan(
        json!({ "workflow": "code-review", "inputs": { "diff": "+x" } }),
        Policy::default(),
    );
    seal(Evidence {
        run,
        plan: Some(&plan.unwrap()),
        artifacts: vec![],
        answers: answers.into_iter().map(whole).collect(),
        failures: vec![],
        broken: vec![],
        logged_calls: vec![],
        fault,
        ending: None,
        ended_at: datetime!(2026-11-01 12:01 UTC),
    })
}

const STEPS: [&str; 5] = ["summarise", "correctness", "security", "tests", "verdict"];

#[test]
fn a_run_with_every_answer_succeeded_and_sums_them() {
    let manifest = seal(&run(1), STEPS.map(|s| step_record(s, 1)).to_vec(), vec![], None);
    assert_eq!((manifest.status, manifest.error), (RunStatus::Succeeded, None));
    assert_eq!(manifest.totals.cost_usd, Some(Decimal::new(55, 5)));
    assert_eq!(manifest.usage_by_model.len(), 1);
    assert_eq!(manifest.usage_by_model[0].totals.usage.unwrap().input_tokens, 500);
}

#[test]
fn a_retry_counts_only_what_it_paid() {
    let mut answers = STEPS.map(|s| step_record(s, 1)).to_vec();
    answers[4].attempt_no = 2;
    let manifest = seal(&run(2), answers, vec![], None);
    assert_eq!(manifest.status, RunStatus::Succeeded);
    assert_eq!(manifest.totals.cost_usd, Some(Decimal::new(11, 5)));
}

#[test]
fn a_failed_step_fails_the_run_and_what_it_used_is_counted() {
    let error = Fault::new(ErrorName::NoTarget, "no target is left");
    let failure =
        StepFailure { record: step_record("tests", 1), status: StepStatus::Failed, error };
    let manifest = seal(&run(1), vec![step_record("summarise", 1)], vec![failure], None);
    assert_eq!(manifest.status, RunStatus::Failed);
    assert_eq!(manifest.error.unwrap().to_string(), "Bcce.NoTarget: step tests: no target is left");
    assert_eq!(manifest.usage_by_model[0].calls, 2);
    let statuses: Vec<StepStatus> = manifest.steps.iter().map(|step| step.status).collect();
    use StepStatus::*;
    assert_eq!(statuses, [Succeeded, Skipped, Skipped, Failed, Skipped]);
}

#[test]
fn a_run_without_a_plan_is_never_a_success() {
    let ended_at = datetime!(2026-11-01 12:01 UTC);
    let manifest = Manifest::seal(Evidence {
        run: &run(1),
        plan: None,
        artifacts: vec![],
        answers: vec![],
        failures: vec![],
        broken: vec![],
        logged_calls: vec![],
        fault: None,
        ending: None,
        ended_at,
    });
    assert_eq!(manifest.status, RunStatus::Failed);
}

#[test]
fn a_run_that_ends_early_is_never_a_success() {
    let manifest = seal(&run(1), vec![step_record("summarise", 1)], vec![], None);
    assert_eq!(manifest.status, RunStatus::Failed);
    assert_eq!(manifest.error.unwrap().name, ErrorName::Internal);
}

const HUNT: &str = include_str!("../../../../../infra/config/dev/workflows/bug-hunt.yaml");

fn item(n: u32) -> StepRecord {
    StepRecord { item: Some(n), ..step_record("hunt", 1) }
}

/// Seals a run over three files with these outcomes of the files and of the summary.
fn hunted(
    answers: Vec<StepRecord>,
    failures: Vec<StepFailure>,
    broken: Vec<StepFault>,
) -> Manifest {
    let file = |n| json!({ "path": format!("{n}.rs"), "text": "x" });
    let inputs = json!({ "files": [file(0), file(1), file(2)] });
    let plan = of(HUNT, json!({ "workflow": "bug-hunt", "inputs": inputs }), Policy::default());
    Manifest::seal(Evidence {
        run: &run(1),
        plan: Some(&plan.unwrap()),
        artifacts: vec![],
        answers: answers.into_iter().map(whole).collect(),
        failures,
        broken,
        logged_calls: vec![],
        fault: None,
        ending: None,
        ended_at: datetime!(2026-11-01 12:01 UTC),
    })
}

#[test]
fn a_step_that_fans_out_says_which_items_failed_and_why() {
    let error = Fault::new(ErrorName::OutputInvalid, "the answer is not JSON");
    let failure = StepFailure { record: item(2), status: StepStatus::Failed, error };
    let error = Fault::internal("the step could not be carried out");
    let step = StepRef { step: "hunt".into(), item: Some(0), route: "sonnet".into() };
    let broken = StepFault { step, status: StepStatus::Failed, error };
    let manifest = hunted(vec![item(1)], vec![failure], vec![broken]);
    let hunt = &manifest.steps[0];
    let items = hunt.items.as_ref().unwrap();
    assert_eq!((items.planned, items.answered), (3, 1));
    assert_eq!(items.failed.iter().map(|fault| fault.item).collect::<Vec<_>>(), [0, 2]);
    assert_eq!(
        manifest.error.unwrap().to_string(),
        "Bcce.Internal: step hunt: 2 of 3 items failed: item 0: Bcce.Internal: the step could not be \
         carried out; item 2: Bcce.OutputInvalid: the answer is not JSON"
    );
    assert_eq!(manifest.steps[1].status, StepStatus::Skipped);
}

#[test]
fn a_step_whose_items_all_answered_succeeded() {
    let manifest =
        hunted(vec![item(0), item(1), item(2), step_record("summary", 1)], vec![], vec![]);
    assert_eq!((manifest.status, manifest.steps[0].attempts), (RunStatus::Succeeded, 3));
}

#[test]
fn how_an_execution_ended_decides_only_what_is_unfinished() {
    let ended = |status, error: Option<&str>, answers: &[&str]| {
        let plan = crate::run::plan::tests::plan(
            json!({ "workflow": "code-review", "inputs": { "diff": "+x" } }),
            Policy::default(),
        );
        let at = datetime!(2026-11-01 12:00:30 UTC);
        let manifest = Manifest::seal(Evidence {
            run: &run(1),
            plan: Some(&plan.unwrap()),
            artifacts: vec![],
            answers: answers.iter().map(|step| whole(step_record(step, 1))).collect(),
            failures: vec![],
            broken: vec![],
            logged_calls: vec![],
            fault: None,
            ending: Some(Ending { status, at, error: error.map(str::to_owned), cause: None }),
            ended_at: at,
        });
        (manifest.status, manifest.error.map(|error| error.to_string()))
    };
    use ExecutionStatus::*;
    assert_eq!(ended(Aborted, None, &["summarise"]), (RunStatus::Cancelled, None));
    assert_eq!(ended(Aborted, None, &STEPS), (RunStatus::Succeeded, None));
    assert_eq!(ended(Failed, Some("Bcce.Internal"), &STEPS), (RunStatus::Succeeded, None));
    let reported = |error: &str| (RunStatus::Failed, Some(error.to_owned()));
    assert_eq!(ended(TimedOut, None, &[]), reported("Bcce.Internal: the execution timed out"));
    assert_eq!(
        ended(Failed, Some("States.DataLimitExceeded"), &[]),
        reported("Bcce.Internal: the execution ended with States.DataLimitExceeded")
    );
}

/// The answers of two of three files and of the summary are cut.
#[test]
fn answers_that_were_cut_are_reported_by_step_and_in_all() {
    let cut = |record| FinishedStep { record, truncated: true };
    let file = |n| json!({ "path": format!("{n}.rs"), "text": "x" });
    let inputs = json!({ "files": [file(0), file(1), file(2)] });
    let plan = of(HUNT, json!({ "workflow": "bug-hunt", "inputs": inputs }), Policy::default());
    let seal = |answers| {
        Manifest::seal(Evidence {
            run: &run(1),
            plan: Some(plan.as_ref().unwrap()),
            artifacts: vec![],
            answers,
            failures: vec![],
            broken: vec![],
            logged_calls: vec![],
            fault: None,
            ending: None,
            ended_at: datetime!(2026-11-01 12:01 UTC),
        })
    };
    let manifest =
        seal(vec![cut(item(0)), whole(item(1)), cut(item(2)), cut(step_record("summary", 1))]);
    assert_eq!((manifest.status, manifest.truncated), (RunStatus::Succeeded, 3));
    let by_step: Vec<u64> = manifest.steps.iter().map(|step| step.truncated).collect();
    assert_eq!(by_step, [2, 1]);
    assert_eq!(manifest.notification("k", "s").truncated, 3);
    let manifest = seal([item(0), item(1), item(2), step_record("summary", 1)].map(whole).to_vec());
    let json = serde_json::to_value(&manifest).unwrap();
    assert_eq!((json.get("truncated"), json["steps"][0].get("truncated")), (None, None));
    let notification = serde_json::to_value(manifest.notification("k", "s")).unwrap();
    assert_eq!(notification.get("truncated"), None, "a zero is left out");
}

/// Seals a run with one step, and returns its count of a kind.
fn taken(run: &Run, record: StepRecord, charge: Charge) -> u64 {
    let fault = Some(Fault::internal("stopped here"));
    let manifest = seal_with(run, vec![record], fault, Manifest::seal_execution);
    manifest.platform.count(charge)
}

#[test]
fn a_step_that_an_earlier_attempt_finished_passes_through_the_machine_again() {
    let own = |charge| taken(&run(2), step_record("summarise", 2), charge);
    let before = |charge| taken(&run(2), step_record("summarise", 1), charge);
    // Without a decision, an own step has StepEnded only. The other one has five states, and two calls of functions.
    assert_eq!(before(Charge::Transitions) - own(Charge::Transitions), 5 - 1);
    assert_eq!(before(Charge::FunctionCalls) - own(Charge::FunctionCalls), 2);
    // Its answer is not stored again.
    assert_eq!(own(Charge::S3Writes) - before(Charge::S3Writes), 1);
    assert_eq!(before(Charge::GbMilliseconds), 0, "an earlier attempt waited for it");
}

#[test]
fn a_wait_takes_three_states_and_a_round_of_calls_four() {
    let with = |next: Vec<Next>| {
        let decision = |next| Decision {
            at: datetime!(2026-11-01 12:00 UTC),
            because: vec![],
            candidates: vec![],
            probe: None,
            watched: vec![],
            diverted: false,
            next,
        };
        let decisions = next.into_iter().map(decision).collect();
        let record = StepRecord { decisions, ..step_record("summarise", 1) };
        move |charge| taken(&run(1), record.clone(), charge)
    };
    let round = with(vec![Next::Targets(vec![])]);
    let waited = with(vec![Next::WaitS(3), Next::Targets(vec![])]);
    assert_eq!(waited(Charge::Transitions) - round(Charge::Transitions), 3);
    assert_eq!(waited(Charge::FunctionCalls) - round(Charge::FunctionCalls), 1);
    let two = with(vec![Next::Targets(vec![]), Next::Targets(vec![])]);
    assert_eq!(two(Charge::Transitions) - round(Charge::Transitions), 4);
    assert_eq!(two(Charge::FunctionCalls) - round(Charge::FunctionCalls), 2);
}

/// A step that the response cache answered succeeds without a call, at no cost, and is counted.
#[test]
fn answers_from_the_response_cache_are_counted_and_cost_nothing() {
    let first = r#"{"key":"k","sha256":"0","run_id":"r","target":{"region":"us-east-1","model_id":"m"},"stored_at":"2026-11-01T12:00:00Z"}"#;
    let cached = |step: &str| StepRecord {
        attempts: vec![],
        totals: Totals::of([]),
        cached_from: serde_json::from_str(first).unwrap(),
        ..step_record(step, 1)
    };
    let records =
        STEPS.map(|step| if step == "tests" { cached(step) } else { step_record(step, 1) });
    let manifest = seal(&run(1), records.to_vec(), vec![], None);
    assert_eq!(manifest.status, RunStatus::Succeeded);
    let step = manifest.steps.iter().find(|step| step.id == "tests").unwrap();
    assert_eq!((step.status, step.attempts, step.cached), (StepStatus::Succeeded, 0, 1));
    assert_eq!(
        (step.totals.usage, step.totals.cost_usd),
        (Some(Usage::default()), Some(Decimal::ZERO))
    );
    assert_eq!(manifest.totals.cost_usd, Some(Decimal::new(44, 5)));
    assert_eq!(manifest.steps.iter().map(|step| step.cached).sum::<u64>(), 1);
}

/// A step execution failed over if one of its calls did, or if an open breaker diverted it. Another run attempt paid for
/// the last record.
#[test]
fn step_executions_that_failed_over_are_counted() {
    let call = |error| StepRecord {
        attempts: vec![failed("us-east-1", error)],
        ..step_record("tests", 2)
    };
    let diverted = Decision {
        at: datetime!(2026-11-01 12:00 UTC),
        because: vec![],
        candidates: vec![],
        probe: None,
        watched: vec![],
        diverted: true,
        next: Next::Targets(vec![]),
    };
    let diverted = StepRecord { decisions: vec![diverted], ..step_record("summarise", 2) };
    let bulk =
        Attempt { kind: AttemptKind::Bulk, ..failed("us-east-1", ErrorName::TargetUnavailable) };
    let of = |records: Vec<StepRecord>| seal(&run(2), records, vec![], None).failed_over;
    assert_eq!(of(vec![call(ErrorName::TargetThrottled), diverted]), 2);
    assert_eq!(of(vec![call(ErrorName::OutputInvalid), step_record("summarise", 2)]), 0);
    assert_eq!(of(vec![StepRecord { attempts: vec![bulk], ..step_record("tests", 2) }]), 0);
    let earlier = StepRecord { attempt_no: 1, ..call(ErrorName::TargetThrottled) };
    assert_eq!(of(vec![earlier]), 0);
}

/// A hit takes a read of S3 and logs no call. An answer that enters the cache takes a write.
#[test]
fn what_the_response_cache_takes_is_in_the_platform() {
    let yaml =
        "version: 1\nname: w\nsteps:\n- { id: a, model: haiku, prompt: p, response_cache: 7d }\n";
    let plan = |yaml: &str| of(yaml, json!({ "workflow": "w" }), Policy::default()).unwrap();
    let decision = Decision {
        at: datetime!(2026-11-01 12:00 UTC),
        because: vec![],
        candidates: vec![],
        probe: None,
        watched: vec![],
        diverted: false,
        next: Next::Targets(vec![]),
    };
    let taken = |yaml: &str, change: fn(StepRecord) -> StepRecord| {
        let record = StepRecord { decisions: vec![decision.clone()], ..step_record("a", 1) };
        let manifest = Manifest::seal_execution(Evidence {
            run: &run(1),
            plan: Some(&plan(yaml)),
            artifacts: vec![],
            answers: vec![whole(change(record))],
            failures: vec![],
            broken: vec![],
            logged_calls: vec![],
            fault: None,
            ending: None,
            ended_at: datetime!(2026-11-01 12:01 UTC),
        });
        let platform = manifest.platform;
        [Charge::S3Reads, Charge::WriteUnits, Charge::HalfReadUnits]
            .map(|charge| platform.count(charge))
    };
    let [reads, writes, half_reads] = taken(&yaml.replace(", response_cache: 7d", ""), |r| r);
    assert_eq!(taken(yaml, |record| record), [reads, writes + 1, half_reads + 2]);
    let hit = |record| {
        let first = r#"{"key":"k","sha256":"0","run_id":"r","target":{"region":"us-east-1","model_id":"m"},"stored_at":"2026-11-01T12:00:00Z"}"#;
        let cached_from = serde_json::from_str(first).unwrap();
        StepRecord { attempts: vec![], totals: Totals::of([]), cached_from, ..record }
    };
    // The counter of the call is missing, too: it takes two units.
    assert_eq!(taken(yaml, hit), [reads + 1, writes - 1 - 2, half_reads + 2]);
}
