use bcce_tests::harness::proxy::Fault::Error;
use bcce_tests::harness::proxy::{Faults, REFUSED, rule};
use bcce_tests::harness::stack::{Stack, fresh, output};
use serde_json::{Value, json};

#[tokio::test]
async fn a_bad_message_waits_until_its_notification_can_be_sent() {
    let notifications =
        rejected_through(&rule("sns:Publish", 5, Error("InternalError", 500)), 5).await;
    assert_eq!(notifications, 1);
}

/// The notification goes first and the move second: the second try notifies again, and still moves it once.
#[tokio::test]
async fn a_bad_message_waits_until_it_can_be_set_aside() {
    let notifications = rejected_through(&rule("sqs:SendMessage", 1, REFUSED), 1).await;
    assert_eq!(notifications, 2);
}

/// Sends a message that is no request; it ends among the dead letters once. Returns how many
/// notifications there were.
async fn rejected_through(fault: &Value, times: usize) -> usize {
    let faults = Faults::none().await;
    let stack = Stack::connect().await;
    let notifications = stack.listen(&fresh("rejected")).await;
    faults.are(&json!([fault]));
    let marker = fresh("marker");
    stack.send(&json!({ "id": marker, "workflow": 7 }).to_string()).await;
    let letters = output("DeadLetterQueueUrl");
    stack.inbox_is_empty().await;
    assert_eq!(faults.fired(), times);
    // Receiving it has hidden it for a moment.
    let letters = stack
        .eventually("the dead letter again", async || {
            Some(having(&stack, &letters, &marker).await).filter(|count| *count > 0)
        })
        .await;
    assert_eq!(letters, 1, "among the dead letters");
    having(&stack, &notifications, &marker).await
}

async fn having(stack: &Stack, queue: &str, marker: &str) -> usize {
    let messages = stack.sweep(queue, 60).await;
    messages
        .iter()
        .filter(|message| message.body().is_some_and(|body| body.contains(marker)))
        .count()
}
