//! An item of a batch, when its turn comes: its `request.json`, and what its run is started with. When too many
//! others have failed, nothing.

mod known; // what the items of one batch share
#[cfg(test)]
mod tests;

use bcce_aws::{StartError, variable};
use bcce_core::base::error::{ErrorName, Fault};
use bcce_core::base::json::to_json;
use bcce_core::batch::manifest::{BatchNotification, BatchStatus, Counts};
use bcce_core::batch::reference::{BatchRun, Place};
use bcce_core::batch::{BatchProgress, Entry, Halt, Item, Tolerance};
use bcce_core::io::item_run::item_run;
use bcce_core::io::objects;
use bcce_core::ports::{
    Clock, GetObject, GetRange, HaltBatch, OpenSource, PutObject, PutOnce, ReadBatchProgress,
};
use bcce_core::run::ids::RunRef;
use serde::{Deserialize, Serialize};

pub use known::{Batches, Halted, RecentProgress};

pub struct Config {
    pub bucket: String,
    pub key_arn: String,
    pub ledger_table: String,
}

impl Config {
    pub fn from_env() -> Result<Self, StartError> {
        Ok(Self {
            bucket: variable("BCCE_ARTIFACT_BUCKET")?,
            key_arn: variable("BCCE_ARTIFACT_KEY_ARN")?,
            ledger_table: variable("BCCE_LEDGER_TABLE")?,
        })
    }
}

pub struct Ports<S, R, L, C> {
    pub store: S,
    pub sources: R,
    pub ledger: L,
    pub clock: C,
    pub progress: RecentProgress,
    pub halted: Halted,
    pub batches: Batches,
}

#[derive(Debug, Deserialize)]
pub struct Request {
    pub batch: BatchRun,
    pub place: Place,
    pub tolerance: Tolerance,
    /// ARN of the asking execution, which sends the notification if it is the first to halt the batch.
    pub notification_owner: String,
}

#[derive(Debug, PartialEq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Response {
    /// Its run is due.
    Ready {
        /// Name of the run's execution.
        name: String,
        /// What it is started with, as `dispatch` would.
        input: Box<RunRef>,
    },
    /// Its text is no request; why lies among the batch's objects.
    Refused,
    /// Too many others failed.
    Halted {
        /// For the notifications topic, if the asking execution owns the notification.
        #[serde(skip_serializing_if = "Option::is_none")]
        notification: Option<Box<BatchNotification>>,
    },
}

/// # Errors
/// `Bcce.Internal`; what is wrong with the item is a response.
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
        let notification = should_notify.then(|| Box::new(notification(request, progress, halt)));
        Ok(Response::Halted { notification })
    }

    /// # Errors
    /// `Bcce.InvalidRequest` and the like: the item is none.
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
            _ => Err(Fault::internal(format!("{key} does not have item {} there", place.n))),
        }
    }
}

fn notification(request: &Request, progress: &BatchProgress, halt: Halt) -> BatchNotification {
    let batch = &request.batch;
    let message = format!("{}; no further one is started", halt.because);
    BatchNotification {
        version: 1,
        batch_id: batch.batch_id.clone(),
        run_id: None,
        request_id: batch.request_id.clone(),
        tenant: batch.tenant.clone(),
        workflow: batch.workflow.clone(),
        status: BatchStatus::Running,
        ended_at: halt.at,
        manifest: None,
        manifest_sha256: None,
        counts: Counts {
            items: progress.over(),
            succeeded: progress.succeeded,
            failed: progress.failed,
            cancelled: progress.cancelled,
            truncated: progress.truncated,
            ..Counts::default()
        },
        totals: progress.totals(),
        error: Some(Fault::new(ErrorName::TooManyFailures, message)),
    }
}
