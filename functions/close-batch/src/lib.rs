//! Seals a batch: joins the results of its parts, signs the manifest and writes it once with its signature, and closes the
//! record. A second seal finds the first one's manifest and returns it.

mod emf;
#[cfg(test)]
mod tests;

use bcce_aws::{StartError, variable};
use bcce_core::base::error::Fault;
use bcce_core::batch::BatchManifest;
use bcce_core::batch::bulk::JobsRecord;
use bcce_core::batch::manifest::{BatchNotification, Opened, Outcome, Sums};
use bcce_core::batch::reference::{BatchRef, BatchRun, Part};
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

/// Sums read at a time.
const AT_A_TIME: usize = 16;

pub struct Config {
    pub environment: String,
    pub bucket: String,
    pub key_arn: String,
    pub signing_key_arn: String,
    pub ledger_table: String,
}

impl Config {
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

pub struct Ports<S, K, L, C, M> {
    pub store: S,
    pub signing_key: K,
    pub ledger: L,
    pub clock: C,
    /// Prints a metrics document.
    pub metrics: M,
}

/// A batch whose items are over, with what only the state machine knows of it.
#[derive(Debug, Deserialize)]
pub struct Request {
    pub batch: BatchRun,
    /// What ended the batch before its items.
    #[serde(default)]
    pub fault: Option<Fault>,
    /// How the batch's execution ended, if the finalize machine asks.
    #[serde(default)]
    pub ended: Option<ExecutionStatus>,
    /// The error of a Map that failed as a whole.
    #[serde(default)]
    pub broken: Option<Broken>,
    /// ARN of the execution that asks. It sends the notification if it is the one that closes the batch.
    pub notification_owner: String,
}

#[derive(Debug, Deserialize)]
pub struct Broken {
    /// As Step Functions names it.
    #[serde(rename = "Error")]
    pub error: String,
}

#[derive(Debug, PartialEq, Serialize)]
pub struct Response {
    /// Whether the asking execution sends the notification.
    pub should_notify: bool,
    pub manifest: ManifestRef,
    /// The message for the notifications topic.
    pub notification: Box<BatchNotification>,
}

/// # Errors
/// `Bcce.Internal`: nothing is sealed, or the seal is not finished; a retry finishes it. A manifest that no sealer made is
/// one, too, and stays so.
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
    async fn seal(&self, request: &Request) -> Result<BatchManifest, Fault> {
        let batch = &request.batch;
        let opened: Option<Opened> = objects::find(&self.store, &batch.opened_key()).await?;
        let (mut sums, mut results, mut outputs) = (Sums::none(), None, None);
        let (mut uncollected, mut halted) = (0, None);
        if let Some(opened) = &opened {
            halted = self.ledger.batch_progress(&batch.item_of()).await?.halted;
            (sums, uncollected) = self.sums(batch).await?;
            let all = |key: fn(&BatchRef, u32) -> String| -> Vec<String> {
                (1..=opened.parts).map(|part| key(batch, part)).collect()
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

    /// Returns the sums of all parts, and how many parts have none: their absence must not lose the others.
    async fn sums(&self, batch: &BatchRef) -> Result<(Sums, u32), Fault> {
        let parts: Vec<Part> = objects::read_lines(&self.store, &batch.parts_key()).await?;
        let read = parts.into_iter().map(|part| async move {
            let key = batch.part_sums_key(part.part);
            Ok::<_, Fault>(match objects::find::<Sums>(&self.store, &key).await? {
                Some(sums) => (sums, 0),
                None => (Sums::uncollected(part.lines), 1),
            })
        });
        let read = futures::stream::iter(read).buffer_unordered(AT_A_TIME);
        read.try_fold((Sums::none(), 0), |(mut sums, missing), (part, one)| async move {
            sums.add(&part);
            Ok((sums, missing + one))
        })
        .await
    }
}

fn fault(request: &Request, uncollected: u32) -> Option<Fault> {
    let ended = match request.ended {
        None | Some(ExecutionStatus::Aborted) => None,
        Some(ExecutionStatus::TimedOut) => Some("the execution timed out"),
        Some(ExecutionStatus::Failed) => Some("the execution ended before the batch was sealed"),
    };
    let broken =
        request.broken.as_ref().map(|map| format!("a Map of the execution broke: {}", map.error));
    let uncollected = (uncollected > 0).then(|| {
        format!("the results of {uncollected} parts could not be collected; the log of the collect-part function has the cause, and the batch's next attempt collects them")
    });
    let ours = ended.map(str::to_owned).or(broken).or(uncollected);
    request.fault.clone().or(ours.map(Fault::internal))
}
