//! Timeouts that a workflow sets for itself.

use bcce_core::failover::breaker::Breaker;
use bcce_tests::harness::stack::{Layout, RunRef, Stack, fresh, model};
use serde_json::json;

use crate::breakers::{EAST, breaker};

/// If a workflow has shorter timeouts than the platform team, its call moves to the next target early, and no failure
/// is counted in the target's breaker.
#[tokio::test]
async fn a_shorter_timeout_of_the_workflow_opens_no_breaker() {
    let stack = Stack::connect().await;
    let (name, model) = (fresh("own-limits"), model(Layout::Two));
    let workflow = format!(
        "version: 1\nname: {name}\nrequest_models: [\"test-*\"]\nsteps:\n- id: answer\n  model: haiku\n  prompt: |\n    @model us-east-1: silent\n    Hello.\n  routing:\n    timeouts: {{ first_token_s: 2, stall_s: 2, attempt_s: 60 }}\n"
    );
    stack.put_workflow(&name, &workflow).await;
    for id in ["1", "2"] {
        stack.send(&json!({ "workflow": name, "id": id, "model": model }).to_string()).await;
        let run = RunRef::first("default", &name, id);
        assert_eq!(stack.manifest(&run).await["status"], "SUCCEEDED");
        let attempt = &stack.step(&run, "answer").await["attempts"][0];
        assert_eq!(
            (attempt["error"].as_str(), attempt["target"]["region"].as_str()),
            (Some("Bcce.TargetTimeout"), Some(EAST))
        );
        let waited = attempt["latency_ms"].as_u64().unwrap();
        // The platform team's limit is 15 s.
        assert!((2_000..15_000).contains(&waited), "{waited} ms");
    }
    assert_eq!(breaker(&stack, &model, EAST).await, Breaker::default());
}
