//! Runs for tests.

use bcce_core::ledger::RunRecord;
use bcce_core::run::ids::RunRef;
use bcce_core::run::notification::RunStatus;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::macros::datetime;

use super::Run;

pub const STARTED: OffsetDateTime = datetime!(2026-11-01 12:00 UTC);

/// Returns a code review that is under way and has these steps answered.
pub fn review(answered: &[&str]) -> Run {
    let reference = RunRef::first("default", "code-review", "m-1");
    let mut run = Run::new(reference.clone());
    run.execution = Some("RUNNING".into());
    run.absorb(&reference.plan_key(), plan().to_string().as_bytes()).unwrap();
    for step in answered {
        let answer = step_record(step, json!([answer("us-east-1")]));
        run.absorb(&reference.step_key(step, None), answer.to_string().as_bytes()).unwrap();
    }
    run
}

/// Returns a code review whose first step was throttled in the first region.
pub fn failing_over() -> Run {
    let mut run = review(&[]);
    let step_record = step_record("summarise", json!([throttled(), answer("us-west-2")]));
    let key = run.reference.step_key("summarise", None);
    run.absorb(&key, step_record.to_string().as_bytes()).unwrap();
    run
}

pub fn failed() -> Run {
    let mut run = review(&["summarise", "correctness", "security"]);
    let mut failure =
        step_record("tests", json!([throttled(), throttled(), throttled(), throttled()]));
    failure["status"] = json!("FAILED");
    failure["error"] =
        json!({ "name": "Bcce.NoTarget", "message": "the step's calls are used up" });
    let key = run.reference.failure_key("tests", None);
    run.absorb(&key, failure.to_string().as_bytes()).unwrap();
    run
}

pub fn plan() -> Value {
    let step = |id: &str, model: &str, needs: &[&str]| json!({ "id": id, "model": model, "prompt": "p", "needs": needs });
    let first = ["summarise"];
    let wave = |ids: &[&str]| json!({ "steps": ids.iter().map(|id| json!({ "step": id, "route": "r" })).collect::<Vec<_>>() });
    json!({
        "version": 1, "run_id": "r", "tenant": "default", "workflow": "code-review", "template_sha256": "t",
        "policy_sha256": "p", "prices_date": "2026-10-01", "inputs": {}, "tags": {}, "result": "verdict",
        "timeout": 60, "routes": {}, "takes": {}, "prices": {},
        "steps": [
            step("summarise", "haiku", &[]), step("correctness", "sonnet", &first),
            step("security", "sonnet", &first), step("tests", "haiku", &first),
            step("verdict", "sonnet", &["summarise", "correctness", "security", "tests"]),
        ],
        "waves": [wave(&["summarise"]), wave(&["correctness", "security", "tests"]), wave(&["verdict"])],
    })
}

pub fn step_record(step: &str, attempts: Value) -> Value {
    json!({
        "version": 1, "run_id": "r", "attempt_no": 1, "step_id": step, "decisions": [], "attempts": attempts,
        "usage": null, "cost_usd": null, "unpriced": [],
    })
}

pub fn answer(region: &str) -> Value {
    json!({
        "target": { "region": region, "model_id": "us.anthropic.claude-haiku" }, "kind": "first",
        "outcome": "answered", "started_at": "2026-11-01T12:00:01Z", "latency_ms": 1200, "first_token_ms": 300,
        "usage": usage(1204, 312), "cost_usd": "0.00311",
    })
}

pub fn throttled() -> Value {
    json!({
        "target": { "region": "us-east-1", "model_id": "us.anthropic.claude-haiku" }, "kind": "first",
        "outcome": "failed", "error": "Bcce.TargetThrottled", "message": "Too many\u{1b}[2J requests",
        "started_at": "2026-11-01T12:00:00.9Z", "latency_ms": 40, "usage": usage(0, 0), "cost_usd": "0",
    })
}

pub fn usage(input: u64, output: u64) -> Value {
    json!({
        "input_tokens": input, "output_tokens": output, "cache_read_tokens": 0,
        "cache_write_5m_tokens": 0, "cache_write_1h_tokens": 0,
    })
}

pub fn record(attempt_no: u32, status: RunStatus) -> Option<RunRecord> {
    Some(RunRecord {
        run_id: RunRef::first("default", "code-review", "m-1").run_id,
        attempt_no,
        tenant: "default".into(),
        workflow: "code-review".into(),
        request_id: "m-1".into(),
        execution_arn: "arn".into(),
        trace_id: Some("1-6a4f0c20-0759e988bd862e3fe1be46a9".into()),
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
