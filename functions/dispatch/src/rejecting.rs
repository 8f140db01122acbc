//! Rejects a message that cannot become a run: notifies the topic and moves the message to the dead-letter queue.

use bcce_core::base::error::{Fault, Problems};
use bcce_core::call::attempt::Totals;
use bcce_core::ports::{Clock, DeadLetter, Letter, Publish};
use bcce_core::run::notification::{RunNotification, RunStatus};
use bcce_core::run::request::workflow_and_id;

use crate::{Dispatched, Ports, Received};

/// A message that is rejected, and the reason.
struct Rejected<'a> {
    request_id: &'a str,
    workflow: Option<&'a str>,
    reason: Fault,
}

impl<S, M, T, D, Q, P, L, C, F> Ports<S, M, T, D, Q, P, L, C, F>
where
    T: Publish,
    D: DeadLetter,
    C: Clock,
{
    /// Rejects a request that could be parsed, so that its id and its workflow are known.
    ///
    /// # Errors
    /// `Bcce.Internal`: SNS or SQS failed.
    pub(crate) async fn reject_named(
        &self,
        received: Received<'_>,
        (request_id, workflow): (&str, &str),
        reason: Fault,
    ) -> Result<Dispatched, Fault> {
        let rejected = Rejected { request_id, workflow: Some(workflow), reason };
        self.reject(received.body, received.tenant, rejected).await?;
        Ok(Dispatched::Done)
    }

    /// Rejects a body that could not be parsed as a request or a batch.
    ///
    /// # Errors
    /// `Bcce.Internal`: SNS or SQS failed.
    pub(crate) async fn reject_unread(
        &self,
        received: Received<'_>,
        problems: Problems,
    ) -> Result<Dispatched, Fault> {
        let (workflow, id) = workflow_and_id(received.body);
        let request_id = id.as_deref().unwrap_or(received.given_id);
        let (workflow, reason) = (workflow.as_deref(), problems.into());
        let rejected = Rejected { request_id, workflow, reason };
        self.reject(received.body, received.tenant, rejected).await?;
        Ok(Dispatched::Done)
    }

    /// Sends the notification, and then moves the message. If the move fails, SQS delivers the message again, and a
    /// second notification is sent. The message becomes two dead letters only if this function ends, or loses the
    /// response of SQS, after the move.
    async fn reject(&self, body: &str, tenant: &str, rejected: Rejected<'_>) -> Result<(), Fault> {
        let Rejected { request_id, workflow, reason } = rejected;
        tracing::warn!(request_id, tenant, "the message is rejected: {}", reason.message);
        let notification = RunNotification {
            version: 1,
            run_id: None,
            request_id: request_id.to_owned(),
            tenant: tenant.to_owned(),
            workflow: workflow.map(str::to_owned),
            status: RunStatus::Rejected,
            ended_at: self.clock.now(),
            manifest: None,
            manifest_sha256: None,
            totals: Totals::of([]),
            truncated: 0,
            error: Some(reason.clone()),
        };
        self.topic.publish(&notification).await?;
        self.dead_letters.dead_letter(&Letter { body, tenant, request_id, reason: &reason }).await
    }
}
