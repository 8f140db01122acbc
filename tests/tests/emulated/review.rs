//! The workflow `code-review`: a diff becomes a verdict in three waves.

use bcce_tests::harness::stack::{RunRef, Stack, calls, fresh};
use serde_json::{Value, json};

const DIFF: &str = include_str!("../../src/scripted_model/answer/review/small.diff");

/// A diff leads to five calls in three waves and a verdict as JSON, which the manifest names as the result. The call
/// for the verdict sends its JSON schema.
#[tokio::test]
async fn a_diff_is_reviewed_in_three_waves() {
    let stack = Stack::connect().await;
    let id = fresh("review");
    let run = RunRef::first("default", "code-review", &id);
    let manifest = stack.run("code-review", &id, json!({ "diff": DIFF })).await;
    assert_eq!(manifest["status"], "SUCCEEDED", "{manifest}");

    let calls = calls(&run);
    let mut steps: Vec<&str> = calls.iter().map(|call| call["step"].as_str().unwrap()).collect();
    steps[1..4].sort_unstable();
    assert_eq!(steps, ["summarise", "correctness", "security", "tests", "verdict"]);
    let verdict = &calls[4]["request"];
    assert!(verdict["outputConfig"]["textFormat"]["structure"]["jsonSchema"]["schema"].is_string());

    let artifact = stack.step(&run, "verdict").await;
    let verdict = &artifact["output"]["json"];
    assert!(
        ["approve", "comment", "request_changes"].map(Value::from).contains(&verdict["verdict"]),
        "{verdict}"
    );
    assert!(verdict["findings"].is_array());
    assert_eq!(manifest["result"], run.step_key("verdict", None));
    assert_eq!(manifest["unpriced"], json!([]));
}

/// If one step of a wave fails, the other steps of the wave are still answered and stored, and the next wave is
/// skipped.
#[tokio::test]
async fn a_failed_step_does_not_abort_the_other_steps_of_its_wave() {
    let stack = Stack::connect().await;
    let id = fresh("sibling");
    let run = RunRef::first("default", "code-review", &id);
    let diff = format!("@model */security: too-long\n{DIFF}");
    let manifest = stack.run("code-review", &id, json!({ "diff": diff })).await;
    assert_eq!(manifest["status"], "FAILED");
    assert!(
        manifest["error"]["message"].as_str().unwrap().starts_with("step security: "),
        "{manifest}"
    );
    let status = |id: &str| {
        let steps = manifest["steps"].as_array().unwrap();
        steps.iter().find(|step| step["id"] == id).unwrap()["status"].as_str().unwrap().to_owned()
    };
    assert_eq!(
        ["correctness", "security", "tests", "verdict"].map(status),
        ["SUCCEEDED", "FAILED", "SUCCEEDED", "SKIPPED"]
    );
    assert!(stack.object(&run.step_key("tests", None)).await.is_some());
}
