//! Dispatches the messages of the inboxes: stores each request and starts one execution for it, of a run or of a batch.
//!
//! SQS invokes [`handle`] with a batch of messages. The function stores `request.json`, takes a slot of the
//! tenant and starts the execution under a name that is derived from the request. It returns the ids of the messages
//! that SQS has to deliver again.
//!
//! - A message that is not a valid request moves to the dead-letter queue at once, with the reason, and the
//!   notifications topic gets a notification.
//! - A message waits in its inbox while its tenant has no free slot, or while its workflow cannot be looked up. Waiting
//!   does not use up the receives of the message: the function replaces it by a copy before SQS makes it a dead letter.
//! - A message that meets a fault stays in its inbox. SQS delivers it again.
//!
//! The function must never start the same request twice, lose a message, delay other messages because of an invalid
//! one, or pass a prompt to an execution.

mod config; // the settings
pub mod metrics; // messages that wait, and runs that started
mod rejecting; // messages that are not valid requests
mod slots; // how much a tenant has under way
mod starting; // messages that become executions
#[cfg(test)]
mod tests;
pub mod waiting; // when a message is delivered again
mod workflows; // which workflows exist

use aws_lambda_events::event::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use bcce_aws::sqs::{is_plain, letters::REQUEST_ID};
use bcce_core::base::error::Fault;
use bcce_core::base::limits::MAX_ID_BYTES;
use bcce_core::ports::{
    Clock, DeadLetter, GetObject, ListParameters, ListSlots, Postpone, Publish, PutOnce,
    ReleaseSlot, SendAgain, StartBatch, StartRun, TakeSlot,
};
use time::OffsetDateTime;

use waiting::{Because, Wait, after_a_fault, sent_at};

pub use config::Config;
pub use slots::Full;
pub use workflows::Workflows;

/// The services that [`handle`] uses, and the caches that it keeps between invocations.
pub struct Ports<S, M, T, D, Q, P, L, C, F> {
    pub store: S,
    /// The workflow machine.
    pub machine: M,
    pub batch_machine: M,
    pub topic: T,
    pub dead_letters: D,
    /// The inboxes.
    pub queue: Q,
    pub parameters: P,
    pub ledger: L,
    pub clock: C,
    /// The names of workflows that this instance listed.
    pub workflows: Workflows,
    /// The tenants for which this instance found no free slot.
    pub full: Full,
    /// Writes a metrics document to the function's log.
    pub metrics: F,
}

/// Handles a batch of messages, all at the same time. The response has the ids of those that SQS has to deliver again.
///
/// # Errors
/// None. A fault of a message puts its id into the response.
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
    let waiting = metrics::of_waits(&config.environment, received_at, waits);
    let has_started = handled.iter().any(|handled| handled.has_started);
    let started = has_started.then(|| metrics::of_start(&config.environment, received_at));
    waiting.iter().chain(&started).for_each(|document| (ports.metrics)(document));
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
    /// The id of the message if SQS has to deliver it again.
    failed: Option<String>,
    /// The tenant whose message waits, and the reason.
    waits: Option<(&'a str, Because)>,
    /// True if the message started a run.
    has_started: bool,
}

/// A message as SQS delivered it.
#[derive(Clone, Copy)]
struct Received<'a> {
    body: &'a str,
    tenant: &'a str,
    /// The id of the request if its body has none.
    given_id: &'a str,
    sent_at: OffsetDateTime,
    received_at: OffsetDateTime,
}

/// The outcome of a message that met no fault.
enum Dispatched {
    RunStarted,
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
            Ok(Dispatched::RunStarted) => Handled { has_started: true, ..Handled::default() },
            Ok(Dispatched::Done) => Handled::default(),
            Ok(Dispatched::Waits(wait)) => Handled {
                waits: tenant.ok().map(|tenant| (tenant, wait.because)),
                failed: self.wait(message, &wait).await,
                has_started: false,
            },
            Err(fault) => {
                let (id, error) = (message.message_id.as_deref(), fault.name.as_str());
                tracing::warn!(
                    message_id = id,
                    error,
                    "the message will be delivered again: {}",
                    fault.message
                );
                Handled {
                    failed: self.postpone(message, after_a_fault(message)).await,
                    ..Handled::default()
                }
            }
        }
    }
}

/// Returns the request id of a message whose body has none. A dead letter that is redriven is a new message to SQS, and
/// has the id of the original in an attribute. The attribute gives a sender no more power than an id in the body.
fn request_id(message: &SqsMessage) -> &str {
    let brought = message.message_attributes.get(REQUEST_ID);
    let brought = brought.and_then(|attribute| attribute.string_value.as_deref());
    // A copy of the message carries the id in an attribute, and SQS accepts only plain characters there.
    let brought = brought.filter(|id| (1..=MAX_ID_BYTES).contains(&id.len()) && is_plain(id));
    brought.or(message.message_id.as_deref()).unwrap_or_default()
}
