//! A batch's message -> its items, each checked and written down where a run can be made of it. What is wrong with
//! one item says nothing of the others; what is wrong with the whole is a response.

mod again; // a retry: what the attempt before left over
mod parts; // entries on their way to S3
mod take_in; // the manifest or the objects, read once
#[cfg(test)]
mod tests;

use bcce_aws::{StartError, optional_number, variable};
use bcce_core::base::error::{ErrorName, Fault, Problems};
use bcce_core::base::json::{parse, to_json};
use bcce_core::batch::manifest::{Opened, SourceRead};
use bcce_core::batch::mode::Asked;
use bcce_core::batch::reference::BatchRun;
use bcce_core::batch::source::{INBOX, UPLOADS};
use bcce_core::batch::{Intake, Location, Mapping, Mode, StoredBatch, Tolerance, mode, progress};
use bcce_core::io::reader::Reader;
use bcce_core::ledger::OpenedBatch;
use bcce_core::ports;
use bcce_core::ports::{
    Clock, GetObject, GetParameters, ListSource, OpenBatch, OpenSource, PutObject,
};
use bcce_core::run::ending::ExecutionStatus;
use bcce_core::run::slots::batch_weight;
use serde::{Deserialize, Serialize};

use parts::Written;

pub struct Config {
    pub environment: String,
    pub bucket: String,
    pub key_arn: String,
    pub ledger_table: String,
    /// The stack's.
    pub region: String,
    /// Items at a time that the batches of a tenant may have together; 0 is no limit.
    pub tenant_maximum_batch_items: u32,
}

impl Config {
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

pub struct Ports<S, R, P, L, C> {
    pub store: S,
    pub sources: R,
    pub parameters: P,
    pub ledger: L,
    pub clock: C,
}

#[derive(Debug, Deserialize)]
pub struct Request {
    pub batch: BatchRun,
    /// How its execution ended, from outside: nothing is opened any more, what was is told.
    #[serde(default)]
    pub ended: Option<ExecutionStatus>,
}

/// What the state machine needs of it.
#[derive(Debug, PartialEq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Response {
    Opened {
        bucket: String,
        /// Key of the list of parts.
        parts: String,
        /// Prefix of the places of those items that run on demand; in the mode `bulk` choose-leftovers has another.
        places: String,
        /// Prefix of what Step Functions notes of child executions.
        children: String,
        to_run: u64,
        mode: Mode,
        /// Time by which every job of mode `bulk` has timed out, in milliseconds since 1970. A state machine
        /// does not have to read a date for it.
        #[serde(skip_serializing_if = "Option::is_none")]
        jobs_over_ms: Option<i64>,
        concurrency: u32,
        tolerance: Tolerance,
    },
    Refused {
        error: Fault,
    },
}

/// # Errors
/// `Bcce.Internal`; what is wrong with the batch as a whole is a response.
pub async fn handle<S, R, P, L, C>(
    ports: &Ports<S, R, P, L, C>,
    config: &Config,
    request: Request,
) -> Result<Response, Fault>
where
    S: GetObject + PutObject,
    R: OpenSource + ListSource,
    P: GetParameters,
    L: OpenBatch,
    C: Clock,
{
    let batch = request.batch;
    match Box::pin(ports.open(config, &batch, request.ended)).await {
        Ok(opened) => Ok(Response::Opened {
            bucket: config.bucket.clone(),
            parts: batch.parts_key(),
            places: batch.places_prefix(),
            children: batch.children_prefix(),
            to_run: opened.to_run,
            mode: opened.mode,
            jobs_over_ms: opened.bulk.as_ref().map(|bulk| bulk.over_at().unix_timestamp() * 1_000),
            concurrency: opened.concurrency,
            tolerance: opened.tolerance(batch.attempt_no),
        }),
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
    L: OpenBatch,
    C: Clock,
{
    async fn open(
        &self,
        config: &Config,
        batch: &BatchRun,
        ended: Option<ExecutionStatus>,
    ) -> Result<Opened, Fault> {
        let key = batch.opened_key();
        // A second call of the same state finds what the first one did.
        let opened = match self.store.get(&key).await? {
            Some(body) => parse(&key, &body)?,
            None if ended.is_some() => {
                return Err(Fault::internal("the execution ended before the batch was opened"));
            }
            None => {
                let opened = self.take(config, batch).await?;
                self.store.put(&key, &batch.batch_id, to_json(&opened)?).await?;
                opened
            }
        };
        if ended.is_some() {
            return Ok(opened);
        }
        let record = OpenedBatch { batch: batch.clone(), opened: opened.clone() };
        if self.ledger.open_batch(&record).await? == ports::Opened::Over {
            let message = "id: its batch is over; its manifest has the outcome";
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

    async fn take(&self, config: &Config, batch: &BatchRun) -> Result<Opened, Fault> {
        if let Some(opened) = again::of(&self.store, batch).await? {
            return Ok(opened);
        }
        let key = batch.request_key();
        let body = self.store.get(&key).await?;
        let body = body.ok_or_else(|| Fault::internal(format!("{key} is missing")))?;
        let mut stored: StoredBatch = parse(&key, &body)?;
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
            return Err(Problems::one("batch.source", "has no items").into());
        }
        let asked = Asked {
            spec: &stored.batch,
            items: written.items - written.rejected,
            plan: read.plan.get(),
            region: &config.region,
            now: self.clock.now(),
        };
        Ok(opened(&stored, mode::choose(&asked), read.source, &written))
    }
}

fn opened(
    stored: &StoredBatch,
    chosen: mode::Chosen,
    source: SourceRead,
    written: &Written,
) -> Opened {
    let spec = &stored.batch;
    Opened {
        version: 1,
        items: written.items,
        rejected: written.rejected,
        to_run: written.items - written.rejected,
        parts: written.parts,
        source,
        mode: chosen.mode,
        because: chosen.because,
        bulk: chosen.bulk,
        concurrency: spec.concurrency(),
        allowed_failures: progress::allowed_failures(written.items, spec.tolerated_failure_percent),
    }
}

/// Whoever may send a message could otherwise have anything of this bucket read into a prompt. Other buckets are those
/// that the stack was given access to.
fn allowed(config: &Config, stored: &StoredBatch) -> Result<Location, Fault> {
    let location = stored.batch.location().map_err(|cause| Problems::one("batch.source", cause))?;
    if stored.tenant != "default" {
        let message = "batch: only the stack's own tenant, default, may send batches";
        return Err(Fault::new(ErrorName::PolicyViolation, message));
    }
    let ours = location.bucket == config.bucket;
    if ours && ![INBOX, UPLOADS].iter().any(|folder| location.key.starts_with(folder)) {
        let message =
            format!("batch.source: of this bucket it must lie under {INBOX} or {UPLOADS}");
        return Err(Fault::new(ErrorName::PolicyViolation, message));
    }
    Ok(location)
}
