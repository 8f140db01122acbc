//! Queues and the notifications topic.

use std::time::Duration;

use crate::base::error::Fault;
use crate::run::budget_alert::BudgetAlert;
use crate::run::notification::RunNotification;

pub trait Publish {
    /// Publishes a notification.
    async fn publish(&self, notification: &RunNotification) -> Result<(), Fault>;
}

pub trait PublishAlert {
    /// Publishes the alert of a budget.
    async fn publish_alert(&self, alert: &BudgetAlert) -> Result<(), Fault>;
}

pub trait DeadLetter {
    /// Puts a refused message on the dead-letter queue.
    async fn dead_letter(&self, letter: &Letter<'_>) -> Result<(), Fault>;
}

/// A dead letter: the body of a refused message, with the reason.
#[derive(Clone, Debug)]
pub struct Letter<'a> {
    pub body: &'a str,
    pub tenant: &'a str,
    pub request_id: &'a str,
    pub reason: &'a Fault,
}

pub trait SendRequest {
    /// Puts a request on the inbox of a tenant. `None` is the default tenant.
    async fn send(&self, tenant: Option<&str>, body: &str) -> Result<Sent, Fault>;
}

/// The result of sending a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    Accepted,
    /// The queue throttled the message. The message is valid and can be sent again.
    Throttled,
    /// The tenant has no inbox.
    NoInbox,
}

pub trait Postpone {
    /// Makes a message visible again after `delay` instead of after the queue's full visibility timeout.
    async fn postpone(&self, queue_arn: &str, receipt: &str, delay: Duration) -> Result<(), Fault>;
}

pub trait SendAgain {
    /// Puts a copy of a message on its queue, visible after `delay` (at most 900 seconds). The copy carries
    /// `request_id`, and its receive count starts at zero.
    async fn send_again(
        &self,
        queue_arn: &str,
        body: &str,
        request_id: &str,
        delay: Duration,
    ) -> Result<(), Fault>;
}
