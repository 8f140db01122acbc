//! SQS batch -> `request.json` -> one execution per request, be it of a run or of a batch of runs.
//!
//! A message that is no request goes to the dead letters at once, with the reason, and to the
//! notifications topic. A message that cannot be handled just now stays in the queue. Neither holds
//! back its batch.
//!
//! A tenant that has as much under way as it may have waits in its inbox, and so does a message whose workflow cannot
//! be looked up. Waiting costs no receive that counts: the message is replaced by a copy in time.

mod config;
mod metrics; // how many messages wait
mod rejecting; // messages that are no request
mod slots; // how much a tenant has under way
#[cfg(test)]
mod tests;
mod waiting; // when a message comes again
mod workflows; // which workflows exist

use std::time::Duration;

use aws_lambda_events::event::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use bcce_aws::sqs::{is_plain, letters::REQUEST_ID};
use bcce_core::artifact::{parse, store_once, to_json};
use bcce_core::batch::dropped::is_folder;
use bcce_core::batch::{BatchRequest, StoredBatch};
use bcce_core::config::parameter_name;
use bcce_core::error::{ErrorName, Fault, Problems};
use bcce_core::limits::MAX_ID_BYTES;
use bcce_core::ports::{
    Clock, DeadLetter, GetObject, ListParameters, ListSlots, Postpone, Publish, PutOnce,
    ReleaseSlot, SendAgain, StartBatch, StartRun, Started, TakeSlot,
};
use bcce_core::request::{Request, StoredRequest};
use bcce_core::slot::{Lane, batch_weight};
use time::OffsetDateTime;

use slots::{Claim, Claimed};
use waiting::{Because, Wait, after_a_fault, sent_at};
use workflows::{Known, Question};

pub use config::Config;
pub use slots::Full;
pub use workflows::Workflows;

/// How far apart the clocks of Step Functions and of this function may be. No execution ends so soon after its start.
const SKEW: Duration = Duration::from_secs(2);

pub struct Ports<S, M, T, D, Q, P, L, C, F> {
    pub store: S,
    pub machine: M,
    pub batch_machine: M,
    pub topic: T,
    pub dead_letters: D,
    pub queue: Q,
    pub parameters: P,
    pub ledger: L,
    pub clock: C,
    /// What this instance remembers.
    pub workflows: Workflows,
    pub full: Full,
    /// Takes documents of metrics.
    pub metrics: F,
}

/// # Errors
/// None for a single message: those are in the response, and SQS delivers them again.
pub async fn handle<S, M, T, D, Q, P, L, C, F>(
    ports: &Ports<S, M, T, D, Q, P, L, C, F>,
    config: &Config,
    event: SqsEvent,
) -> Result<SqsBatchResponse, Fault>
where
    S: GetObject + PutOnce,
    M: StartRun + StartBatch,
    T: Publish,
    D: DeadLetter,
    Q: Postpone + SendAgain,
    P: ListParameters,
    L: ListSlots + TakeSlot + ReleaseSlot,
    C: Clock,
    F: Fn(&str),
{
    let received_at = ports.clock.now();
    let handled = event.records.iter().map(|message| ports.handle(config, message, received_at));
    let handled = futures::future::join_all(handled).await;
    let waits = handled.iter().filter_map(|handled| handled.waits);
    metrics::of_waits(&config.environment, received_at, waits)
        .iter()
        .for_each(|document| (ports.metrics)(document));
    let mut response = SqsBatchResponse::default();
    handled
        .into_iter()
        .filter_map(|handled| handled.failed)
        .for_each(|id| response.add_failure(id));
    Ok(response)
}

/// The outcome of a message.
#[derive(Default)]
struct Handled<'a> {
    /// The message's id if it has to come again.
    failed: Option<String>,
    /// The tenant that waits with it, and why.
    waits: Option<(&'a str, Because)>,
}

/// A message as SQS delivered it.
#[derive(Clone, Copy)]
struct Received<'a> {
    body: &'a str,
    tenant: &'a str,
    /// The request's id where its body has none.
    given_id: &'a str,
    sent_at: OffsetDateTime,
    received_at: OffsetDateTime,
}

/// The outcome of a message that met no fault.
enum Dispatched {
    Done,
    Waits(Wait),
}

impl Dispatched {
    fn without_slot() -> Self {
        Self::Waits(Wait::because(Because::NoFreeSlot))
    }
}

impl<S, M, T, D, Q, P, L, C, F> Ports<S, M, T, D, Q, P, L, C, F>
where
    S: GetObject + PutOnce,
    M: StartRun + StartBatch,
    T: Publish,
    D: DeadLetter,
    Q: Postpone + SendAgain,
    P: ListParameters,
    L: ListSlots + TakeSlot + ReleaseSlot,
    C: Clock,
{
    async fn handle<'a>(
        &self,
        config: &Config,
        message: &'a SqsMessage,
        received_at: OffsetDateTime,
    ) -> Handled<'a> {
        let arn = message.event_source_arn.as_deref().unwrap_or_default();
        let tenant = config.tenant_of(arn);
        let dispatched = match &tenant {
            Ok(tenant) => {
                let received = Received {
                    body: message.body.as_deref().unwrap_or_default(),
                    tenant,
                    given_id: request_id(message),
                    sent_at: sent_at(message, received_at),
                    received_at,
                };
                self.dispatch(config, received).await
            }
            Err(fault) => Err(fault.clone()),
        };
        match dispatched {
            Ok(Dispatched::Done) => Handled::default(),
            Ok(Dispatched::Waits(wait)) => Handled {
                waits: tenant.ok().map(|tenant| (tenant, wait.because)),
                failed: self.wait(message, &wait).await,
            },
            Err(fault) => {
                let (id, error) = (message.message_id.as_deref(), fault.name.as_str());
                tracing::warn!(
                    message_id = id,
                    error,
                    "the message comes again: {}",
                    fault.message
                );
                Handled {
                    failed: self.postpone(message, after_a_fault(message)).await,
                    waits: None,
                }
            }
        }
    }

    async fn dispatch(&self, config: &Config, received: Received<'_>) -> Result<Dispatched, Fault> {
        let Received { body, tenant, given_id, .. } = received;
        if BatchRequest::is_meant_by(body) {
            return self.dispatch_batch(config, received).await;
        }
        let request = match Request::parse(body) {
            Ok(request) => StoredRequest::new(request, tenant, given_id),
            Err(problems) => return self.reject_unread(received, problems).await,
        };
        let named = (request.request_id.as_str(), request.workflow.as_str());
        if let Some(ended) = self.without_workflow(config, received, named).await? {
            return Ok(ended);
        }
        let run = request.run();
        let holder = run.execution_name();
        let claim = Claim {
            lane: Lane::Runs,
            tenant,
            holder: &holder,
            weight: 1,
            limit: config.tenant_maximum_runs,
            now: self.clock.now(),
        };
        if self.full.has_none_free(&claim).await {
            return Ok(Dispatched::without_slot());
        }
        let key = run.request_key();
        let stored = store_once(&self.store, &key, &run.run_id, to_json(&request)?).await?;
        // By value: another version of this function may have written the same request otherwise.
        if parse::<StoredRequest>(&key, &stored)? != request {
            let cause = "id: was used before, for another request of this workflow";
            return self
                .reject_named(received, named, Fault::new(ErrorName::InvalidRequest, cause))
                .await;
        }
        self.start(claim, async || self.machine.start(&run).await).await
    }

    async fn dispatch_batch(
        &self,
        config: &Config,
        received: Received<'_>,
    ) -> Result<Dispatched, Fault> {
        let Received { body, tenant, given_id, .. } = received;
        if is_folder(body) {
            tracing::info!("a folder was made in the inbox of batches");
            return Ok(Dispatched::Done);
        }
        let request = match BatchRequest::parse(body) {
            Ok(request) => StoredBatch::new(request, tenant, given_id),
            Err(problems) => return self.reject_unread(received, problems).await,
        };
        let named = (request.request_id.as_str(), request.workflow.as_str());
        if let Some(ended) = self.without_workflow(config, received, named).await? {
            return Ok(ended);
        }
        let batch = request.reference();
        let (holder, limit) = (batch.execution_name(), config.tenant_maximum_batch_items);
        let claim = Claim {
            lane: Lane::Batches,
            tenant,
            holder: &holder,
            weight: batch_weight(request.batch.concurrency(), limit),
            limit,
            now: self.clock.now(),
        };
        if self.full.has_none_free(&claim).await {
            return Ok(Dispatched::without_slot());
        }
        let (key, batch_id) = (batch.request_key(), &batch.batch_id);
        let stored = store_once(&self.store, &key, batch_id, to_json(&request)?).await?;
        if parse::<StoredBatch>(&key, &stored)? != request {
            let cause = "id: was used before, for another batch of this workflow";
            return self
                .reject_named(received, named, Fault::new(ErrorName::InvalidRequest, cause))
                .await;
        }
        self.start(claim, async || self.batch_machine.start_batch(&batch).await).await
    }

    /// Starts an execution that has a slot. It ends, and releases the slot, when its run or batch is closed.
    async fn start(
        &self,
        claim: Claim<'_>,
        start: impl AsyncFnOnce() -> Result<Started, Fault>,
    ) -> Result<Dispatched, Fault> {
        let claimed = self.full.claim(&self.ledger, claim).await?;
        if claimed == Claimed::NoneFree {
            return Ok(Dispatched::without_slot());
        }
        let (execution, tenant) = (claim.holder, claim.tenant);
        // After a fault or a throttle there may be an execution, which another delivery of the message started with the
        // slot. So the slot stays, and serves this message when it comes again.
        let (is_new, needs_slot) = match start().await? {
            // An execution that is older than the slot had one of its own, and has released it.
            Started::Running { since } if since < claim.now - SKEW => {
                (false, claimed != Claimed::New)
            }
            Started::Running { .. } => (true, true),
            Started::Existed => (false, claimed == Claimed::Unlimited),
            Started::Throttled => {
                return Ok(Dispatched::Waits(Wait::because(Because::Throttled)));
            }
        };
        if !needs_slot {
            self.ledger.release_slot(claim.lane, tenant, execution).await?;
        }
        if is_new {
            tracing::info!(execution, tenant, "the execution is started");
        } else {
            tracing::info!(execution, tenant, "the execution was started before");
        }
        Ok(Dispatched::Done)
    }

    /// Refuses a message whose workflow does not exist, or lets it wait until that is certain. Returns `None` if the
    /// workflow exists.
    async fn without_workflow(
        &self,
        config: &Config,
        received: Received<'_>,
        named: (&str, &str),
    ) -> Result<Option<Dispatched>, Fault> {
        let Received { sent_at, received_at, .. } = received;
        let (workflow, now) = (named.1, self.clock.now());
        let question = Question { workflow, sent_at, received_at, now };
        match self.workflows.look_up(&self.parameters, &config.environment, question).await {
            Known::Yes => Ok(None),
            Known::NotYet(at_least) => {
                let because = Because::UnknownWorkflow;
                Ok(Some(Dispatched::Waits(Wait { because, at_least })))
            }
            Known::No => {
                let parameter =
                    parameter_name(&config.environment, &format!("workflows/{workflow}"));
                let cause = format!(
                    "there is no workflow {workflow}: the SSM parameter {parameter} is missing"
                );
                let reason = Problems::one("workflow", cause).into();
                self.reject_named(received, named, reason).await.map(Some)
            }
        }
    }
}

/// Returns the request id of a message whose body has none. A dead letter that is sent again is another message and
/// brings the id it had; whoever can send one could as well write it into the body.
fn request_id(message: &SqsMessage) -> &str {
    let brought = message.message_attributes.get(REQUEST_ID);
    let brought = brought.and_then(|attribute| attribute.string_value.as_deref());
    // A copy of the message brings it along, and SQS takes no such characters.
    let brought = brought.filter(|id| (1..=MAX_ID_BYTES).contains(&id.len()) && is_plain(id));
    brought.or(message.message_id.as_deref()).unwrap_or_default()
}
