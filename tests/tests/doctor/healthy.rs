use bcce_tests::harness::cli::{ROOT, bcce};
use bcce_tests::harness::stack::{Stack, output};
use serde_json::json;

use crate::found::{doctor, doctor_with};

/// Makes the stack healthy: creates the secret of the shipped webhook, and restores the shipped configuration.
pub async fn healthy() -> Stack {
    let stack = Stack::connected().await;
    let (exit, output) = bcce("dev", &["config", "push", &format!("{ROOT}/infra/config/dev")]);
    assert_eq!(exit, 0, "{output}");
    stack.put_secret("github", "It's a Secret to Everybody").await;
    stack
}

#[tokio::test]
async fn a_healthy_stack_has_no_finding_at_all() {
    healthy().await;
    doctor().nothing();
}

#[tokio::test]
async fn the_canary_of_a_healthy_stack_finds_nothing() {
    healthy().await;
    doctor_with(&["--live", "--yes"], &[]).nothing();
}

/// A run that is under way is no finding.
#[tokio::test]
async fn a_run_leaves_no_finding() {
    let stack = healthy().await;
    let id = bcce_tests::harness::stack::fresh("healthy");
    let manifest = stack.run("explain", &id, json!({ "text": "A breaker." })).await;
    assert_eq!(manifest["status"], "SUCCEEDED", "{manifest} in {}", output("ArtifactBucket"));
    doctor().nothing();
}
