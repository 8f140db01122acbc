//! Invalid messages while the services fail that are needed to reject them.

use bcce_tests::harness::proxy::Fault::Error;
use bcce_tests::harness::proxy::{Faults, REFUSED, rule};
use bcce_tests::harness::stack::{Stack, fresh, output};
use serde_json::{Value, json};

/// An invalid message stays in the inbox while its notification cannot be sent. It then has one notification and
/// becomes one dead letter.
#[tokio::test]
async fn an_invalid_message_stays_in_the_inbox_until_it_can_be_notified() {
    let notifications =
        rejected_through(&rule("sns:Publish", 5, Error("InternalError", 500)), 5).await;
    assert_eq!(notifications, 1);
}

/// An invalid message stays in the inbox while it cannot be sent to the dead-letter queue. The notification is sent
/// first, so the second try sends it again. The message becomes one dead letter.
#[tokio::test]
async fn an_invalid_message_stays_in_the_inbox_until_it_can_become_a_dead_letter() {
    let notifications = rejected_through(&rule("sqs:SendMessage", 1, REFUSED), 1).await;
    assert_eq!(notifications, 2);
}

/// Sends an invalid message under a fault that occurs `times` times, and checks that it becomes one dead letter.
/// Returns the number of its notifications.
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
    // Another receive may have hidden the dead letter for a moment.
    let letters = stack
        .eventually("the dead letter again", async || {
            Some(having(&stack, &letters, &marker).await).filter(|count| *count > 0)
        })
        .await;
    assert_eq!(letters, 1, "the message must be one dead letter");
    having(&stack, &notifications, &marker).await
}

/// Returns the number of messages in a queue that contain `marker`.
async fn having(stack: &Stack, queue: &str, marker: &str) -> usize {
    let messages = stack.sweep(queue, 60).await;
    messages
        .iter()
        .filter(|message| message.body().is_some_and(|body| body.contains(marker)))
        .count()
}
