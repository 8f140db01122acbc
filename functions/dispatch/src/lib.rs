//! SQS batch -> `request.json` -> one execution per request, be it of a run or of a batch of runs.
//!
//! A message that is no request goes to the dead letters at once, with the reason, and to the
//! notifications topic. A message that cannot be handled just now stays in the queue. Neither holds
//! back its batch.

mod config;
#[cfg(test)]
mod tests;

use std::time::Duration;

use aws_lambda_events::event::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use bcce_aws::sqs::letters::REQUEST_ID;
use bcce_core::artifact::{parse, store_once, to_json};
use bcce_core::attempt::Totals;
use bcce_core::batch::dropped::is_folder;
use bcce_core::batch::{BatchRequest, StoredBatch};
use bcce_core::error::{ErrorName, Fault, Problems};
use bcce_core::limits::MAX_ID_BYTES;
use bcce_core::notice::{RunNotice, RunStatus};
use bcce_core::ports::{
    Clock, DeadLetter, GetObject, Letter, Postpone, Publish, PutOnce, StartBatch, StartRun, Started,
};
use bcce_core::request::{Request, StoredRequest, told_of};

pub use config::Config;

pub struct Ports<S, M, T, D, Q, C> {
    pub store: S,
    pub machine: M,
    pub batch_machine: M,
    pub topic: T,
    pub dead_letters: D,
    pub queue: Q,
    pub clock: C,
}

/// # Errors
/// None for a single message: those are in the response, and SQS delivers them again.
pub async fn handle<S, M, T, D, Q, C>(
    ports: &Ports<S, M, T, D, Q, C>,
    config: &Config,
    event: SqsEvent,
) -> Result<SqsBatchResponse, Fault>
where
    S: GetObject + PutOnce,
    M: StartRun + StartBatch,
    T: Publish,
    D: DeadLetter,
    Q: Postpone,
    C: Clock,
{
    let results = event.records.iter().map(|message| ports.settle(config, message));
    let results = futures::future::join_all(results).await;
    let mut response = SqsBatchResponse::default();
    results.into_iter().flatten().for_each(|id| response.add_failure(id));
    Ok(response)
}

/// A message that is no request, and why.
struct Rejected<'a> {
    request_id: &'a str,
    workflow: Option<&'a str>,
    reason: Fault,
}

impl<S, M, T, D, Q, C> Ports<S, M, T, D, Q, C>
where
    S: GetObject + PutOnce,
    M: StartRun + StartBatch,
    T: Publish,
    D: DeadLetter,
    Q: Postpone,
    C: Clock,
{
    /// The message's id if it has to come again.
    async fn settle(&self, config: &Config, message: &SqsMessage) -> Option<String> {
        let fault = self.dispatch(config, message).await.err()?;
        let id = message.message_id.clone().unwrap_or_default();
        let error = fault.name.as_str();
        tracing::warn!(message_id = id, error, "the message comes again: {}", fault.message);
        let arn = message.event_source_arn.as_deref().unwrap_or_default();
        let receipt = message.receipt_handle.as_deref().unwrap_or_default();
        // Without it the message comes after the queue's whole visibility timeout, which is only slower.
        if let Err(fault) = self.queue.postpone(arn, receipt, delay(message)).await {
            tracing::warn!(
                message_id = id,
                "the message could not be postponed: {}",
                fault.message
            );
        }
        Some(id)
    }

    async fn dispatch(&self, config: &Config, message: &SqsMessage) -> Result<(), Fault> {
        let tenant = config.tenant_of(message.event_source_arn.as_deref().unwrap_or_default())?;
        let body = message.body.as_deref().unwrap_or_default();
        let message_id = message.message_id.as_deref().unwrap_or_default();
        let given_id = request_id(message);
        if BatchRequest::is_meant_by(body) {
            return self.dispatch_batch(body, tenant, given_id).await;
        }
        let request = match Request::parse(body) {
            Ok(request) => StoredRequest::new(request, tenant, given_id),
            Err(problems) => return self.reject_unread(body, tenant, given_id, problems).await,
        };
        let run = request.run();
        let key = run.request_key();
        let stored = store_once(&self.store, &key, &run.run_id, to_json(&request)?).await?;
        // By value: another version of this function may have written the same request otherwise.
        if parse::<StoredRequest>(&key, &stored)? != request {
            let cause = "id: was used before, for another request of this workflow";
            let reason = Fault::new(ErrorName::InvalidRequest, cause);
            let (request_id, workflow) =
                (request.request_id.as_str(), Some(request.workflow.as_str()));
            return self.reject(body, tenant, Rejected { request_id, workflow, reason }).await;
        }
        match self.machine.start(&run).await? {
            Started::New => tracing::info!(run_id = run.run_id, message_id, "the run is started"),
            Started::Existed => {
                tracing::info!(run_id = run.run_id, message_id, "the run was started before");
            }
            Started::Throttled => return Err(Fault::internal("StartExecution is throttled")),
        }
        Ok(())
    }

    async fn dispatch_batch(&self, body: &str, tenant: &str, given_id: &str) -> Result<(), Fault> {
        if is_folder(body) {
            tracing::info!("a folder was made in the inbox of batches");
            return Ok(());
        }
        let request = match BatchRequest::parse(body) {
            Ok(request) => StoredBatch::new(request, tenant, given_id),
            Err(problems) => return self.reject_unread(body, tenant, given_id, problems).await,
        };
        let batch = request.reference();
        let (key, batch_id) = (batch.request_key(), &batch.batch_id);
        let stored = store_once(&self.store, &key, batch_id, to_json(&request)?).await?;
        if parse::<StoredBatch>(&key, &stored)? != request {
            let cause = "id: was used before, for another batch of this workflow";
            let reason = Fault::new(ErrorName::InvalidRequest, cause);
            let (request_id, workflow) =
                (request.request_id.as_str(), Some(request.workflow.as_str()));
            return self.reject(body, tenant, Rejected { request_id, workflow, reason }).await;
        }
        match self.batch_machine.start_batch(&batch).await? {
            Started::New => tracing::info!(batch_id, "the batch is started"),
            Started::Existed => tracing::info!(batch_id, "the batch was started before"),
            Started::Throttled => return Err(Fault::internal("StartExecution is throttled")),
        }
        Ok(())
    }

    /// A body that is no request at all, or no batch.
    async fn reject_unread(
        &self,
        body: &str,
        tenant: &str,
        given_id: &str,
        problems: Problems,
    ) -> Result<(), Fault> {
        let (workflow, id) = told_of(body);
        let request_id = id.as_deref().unwrap_or(given_id);
        let (workflow, reason) = (workflow.as_deref(), problems.into());
        self.reject(body, tenant, Rejected { request_id, workflow, reason }).await
    }

    /// Tells first and moves the message second: if the second fails, the message comes again and is
    /// told of twice. Among the dead letters it lies twice only where this function ends, or SQS is
    /// not heard, behind the move.
    async fn reject(&self, body: &str, tenant: &str, rejected: Rejected<'_>) -> Result<(), Fault> {
        let Rejected { request_id, workflow, reason } = rejected;
        tracing::warn!(request_id, tenant, "the message is rejected: {}", reason.message);
        let notice = RunNotice {
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
        self.topic.publish(&notice).await?;
        self.dead_letters.dead_letter(&Letter { body, tenant, request_id, reason: &reason }).await
    }
}

/// Of a message whose body has none. A dead letter that is sent again is another message and brings the id
/// it had; whoever can send one could as well write it into the body.
fn request_id(message: &SqsMessage) -> &str {
    let brought = message.message_attributes.get(REQUEST_ID);
    let brought = brought.and_then(|attribute| attribute.string_value.as_deref());
    let brought = brought.filter(|id| (1..=MAX_ID_BYTES).contains(&id.len()));
    brought.or(message.message_id.as_deref()).unwrap_or_default()
}

/// Doubles with each delivery, from 2 s to 5 minutes.
fn delay(message: &SqsMessage) -> Duration {
    let received = message.attributes.get("ApproximateReceiveCount");
    let received: u32 = received.and_then(|count| count.parse().ok()).unwrap_or(1);
    Duration::from_secs((1_u64 << received.clamp(1, 9)).min(300))
}
