//! The function `canary` on the deployed stack. The scripted model plays Bedrock's control plane and Service Quotas.

use aws_sdk_sqs::types::Message;
use bcce_tests::harness::cli::bcce;
use bcce_tests::harness::plants::Planted;
use bcce_tests::harness::stack::{Stack, fresh, invoke, log};
use serde_json::{Value, json};

const REGION: &str = "us-west-2";
const MODEL: &str = "anthropic.claude-opus-5";

/// Calls all targets now.
fn call_all() -> Value {
    let event = include_str!("../../../events/canary/live.json");
    invoke("canary", &serde_json::from_str(event).unwrap())
}

fn watch() -> Value {
    let event = include_str!("../../../events/canary/schedule.json");
    invoke("canary", &serde_json::from_str(event).unwrap())
}

/// Returns the findings in the messages of a queue that is subscribed to the topic.
async fn reported(stack: &Stack, queue: &str) -> Vec<Value> {
    let messages = stack.sweep(queue, 1).await;
    let alert = |message: &Message| {
        let alert: Value = serde_json::from_str(message.body()?).ok()?;
        (alert["kind"] == "standby").then(|| alert["findings"].as_array().unwrap().clone())
    };
    messages.iter().filter_map(alert).flatten().collect()
}

/// Returns the document with the descriptions of the profiles.
async fn profiles(stack: &Stack) -> String {
    let got = stack.ssm.get_parameter().name("/bcce/dev/profiles").send().await.unwrap();
    got.parameter.unwrap().value.unwrap()
}

#[tokio::test]
async fn a_healthy_stack_is_called_once_a_day_counted_and_not_reported() {
    let stack = Stack::connected().await;
    let queue = stack.listen(&fresh("healthy")).await;
    let called = call_all();
    assert_eq!((&called["called"], &called["targets"]), (&json!(12), &json!(12)), "{called}");
    assert_eq!((&called["findings"], &called["unread"]), (&json!([]), &json!([])), "{called}");
    assert_eq!(watch()["called"], 0, "the day is not over");
    let (exit, cost) = bcce("dev", &["metrics", "cost", "--workflow", "_canary", "--json"]);
    assert_eq!(exit, 0, "{cost}");
    assert!(cost.contains("_canary"), "{cost}");
    let cost: Value = serde_json::from_str(&cost).unwrap();
    assert!(cost["total"]["calls"].as_u64() >= Some(12), "{cost}");
    // The lines are strings in JSON, so their quotes are escaped.
    assert!(log("canary").contains(r#"DeadStandbys\":0"#));
    assert_eq!(reported(&stack, &queue).await, [] as [Value; 0]);
}

/// Each fault is found with target and remedy, is sent once, and is gone with its cause.
#[tokio::test]
async fn each_dead_standby_is_found_with_its_remedy() {
    let stack = Stack::connected().await;
    let table = [
        (json!({ "call": "legacy" }), "call", "Legacy"),
        (json!({ "call": "denied-in(us-east-2)" }), "call", "us-east-2"),
        (json!({ "call": "no-subscription" }), "call", "Marketplace"),
        (json!({ "ends_in_days": 40 }), "end-of-life", "models.yaml"),
        (json!({ "quota": 0.0 }), "quota", "request-service-quota-increase"),
        (json!({ "started": "2026-11-30" }), "price", "prices import"),
        (json!("missing"), "model", "list-foundation-models"),
        (json!("no-agreement"), "access", "create-foundation-model-agreement"),
        (json!("denied"), "access", "use-case form"),
        (json!("no-profile"), "profile", "list-inference-profiles"),
    ];
    for (fault, check, remedy) in table {
        let queue = stack.listen(&fresh("dead")).await;
        let planted = Planted::in_model(REGION, MODEL, &fault);
        for _ in 0..2 {
            let called = call_all();
            let findings = called["findings"].as_array().unwrap();
            let found = findings.iter().find(|it| it["check"] == check && it["level"] == "fail");
            let found = found.unwrap_or_else(|| panic!("{fault}: {called}"));
            assert_eq!(found["target"]["region"], REGION, "{found}");
            assert_eq!(found["target"]["model_id"], format!("us.{MODEL}"), "{found}");
            assert!(found["remedy"].as_str().unwrap().contains(remedy), "{fault}: {found}");
            assert!(findings.iter().all(|it| it["target"] == found["target"]), "{called}");
        }
        drop(planted);
        let healthy = call_all();
        assert_eq!(healthy["findings"], json!([]), "{fault}: {healthy}");
        let sent = stack.eventually("the message", async || {
            let sent = reported(&stack, &queue).await;
            sent.iter().any(|finding| finding["check"] == check).then_some(sent)
        });
        let times = sent.await.iter().filter(|finding| finding["check"] == check).count();
        assert_eq!(times, 1, "{fault}");
    }
}

/// The profile reaches a region that the policy does not allow. Runs must not use it before the next push.
#[tokio::test]
async fn a_profile_that_reaches_further_is_stored_and_not_called() {
    let regions = ["us-east-1", "us-east-2", "us-west-2", "ca-central-1"];
    let planted = Planted::in_model(REGION, MODEL, &json!({ "reach": regions }));
    let found = call_all();
    assert_eq!(found["skipped"], json!([format!("us.{MODEL} in {REGION}")]), "{found}");
    let checks: Vec<&str> = found["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["check"].as_str().unwrap())
        .collect();
    assert_eq!(checks, ["residency", "reach"], "{found}");
    let stack = Stack::connected().await;
    assert!(profiles(&stack).await.contains("ca-central-1"));
    drop(planted);
    call_all();
    assert!(!profiles(&stack).await.contains("ca-central-1"));
}
