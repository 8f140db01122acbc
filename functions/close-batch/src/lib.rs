//! Seals a batch: joins the results and outputs of its parts, stores the signed manifest, and closes the batch's
//! record.
//!
//! The state `CloseBatch` of the batch machine and of the finalize machine invokes [`handle`]. It returns the
//! manifest's reference, the notification, and whether the execution that invokes it sends the notification. If the
//! batch is sealed already, the existing manifest is returned. The function must never lose the results of items
//! because others failed, or sign a manifest that it did not make.

pub mod emf; // the metrics of a batch
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use bcce_aws::{StartError, variable};
use bcce_core::base::error::Fault;
use bcce_core::batch::bulk::JobsRecord;
use bcce_core::batch::manifest::{Opened, Outcome, Sums};
use bcce_core::batch::packed::PartManifest;
use bcce_core::batch::reference::{BatchRef, BatchRun, Part};
use bcce_core::batch::{BatchManifest, BatchNotification, Way};
use bcce_core::io::notification::Claim;
use bcce_core::io::seal::{Sealed, Subject, find_or_seal};
use bcce_core::io::{notification, objects};
use bcce_core::ledger::ClosedBatch;
use bcce_core::ports::{
    Clock, CloseBatch, Closed, Concatenate, GetObject, GetSealed, PutOnce, PutSealed,
    ReadBatchProgress, ReleaseSlot, SignDigest, TakeBatchOver, VerifyDigest,
};
use bcce_core::run::ending::ExecutionStatus;
use bcce_core::run::manifest::ManifestRef;
use bcce_core::run::slots::Lane;
use futures::{StreamExt, TryStreamExt};
use serde::{Deserialize, Serialize};

/// The number of parts whose sums are read at a time.
const AT_A_TIME: usize = 16;

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
pub struct Ports<S, K, L, C, M> {
    pub store: S,
    pub signing_key: K,
    pub ledger: L,
    pub clock: C,
    /// Writes a metrics document to the function's log.
    pub metrics: M,
}

/// A batch to seal, with the faults that only the state machine has seen.
#[derive(Debug, Deserialize)]
pub struct Request {
    pub batch: BatchRun,
    /// The fault that ended the batch before its items ran.
    #[serde(default)]
    pub fault: Option<Fault>,
    /// The end of the batch's execution, if the finalize machine invokes the function.
    #[serde(default)]
    pub ended: Option<ExecutionStatus>,
    /// The error of a Map state that failed as a whole.
    #[serde(default)]
    pub broken: Option<Broken>,
    /// The ARN of the execution that invokes the function. It sends the notification if it is the one that closes the
    /// batch.
    pub notification_owner: String,
}

/// The error of a Map state.
#[derive(Debug, Deserialize)]
pub struct Broken {
    /// The error name of Step Functions, such as `States.ItemReaderFailed`.
    #[serde(rename = "Error")]
    pub error: String,
}

/// A sealed batch.
#[derive(Debug, PartialEq, Serialize)]
pub struct Response {
    /// True if the execution that invokes the function sends the notification.
    pub should_notify: bool,
    pub manifest: ManifestRef,
    /// The message for the notifications topic.
    pub notification: Box<BatchNotification>,
}

/// Seals a batch, releases its slot and closes its record. Safe to repeat.
///
/// # Errors
/// `Bcce.Internal`: S3, KMS or the ledger failed, so the batch is not sealed or not closed; a retry finishes the work.
/// Also if the manifest's key has an object that no sealer made; a retry does not change that.
pub async fn handle<S, K, L, C, M>(
    ports: &Ports<S, K, L, C, M>,
    config: &Config,
    request: Request,
) -> Result<Response, Fault>
where
    S: GetObject + PutOnce + GetSealed + PutSealed + Concatenate,
    K: SignDigest + VerifyDigest,
    L: CloseBatch + TakeBatchOver + ReadBatchProgress + ReleaseSlot,
    C: Clock,
    M: Fn(&str),
{
    let batch = &request.batch;
    let subject = Subject::of_batch(batch);
    let Ports { store, signing_key: key, .. } = ports;
    let make = async || ports.seal(&request).await;
    let Sealed { manifest, reference } = find_or_seal(store, key, &subject, make).await?;
    let closed = ClosedBatch {
        batch: batch.clone(),
        manifest,
        manifest_key: reference.key.clone(),
        manifest_sha256: reference.sha256.clone(),
        notification_owner: request.notification_owner.clone(),
    };
    // No item of the batch is under way any more.
    ports.ledger.release_slot(Lane::Batches, &batch.tenant, &batch.execution_name()).await?;
    let found = ports.ledger.close_batch(&closed).await?;
    if found == Closed::Now {
        let documents = emf::documents(&config.environment, &closed.manifest);
        documents.iter().for_each(|document| (ports.metrics)(document));
    }
    let claim = Claim {
        execution_arn: &request.notification_owner,
        own_execution_arn: &batch.execution_arn,
        is_ended: request.ended.is_some(),
    };
    let take_over =
        async |from: &str, to: &str| ports.ledger.take_batch_over(batch, from, to).await;
    let should_notify = notification::should_notify(&found, claim, take_over).await?;
    let status = closed.manifest.status.as_str();
    tracing::info!(batch_id = batch.batch_id, status, "the batch is sealed");
    let notification = Box::new(closed.manifest.notification(&reference.key, &reference.sha256));
    Ok(Response { should_notify, manifest: reference, notification })
}

impl<S, K, L, C, M> Ports<S, K, L, C, M>
where
    S: GetObject + Concatenate,
    L: ReadBatchProgress,
    C: Clock,
{
    /// Joins the results and outputs of all parts, and makes the manifest.
    async fn seal(&self, request: &Request) -> Result<BatchManifest, Fault> {
        let batch = &request.batch;
        let opened: Option<Opened> = objects::find(&self.store, &batch.opened_key()).await?;
        let (mut sums, mut results, mut outputs) = (Sums::none(), None, None);
        let (mut uncollected, mut halted) = (0, None);
        if let Some(opened) = &opened {
            let now = self.clock.now();
            halted = self.ledger.batch_progress(&batch.item_of(), now).await?.halted;
            let collected;
            (sums, collected, uncollected) = self.sums(batch, opened.way).await?;
            let all = |key: fn(&BatchRef, u32) -> String| -> Vec<String> {
                collected.iter().map(|part| key(batch, *part)).collect()
            };
            let (from, to) = (all(BatchRef::part_results_key), batch.results_key());
            results = Some(self.store.concatenate(&from, &to, &batch.batch_id).await?);
            let (from, to) = (all(BatchRef::part_outputs_key), batch.outputs_key());
            outputs = Some(self.store.concatenate(&from, &to, &batch.batch_id).await?);
        }
        let bulk = match opened.as_ref().and_then(|opened| opened.bulk.as_ref()) {
            Some(_) => objects::find::<JobsRecord>(&self.store, &batch.jobs_key()).await?,
            None => None,
        };
        Ok(BatchManifest::seal(Outcome {
            batch,
            opened,
            bulk: bulk.map_or_else(Vec::new, |record| record.jobs),
            sums,
            results,
            outputs,
            fault: fault(request, uncollected),
            halted,
            is_cancelled: request.ended == Some(ExecutionStatus::Aborted),
            ended_at: self.clock.now(),
        }))
    }

    /// Returns the sums of all parts, the parts that were collected, and the number of those that were not. The parts
    /// that were collected keep their results.
    async fn sums(&self, batch: &BatchRef, way: Way) -> Result<(Sums, BTreeSet<u32>, u32), Fault> {
        let parts: Vec<Part> = objects::read_lines(&self.store, &batch.parts_key()).await?;
        let read = parts.into_iter().map(|part| async move {
            Ok::<_, Fault>((part, self.sums_of(batch, part.part, way).await?))
        });
        let mut read = futures::stream::iter(read).buffer_unordered(AT_A_TIME);
        let (mut all, mut collected, mut uncollected) = (Sums::none(), BTreeSet::new(), 0);
        while let Some((part, sums)) = read.try_next().await? {
            if sums.is_some() {
                collected.insert(part.part);
            } else {
                uncollected += 1;
            }
            all.add(&sums.unwrap_or_else(|| Sums::uncollected(part.lines)));
        }
        Ok((all, collected, uncollected))
    }

    /// Returns the sums of a part, or `None` if it was not collected. A packed part is collected when it is sealed.
    async fn sums_of(&self, batch: &BatchRef, part: u32, way: Way) -> Result<Option<Sums>, Fault> {
        if way == Way::Executions {
            return objects::find(&self.store, &batch.part_sums_key(part)).await;
        }
        let key = batch.part_manifest_key(part);
        let manifest = objects::find::<PartManifest>(&self.store, &key).await?;
        Ok(manifest.map(|manifest| manifest.sums))
    }
}

/// Returns the error of a batch that did not end regularly, or `None`.
fn fault(request: &Request, uncollected: u32) -> Option<Fault> {
    let ended = match request.ended {
        None | Some(ExecutionStatus::Aborted) => None,
        Some(ExecutionStatus::TimedOut) => Some("the execution timed out"),
        Some(ExecutionStatus::Failed) => Some("the execution ended before the batch was sealed"),
    };
    let broken = request
        .broken
        .as_ref()
        .map(|map| format!("a Map state of the execution failed: {}", map.error));
    let uncollected = (uncollected > 0).then(|| {
        format!("the results of {uncollected} parts could not be collected; the log of the collect-part function has the cause, and the batch's next attempt collects them")
    });
    let internal = ended.map(str::to_owned).or(broken).or(uncollected);
    request.fault.clone().or(internal.map(Fault::internal))
}
