//! Opens a batch: reads its items once, checks each one, and stores the items in parts.
//!
//! The state `OpenBatch` of the batch machine invokes [`handle`]. It returns the keys and limits with which the machine
//! runs the items, or the error for which the batch is refused. An invalid item is rejected alone. The finalize machine
//! invokes the function with `ended`: then it opens nothing, returns what was opened, and records that no further call
//! may start. The function must never read a source that the sender may not use, or let a batch exceed its limit.

mod again; // a retry: the items that earlier attempts left over
mod parts; // the items, written to S3 in parts
mod response; // the outcome, as far as the state machine needs it
mod take_in; // the rows of the source file, or the objects below its prefix, read once
#[cfg(test)]
mod tests;

use bcce_aws::{StartError, optional_number, variable};
use bcce_core::base::error::{ErrorName, Fault, Problems};
use bcce_core::base::json::to_json;
use bcce_core::batch::manifest::{Opened, SourceRead};
use bcce_core::batch::mode::Asked;
use bcce_core::batch::reference::BatchRun;
use bcce_core::batch::source::{INBOX, UPLOADS};
use bcce_core::batch::{Intake, Location, Mapping, StoredBatch, mode, progress};
use bcce_core::batch::{Split, Way, way};
use bcce_core::io::objects;
use bcce_core::io::reader::Reader;
use bcce_core::ledger::OpenedBatch;
use bcce_core::ports;
use bcce_core::ports::{
    Clock, GetObject, GetParameters, ListSource, OpenBatch, OpenSource, PutObject, StopBatch,
};
use bcce_core::run::ending::ExecutionStatus;
use bcce_core::run::slots::batch_weight;
use serde::Deserialize;

use parts::Written;
pub use response::Response;

/// The settings of the function, from its environment variables.
pub struct Config {
    /// The name of the environment, such as `dev` (`BCCE_ENVIRONMENT`).
    pub environment: String,
    /// The name of the artifact bucket (`BCCE_ARTIFACT_BUCKET`).
    pub bucket: String,
    /// The ARN of the KMS key that encrypts the objects of the bucket (`BCCE_ARTIFACT_KEY_ARN`).
    pub key_arn: String,
    /// The name of the ledger's DynamoDB table (`BCCE_LEDGER_TABLE`).
    pub ledger_table: String,
    /// The region of the stack, such as `us-east-1` (`AWS_REGION`).
    pub region: String,
    /// The most items that a tenant's batches may run at a time, all together; 0 means no limit
    /// (`BCCE_TENANT_MAXIMUM_BATCH_ITEMS`).
    pub tenant_maximum_batch_items: u32,
}

impl Config {
    /// Reads the settings from the environment.
    ///
    /// # Errors
    /// A [`StartError`] that names the variable that is missing or is not a whole number.
    pub fn from_env() -> Result<Self, StartError> {
        Ok(Self {
            environment: variable("BCCE_ENVIRONMENT")?,
            bucket: variable("BCCE_ARTIFACT_BUCKET")?,
            key_arn: variable("BCCE_ARTIFACT_KEY_ARN")?,
            ledger_table: variable("BCCE_LEDGER_TABLE")?,
            region: variable("AWS_REGION")?,
            tenant_maximum_batch_items: optional_number("BCCE_TENANT_MAXIMUM_BATCH_ITEMS")?
                .unwrap_or_default(),
        })
    }
}

/// The services that [`handle`] uses.
pub struct Ports<S, R, P, L, C> {
    pub store: S,
    pub sources: R,
    pub parameters: P,
    pub ledger: L,
    pub clock: C,
}

/// A batch to open.
#[derive(Debug, Deserialize)]
pub struct Request {
    pub batch: BatchRun,
    /// The status with which the batch's execution ended, if the finalize machine invokes the function. Nothing is
    /// opened then.
    #[serde(default)]
    pub ended: Option<ExecutionStatus>,
}

/// Opens a batch and its record in the ledger. Safe to repeat.
///
/// # Errors
/// `Bcce.Internal`: S3, SSM or the ledger failed. An invalid batch is the response [`Response::Refused`].
pub async fn handle<S, R, P, L, C>(
    ports: &Ports<S, R, P, L, C>,
    config: &Config,
    request: Request,
) -> Result<Response, Fault>
where
    S: GetObject + PutObject,
    R: OpenSource + ListSource,
    P: GetParameters,
    L: OpenBatch + StopBatch,
    C: Clock,
{
    let batch = request.batch;
    let opened = match request.ended {
        None => Box::pin(ports.open(config, &batch)).await,
        // The batch ends with this error, so it is not an error of the function.
        Some(_) => ports
            .stop(&batch)
            .await?
            .ok_or_else(|| Fault::internal("the execution ended before the batch was opened")),
    };
    match opened {
        Ok(opened) => Ok(Response::opened(&config.bucket, &batch, &opened)),
        Err(fault) if fault.name == ErrorName::Internal && request.ended.is_none() => Err(fault),
        Err(error) => {
            let (batch_id, name) = (&batch.batch_id, error.name.as_str());
            tracing::warn!(batch_id, error = name, "the batch is refused: {}", error.message);
            Ok(Response::Refused { error })
        }
    }
}

impl<S, R, P, L, C> Ports<S, R, P, L, C>
where
    S: GetObject + PutObject,
    R: OpenSource + ListSource,
    P: GetParameters,
    L: OpenBatch + StopBatch,
    C: Clock,
{
    /// Returns what was opened before the execution of the batch ended, and records its end. Returns `None` if the batch
    /// was not opened.
    async fn stop(&self, batch: &BatchRun) -> Result<Option<Opened>, Fault> {
        let opened: Option<Opened> = objects::find(&self.store, &batch.opened_key()).await?;
        // The function that works off a part outlives the execution. The runs of other batches have executions.
        if opened.as_ref().is_some_and(|opened| opened.way == Way::Packed) {
            self.ledger.stop_batch(&batch.item_of(), self.clock.now()).await?;
        }
        Ok(opened)
    }

    /// Returns what was opened, and opens the batch if that was not done yet.
    async fn open(&self, config: &Config, batch: &BatchRun) -> Result<Opened, Fault> {
        let key = batch.opened_key();
        // A second invocation by the same state finds what the first one opened.
        let opened = match objects::find(&self.store, &key).await? {
            Some(opened) => opened,
            None => {
                let opened = self.take(config, batch).await?;
                self.store.put(&key, &batch.batch_id, to_json(&opened)?).await?;
                opened
            }
        };
        let record = OpenedBatch { batch: batch.clone(), opened: opened.clone() };
        if self.ledger.open_batch(&record).await? == ports::RecordState::Over {
            let message = "id: the batch with this id has ended, and its manifest has the outcome; send the batch \
                           under a new id, or run its remaining items with `bcce batch retry`";
            return Err(Fault::new(ErrorName::InvalidRequest, message));
        }
        tracing::info!(
            batch_id = batch.batch_id,
            items = opened.items,
            rejected = opened.rejected,
            to_run = opened.to_run,
            "the batch is opened"
        );
        Ok(opened)
    }

    /// Reads and stores the items of a batch. For a retry, lists the items that did not succeed before.
    async fn take(&self, config: &Config, batch: &BatchRun) -> Result<Opened, Fault> {
        if let Some(opened) = again::of(&self.store, batch).await? {
            return Ok(opened);
        }
        let mut stored: StoredBatch = objects::read(&self.store, &batch.request_key()).await?;
        let limit = config.tenant_maximum_batch_items;
        stored.batch.concurrency = Some(batch_weight(stored.batch.concurrency(), limit));
        let location = allowed(config, &stored)?;
        let source = Reader {
            store: &self.store,
            parameters: &self.parameters,
            bucket: &config.bucket,
            environment: &config.environment,
        };
        let configuration = source.read(&stored.workflow).await?.map_err(Fault::from)?;
        Intake::new(&stored, &configuration).check_sender()?;
        Mapping::new(&stored, &configuration.template.inputs).check()?;
        let (read, written) = take_in::all(self, batch, &stored, &configuration, &location).await?;
        if written.items == 0 {
            return Err(Problems::one(
                "batch.source",
                "has no items; give a source with at least one",
            )
            .into());
        }
        let asked = Asked {
            spec: &stored.batch,
            items: written.items - written.rejected,
            plan: read.plan.get(),
            region: &config.region,
            now: self.clock.now(),
        };
        let chosen = mode::choose(&asked);
        let way = way::choose(&configuration.template);
        if way.0 == Way::Packed {
            let key = batch.configuration_key();
            self.store.put(&key, &batch.batch_id, to_json(&configuration)?).await?;
        }
        Ok(opened(&stored, chosen, way, read.source, &written))
    }
}

fn opened(
    stored: &StoredBatch,
    chosen: mode::Chosen,
    (way, because_of_way): (Way, String),
    source: SourceRead,
    written: &Written,
) -> Opened {
    let spec = &stored.batch;
    let concurrency = spec.concurrency();
    Opened {
        version: 1,
        items: written.items,
        rejected: written.rejected,
        to_run: written.items - written.rejected,
        parts: written.parts,
        source,
        mode: chosen.mode,
        because: chosen.because.into_iter().chain([because_of_way]).collect(),
        bulk: chosen.bulk,
        concurrency,
        way,
        split: (way == Way::Packed).then(|| Split::of(concurrency, written.parts)),
        allowed_failures: progress::allowed_failures(written.items, spec.tolerated_failure_percent),
    }
}

/// Returns the location of the batch's source if the sender may use it. Without this check, a sender could have any
/// object of the artifact bucket read into a prompt. For other buckets, IAM decides what the stack may read.
fn allowed(config: &Config, stored: &StoredBatch) -> Result<Location, Fault> {
    let location = stored.batch.location().map_err(|cause| Problems::one("batch.source", cause))?;
    if stored.tenant != "default" {
        let message = "batch: only the stack's own tenant, default, may send batches";
        return Err(Fault::new(ErrorName::PolicyViolation, message));
    }
    let is_artifact_bucket = location.bucket == config.bucket;
    if is_artifact_bucket && ![INBOX, UPLOADS].iter().any(|folder| location.key.starts_with(folder))
    {
        let message =
            format!("batch.source: must be below {INBOX} or {UPLOADS} in the artifact bucket");
        return Err(Fault::new(ErrorName::PolicyViolation, message));
    }
    Ok(location)
}
