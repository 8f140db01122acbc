//! Seals a batch: what came of its parts put together, the manifest signed and written once with its signature, the
//! record closed. A second seal finds the first one's manifest and returns it.

mod emf;
#[cfg(test)]
mod tests;

use bcce_aws::{StartError, variable};
use bcce_core::base::error::Fault;
use bcce_core::base::json::{parse, parse_lines};
use bcce_core::batch::BatchManifest;
use bcce_core::batch::bulk::JobsRecord;
use bcce_core::batch::manifest::{BatchNotice, Opened, Outcome, Sums};
use bcce_core::batch::reference::{BatchRef, BatchRun, Part};
use bcce_core::io::seal;
use bcce_core::io::seal::{Sealed, Subject};
use bcce_core::ledger::ClosedBatch;
use bcce_core::ports::{
    Clock, CloseBatch, Closed, Concatenate, GetObject, GetSealed, PutOnce, PutSealed,
    ReadBatchProgress, ReleaseSlot, SignDigest, VerifyDigest,
};
use bcce_core::run::ending::ExecutionStatus;
use bcce_core::run::manifest::ManifestRef;
use bcce_core::run::slots::Lane;
use futures::{StreamExt, TryStreamExt};
use serde::de::DeserializeOwned;
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

pub struct Ports<S, K, L, C> {
    pub store: S,
    pub signing_key: K,
    pub ledger: L,
    pub clock: C,
}

/// A batch that is over, with what the state machine alone knows of it.
#[derive(Debug, Deserialize)]
pub struct Request {
    pub batch: BatchRun,
    /// What ended it before its items.
    #[serde(default)]
    pub fault: Option<Fault>,
    /// How its execution ended, from outside.
    #[serde(default)]
    pub ended: Option<ExecutionStatus>,
    /// A Map that ended as a whole, whatever became of its items.
    #[serde(default)]
    pub broken: Option<Broken>,
    /// ARN of the execution that asks.
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
    /// It is the asking execution's to tell of the batch.
    pub tells: bool,
    pub manifest: ManifestRef,
    /// The message for the notifications topic.
    pub notice: Box<BatchNotice>,
}

/// # Errors
/// `Bcce.Internal`: nothing is sealed, or the seal is not finished; a retry finishes it. A manifest that no sealer made is
/// one, too, and stays so.
pub async fn handle<S, K, L, C>(
    ports: &Ports<S, K, L, C>,
    environment: &str,
    emit: &impl Fn(&str),
    request: Request,
) -> Result<Response, Fault>
where
    S: GetObject + PutOnce + GetSealed + PutSealed + Concatenate,
    K: SignDigest + VerifyDigest,
    L: CloseBatch + ReadBatchProgress + ReleaseSlot,
    C: Clock,
{
    let batch = &request.batch;
    let (store, key, subject) = (&ports.store, &ports.signing_key, Subject::of_batch(batch));
    let Sealed { manifest, reference } = match seal::find(store, key, &subject).await? {
        Some(sealed) => sealed,
        None => seal::seal(store, key, &subject, ports.seal(&request).await?).await?,
    };
    let closed = ClosedBatch {
        batch: batch.clone(),
        manifest,
        manifest_key: reference.key.clone(),
        manifest_sha256: reference.sha256.clone(),
        notification_owner: request.notification_owner.clone(),
    };
    // None of its items is at work any more.
    ports.ledger.release_slot(Lane::Batches, &batch.tenant, &batch.execution_name()).await?;
    let tells = match ports.ledger.close_batch(&closed).await? {
        Closed::Now => {
            emf::documents(environment, &closed.manifest)
                .iter()
                .for_each(|document| emit(document));
            true
        }
        Closed::Before { notification_owner } => {
            tells(&ports.ledger, &request, notification_owner.as_deref()).await?
        }
    };
    let status = closed.manifest.status.as_str();
    tracing::info!(batch_id = batch.batch_id, status, "the batch is sealed");
    let notice = Box::new(closed.manifest.notice(&reference.key, &reference.sha256));
    Ok(Response { tells, manifest: reference, notice })
}

/// Whoever closes a batch tells of it, so that one does. An execution that closed its batch and was ended before its
/// own end may not have told: then the one that settles the batch takes that over.
async fn tells(
    ledger: &impl CloseBatch,
    request: &Request,
    notification_owner: Option<&str>,
) -> Result<bool, Fault> {
    let (batch, us) = (&request.batch, request.notification_owner.as_str());
    match notification_owner {
        Some(notification_owner) if notification_owner == us => Ok(true),
        Some(notification_owner)
            if notification_owner == batch.execution_arn && request.ended.is_some() =>
        {
            ledger.take_batch_over(batch, notification_owner, us).await
        }
        _ => Ok(false),
    }
}

impl<S, K, L, C> Ports<S, K, L, C>
where
    S: GetObject + Concatenate,
    L: ReadBatchProgress,
    C: Clock,
{
    async fn seal(&self, request: &Request) -> Result<BatchManifest, Fault> {
        let batch = &request.batch;
        let opened: Option<Opened> = self.read(&batch.opened_key()).await?;
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
            Some(_) => self.read::<JobsRecord>(&batch.jobs_key()).await?,
            None => None,
        };
        Ok(BatchManifest::seal(Outcome {
            batch,
            opened,
            // As they ended, if there were any.
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

    async fn read<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, Fault> {
        match self.store.get(key).await? {
            Some(body) => parse(key, &body).map(Some),
            None => Ok(None),
        }
    }

    /// Those of all parts, and how many parts have none: what could be collected must not be lost with them.
    async fn sums(&self, batch: &BatchRef) -> Result<(Sums, u32), Fault> {
        let key = batch.parts_key();
        let body = self.store.get(&key).await?;
        let body = body.ok_or_else(|| Fault::internal(format!("{key} is missing")))?;
        let parts: Vec<Part> = parse_lines(&key, &body)?;
        let read = parts.into_iter().map(|part| async move {
            let key = batch.part_sums_key(part.part);
            Ok::<_, Fault>(match self.store.get(&key).await? {
                Some(body) => (parse::<Sums>(&key, &body)?, 0),
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
        Some(ExecutionStatus::TimedOut) => Some("the execution ran longer than it may"),
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
