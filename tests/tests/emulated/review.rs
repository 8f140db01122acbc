use bcce_tests::harness::stack::{RunRef, Stack, calls, fresh};
use serde_json::{Value, json};

const DIFF: &str = include_str!("../../src/scripted_model/answer/review/small.diff");

/// The main job: a diff in, a verdict as JSON by schema and its signed manifest out.
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

/// The reviewers of a wave do not stop each other: what one paid for is kept when another fails.
#[tokio::test]
async fn a_failing_reviewer_does_not_abort_its_siblings() {
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
