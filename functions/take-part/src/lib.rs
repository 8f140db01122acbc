//! Takes the answers of a job, by part: a valid answer becomes the run that asking on demand would have made of it, with
//! its artifacts, its sealed manifest and its entry in the ledger. Records without a valid answer are listed for
//! choose-leftovers, which decides whether they run on demand; items that were no records of a job run on demand in any
//! case. Called again once records are held, it closes their runs as failed.

mod finish; // an answer -> a finished run
mod held; // a record that is not asked again -> a failed run
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

/// Answers taken at a time. Each is signed with the key that every run uses: with five parts at a time KMS gets some 150
/// requests a second.
const AT_A_TIME: usize = 8;

pub struct Config {
    pub environment: String,
    pub bucket: String,
    pub key_arn: String,
    pub signing_key_arn: String,
    pub ledger_table: String,
    /// The stack's.
    pub region: String,
}

impl Config {
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

pub struct Ports<S, K, L, C, M> {
    pub store: S,
    pub signing_key: K,
    pub ledger: L,
    pub clock: C,
    /// Prints a metrics document.
    pub metrics: M,
}

#[derive(Debug, Deserialize)]
pub struct Request {
    pub batch: BatchRun,
    pub part: Part,
    /// Whether the answers are taken and only the runs of held records are to be closed.
    pub hold: bool,
}

#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct Response {
    /// Items with a finished run.
    pub taken: u64,
    /// Items without one.
    pub left: u64,
    /// Items of those that are not asked again: their runs are closed as failed.
    pub held: u64,
}

/// # Errors
/// `Bcce.Internal`; a retry does what is not done yet.
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
    // Every item of the part may be rejected.
    let places = objects::find_lines::<Place>(&ports.store, &batch.places_key(part)).await?;
    let Some(places) = places else { return Ok(Response::default()) };
    let job = ports.job(batch, part).await?;
    let items = ports.items(batch, part).await?;
    let now = ports.clock.now();
    let took = job.as_ref().map_or(Took { from: now, to: now }, |job| job.took);
    let taking = Taking { config, batch, took };
    let mut response = Response::default();
    if !request.hold {
        // Boxed: the compiler lays out a future with all that it waits for, and does so only so deep.
        let take = ports.take(&taking, part, &places, &items, job.as_ref());
        response = Box::pin(take).await?;
    }
    // A batch may have ended while the runs of held records were closed.
    if let Some(error) = job.as_ref().and_then(|job| job.record.held()) {
        response.held = Box::pin(ports.hold(&taking, part, &items, &error)).await?;
    }
    let Response { taken, left, held } = response;
    tracing::info!(batch_id = batch.batch_id, part, taken, left, held, "a part is taken");
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
    /// Makes finished runs of the answers of a part, and lists its other items.
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

    /// Closes the runs of those records that are left and were not in the sample. Returns their number.
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
