//! Works off a part of a packed batch: one invocation keeps many calls of models under way, and stores what it has in
//! segments.
//!
//! The state `RunPart` of the batch machine invokes [`handle`], again and again until the part is over. Each item is
//! planned, decided about and called as the run of a single request is. The function must never call a model for an item
//! that is over, start a call that the ledger does not know, or go on when another invocation owns the part.

mod admission; // the point that every call passes
mod allowances; // what the part has reserved from budgets
mod call_log; // calls, recorded before they are made
mod checkpoint; // finished runs, written to segments
mod due; // the items that run now
mod item; // the run of one item
mod keep; // the ownership, the progress and the orders, kept up to date
mod orders; // the orders of others
mod owner; // who works off the part
mod part; // the items of the part and what is stored of them
mod responses; // answers that enter the response cache
mod step; // the rounds of one step
#[cfg(test)]
mod tests;
mod work; // all items of the part

use std::time::Duration;

use bcce_aws::{StartError, optional_number, optional_variable, variable};
use bcce_core::base::error::Fault;
use bcce_core::batch::reference::{BatchRun, Part};
use bcce_core::batch::{BatchNotification, Mode, Tolerance};
use bcce_core::config::routing::Retries;
use bcce_core::io::step::{Caller, Reports, TakeReports};
use bcce_core::ports::{
    AllowanceLedger, CallModel, Clock, GetObject, HaltBatch, KeepPart, ListObjects, LogCalls,
    OpenSource, PlaceRuns, PutOnce, ReadAttempts, ReadBatchProgress, ReadLatencies, ReadPartCalls,
    TakePart,
};
use serde::{Deserialize, Serialize};

use owner::{Ownership, Taken};
use part::LoadedPart;
use work::Work;

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
    /// The URL of the Bedrock endpoint, in which `{region}` stands for the region of the target
    /// (`AWS_ENDPOINT_URL_BEDROCK_RUNTIME`). `None` means the endpoint of AWS.
    pub bedrock_endpoint: Option<String>,
    /// The retry limits that override the routing document (`BCCE_RETRY_ATTEMPTS`, `BCCE_RETRY_DELAY`).
    pub retries: Retries,
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
            bedrock_endpoint: optional_variable("AWS_ENDPOINT_URL_BEDROCK_RUNTIME"),
            retries: Retries {
                attempts: optional_number("BCCE_RETRY_ATTEMPTS")?,
                base_delay_ms: optional_number("BCCE_RETRY_DELAY")?,
            },
        })
    }
}

/// The services that [`handle`] uses, and the caches that it keeps between invocations.
pub struct Ports<S, R, L, M, C, H, F> {
    pub store: S,
    pub sources: R,
    pub ledger: L,
    pub caller: Caller<M, C, H>,
    /// Writes a metrics document to the function's log.
    pub metrics: F,
}

/// A part to work off.
#[derive(Clone, Debug, Deserialize)]
pub struct Request {
    pub batch: BatchRun,
    pub part: Part,
    /// The mode of the batch attempt. In bulk mode, only the leftovers of its jobs run. An execution that was started
    /// before an update may not pass it.
    #[serde(default)]
    pub mode: Mode,
    /// The number of calls that may be under way at a time.
    pub calls: u32,
    pub tolerance: Tolerance,
    /// The ARN of the execution that invokes the function. It sends the notification if it is the first to halt the
    /// batch.
    pub notification_owner: String,
    /// The time left before Lambda ends the function. It is not in the event: `main` sets it.
    #[serde(skip)]
    pub remaining: Duration,
}

/// The outcome of an invocation.
#[derive(Debug, PartialEq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Response {
    /// The part is worked off, or the batch is halted or stopped.
    Over {
        /// The message for the notifications topic, if the execution that invokes the function owns the notification
        /// of a halt.
        #[serde(skip_serializing_if = "Option::is_none")]
        notification: Option<Box<BatchNotification>>,
    },
    /// The time of the function is used up. It has to be invoked again.
    Continue,
    /// Another invocation owns the part, or every run waits, such as for the next window of a budget. The function has to be invoked again after `wait_s`
    /// seconds.
    Waiting { wait_s: u64 },
}

/// A ledger that records parts of batches.
pub trait KeepParts:
    TakePart
    + KeepPart
    + LogCalls
    + ReadPartCalls
    + PlaceRuns
    + ReadBatchProgress
    + HaltBatch
    + ReadAttempts
    + AllowanceLedger
{
}

impl<L> KeepParts for L where
    L: TakePart
        + KeepPart
        + LogCalls
        + ReadPartCalls
        + PlaceRuns
        + ReadBatchProgress
        + HaltBatch
        + ReadAttempts
        + AllowanceLedger
{
}

/// Works off a part as far as the time of the function reaches. Safe to repeat.
///
/// # Errors
/// `Bcce.Internal`: S3 or the ledger failed. What was finished before is stored; a retry goes on from there.
pub async fn handle<S, R, L, M, C, H, F>(
    ports: &Ports<S, R, L, M, C, H, F>,
    config: &Config,
    request: Request,
) -> Result<Response, Fault>
where
    S: GetObject + PutOnce + ListObjects,
    R: OpenSource,
    L: KeepParts,
    M: CallModel,
    C: Clock,
    H: TakeReports + ReadLatencies,
    F: Fn(&str),
{
    let began = ports.caller.clock.now();
    let response = match Ownership::take(&ports.ledger, &request, began).await? {
        Taken::Others { wait_s } => return Ok(Response::Waiting { wait_s }),
        Taken::Mine(ownership) => Box::pin(run(ports, config, &request, ownership)).await,
    };
    let documents =
        ports.caller.health.metrics(&config.environment, "run-part", ports.caller.clock.now());
    documents.iter().for_each(|document| (ports.metrics)(document));
    response
}

/// Works off a part that this invocation owns.
async fn run<S, R, L, M, C, H, F>(
    ports: &Ports<S, R, L, M, C, H, F>,
    config: &Config,
    request: &Request,
    ownership: Ownership,
) -> Result<Response, Fault>
where
    S: GetObject + PutOnce + ListObjects,
    R: OpenSource,
    L: KeepParts,
    M: CallModel,
    C: Clock,
    H: TakeReports + ReadLatencies,
    F: Fn(&str),
{
    let part = LoadedPart::load(ports, request, &ownership).await?;
    let reports = Reports::default();
    let work = Work::new(ports, config, request, ownership, part, &reports);
    // Boxed, because nested futures exceed the compiler's limit on type depth.
    let response = reports.send_during(Box::pin(work.run())).await;
    drop(work);
    reports.finish().await;
    response
}
