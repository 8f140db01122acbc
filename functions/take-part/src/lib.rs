//! Turns the answers of a bulk job for one part into finished runs, and lists the items that have none.
//!
//! The state `TakePart` of the batch machine and of the finalize machine invokes [`handle`], which returns how many
//! items have a finished run. The run of a valid answer has the same artifacts, sealed manifest and ledger record as a
//! run on demand. Records without a valid answer are listed for choose-leftovers, which decides whether they run on
//! demand. Items that were not records of a job run on demand in any case. With `hold`, the function closes the runs of
//! held records as failed. It must never count an answer twice, or lose one that was paid.

mod finish; // a finished run for each answer
mod held; // a failed run for each held record
mod left; // items without a finished run
mod read; // the items, records and job of a part
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use bcce_aws::{StartError, variable};
use bcce_core::base::error::Fault;
use bcce_core::batch::Item;
use bcce_core::batch::bulk::Took;
use bcce_core::batch::reference::{BatchRun, Part, Place};
use bcce_core::io::objects;
use bcce_core::ports::{
    Clock, CloseRun, GetObject, GetSealed, PutObject, PutOnce, PutSealed, SignDigest, VerifyDigest,
};
use futures::StreamExt;
use serde::{Deserialize, Serialize};

use finish::{Answered, Outcome, Taking};
use left::Left;
use read::Job;

/// The number of answers that are handled at a time. Each one is signed with the key that every run uses. With five
/// parts at a time, KMS gets about 150 requests a second.
const AT_A_TIME: usize = 8;

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
    /// The region of the stack, such as `us-east-1` (`AWS_REGION`).
    pub region: String,
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
            region: variable("AWS_REGION")?,
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

/// A part whose answers are to be handled.
#[derive(Debug, Deserialize)]
pub struct Request {
    pub batch: BatchRun,
    pub part: Part,
    /// True if the answers were handled before, and only the runs of held records are to be closed.
    pub hold: bool,
}

/// The numbers of items by outcome.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct Response {
    /// The items with a finished run.
    pub taken: u64,
    /// The items without a finished run.
    pub left: u64,
    /// The held items, whose runs are closed as failed.
    pub held: u64,
}

/// Handles the answers of a part. Safe to repeat.
///
/// # Errors
/// `Bcce.Internal`: S3, KMS or the ledger failed, or the output of a completed job is missing. A retry continues where
/// this invocation ended.
pub async fn handle<S, K, L, C, M>(
    ports: &Ports<S, K, L, C, M>,
    config: &Config,
    request: Request,
) -> Result<Response, Fault>
where
    S: GetObject + PutObject + PutOnce + GetSealed + PutSealed,
    K: SignDigest + VerifyDigest,
    L: CloseRun,
    C: Clock,
    M: Fn(&str),
{
    let (batch, part) = (&request.batch, request.part.part);
    // If every item of the part is rejected, there are no places.
    let places = objects::find_lines::<Place>(&ports.store, &batch.places_key(part)).await?;
    let Some(places) = places else { return Ok(Response::default()) };
    let job = ports.job(batch, part).await?;
    let items = ports.items(batch, part).await?;
    let now = ports.clock.now();
    let took = job.as_ref().map_or(Took { from: now, to: now }, |job| job.took);
    let taking = Taking { config, batch, took };
    let mut response = Response::default();
    if !request.hold {
        // Boxed, because nested futures exceed the compiler's limit on type depth.
        let take = ports.take(&taking, part, &places, &items, job.as_ref());
        response = Box::pin(take).await?;
    }
    // The runs of held records are closed without `hold` too, because a batch may have ended before all were closed.
    if let Some(error) = job.as_ref().and_then(|job| job.record.held()) {
        response.held = Box::pin(ports.hold(&taking, part, &items, &error)).await?;
    }
    let Response { taken, left, held } = response;
    tracing::info!(
        batch_id = batch.batch_id,
        part,
        taken,
        left,
        held,
        "the answers of the part are handled"
    );
    Ok(response)
}

impl<S, K, L, C, M> Ports<S, K, L, C, M>
where
    S: GetObject + PutObject + PutOnce + GetSealed + PutSealed,
    K: SignDigest + VerifyDigest,
    L: CloseRun,
    C: Clock,
    M: Fn(&str),
{
    /// Makes a finished run of each valid answer of a part, and lists the other items.
    async fn take(
        &self,
        taking: &Taking<'_>,
        part: u32,
        places: &[Place],
        items: &BTreeMap<u64, Item>,
        job: Option<&Job>,
    ) -> Result<Response, Fault> {
        let batch = taking.batch;
        let rendered = self.rendered(batch, part).await?;
        let mut outcomes = BTreeMap::new();
        if let Some(arn) = job.and_then(|job| job.record.arn.as_deref()) {
            let status = job.and_then(|job| job.record.status);
            let output = self.output(batch, part, &rendered, arn, status).await?;
            let answers = places.iter().filter_map(|place| {
                let (returned, item) = (output.records.get(&place.n)?, items.get(&place.n)?);
                Some(Answered { taking, item, returned, arn })
            });
            let finish = answers.map(|answered| async move {
                answered.finish(self).await.map(|outcome| (answered.item.n, outcome))
            });
            let mut finished = futures::stream::iter(finish).buffer_unordered(AT_A_TIME);
            while let Some(outcome) = finished.next().await {
                outcomes.extend([outcome?]);
            }
        }
        let is_over = |outcome: &&Outcome| matches!(outcome, Outcome::Over);
        let taken = outcomes.values().filter(is_over).count() as u64;
        let left = Left::of(places, &rendered, job.map(|job| &job.record), outcomes);
        left.store(&self.store, batch, part).await?;
        Ok(Response { taken, left: places.len() as u64 - taken, held: 0 })
    }

    /// Closes the runs of the records that are left over and were not in the sample. Returns their number.
    async fn hold(
        &self,
        taking: &Taking<'_>,
        part: u32,
        items: &BTreeMap<u64, Item>,
        error: &Fault,
    ) -> Result<u64, Fault> {
        let sampled = self.places(&taking.batch.sample_key()).await?;
        let sampled: BTreeSet<u64> = sampled.into_iter().map(|place| place.n).collect();
        let left = self.places(&taking.batch.left_key(part)).await?;
        let held = left.iter().filter(|place| !sampled.contains(&place.n));
        let held = held.filter_map(|place| items.get(&place.n));
        let closing = held.map(|item| taking.close_held(self, item, error));
        let mut closing = futures::stream::iter(closing).buffer_unordered(AT_A_TIME);
        let mut closed = 0;
        while let Some(done) = closing.next().await {
            done?;
            closed += 1;
        }
        Ok(closed)
    }
}
