//! Faults that last longer than all retries.

use bcce_tests::harness::budgets;
use bcce_tests::harness::proxy::{Faults, REFUSED, after, rule};
use bcce_tests::harness::stack::{Stack, fresh, log, output};
use rust_decimal::Decimal;
use serde_json::json;

use crate::ending::{self, workflow};

/// More often than all retries together.
const ALWAYS: usize = 1000;

/// If the configuration cannot be read, the run fails with `Bcce.Internal` and calls no model. It is sealed, recorded
/// and notified once.
#[tokio::test]
async fn a_run_that_cannot_be_planned_fails_and_is_sealed_and_notified() {
    let faults = Faults::none().await;
    let stack = Stack::connect().await;
    let (notifications, workflow) =
        (stack.listen(&fresh("unplanned")).await, workflow(&stack).await);
    faults.are(&json!([rule("ssm:GetParameters", ALWAYS, REFUSED)]));
    let ending = ending::of(&stack, &workflow, &notifications).await;
    assert_eq!(
        (ending.status.as_str(), ending.error.as_deref()),
        ("FAILED", Some("Bcce.Internal"))
    );
    let manifest = ending.manifest.as_ref().unwrap();
    assert_eq!(
        (&manifest["status"], &manifest["error"]["name"]),
        (&json!("FAILED"), &json!("Bcce.Internal"))
    );
    assert!(ending.verifies());
    assert_eq!(ending.record.as_deref(), Some("FAILED"));
    assert_eq!(ending.notifications.len(), 1);
    assert_eq!(ending.notifications[0]["status"], "FAILED");
    assert_eq!(ending.model_calls, 0);
    let finalized = ending.finalized(&stack, &notifications).await;
    assert_eq!(
        finalized.notifications.len(),
        0,
        "its own machine has sent the notification, and no other may follow"
    );
}

/// If the answer cannot be stored, the state machine gives up after four tries, each of which has paid for a call. The
/// step fails, and the run is sealed.
#[tokio::test]
async fn an_answer_that_cannot_be_stored_fails_its_step() {
    let faults = Faults::none().await;
    let stack = Stack::connect().await;
    let (notifications, workflow) =
        (stack.listen(&fresh("unstored")).await, workflow(&stack).await);
    // The first two writes are the request and the plan. The fault is over before the manifest is written.
    faults.are(&after(2, "s3:PutObject", 4, REFUSED));
    let ending = ending::of(&stack, &workflow, &notifications).await;
    assert_eq!(faults.fired(), 4);
    assert_eq!(
        (ending.status.as_str(), ending.error.as_deref()),
        ("FAILED", Some("Bcce.Internal"))
    );
    let manifest = ending.manifest.as_ref().unwrap();
    assert_eq!(manifest["steps"][0]["status"], "FAILED");
    assert_eq!(manifest["steps"][0]["error"]["name"], "Bcce.Internal");
    assert!(ending.verifies());
    assert!(stack.object(&ending.run.step_key("answer", None)).await.is_none());
    assert_eq!(ending.model_calls, 4);
}

/// If the cost of a call cannot be reserved, the call is not made.
#[tokio::test]
async fn a_call_whose_cost_cannot_be_reserved_is_not_made() {
    let faults = Faults::none().await;
    let stack = Stack::connect().await;
    let (notifications, workflow) =
        (stack.listen(&fresh("unreserved")).await, workflow(&stack).await);
    budgets::put(&stack, &workflow, "total", &[(&workflow, "usd: 1000")]).await;
    // The fault is over before the run is counted.
    faults.are(&json!([rule("dynamodb:TransactWriteItems", 4, REFUSED)]));
    let ending = ending::of(&stack, &workflow, &notifications).await;
    assert_eq!(faults.fired(), 4);
    assert_eq!(
        (ending.status.as_str(), ending.error.as_deref()),
        ("FAILED", Some("Bcce.Internal"))
    );
    let manifest = ending.manifest.as_ref().unwrap();
    let cause = manifest["steps"][0]["error"]["message"].as_str().unwrap();
    assert!(cause.contains("the invoke function has the cause"), "{manifest}");
    let log = log("invoke");
    assert!(log.contains("dynamodb:TransactWriteItems budget"), "{log}");
    assert!(ending.verifies());
    assert_eq!(ending.model_calls, 0);
    let counter = format!("{workflow}:workflow:usd#{workflow}#total");
    let state = stack.counter(&counter).await;
    assert_eq!((state.spent(), state.reserved()), (Decimal::ZERO, Decimal::ZERO));
}

/// Manifest and signature are one write. While signing fails there is neither, and the run is not counted or notified.
/// When signing works again, the finalize machine seals, counts and notifies.
#[tokio::test]
async fn a_manifest_is_not_stored_until_it_can_be_signed() {
    let faults = Faults::none().await;
    let stack = Stack::connect().await;
    let (notifications, workflow) =
        (stack.listen(&fresh("unsigned")).await, workflow(&stack).await);
    faults.are(&json!([rule("kms:Sign", ALWAYS, REFUSED)]));
    let ending = ending::of(&stack, &workflow, &notifications).await;
    assert_eq!(
        (ending.status.as_str(), ending.error.as_deref()),
        ("FAILED", Some("Bcce.Internal"))
    );
    assert!(ending.cause.as_ref().unwrap().contains("could not be sealed"), "{:?}", ending.cause);
    assert!(ending.manifest.is_none() && !ending.verifies());
    assert_eq!(ending.record.as_deref(), Some("RUNNING"));
    assert_eq!((ending.counted, ending.notifications.len()), (0, 0));

    faults.are(&json!([]));
    let finalized = ending.finalized(&stack, &notifications).await;
    assert!(finalized.verifies());
    assert_eq!(finalized.record.as_deref(), Some("SUCCEEDED"));
    assert_eq!(
        (finalized.counted, finalized.notifications.len(), finalized.model_calls),
        (1, 1, 1)
    );
}

/// If a sealed run cannot be counted, its execution fails, and the manifest stays valid. The finalize machine counts it
/// and notifies when the ledger works again.
#[tokio::test]
async fn a_sealed_run_that_cannot_be_counted_is_counted_and_notified_later() {
    let faults = Faults::none().await;
    let stack = Stack::connect().await;
    let (notifications, workflow) =
        (stack.listen(&fresh("uncounted")).await, workflow(&stack).await);
    faults.are(&json!([rule("dynamodb:TransactWriteItems", ALWAYS, REFUSED)]));
    let ending = ending::of(&stack, &workflow, &notifications).await;
    assert_eq!(
        (ending.status.as_str(), ending.error.as_deref()),
        ("FAILED", Some("Bcce.Internal"))
    );
    assert!(ending.cause.as_ref().unwrap().contains("could not be counted"), "{:?}", ending.cause);
    assert_eq!(ending.manifest.as_ref().unwrap()["status"], "SUCCEEDED");
    assert!(ending.verifies());
    assert_eq!(ending.record.as_deref(), Some("RUNNING"));
    assert_eq!((ending.counted, ending.notifications.len()), (0, 0));

    faults.are(&json!([]));
    let finalized = ending.finalized(&stack, &notifications).await;
    assert_eq!(finalized.record.as_deref(), Some("SUCCEEDED"));
    assert_eq!((finalized.counted, finalized.notifications.len()), (1, 1));
    assert_eq!(finalized.notifications[0]["status"], "SUCCEEDED");
}

/// A run without a topic to publish to has everything else. Step Functions publishes without the fault proxy, so the
/// test deletes the topic for a while.
#[tokio::test]
async fn a_failed_notification_does_not_change_the_run() {
    let _faults = Faults::none().await;
    let stack = Stack::connect().await;
    let (notifications, workflow) =
        (stack.listen(&fresh("unpublished")).await, workflow(&stack).await);
    let topic = output("NotificationsTopicArn");
    stack.sns.delete_topic().topic_arn(&topic).send().await.unwrap();
    let ending = ending::of(&stack, &workflow, &notifications).await;
    let name = topic.rsplit(':').next().unwrap();
    let created = stack.sns.create_topic().name(name).send().await.unwrap();
    assert_eq!(created.topic_arn(), Some(topic.as_str()));
    assert_eq!(ending.notifications.len(), 0);
    assert_eq!(ending.is_whole(), Err("0 notifications".to_owned()));
}

/// If the breakers in the ledger cannot be read, the router uses what it remembers, the run is complete, and a metric
/// reports the fault.
#[tokio::test]
async fn a_run_succeeds_while_the_breakers_cannot_be_read() {
    let faults = Faults::none().await;
    let stack = Stack::connect().await;
    let (notifications, workflow) = (stack.listen(&fresh("blind")).await, workflow(&stack).await);
    let unreachable = || log("failover-router").matches("LedgerUnreachable").count();
    let before = unreachable();
    faults.are(&json!([rule("dynamodb:BatchGetItem", ALWAYS, REFUSED)]));
    let ending = ending::of(&stack, &workflow, &notifications).await;
    assert_eq!(ending.is_whole(), Ok(()));
    assert!(faults.fired() > 0);
    assert!(unreachable() > before, "no metric reports it");
}
