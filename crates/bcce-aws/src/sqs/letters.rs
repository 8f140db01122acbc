//! Lists, shows and deletes dead letters for an operator. SQS has no way to read a queue but to receive its messages,
//! which hides them for a while.

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::{
    ChangeMessageVisibilityBatchRequestEntry, Message, MessageSystemAttributeName,
};
use aws_types::SdkConfig;
use bcce_core::base::error::Fault;
use time::OffsetDateTime;

use super::count;
use crate::fault::internal;
use crate::lazily::Lazily;

/// The time that a received dead letter stays hidden unless [`DeadLetterQueue::show_again`] is called, in seconds. It
/// is long enough to read thousands of dead letters.
pub const HIDDEN_S: i32 = 120;
/// The message attribute with the request id, for a message that is sent again and whose body has no id.
pub const REQUEST_ID: &str = "bcce_request_id";
/// The number of messages that one call accepts.
const BATCH: usize = 10;

/// The dead-letter queue, to read. [`super::DeadLetters`] writes to it.
pub struct DeadLetterQueue {
    client: Lazily<Client>,
    queue_url: String,
}

/// A dead letter with its attributes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DeadMessage {
    pub message_id: String,
    /// The receipt handle, for [`DeadLetterQueue::show_again`] and [`DeadLetterQueue::delete`].
    pub receipt: String,
    pub body: String,
    pub sent_at: Option<OffsetDateTime>,
    pub error: Option<String>,
    pub reason: Option<String>,
    pub request_id: Option<String>,
    pub tenant: Option<String>,
    /// The ARN of the queue from which SQS itself moved the message.
    pub moved_from: Option<String>,
}

impl DeadLetterQueue {
    /// Creates the adapter for the queue with this URL.
    pub fn new(config: &SdkConfig, queue_url: &str) -> Self {
        Self { client: Lazily::new(config, Client::new), queue_url: queue_url.to_owned() }
    }

    /// Receives up to ten messages and hides them from other receivers for [`HIDDEN_S`] seconds.
    ///
    /// # Errors
    /// `Bcce.Internal`: the queue cannot be read.
    pub async fn receive(&self) -> Result<Vec<DeadMessage>, Fault> {
        use MessageSystemAttributeName as Name;
        let receive = self.client.get().receive_message().queue_url(&self.queue_url);
        // With a wait time, SQS queries all of its servers. Without one it queries only some of them.
        let receive = receive.max_number_of_messages(10).visibility_timeout(HIDDEN_S);
        let receive = receive.wait_time_seconds(1).message_attribute_names("All");
        let receive = receive
            .message_system_attribute_names(Name::SentTimestamp)
            .message_system_attribute_names(Name::DeadLetterQueueSourceArn);
        let received = receive.send().await;
        let received = received
            .map_err(|error| internal("sqs:ReceiveMessage of the dead-letter queue", &error))?;
        Ok(received.messages.unwrap_or_default().into_iter().map(dead).collect())
    }

    /// Makes received messages visible to other receivers again.
    ///
    /// # Errors
    /// `Bcce.Internal`: SQS cannot be called.
    pub async fn show_again(&self, receipts: &[&str]) -> Result<(), Fault> {
        for batch in receipts.chunks(BATCH) {
            let mut change = self.client.get().change_message_visibility_batch();
            for (n, receipt) in batch.iter().enumerate() {
                let entry = ChangeMessageVisibilityBatchRequestEntry::builder().id(n.to_string());
                let entry = entry.receipt_handle(*receipt).visibility_timeout(0).build();
                change = change.entries(entry.map_err(|e| Fault::internal(e.to_string()))?);
            }
            let changed = change.queue_url(&self.queue_url).send().await;
            changed.map_err(|error| {
                internal("sqs:ChangeMessageVisibility of the dead-letter queue", &error)
            })?;
        }
        Ok(())
    }

    /// Deletes a received message.
    ///
    /// # Errors
    /// `Bcce.Internal`: the message cannot be deleted.
    pub async fn delete(&self, receipt: &str) -> Result<(), Fault> {
        let delete = self.client.get().delete_message().queue_url(&self.queue_url);
        let deleted = delete.receipt_handle(receipt).send().await;
        deleted
            .map(|_| ())
            .map_err(|error| internal("sqs:DeleteMessage of the dead-letter queue", &error))
    }

    /// Returns the number of messages that can be received, and the number that are hidden. Both are SQS's estimates.
    ///
    /// # Errors
    /// `Bcce.Internal`: the queue cannot be read.
    pub async fn count(&self) -> Result<(u64, u64), Fault> {
        count(self.client.get(), &self.queue_url).await
    }
}

fn dead(message: Message) -> DeadMessage {
    use MessageSystemAttributeName as Name;
    let written =
        |name: &str| Some(message.message_attributes()?.get(name)?.string_value()?.to_owned());
    let of_sqs = |name: Name| message.attributes()?.get(&name).cloned();
    let sent_ms = of_sqs(Name::SentTimestamp).and_then(|ms| ms.parse::<i128>().ok());
    let sent_at =
        sent_ms.and_then(|ms| OffsetDateTime::from_unix_timestamp_nanos(ms * 1_000_000).ok());
    DeadMessage {
        sent_at,
        // `dispatch` and EventBridge Scheduler use different names for these attributes.
        error: written("error").or(written("ERROR_CODE")),
        reason: written("reason").or(written("ERROR_MESSAGE")),
        request_id: written("request_id").or(written(REQUEST_ID)),
        tenant: written("tenant"),
        moved_from: of_sqs(Name::DeadLetterQueueSourceArn),
        message_id: message.message_id.unwrap_or_default(),
        receipt: message.receipt_handle.unwrap_or_default(),
        body: message.body.unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_sqs::operation::change_message_visibility_batch::ChangeMessageVisibilityBatchOutput;
    use aws_sdk_sqs::operation::delete_message::DeleteMessageOutput;
    use aws_sdk_sqs::operation::receive_message::ReceiveMessageOutput;
    use aws_smithy_mocks::{Rule, RuleMode, mock, mock_client};
    use time::macros::datetime;

    fn queue(rule: &Rule) -> DeadLetterQueue {
        let client = mock_client!(aws_sdk_sqs, RuleMode::MatchAny, [rule]);
        DeadLetterQueue { client: client.into(), queue_url: "u".into() }
    }

    #[tokio::test]
    async fn a_dead_letter_is_read_with_its_attributes() {
        let rule = mock!(Client::receive_message)
            .match_requests(|receive| receive.visibility_timeout() == Some(HIDDEN_S))
            .then_output(|| {
                use MessageSystemAttributeName as Name;
                let message = Message::builder().message_id("m").receipt_handle("r").body("b");
                let message = message
                    .attributes(Name::SentTimestamp, "1793534400000")
                    .message_attributes("reason", super::super::attribute("why").unwrap());
                ReceiveMessageOutput::builder().messages(message.build()).build()
            });
        let expected = DeadMessage {
            message_id: "m".into(),
            receipt: "r".into(),
            body: "b".into(),
            sent_at: Some(datetime!(2026-11-01 12:00 UTC)),
            reason: Some("why".into()),
            ..DeadMessage::default()
        };
        assert_eq!(queue(&rule).receive().await, Ok(vec![expected]));
    }

    #[tokio::test]
    async fn dead_letters_are_shown_again_ten_at_a_time() {
        let rule = mock!(Client::change_message_visibility_batch)
            .match_requests(|change| {
                change.entries().len() <= 10
                    && change.entries().iter().all(|entry| entry.visibility_timeout() == Some(0))
            })
            .then_output(|| {
                let output = ChangeMessageVisibilityBatchOutput::builder();
                let (done, failed) = (Some(vec![]), Some(vec![]));
                output.set_successful(done).set_failed(failed).build().unwrap()
            });
        assert_eq!(queue(&rule).show_again(&["r"; 11]).await, Ok(()));
        assert_eq!(rule.num_calls(), 2);
    }

    #[tokio::test]
    async fn a_dead_letter_is_deleted_by_its_receipt() {
        let rule = mock!(Client::delete_message)
            .match_requests(|delete| delete.receipt_handle() == Some("r"))
            .then_output(|| DeleteMessageOutput::builder().build());
        assert_eq!(queue(&rule).delete("r").await, Ok(()));
    }
}
