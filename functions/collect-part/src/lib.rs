//! Collects the results of a part's items: stores a line for each item, the answers of the successful ones, and the
//! sums. A packed part is also sealed: its runs become manifests, one signature covers all of them, and the ledger
//! counts them.
//!
//! The state `CollectPart` of the batch machine and of the finalize machine invokes [`handle`], which returns the
//! number of runs that are not over yet. While there are any, the machine waits and invokes the function again. The
//! function must never leave an item out, replace the result of a run that an earlier attempt at the batch ended, count
//! a run twice, or sign what it did not make.

mod answer; // the answer of a run
mod executions; // parts whose items have executions
mod packed; // parts that one function call works off
#[cfg(test)]
mod tests;

use bcce_aws::{StartError, variable};
use bcce_core::base::error::Fault;
use bcce_core::batch::Way;
use bcce_core::batch::item::Rejected;
use bcce_core::batch::manifest::Opened;
use bcce_core::batch::reference::{BatchRun, Part};
use bcce_core::batch::{ItemResult, ItemStatus};
use bcce_core::io::objects;
use bcce_core::ports::{
    Clock, CommitAllowance, CountPart, GetObject, GetSealed, ListObjects, PutObject, PutOnce,
    PutSealed, ReadAttempts, ReadPartCalls, SignDigest, TakePart, VerifyDigest,
};
use bcce_core::run::ending::ExecutionStatus;
use serde::{Deserialize, Serialize};

/// The settings of the function, from its environment variables.
pub struct Config {
    /// The name of the environment, such as `dev` (`BCCE_ENVIRONMENT`).
    pub environment: String,
    /// The name of the artifact bucket (`BCCE_ARTIFACT_BUCKET`).
    pub bucket: String,
    /// The ARN of the KMS key that encrypts the objects of the bucket (`BCCE_ARTIFACT_KEY_ARN`).
    pub key_arn: String,
    /// The ARN of the KMS key that signs manifests (`BCCE_SIGNING_KEY_ARN`).
    pub signing_key_arn: String,
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
            environment: variable("BCCE_ENVIRONMENT")?,
            bucket: variable("BCCE_ARTIFACT_BUCKET")?,
            key_arn: variable("BCCE_ARTIFACT_KEY_ARN")?,
            signing_key_arn: variable("BCCE_SIGNING_KEY_ARN")?,
            ledger_table: variable("BCCE_LEDGER_TABLE")?,
        })
    }
}

/// The services that [`handle`] uses.
pub struct Ports<S, L, K, C, M> {
    pub store: S,
    pub ledger: L,
    pub signing_key: K,
    pub clock: C,
    /// Writes a metrics document to the function's log.
    pub metrics: M,
}

/// A part to collect.
#[derive(Debug, Deserialize)]
pub struct Request {
    pub batch: BatchRun,
    pub part: Part,
    /// The status with which the batch's execution ended, if the finalize machine invokes the function.
    #[serde(default)]
    pub ended: Option<ExecutionStatus>,
}

/// The result of collecting a part.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Response {
    /// The number of runs that are not over yet. If there are any, the state machine invokes the function again.
    pub running: u64,
}

/// Collects the results of a part. Safe to repeat.
///
/// # Errors
/// `Bcce.Internal`: S3, KMS or the ledger failed, or an answer is missing. A retry collects the part again. Also if the
/// key of the part's manifest has an object that no sealer made; a retry does not change that.
pub async fn handle<S, L, K, C, M>(
    ports: &Ports<S, L, K, C, M>,
    config: &Config,
    request: Request,
) -> Result<Response, Fault>
where
    S: GetObject + PutObject + PutOnce + ListObjects + GetSealed + PutSealed,
    L: ReadAttempts + TakePart + ReadPartCalls + CommitAllowance + CountPart,
    K: SignDigest + VerifyDigest,
    C: Clock,
    M: Fn(&str),
{
    let (batch, part) = (&request.batch.reference, request.part.part);
    let opened: Opened = objects::read(&ports.store, &batch.opened_key()).await?;
    match opened.way {
        Way::Executions => ports.collect_runs(batch, part).await,
        // Boxed, because nested futures exceed the compiler's limit on type depth.
        Way::Packed => Box::pin(ports.seal_part(config, &request, &opened)).await,
    }
}

fn rejected(bad: Rejected) -> ItemResult {
    ItemResult {
        n: bad.n,
        line: bad.line,
        id: bad.id,
        status: ItemStatus::Rejected,
        run_id: None,
        attempt_no: None,
        manifest: None,
        totals: None,
        truncated: 0,
        error: Some(bad.error),
    }
}
