//! All targets of a model down at the same time.

use bcce_tests::harness::stack::{Layout, RunRef, Stack, calls, fresh, model};
use futures::StreamExt;
use serde_json::json;

use crate::breakers::{EAST, WEST, breaker, calls_of};

const RUNS: usize = 6;

/// All regions fail, and each run waits in the state machine. When they recover, single probes close the breakers, and
/// every run succeeds.
#[tokio::test]
async fn when_every_region_is_down_the_runs_wait_and_all_succeed() {
    let stack = Stack::connect().await;
    let model = model(Layout::Two);
    let name = fresh("all-down");
    let runs = futures::stream::iter(0..RUNS).map(async |n| {
        let id = format!("{name}-{n}");
        let manifest = stack.explain_by(&model, &id, "@model *: unavailable, answer").await;
        (RunRef::first("default", "explain", &id), manifest)
    });
    let ended: Vec<_> = runs.buffer_unordered(RUNS).collect().await;
    for (run, manifest) in &ended {
        assert_eq!(manifest["status"], "SUCCEEDED", "{manifest}");
        let artifact = stack.step(run, "answer").await;
        let waits = artifact["decisions"].as_array().unwrap().iter();
        assert!(waits.filter(|decision| decision["wait_s"].is_u64()).count() >= 1, "{artifact}");
    }
    // Each run has two failed calls and one answer. If open breakers let more than one probe through, there would be
    // more calls.
    let calls = calls_of(&model);
    assert_eq!(calls.len(), 3 * RUNS, "no call may go to an open target");
    assert_eq!(
        breaker(&stack, &model, EAST).await.open_until,
        None,
        "the probe must close the breaker"
    );
}

/// If the daily quota of every target is used up, the run fails at once with that reason, because its deadline of a
/// minute comes before the next try.
#[tokio::test]
async fn if_every_daily_quota_is_used_up_the_run_fails_with_the_reason() {
    let stack = Stack::connect().await;
    let (model, name) = (model(Layout::Two), fresh("minute"));
    let step = format!("- {{ id: answer, model: {model}, prompt: \"{{{{ inputs.text }}}}\" }}");
    let inputs = "timeout: 60\ninputs:\n  text: { type: string, required: true }";
    let yaml = format!("version: 1\nname: {name}\n{inputs}\nsteps:\n{step}\n");
    stack.put_workflow(&name, &yaml).await;
    let text = "@model *: too-many-tokens-per-day\nA breaker opens on evidence.";
    let manifest = stack.run(&name, "1", json!({ "text": text })).await;
    assert_eq!(manifest["error"]["name"], "Bcce.NoTarget", "{manifest}");
    let message = manifest["error"]["message"].as_str().unwrap();
    for part in ["the quota of tokens per day is used up", "deadline comes before the next try"] {
        assert!(message.contains(part), "{part} is missing in {message}");
    }
    let run = RunRef::first("default", &name, "1");
    assert_eq!(calls(&run).len(), 2, "each target must be called once");
    for region in [EAST, WEST] {
        assert!(breaker(&stack, &model, region).await.used_up, "{region}");
    }
}
