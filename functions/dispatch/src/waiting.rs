//! Delays a message that cannot be handled yet, and replaces it by a copy before its receives are used up.

use std::time::Duration;

use aws_lambda_events::event::sqs::SqsMessage;
use bcce_core::base::digest::sha256;
use bcce_core::ports::{Postpone, SendAgain};
use time::OffsetDateTime;

use crate::{Ports, request_id};

/// The number of receives after which a message that waits is replaced by a copy. SQS counts receives and makes a
/// message a dead letter after `maxReceiveCount` of them. The remaining receives are for faults.
pub const RENEW_AT: u32 = 50;
/// The longest time between two receives of a message that waits, in seconds. It is long enough that a flood is cheap,
/// and short enough that a free slot is soon used.
const MOST_WAITING_S: u64 = 150;
/// The longest time between two receives of a message after faults, in seconds. A hundred receives outlast an outage of
/// twelve hours.
const MOST_FAULTY_S: u64 = 900;

/// The reason why a valid message is not started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Because {
    NoFreeSlot,
    Throttled,
    UnknownWorkflow,
}

impl Because {
    /// Returns the reason as text for the log and the metric.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoFreeSlot => "the tenant has no free slot",
            Self::Throttled => "StartExecution is throttled",
            Self::UnknownWorkflow => {
                "its workflow is unknown, and the workflows cannot be listed yet"
            }
        }
    }
}

/// A wait of a message: the reason and the shortest duration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    pub because: Because,
    pub at_least: Duration,
}

impl Wait {
    /// Returns a wait without a shortest duration.
    pub fn because(because: Because) -> Self {
        Self { because, at_least: Duration::ZERO }
    }
}

impl<S, M, T, D, Q: Postpone + SendAgain, P, L, C, F> Ports<S, M, T, D, Q, P, L, C, F> {
    /// Lets a message wait. Returns its id, or `None` if a copy has replaced it. If the function ends after it has sent
    /// the copy, SQS delivers both; they are the same request, so they start one run.
    pub(crate) async fn wait(&self, message: &SqsMessage, wait: &Wait) -> Option<String> {
        let message_id = message.message_id.as_deref();
        let (delay, receives) = (while_waiting(message, wait), received(message));
        tracing::info!(message_id, receives, "the message waits: {}", wait.because.as_str());
        if receives < RENEW_AT {
            return self.postpone(message, delay).await;
        }
        let arn = message.event_source_arn.as_deref().unwrap_or_default();
        let body = message.body.as_deref().unwrap_or_default();
        match self.queue.send_again(arn, body, request_id(message), delay).await {
            Ok(()) => None,
            Err(fault) => {
                tracing::warn!(message_id, "the message could not be renewed: {}", fault.message);
                self.postpone(message, delay).await
            }
        }
    }

    /// Postpones the next receive of a message, and returns its id.
    pub(crate) async fn postpone(&self, message: &SqsMessage, delay: Duration) -> Option<String> {
        let id = message.message_id.clone().unwrap_or_default();
        let arn = message.event_source_arn.as_deref().unwrap_or_default();
        let receipt = message.receipt_handle.as_deref().unwrap_or_default();
        // If this fails, SQS delivers the message after the queue's whole visibility timeout, which is only slower.
        if let Err(fault) = self.queue.postpone(arn, receipt, delay).await {
            tracing::warn!(
                message_id = id,
                "the message could not be postponed: {}",
                fault.message
            );
        }
        Some(id)
    }
}

/// Returns the number of times that SQS has delivered the message.
fn received(message: &SqsMessage) -> u32 {
    let received = message.attributes.get("ApproximateReceiveCount");
    received.and_then(|count| count.parse().ok()).unwrap_or(1)
}

/// Returns the time at which SQS accepted the message, or `now` if the message lacks that attribute.
pub fn sent_at(message: &SqsMessage, now: OffsetDateTime) -> OffsetDateTime {
    let sent = message.attributes.get("SentTimestamp").and_then(|at| at.parse::<i128>().ok());
    let sent = sent.and_then(|ms| OffsetDateTime::from_unix_timestamp_nanos(ms * 1_000_000).ok());
    sent.unwrap_or(now)
}

/// Returns the delay of a message that waits.
fn while_waiting(message: &SqsMessage, wait: &Wait) -> Duration {
    wait.at_least + jittered(message, MOST_WAITING_S)
}

/// Returns the delay of a message after a fault.
pub fn after_a_fault(message: &SqsMessage) -> Duration {
    jittered(message, MOST_FAULTY_S)
}

/// Returns a delay that doubles with each delivery, from 2 s to `most` seconds. A hash of message and delivery varies
/// half of it, so that messages that were delivered together are not delivered together again.
fn jittered(message: &SqsMessage, most: u64) -> Duration {
    let received = received(message);
    let id = message.message_id.as_deref().unwrap_or_default();
    let hash = sha256(format!("{id} {received}").as_bytes());
    let base = (1_u64 << received.clamp(1, 16)).min(most);
    let chance = u64::from(u16::from_be_bytes([hash[0], hash[1]]));
    Duration::from_secs(base / 2 + chance % (base / 2 + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(id: &str, received: u32) -> SqsMessage {
        let mut message = SqsMessage::default();
        message.message_id = Some(id.to_owned());
        message.attributes.insert("ApproximateReceiveCount".into(), received.to_string());
        message
    }

    #[test]
    fn a_message_that_waits_is_renewed_after_the_alarm_and_long_before_it_is_a_dead_letter() {
        let waited: Duration = (1..RENEW_AT)
            .map(|n| while_waiting(&message("m", n), &Wait::because(Because::NoFreeSlot)))
            .sum();
        assert!(
            waited > Duration::from_secs(3_600) && waited < Duration::from_secs(7_500),
            "{waited:?}"
        );
    }

    #[test]
    fn an_outage_of_half_a_day_makes_no_dead_letter() {
        for id in ["a", "b", "c", "d", "e", "f"] {
            let lasts: Duration = (1..=100).map(|n| after_a_fault(&message(id, n))).sum();
            assert!(lasts > Duration::from_secs(12 * 3_600), "{lasts:?}");
        }
    }

    #[test]
    fn messages_that_came_together_come_apart() {
        let all: std::collections::BTreeSet<Duration> =
            (0..100).map(|n| after_a_fault(&message(&n.to_string(), 9))).collect();
        assert!(all.len() > 50, "{}", all.len());
        assert!(all.iter().all(|delay| (256..=512).contains(&delay.as_secs())), "{all:?}");
    }

    #[test]
    fn a_message_says_when_it_was_sent() {
        let now = OffsetDateTime::UNIX_EPOCH;
        let mut sent = message("m", 1);
        assert_eq!(sent_at(&sent, now), now);
        sent.attributes.insert("SentTimestamp".into(), "1793534400123".into());
        assert_eq!(sent_at(&sent, now).unix_timestamp(), 1_793_534_400);
    }
}
