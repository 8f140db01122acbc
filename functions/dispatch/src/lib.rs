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
mod starting; // messages that become executions
#[cfg(test)]
mod tests;
mod waiting; // when a message comes again
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
