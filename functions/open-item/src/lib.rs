//! Prepares an item of a batch for its run: stores its `request.json`, and returns the name and input of its execution.
//!
//! The state `OpenItem` in a child execution of the batch machine invokes [`handle`]. If too many other items have
//! failed, the function halts the batch and returns nothing to start. It must never start a second run for an item, or
//! let two executions send the notification of a halt.

mod known; // the progress and request of a batch, with a short cache
#[cfg(test)]
mod tests;

use bcce_aws::{StartError, variable};
use bcce_core::base::error::{ErrorName, Fault};
use bcce_core::base::json::to_json;
use bcce_core::batch::reference::{BatchRun, Place};
use bcce_core::batch::{BatchNotification, BatchProgress, Entry, Halt, Item, Tolerance};
use bcce_core::io::item_run::item_run;
use bcce_core::io::objects;
use bcce_core::ports::{
    Clock, GetObject, GetRange, HaltBatch, OpenSource, PutObject, PutOnce, ReadBatchProgress,
};
use bcce_core::run::ids::RunRef;
use serde::{Deserialize, Serialize};

pub use known::{Batches, Halted, RecentProgress};

/// The settings of the function, from its environment variables.
pub struct Config {
    /// The name of the artifact bucket (`BCCE_ARTIFACT_BUCKET`).
    pub bucket: String,
    /// The ARN of the KMS key that encrypts the objects of the bucket (`BCCE_ARTIFACT_KEY_ARN`).
    pub key_arn: String,
    /// The name of the ledger's DynamoDB table (`BCCE_LEDGER_TABLE`).
    pub ledger_table: String,
}

impl Config {
    /// Reads the settings from the environment.
    ///
    /// # Errors
    /// A [`StartError`] that names the variable that is missing.
    pub fn from_env() -> Result<Self, StartError> {
        Ok(Self {
            bucket: variable("BCCE_ARTIFACT_BUCKET")?,
            key_arn: variable("BCCE_ARTIFACT_KEY_ARN")?,
            ledger_table: variable("BCCE_LEDGER_TABLE")?,
        })
    }
}

/// The services that [`handle`] uses, and the state of batches that it keeps between invocations.
pub struct Ports<S, R, L, C> {
    pub store: S,
    pub sources: R,
    pub ledger: L,
    pub clock: C,
    pub progress: RecentProgress,
    pub halted: Halted,
    pub batches: Batches,
}

/// An item to run.
#[derive(Debug, Deserialize)]
pub struct Request {
    pub batch: BatchRun,
    /// The place at which open-batch stored the item.
    pub place: Place,
    pub tolerance: Tolerance,
    /// The ARN of the execution that invokes the function. It sends the notification if it is the first to halt the
    /// batch.
    pub notification_owner: String,
}

/// The outcome of preparing an item.
#[derive(Debug, PartialEq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Response {
    /// The run can be started.
    Ready {
        /// The name of the run's execution.
        name: String,
        /// The input of the run's execution, which is the same as `dispatch` would pass.
        input: Box<RunRef>,
    },
    /// The item is not a valid request. The reason is stored with the objects of the batch.
    Refused,
    /// The batch is halted, because too many items have failed.
    Halted {
        /// The message for the notifications topic, if the execution that invokes the function owns the notification.
        #[serde(skip_serializing_if = "Option::is_none")]
        notification: Option<Box<BatchNotification>>,
    },
}

/// Prepares an item for its run, or halts the batch. Safe to repeat.
///
/// # Errors
/// `Bcce.Internal`: S3 or the ledger failed, or the item is not at its place. An invalid item is the response
/// [`Response::Refused`].
pub async fn handle<S, R, L, C>(
    ports: &Ports<S, R, L, C>,
    _: &Config,
    request: Request,
) -> Result<Response, Fault>
where
    S: GetObject + GetRange + PutObject + PutOnce,
    R: OpenSource,
    L: ReadBatchProgress + HaltBatch,
    C: Clock,
{
    let (batch, now) = (&request.batch, ports.clock.now());
    if ports.halted.is(&batch.item_of()) {
        return Ok(Response::Halted { notification: None });
    }
    let progress = ports.progress.read(&ports.ledger, &batch.item_of(), now).await?;
    let halted = progress.halted.clone();
    let too_much = || progress.too_much(request.tolerance).map(|because| Halt { at: now, because });
    if let Some(halt) = halted.or_else(too_much) {
        return ports.halt(&request, &progress, halt).await;
    }
    match ports.item_run(&request).await {
        Ok(run) => Ok(Response::Ready { name: run.execution_name(), input: Box::new(run) }),
        Err(fault) if fault.name == ErrorName::Internal => Err(fault),
        Err(fault) => {
            let (batch_id, n) = (&batch.batch_id, request.place.n);
            tracing::warn!(batch_id, n, "an item is refused: {}", fault.message);
            let key = batch.refused_key(n);
            ports.store.put(&key, batch_id, to_json(&fault)?).await?;
            Ok(Response::Refused)
        }
    }
}

impl<S, R, L, C> Ports<S, R, L, C>
where
    S: GetObject + GetRange + PutObject + PutOnce,
    R: OpenSource,
    L: ReadBatchProgress + HaltBatch,
    C: Clock,
{
    /// Halts the batch in the ledger, and returns the notification if this execution has to send it.
    async fn halt(
        &self,
        request: &Request,
        progress: &BatchProgress,
        halt: Halt,
    ) -> Result<Response, Fault> {
        let batch = request.batch.item_of();
        let should_notify = self.ledger.halt(&batch, &request.notification_owner, &halt).await?;
        if !should_notify {
            self.halted.note(batch);
        }
        let notification = should_notify
            .then(|| Box::new(BatchNotification::of_halt(&request.batch, progress, halt)));
        Ok(Response::Halted { notification })
    }

    /// Stores the request of the item, and returns its run.
    ///
    /// # Errors
    /// `Bcce.InvalidRequest` and the like: the item is not a valid request. `Bcce.Internal`: S3 failed.
    async fn item_run(&self, request: &Request) -> Result<RunRef, Fault> {
        let (batch, place) = (&request.batch, &request.place);
        let stored = self.batches.read(&self.store, batch).await?;
        let item = self.item(batch, place).await?;
        let made =
            item_run(&self.store, &self.sources, &stored, batch, item, place.attempt_no).await?;
        Ok(made.run)
    }

    async fn item(&self, batch: &BatchRun, place: &Place) -> Result<Item, Fault> {
        let key = batch.part_key(place.part);
        match objects::read_range(&self.store, &key, place.at, place.bytes).await? {
            Entry::Item(item) if item.n == place.n => Ok(*item),
            _ => Err(Fault::internal(format!("{key} does not have item {} at its place", place.n))),
        }
    }
}
