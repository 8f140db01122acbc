use std::time::Duration;

use bcce_core::base::error::{ErrorName, Fault};
use bcce_core::base::target::Target;
use bcce_core::base::usage::Usage;
use bcce_core::call::attempt::{Attempt, AttemptKind, AttemptOutcome, Totals};
use bcce_core::config::models::RouteTarget;
use bcce_core::config::policy::Policy;
use bcce_core::config::profiles::Profiles;
use bcce_core::config::routing::Routing;
use bcce_core::failover::breaker::Breaker;
use bcce_core::failover::decision::{Decision, Next};
use bcce_core::failover::route::Route;
use bcce_core::failover::router::{Health, Question, decide};
use bcce_core::run::artifact::{StepFailure, StepRecord};
use bcce_core::run::ids::RunRef;
use bcce_core::run::notification::RunStatus;
use rust_decimal::Decimal;
use serde_json::{Value, json};
use time::macros::datetime;

use super::*;
use crate::paint::render;
use crate::run::timeline;

const STARTED: OffsetDateTime = datetime!(2026-11-01 12:00 UTC);
const EAST: &str = "us-east-1";
const WEST: &str = "us-west-2";

fn after(ms: u64) -> OffsetDateTime {
    STARTED + Duration::from_millis(ms)
}

fn target(region: &str) -> Target {
    let model_id = "us.anthropic.claude-haiku".into();
    Target { account: None, region: region.into(), model_id, guardrail: None }
}

fn route() -> Route {
    let listed = |(priority, region)| RouteTarget {
        target: target(region),
        priority,
        weight: 1,
        prices: None,
        context_tokens: 200_000,
    };
    Route {
        targets: [(Some(0), EAST), (Some(1), WEST)].map(listed).to_vec(),
        policy: Policy::default(),
        profiles: Profiles::default(),
        routing: Routing { attempts: 3, ..Routing::default() },
        rounds: 5,
        patience: None,
        expected: None,
    }
}

/// Returns the decision of the router on this step execution.
fn decided(at: u64, health: &[Health], step_record: &StepRecord) -> Decision {
    let route = route();
    let question = Question {
        route: &route,
        health,
        attempts: &step_record.attempts,
        decisions: &step_record.decisions,
        now: after(at),
        deadline: after(60_000),
        seed: 1_999,
    };
    let verdict = decide(&question);
    let is_due =
        |health: &Health| health.breaker.open_until.is_some_and(|until| until <= after(at));
    let probe = health.iter().any(is_due).then(|| "token".to_owned());
    Decision::of(&question, &verdict, probe)
}

fn failed(at: u64, region: &str, error: ErrorName) -> Attempt {
    Attempt {
        target: target(region),
        kind: AttemptKind::First,
        outcome: AttemptOutcome::Failed,
        error: Some(error),
        message: Some("ThrottlingException (429): Too many requests, please wait.".into()),
        advice: None,
        cause: None,
        adapted: vec![],
        retry_after_s: None,
        started_at: after(at),
        latency_ms: 40,
        first_token_ms: None,
        service_tier: None,
        guardrail_origin: Vec::new(),
        usage: Some(Usage::default()),
        cost_usd: Some(Decimal::ZERO),
        cache: None,
    }
}

fn answered(at: u64, region: &str) -> Attempt {
    Attempt {
        outcome: AttemptOutcome::Answered,
        error: None,
        message: None,
        cause: None,
        adapted: vec![],
        latency_ms: 1_200,
        first_token_ms: Some(300),
        usage: Some(Usage {
            input_tokens: 204,
            output_tokens: 312,
            cache_read_tokens: 1_000,
            ..Usage::default()
        }),
        cost_usd: Some(Decimal::new(18_640, 7)),
        ..failed(at, region, ErrorName::TargetThrottled)
    }
}

fn step_record(item: Option<u32>, attempts: Vec<Attempt>) -> StepRecord {
    StepRecord {
        version: 1,
        run_id: reference().run_id,
        attempt_no: 1,
        step_id: "answer".into(),
        item,
        decisions: vec![],
        totals: Totals::of(&attempts),
        attempts,
        cached_from: None,
    }
}

fn reference() -> RunRef {
    RunRef::first("default", "explain", "42")
}

/// Returns a plan with one step, which has `for_each` if there are `items`.
fn plan(items: Option<u32>) -> Value {
    let step = |item: Option<u32>| json!({ "step": "answer", "item": item, "route": "haiku" });
    let steps: Vec<Value> = match items {
        None => vec![step(None)],
        Some(items) => (0..items).map(|n| step(Some(n))).collect(),
    };
    json!({
        "version": 1, "run_id": reference().run_id, "tenant": "default", "workflow": "explain",
        "template_sha256": "t", "policy_sha256": "p", "prices_date": "2026-10-01", "inputs": {}, "tags": {},
        "result": "answer", "timeout": 60, "steps": [{ "id": "answer", "model": "haiku", "prompt": "p" }],
        "waves": [{ "steps": steps }], "routes": { "haiku": route() }, "takes": {}, "prices": {},
    })
}

fn planned(items: Option<u32>) -> Run {
    let mut run = Run::new(reference());
    run.execution = Some("RUNNING".into());
    run.absorb(&reference().plan_key(), plan(items).to_string().as_bytes()).unwrap();
    run
}

fn answer(run: &mut Run, step_record: &StepRecord) {
    let key = reference().step_key("answer", step_record.item);
    run.absorb(&key, &serde_json::to_vec(step_record).unwrap()).unwrap();
}

fn failure(run: &mut Run, step_record: StepRecord, name: ErrorName, message: &str) {
    let key = reference().failure_key("answer", step_record.item);
    let failure = StepFailure {
        record: step_record,
        status: StepStatus::Failed,
        error: Fault::new(name, message),
    };
    run.absorb(&key, &serde_json::to_vec(&failure).unwrap()).unwrap();
}

fn record(status: RunStatus) -> RunRecord {
    RunRecord {
        run_id: reference().run_id,
        workflow: "explain".into(),
        ended_at: (status != RunStatus::Running).then(|| after(4_500)),
        ..crate::run::samples::record(1, status).unwrap()
    }
}

fn explained(run: &mut Run, status: RunStatus, all: bool, width: usize) -> Vec<String> {
    let records = [record(status)];
    run.note_record(records.last().cloned());
    let plan = run.plan.as_ref();
    let executions = plan.map(|plan| timeline::of(run, plan, &records)).unwrap_or_default();
    let account = Account { run, records: &records, executions: &executions, all };
    lines(account, width).iter().map(|line| render(line, false, usize::MAX)).collect()
}

/// Returns a step record: the first region throttles and asks to wait, the second one breaks off, and the first one
/// answers after a wait.
fn waited() -> StepRecord {
    let mut step_record = step_record(None, vec![]);
    step_record.decisions.push(decided(412, &[], &step_record));
    let throttled = failed(450, EAST, ErrorName::TargetThrottled);
    step_record.attempts.push(Attempt { retry_after_s: Some(2), ..throttled });
    let cut = failed(491, WEST, ErrorName::TargetBroken);
    let message = Some("the stream broke off".into());
    step_record.attempts.push(Attempt { usage: None, cost_usd: None, message, ..cut });
    step_record.decisions.push(decided(600, &[], &step_record));
    step_record.decisions.push(decided(2_700, &[], &step_record));
    step_record.attempts.push(answered(2_750, EAST));
    step_record.totals = Totals::of(&step_record.attempts);
    step_record
}

#[test]
fn a_step_that_waited_is_explained_from_its_first_decision_to_its_cost() {
    let mut run = planned(None);
    answer(&mut run, &waited());
    let text = explained(&mut run, RunStatus::Succeeded, false, 100);
    let expected = include_str!("waited.txt").replace("<run>", &reference().run_id);
    assert_eq!(text.join("\n"), expected.trim_end(), "{}", text.join("\n"));
}

#[test]
fn a_narrow_terminal_loses_no_word() {
    let words = |width| {
        let mut run = planned(None);
        answer(&mut run, &waited());
        let lines = explained(&mut run, RunStatus::Succeeded, false, width);
        assert!(lines.iter().all(|line| line.chars().count() <= width), "{}", lines.join("\n"));
        lines.join(" ").split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(words(50), words(usize::MAX));
}

#[test]
fn a_target_passed_over_and_one_that_is_probed_are_explained_with_the_reason() {
    let open = |until: u64| Health {
        breaker: Breaker {
            open_until: Some(after(until)),
            cause: Some(ErrorName::TargetThrottled),
            ..Breaker::default()
        },
        ..Health::default()
    };
    let mut passed = step_record(None, vec![answered(450, WEST)]);
    passed.decisions.push(decided(412, &[open(5_000)], &step_record(None, vec![])));
    let mut run = planned(None);
    answer(&mut run, &passed);
    let text = explained(&mut run, RunStatus::Succeeded, false, usize::MAX).join("\n");
    let reason = "its breaker is open until 2026-11-01T12:00:05Z after Bcce.TargetThrottled";
    for part in [
        format!("us-east-1 passed over: {reason}"),
        format!("          us-east-1 was passed over once: {reason}"),
        "in short  the only call was answered".into(),
    ] {
        assert!(text.contains(&part), "{part} is missing in\n{text}");
    }

    passed.decisions = vec![decided(412, &[open(400)], &step_record(None, vec![]))];
    let mut run = planned(None);
    answer(&mut run, &passed);
    let text = explained(&mut run, RunStatus::Succeeded, false, usize::MAX).join("\n");
    assert!(text.contains("us-east-1 elected to probe: its cool-down is over"), "{text}");
}

#[test]
fn a_step_that_was_stopped_says_why_and_a_target_is_not_blamed_for_it() {
    let throttled = |at| failed(at, EAST, ErrorName::TargetThrottled);
    let mut stopped = step_record(None, vec![throttled(450), throttled(500), throttled(550)]);
    stopped.decisions.push(decided(600, &[], &stopped));
    let mut run = planned(None);
    failure(&mut run, stopped, ErrorName::NoTarget, "the step's calls are used up");
    let lines = explained(&mut run, RunStatus::Failed, false, usize::MAX);
    let text = lines.join("\n");
    for part in [
        "answer  haiku  FAILED",
        "decide  stop with Bcce.NoTarget: the step's calls are used up",
        "us-west-2 passed over: it is healthy",
        "\n  Bcce.NoTarget: the step's calls are used up",
        "in short  3 of 3 calls failed: Bcce.TargetThrottled 3 times in us-east-1",
        "cost $0, of which $0 for failed calls",
    ] {
        assert!(text.contains(part), "{part} is missing in\n{text}");
    }
    assert!(!text.contains("was passed over"), "{text}");
}

#[test]
fn what_is_unknown_is_never_nothing() {
    let cut = failed(450, EAST, ErrorName::TargetBroken);
    let unpriced = Attempt { cost_usd: None, ..answered(500, WEST) };
    let attempts = vec![Attempt { usage: None, cost_usd: None, ..cut }, unpriced];
    let mut run = planned(None);
    answer(&mut run, &step_record(None, attempts));
    let text = explained(&mut run, RunStatus::Succeeded, false, usize::MAX).join("\n");
    for part in [
        "us.anthropic.claude-haiku; tokens unknown; cost unknown",
        "312 out; cost unknown: the model has no price",
        "312 out + unknown; cost unknown",
        "cost unknown, of which unknown for failed calls; usage of 1 call unknown; without a price: us.anthropic.claude-haiku",
    ] {
        assert!(text.contains(part), "{part} is missing in\n{text}");
    }
}

#[test]
fn of_many_items_the_eventful_ones_are_listed() {
    let mut run = planned(Some(200));
    for item in 0..199 {
        let attempts = match item {
            7 | 30 => vec![failed(450, EAST, ErrorName::TargetThrottled), answered(500, WEST)],
            _ => vec![answered(500 + u64::from(item) * 10, EAST)],
        };
        answer(&mut run, &step_record(Some(item), attempts));
    }
    let too_long = vec![failed(450, EAST, ErrorName::RequestRejected)];
    let failed = step_record(Some(199), too_long);
    failure(&mut run, failed, ErrorName::RequestRejected, "too long");
    let lines = explained(&mut run, RunStatus::Failed, false, usize::MAX);
    let titles: Vec<&String> = lines.iter().filter(|line| line.starts_with("answer[")).collect();
    let expected = [
        "answer[7]  haiku  SUCCEEDED",
        "answer[30]  haiku  SUCCEEDED",
        "answer[199]  haiku  FAILED",
    ];
    assert_eq!(titles, expected);
    let text = lines.join("\n");
    for part in [
        "answer: 197 of 200 items are not shown: 197 answered at the first call; --all shows them",
        "3 of 202 calls failed: Bcce.RequestRejected once in us-east-1, Bcce.TargetThrottled twice in us-east-1",
        "took 4.5 s: 200 step executions (3.2 s, the longest answer[30] with 1.2 s); ",
    ] {
        assert!(text.contains(part), "{part} is missing in\n{text}");
    }
    let lines = explained(&mut run, RunStatus::Failed, true, usize::MAX);
    let titles: Vec<&String> = lines.iter().filter(|line| line.starts_with("answer[")).collect();
    assert_eq!((titles.len(), titles[11].as_str()), (200, "answer[11]  haiku  SUCCEEDED"));
}

#[test]
fn a_step_still_running_is_explained_later() {
    let lines = explained(&mut planned(None), RunStatus::Running, false, usize::MAX);
    let text = lines.join("\n");
    assert!(text.contains("answer  haiku  RUNNING  explained when it ends"), "{text}");
    assert!(text.contains("in short  no step has ended so far in this run attempt"), "{text}");
    let text = explained(&mut planned(Some(200)), RunStatus::Running, false, usize::MAX).join("\n");
    assert!(text.contains("answer: 200 of 200 items are not shown: 200 under way"), "{text}");
}

#[test]
fn a_run_that_was_refused_says_that_there_was_nothing_to_decide() {
    let mut run = Run::new(reference());
    let lines = explained(&mut run, RunStatus::Failed, false, usize::MAX);
    let last = "in short  no plan was made, so nothing was decided and no call was made";
    assert_eq!(lines.last().unwrap(), last);
}

#[test]
fn an_artifact_from_before_there_were_candidates_is_read() {
    let decision =
        json!({ "at": "2026-11-01T12:00:00.412Z", "because": ["once"], "targets": [target(EAST)] });
    let mut old = serde_json::to_value(step_record(None, vec![answered(450, EAST)])).unwrap();
    old["decisions"] = json!([decision]);
    let mut run = planned(None);
    answer(&mut run, &serde_json::from_value(old).unwrap());
    let lines = explained(&mut run, RunStatus::Succeeded, false, usize::MAX);
    let at = lines.iter().position(|line| line.ends_with("decide  try us-east-1: once")).unwrap();
    assert!(lines[at + 1].contains("call    us-east-1 answered in 1.2 s"), "{lines:#?}");
}

#[test]
fn a_step_that_an_earlier_attempt_answered_is_not_counted_again() {
    let mut run = planned(None);
    answer(&mut run, &step_record(None, vec![answered(450, EAST)]));
    let again = RunRecord {
        attempt_no: 2,
        started_at: after(60_000),
        ended_at: None,
        ..record(RunStatus::Running)
    };
    let records = [record(RunStatus::Failed), again];
    run.note_record(records.last().cloned());
    let plan = run.plan.as_ref().unwrap();
    let executions = timeline::of(&run, plan, &records);
    let account = Account { run: &run, records: &records, executions: &executions, all: false };
    let lines = lines(account, usize::MAX);
    let text: Vec<String> = lines.iter().map(|line| render(line, false, usize::MAX)).collect();
    let text = text.join("\n");
    for part in [
        "earlier    run attempt 1",
        "SUCCEEDED  by run attempt 1, which paid for it",
        "  +0.450 s  call",
        "in short  no step has ended so far in this run attempt",
    ] {
        assert!(text.contains(part), "{part} is missing in\n{text}");
    }
}

#[test]
fn events_are_in_order_of_time_and_sums_add_up() {
    let step_record = waited();
    let mut run = planned(None);
    answer(&mut run, &step_record);
    let plan = run.plan.as_ref().unwrap();
    let executions = timeline::of(&run, plan, &[record(RunStatus::Succeeded)]);
    let events = serde_json::to_value(executions[0].events()).unwrap();
    let kinds: Vec<&str> =
        events.as_array().unwrap().iter().map(|event| event["event"].as_str().unwrap()).collect();
    let expected = ["decision", "attempt", "attempt", "decision", "wait", "decision", "attempt"];
    assert_eq!(kinds, expected);
    assert_eq!(events[0]["targets"][1]["region"], WEST);
    assert_eq!(
        events[4],
        json!({ "event": "wait", "at": "2026-11-01T12:00:00.6Z", "waited_ms": 2_100 })
    );
    let sums = executions[0].sums();
    assert_eq!((sums.calls, sums.failed_calls, sums.in_calls_ms), (3, 2, 1_280));
    // There are 41 ms to the second call, and 2,259 ms to the third, less the wait.
    assert_eq!((sums.failing_over_ms, sums.waited_ms), (41 + 2_259 - 2_100, 2_100));
    assert!(
        matches!(step_record.decisions[1].next, Next::WaitS(2)),
        "{:?}",
        step_record.decisions[1]
    );
}

#[test]
fn a_call_is_explained_with_what_to_do_and_how_it_was_served() {
    let mut run = planned(None);
    let advice = Some("fill in the form".to_owned());
    let denied = Attempt { advice, ..failed(450, EAST, ErrorName::TargetRejected) };
    let served = Attempt {
        service_tier: Some("flex".into()),
        guardrail_origin: vec!["ACCOUNT_ENFORCED".into(), "REQUEST".into()],
        ..answered(500, WEST)
    };
    answer(&mut run, &step_record(None, vec![denied, served]));
    let lines = explained(&mut run, RunStatus::Succeeded, false, usize::MAX);
    let has = |part: &str| lines.iter().any(|line| line.ends_with(part) || line.contains(part));
    assert!(has("  to do: fill in the form"), "{lines:#?}");
    let model = "us.anthropic.claude-haiku (guardrails applied: ACCOUNT_ENFORCED, REQUEST), served by tier flex; ";
    assert!(has(model), "{lines:#?}");
}

#[test]
fn an_answer_from_the_response_cache_is_explained_without_a_call() {
    let first = json!({
        "key": "k", "sha256": "0", "run_id": "earlier", "stored_at": "2026-11-01T11:00:00Z",
        "target": { "region": EAST, "model_id": "us.m" },
    });
    let mut run = planned(Some(12));
    for item in 0..12 {
        let mut cached = step_record(Some(item), vec![]);
        cached.decisions.push(decided(412, &[], &cached));
        if item > 0 {
            cached.cached_from = serde_json::from_value(first.clone()).unwrap();
        } else {
            cached.attempts.push(answered(500, EAST));
        }
        answer(&mut run, &cached);
    }
    let text = explained(&mut run, RunStatus::Succeeded, false, usize::MAX).join("\n");
    for part in [
        "12 items are not shown: 11 answered from the response cache, 1 answered at the first call;",
        "11 answers came from the response cache, without a call",
    ] {
        assert!(text.contains(part), "{part} is missing in\n{text}");
    }
}
