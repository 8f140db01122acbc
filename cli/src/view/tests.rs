use bcce_core::ledger::RunRecord;
use bcce_core::run::ids::RunRef;
use serde_json::{Value, json};
use time::macros::datetime;

use super::*;
use crate::paint::render;

const STARTED: OffsetDateTime = datetime!(2026-11-01 12:00 UTC);

/// A code review under way, with these steps answered.
pub fn review(answered: &[&str]) -> Progress {
    let run = RunRef::first("default", "code-review", "m-1");
    let mut progress = Progress::new(run.clone());
    progress.execution = Some("RUNNING".into());
    progress.absorb(&run.plan_key(), plan().to_string().as_bytes()).unwrap();
    for step in answered {
        let answer = step_record(step, json!([answer("us-east-1")]));
        progress.absorb(&run.step_key(step, None), answer.to_string().as_bytes()).unwrap();
    }
    progress
}

/// Its first step was throttled in the first region.
pub fn failing_over() -> Progress {
    let mut progress = review(&[]);
    let step_record = step_record("summarise", json!([throttled(), answer("us-west-2")]));
    let key = progress.run.step_key("summarise", None);
    progress.absorb(&key, step_record.to_string().as_bytes()).unwrap();
    progress
}

fn failed() -> Progress {
    let mut progress = review(&["summarise", "correctness", "security"]);
    let mut failure =
        step_record("tests", json!([throttled(), throttled(), throttled(), throttled()]));
    failure["status"] = json!("FAILED");
    failure["error"] =
        json!({ "name": "Bcce.NoTarget", "message": "the step's calls are used up" });
    let key = progress.run.failure_key("tests", None);
    progress.absorb(&key, failure.to_string().as_bytes()).unwrap();
    progress
}

fn plan() -> Value {
    let step = |id: &str, model: &str| json!({ "id": id, "model": model, "prompt": "p" });
    let wave = |ids: &[&str]| json!({ "steps": ids.iter().map(|id| json!({ "step": id, "route": "r" })).collect::<Vec<_>>() });
    json!({
        "version": 1, "run_id": "r", "tenant": "default", "workflow": "code-review", "template_sha256": "t",
        "policy_sha256": "p", "prices_date": "2026-10-01", "inputs": {}, "tags": {}, "result": "verdict",
        "timeout": 60, "routes": {}, "takes": {}, "prices": {},
        "steps": [
            step("summarise", "haiku"), step("correctness", "sonnet"), step("security", "sonnet"),
            step("tests", "haiku"), step("verdict", "sonnet"),
        ],
        "waves": [wave(&["summarise"]), wave(&["correctness", "security", "tests"]), wave(&["verdict"])],
    })
}

fn step_record(step: &str, attempts: Value) -> Value {
    json!({
        "version": 1, "run_id": "r", "attempt_no": 1, "step_id": step, "decisions": [], "attempts": attempts,
        "usage": null, "cost_usd": null, "unpriced": [],
    })
}

fn answer(region: &str) -> Value {
    json!({
        "target": { "region": region, "model_id": "us.anthropic.claude-haiku" }, "kind": "first",
        "outcome": "answered", "started_at": "2026-11-01T12:00:01Z", "latency_ms": 1200, "first_token_ms": 300,
        "usage": usage(1204, 312), "cost_usd": "0.00311",
    })
}

fn throttled() -> Value {
    json!({
        "target": { "region": "us-east-1", "model_id": "us.anthropic.claude-haiku" }, "kind": "first",
        "outcome": "failed", "error": "Bcce.TargetThrottled", "message": "Too many\u{1b}[2J requests",
        "started_at": "2026-11-01T12:00:00.9Z", "latency_ms": 40, "usage": usage(0, 0), "cost_usd": "0",
    })
}

fn usage(input: u64, output: u64) -> Value {
    json!({
        "input_tokens": input, "output_tokens": output, "cache_read_tokens": 0,
        "cache_write_5m_tokens": 0, "cache_write_1h_tokens": 0,
    })
}

fn drawn(progress: &Progress) -> Vec<String> {
    let now = STARTED + std::time::Duration::from_millis(4_500);
    let lines = picture(progress, Moment { now, since: STARTED, frame: 0 }, 100);
    lines.iter().map(|line| render(line, false, 100)).collect()
}

#[test]
fn a_run_under_way_shows_waves_steps_and_what_they_cost() {
    let run = RunRef::first("default", "code-review", "m-1").run_id;
    #[rustfmt::skip]
    assert_eq!(drawn(&review(&["summarise", "security"])), [
        &format!("{run}  RUNNING  4.5 s"),
        "",
        "     step         model   region     first token   time  tokens in  out     cost",
        " 1 ✓ summarise    haiku   us-east-1       300 ms  1.2 s      1,204  312  $0.0031",
        " 2 ⣾ correctness  sonnet                          2.3 s",
        "   ✓ security     sonnet  us-east-1       300 ms  1.2 s      1,204  312  $0.0031",
        "   ⣾ tests        haiku                           2.3 s",
        " 3 · verdict      sonnet",
        "",
        "2 of 5 steps · 2,408 tokens in, 624 out · $0.0062",
    ]);
}

#[test]
fn a_narrow_terminal_keeps_what_matters_most() {
    let moment = Moment { now: STARTED, since: STARTED, frame: 0 };
    let lines = picture(&review(&["summarise"]), moment, 60);
    let lines: Vec<String> = lines.iter().map(|line| render(line, false, 60)).collect();
    assert_eq!(lines[2], "     step         region      time  tokens in  out     cost");
    assert_eq!(lines[3], " 1 ✓ summarise    us-east-1  1.2 s      1,204  312  $0.0031");
}

#[test]
fn a_failover_shows_the_region_that_failed() {
    let lines = drawn(&failing_over());
    assert!(lines[3].starts_with(" 1 ✓ summarise    haiku   us-west-2"), "{lines:#?}");
    assert_eq!(lines[4], "     ↳ us-east-1 gave Bcce.TargetThrottled after 40 ms");
}

#[test]
fn an_answer_that_was_cut_is_told_below_its_step_and_in_a_log() {
    let mut progress = review(&["summarise"]);
    let mut cut = step_record("correctness", json!([answer("us-east-1")]));
    cut["truncated"] = json!(true);
    let key = progress.run.step_key("correctness", None);
    progress.absorb(&key, cut.to_string().as_bytes()).unwrap();
    let lines = drawn(&progress);
    assert!(lines[4].contains("✓ correctness"), "{lines:#?}");
    assert_eq!(lines[5], "     the answer was cut by max_tokens");
    assert_eq!(lines.iter().filter(|line| line.contains("cut by")).count(), 1);
    let told = lines::all(&progress);
    assert!(told.contains(&"correctness: the answer was cut by max_tokens".into()), "{told:#?}");
}

#[test]
fn what_a_person_should_do_stands_behind_what_the_service_said() {
    let mut progress = review(&[]);
    let mut denied = throttled();
    denied["message"] = json!("AccessDeniedException (403): no");
    denied["advice"] = json!("fill in the form");
    let step_record = step_record("summarise", json!([denied, answer("us-west-2")]));
    let key = progress.run.step_key("summarise", None);
    progress.absorb(&key, step_record.to_string().as_bytes()).unwrap();
    let moment = Moment { now: STARTED, since: STARTED, frame: 0 };
    let detail = |messages| Detail { width: 200, attempts: usize::MAX, messages };
    let line = |messages| render(&table(&progress, moment, detail(messages))[2], false, 200);
    assert!(line(true).ends_with(": AccessDeniedException (403): no; to do: fill in the form"));
    assert!(!line(false).contains("to do"), "{}", line(false));
}

#[test]
fn a_failed_step_says_why_and_nothing_after_it_runs() {
    let lines = drawn(&failed());
    assert_eq!(lines[7], "     1 failed attempt before");
    assert_eq!(lines[11], "     Bcce.NoTarget: the step's calls are used up");
    assert_eq!(lines[12], " 3 · verdict      sonnet");
}

#[test]
fn what_a_service_said_cannot_steer_the_terminal() {
    let moment = Moment { now: STARTED, since: STARTED, frame: 0 };
    let lines =
        table(&failing_over(), moment, Detail { width: 200, attempts: usize::MAX, messages: true });
    let said = render(&lines[2], false, 200);
    assert!(said.ends_with("after 40 ms: Too many [2J requests"), "{said}");
}

pub fn record(attempt_no: u32, status: RunStatus) -> Option<RunRecord> {
    Some(RunRecord {
        run_id: RunRef::first("default", "code-review", "m-1").run_id,
        attempt_no,
        tenant: "default".into(),
        workflow: "code-review".into(),
        request_id: "m-1".into(),
        execution_arn: "arn".into(),
        status,
        started_at: STARTED,
        ended_at: None,
        manifest: None,
        cost_usd: None,
        cost_is_complete: false,
        truncated: 0,
        tags: Default::default(),
        error_name: None,
        error_message: None,
    })
}

#[test]
fn a_run_is_over_when_its_record_is_closed() {
    let mut progress = review(&["summarise"]);
    assert_eq!(progress.standing(), Standing::UnderWay);
    progress.note_record(record(1, RunStatus::Running));
    assert_eq!(progress.standing(), Standing::UnderWay);
    progress.note_record(record(1, RunStatus::Failed));
    assert_eq!(progress.standing(), Standing::Over(RunStatus::Failed));
}

#[test]
fn an_execution_that_ended_without_a_manifest_is_noticed() {
    let mut progress = review(&["summarise"]);
    progress.note_record(record(1, RunStatus::Running));
    progress.execution = Some("TIMED_OUT".into());
    assert_eq!(progress.standing(), Standing::Settling("TIMED_OUT".into()));
}

#[test]
fn without_execution_and_record_nothing_is_known() {
    let mut progress = review(&[]);
    progress.execution = None;
    assert_eq!(progress.standing(), Standing::Unknown);
}

#[test]
fn a_retry_leaves_the_failures_of_the_attempt_before_aside() {
    let mut progress = failed();
    progress.note_record(record(2, RunStatus::Running));
    assert!(drawn(&progress)[6].starts_with("   ⣾ tests"), "{:#?}", drawn(&progress));
    let old = RunRef::first("default", "code-review", "m-1");
    let listed = [
        old.failure_key("tests", None),
        progress.run.manifest_key(),
        old.signature_key(),
        old.request_key(),
    ];
    assert_eq!(progress.wanted(&listed), [progress.run.manifest_key()]);
}
