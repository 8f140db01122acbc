use serde_json::Value;

use crate::stack::{RunRef, Stack, fresh, regions};

/// The first region of a model fails in some way; the run succeeds in the second and its artifact tells.
async fn second_region_answers(script: &str, error: &str) -> Value {
    let stack = Stack::connect().await;
    let id = fresh(script.split([' ', '(']).next().unwrap());
    let run = RunRef::first("default", "explain", &id);
    let manifest = stack.explain(&id, &format!("@model us-east-1: {script}")).await;
    assert_eq!(manifest["status"], "SUCCEEDED", "{manifest}");
    assert_eq!(regions(&run), ["us-east-1", "us-west-2"]);
    let artifact = stack.step(&run, "answer").await;
    assert_eq!(artifact["attempts"][0]["error"], error, "{}", artifact["attempts"][0]);
    assert_eq!(artifact["attempts"][0]["target"]["region"], "us-east-1");
    assert_eq!(artifact["attempts"][1]["outcome"], "answered");
    assert_eq!(artifact["attempts"][1]["target"]["region"], "us-west-2");
    artifact
}

#[tokio::test]
async fn a_throttled_region_used_nothing() {
    let artifact = second_region_answers("throttle", "Bcce.TargetThrottled").await;
    assert_eq!(artifact["attempts"][0]["cost_usd"], "0");
    assert_eq!(artifact["cost_usd"], artifact["attempts"][1]["cost_usd"]);
}

/// What a cut stream cost is not known, so the total is not known either.
#[tokio::test]
async fn a_cut_stream_is_no_answer_and_not_free() {
    let artifact = second_region_answers("cut", "Bcce.TargetBroken").await;
    assert_eq!(artifact["attempts"][0]["usage"], Value::Null);
    assert_eq!(artifact["cost_usd"], Value::Null);
    assert_eq!(artifact["priced_subtotal_usd"], artifact["attempts"][1]["cost_usd"]);
}

#[tokio::test]
async fn a_stream_without_message_stop_is_no_answer() {
    second_region_answers("no-stop", "Bcce.TargetBroken").await;
}

#[tokio::test]
async fn a_body_that_ends_early_is_no_answer() {
    second_region_answers("ends-early", "Bcce.TargetBroken").await;
}

#[tokio::test]
async fn a_wrong_checksum_is_no_answer() {
    second_region_answers("bad-crc", "Bcce.TargetBroken").await;
}

#[tokio::test]
async fn an_error_inside_the_stream_moves_on() {
    second_region_answers("stream-throttle", "Bcce.TargetThrottled").await;
}

#[tokio::test]
async fn a_region_without_access_moves_on() {
    second_region_answers("denied", "Bcce.TargetRejected").await;
}

/// The dev routing waits for 15 s; the workflow of this test has limits of its own.
#[tokio::test]
async fn a_silent_region_is_given_up() {
    let stack = Stack::connect().await;
    let name = fresh("silent");
    let workflow = format!(
        "version: 1\nname: {name}\nsteps:\n- id: answer\n  model: haiku\n  prompt: |\n    @model us-east-1: silent\n    Hello.\n  routing:\n    timeouts: {{ first_token_s: 1, stall_s: 1, attempt_s: 10 }}\n"
    );
    stack.put_workflow(&name, &workflow).await;
    let manifest = stack.run(&name, "1", serde_json::json!({})).await;
    assert_eq!(manifest["status"], "SUCCEEDED", "{manifest}");
    let artifact = stack.step(&RunRef::first("default", &name, "1"), "answer").await;
    assert_eq!(artifact["attempts"][0]["error"], "Bcce.TargetTimeout");
    let waited = artifact["attempts"][0]["latency_ms"].as_u64().unwrap();
    assert!((1_000..5_000).contains(&waited), "{waited} ms");
}

/// Every target fails twice: the machine waits in between, and nothing of the history is lost.
#[tokio::test]
async fn when_all_fail_it_backs_off_and_comes_back() {
    let stack = Stack::connect().await;
    let id = fresh("all");
    let run = RunRef::first("default", "explain", &id);
    let manifest = stack.explain(&id, "@model *: throttle, answer").await;
    assert_eq!(manifest["status"], "SUCCEEDED", "{manifest}");
    assert_eq!(regions(&run), ["us-east-1", "us-west-2", "us-east-1"]);
    let artifact = stack.step(&run, "answer").await;
    let decisions = artifact["decisions"].as_array().unwrap();
    assert_eq!(decisions.len(), 3);
    assert!(
        decisions[0]["targets"].is_array()
            && decisions[1]["wait_s"].is_u64()
            && decisions[2]["targets"].is_array()
    );
}

/// What no target can take is not tried elsewhere.
#[tokio::test]
async fn a_rejected_request_fails_after_one_call() {
    let stack = Stack::connect().await;
    let id = fresh("too-long");
    let run = RunRef::first("default", "explain", &id);
    let manifest = stack.explain(&id, "@model *: too-long").await;
    assert_eq!(manifest["status"], "FAILED");
    assert_eq!(manifest["error"]["name"], "Bcce.RequestRejected");
    assert_eq!(regions(&run), ["us-east-1"]);
}
