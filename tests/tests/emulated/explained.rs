//! `bcce runs explain` for runs that failed over or waited.

use bcce_tests::harness::cli::bcce;
use bcce_tests::harness::stack::{RunRef, Stack, fresh};
use serde_json::Value;

/// Runs the workflow `explain` with a script for the model, and returns what `bcce runs explain` prints, as text and as
/// JSON.
async fn explained(name: &str, script: &str) -> (String, Value) {
    let stack = Stack::connect().await;
    let id = fresh(name);
    let run = RunRef::first("default", "explain", &id);
    let manifest = stack.explain(&id, script).await;
    assert_eq!(manifest["status"], "SUCCEEDED", "{manifest}");
    let (code, text) = bcce("dev", &["runs", "explain", &run.run_id]);
    assert_eq!(code, 0, "{text}");
    let (code, json) = bcce("dev", &["runs", "explain", &run.run_id, "--step", "answer", "--json"]);
    assert_eq!(code, 0, "{json}");
    (text, serde_json::from_str(&json).unwrap())
}

/// Checks that a text contains each part.
fn has(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part} is missing in\n{text}");
    }
}

/// The explanation of a failover has the decision, both calls with their regions, the error, the request to wait, and
/// the cost.
#[tokio::test]
async fn a_failover_is_explained_with_regions_errors_and_cost() {
    let (text, json) = explained("explained", "@model us-east-1: throttle(1)").await;
    let sums = &json["sums"];
    let model = json["steps"][0]["events"][1]["target"]["model_id"].as_str().unwrap();
    let cost =
        format!("cost ${}, of which $0 for failed calls", sums["cost_usd"].as_str().unwrap());
    has(
        &text,
        &[
            "SUCCEEDED",
            ", by priority: us-east-1, us-west-2\n",
            "decide  try us-east-1, then us-west-2: ",
            "call    us-east-1 failed with Bcce.TargetThrottled after ",
            "it said: ThrottlingException (429): Too many requests, please wait before trying again.",
            "it asked to wait 1 s (Retry-After)",
            &format!("{model}; 0 tokens in, 0 out; cost $0\n"),
            "call    us-west-2 answered in ",
            "2 calls, 1 failed; ",
            "1 of 2 calls failed: Bcce.TargetThrottled once in us-east-1",
            "failing over took ",
            &cost,
        ],
    );
    assert_eq!((&sums["calls"], &sums["waited_ms"]), (&2.into(), &0.into()));
}

/// The explanation of a run whose targets all failed once has the wait, its reason, and a length of at least what was
/// decided.
#[tokio::test]
async fn a_wait_is_explained_with_its_reason_and_length() {
    let (text, json) = explained("explained-wait", "@model *: throttle, answer").await;
    has(
        &text,
        &[
            "call    us-east-1 failed with Bcce.TargetThrottled after ",
            "call    us-west-2 failed with Bcce.TargetThrottled after ",
            "decide  wait ",
            "passed over: it failed this step",
            "decide  try ",
            "waited after every target failed",
            "2 of 3 calls failed: ",
            ": every target failed; round 1 is over",
        ],
    );
    let events = json["steps"][0]["events"].as_array().unwrap();
    let kinds: Vec<&str> = events.iter().map(|event| event["event"].as_str().unwrap()).collect();
    #[rustfmt::skip]
    assert_eq!(kinds, ["decision", "attempt", "attempt", "decision", "wait", "decision", "attempt"]);
    let (waited, decided) = (&events[4]["waited_ms"], &events[3]["wait_s"]);
    assert!(waited.as_u64().unwrap() >= decided.as_u64().unwrap() * 1_000, "{waited} {decided}");
    assert_eq!(&json["sums"]["waited_ms"], waited);
}

/// The command exits with 2 for an unknown step, and lists the steps of the run.
#[tokio::test]
async fn an_unknown_step_is_refused_with_the_steps_of_the_run() {
    let stack = Stack::connect().await;
    let id = fresh("explained-step");
    let run = RunRef::first("default", "explain", &id);
    stack.explain(&id, "").await;
    let (code, output) = bcce("dev", &["runs", "explain", &run.run_id, "--step", "anser"]);
    assert_eq!(code, 2, "{output}");
    has(&output, &["the run has no step anser", "the steps are answer"]);
}
