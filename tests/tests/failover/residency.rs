//! Failover within the allowed regions.

use bcce_tests::harness::stack::{Layout, RunRef, Stack, fresh, model};
use serde_json::Value;

use crate::breakers::calls_of;

/// The first target of the model is in Europe, which the policy forbids. It is never called, whatever the other targets
/// do.
#[tokio::test]
async fn residency_is_never_widened() {
    let stack = Stack::connect().await;
    for (script, status) in [
        ("", "SUCCEEDED"),
        ("@model us-east-1: unavailable", "SUCCEEDED"),
        (
            "@model us-east-1: unavailable, answer\n@model us-west-2: unavailable, answer",
            "SUCCEEDED",
        ),
        ("@model us-east-1: denied\n@model us-west-2: denied", "FAILED"),
    ] {
        let (model, id) = (model(Layout::Abroad), fresh("residency"));
        let manifest = stack.explain_by(&model, &id, script).await;
        assert_eq!(manifest["status"], status, "{script}: {manifest}");
        let calls = calls_of(&model);
        assert!(calls.iter().all(|call| call["region"] != "eu-west-1"), "{script}");
        if status == "SUCCEEDED" {
            let artifact = stack.step(&RunRef::first("default", "explain", &id), "answer").await;
            let passed = &artifact["decisions"][0]["candidates"][0];
            assert_eq!(passed["taken"], Value::Bool(false));
            let because = passed["because"].as_str().unwrap();
            assert!(because.starts_with("residency: it may reach eu-"), "{because}");
        } else {
            let message = manifest["error"]["message"].as_str().unwrap();
            assert!(message.contains("in eu-west-1: residency"), "{message}");
        }
    }
}
