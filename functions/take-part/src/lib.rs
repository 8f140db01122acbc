//! What a job answered, by part: an answer that stands becomes the run that asking on demand would have made of it, with
//! its artifacts, its sealed manifest and its entry in the ledger. Records without one are listed for choose-leftovers,
//! which decides whether they run on demand; items that were no records of a job run on demand in any case. Called again
//! once records are held, it closes their runs as failed ones.

mod held; // a record that is not asked again -> a run that failed
mod left; // what is not a run that is over
mod read; // what there is of a part
mod settle; // an answer -> a run that is over
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use bcce_aws::{StartError, variable};
use bcce_core::base::error::Fault;
use bcce_core::base::json::parse_lines;
use bcce_core::batch::Item;
use bcce_core::batch::bulk::Took;
use bcce_core::batch::reference::{BatchRun, Part, Place};
use bcce_core::ports::{
    Clock, CloseRun, GetObject, GetSealed, PutObject, PutOnce, PutSealed, SignDigest, VerifyDigest,
};
use futures::StreamExt;
use serde::{Deserialize, Serialize};

use left::Left;
use read::Job;
use settle::{Answered, Outcome, Taking};

/// Answers taken at a time. Each is signed, and what signs is shared with every run: with five parts at a time KMS is
/// asked some 150 times a second.
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

pub struct Ports<S, K, L, C> {
    pub store: S,
    pub signing_key: K,
    pub ledger: L,
    pub clock: C,
}

#[derive(Debug, Deserialize)]
pub struct Request {
    pub batch: BatchRun,
    pub part: Part,
    /// The answers are taken, and choose-leftovers holds records: only their runs are to be closed.
    pub hold: bool,
}

#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct Response {
    /// Items whose runs are over.
    pub taken: u64,
    /// Items whose runs are not.
    pub left: u64,
    /// Those of them that are not asked again: their runs have failed by now.
    pub held: u64,
}

/// # Errors
/// `Bcce.Internal`; a retry does what is not done yet.
pub async fn handle<S, K, L, C>(
    ports: &Ports<S, K, L, C>,
    config: &Config,
    emit: &impl Fn(&str),
    request: Request,
) -> Result<Response, Fault>
where
    S: GetObject + PutObject + PutOnce + GetSealed + PutSealed,
    K: SignDigest + VerifyDigest,
    L: CloseRun,
    C: Clock,
{
    let (batch, part) = (&request.batch, request.part.part);
    let key = batch.places_key(part);
    // Every item of the part may be rejected.
    let Some(body) = ports.store.get(&key).await? else { return Ok(Response::default()) };
    let places: Vec<Place> = parse_lines(&key, &body)?;
    let job = ports.job(batch, part).await?;
    let items = ports.items(batch, part).await?;
    let now = ports.clock.now();
    let took = job.as_ref().map_or(Took { from: now, to: now }, |job| job.took);
    let taking = Taking { config, emit, batch, took };
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

impl<S, K, L, C> Ports<S, K, L, C>
where
    S: GetObject + PutObject + PutOnce + GetSealed + PutSealed,
    K: SignDigest + VerifyDigest,
    L: CloseRun,
    C: Clock,
{
    /// Makes finished runs of the answers of a part, and lists its other items.
    async fn take<E: Fn(&str)>(
        &self,
        taking: &Taking<'_, E>,
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
            let settling = answers.map(|answered| async move {
                answered.settle(self).await.map(|outcome| (answered.item.n, outcome))
            });
            let mut settling = futures::stream::iter(settling).buffer_unordered(AT_A_TIME);
            while let Some(settled) = settling.next().await {
                outcomes.extend([settled?]);
            }
        }
        let is_over = |outcome: &&Outcome| matches!(outcome, Outcome::Over);
        let taken = outcomes.values().filter(is_over).count() as u64;
        let left = Left::of(places, &rendered, job.map(|job| &job.record), outcomes);
        left.note(&self.store, batch, part).await?;
        Ok(Response { taken, left: places.len() as u64 - taken, held: 0 })
    }

    /// Closes the runs of those records that are left and were not in the sample. Returns how many there are.
    async fn hold<E: Fn(&str)>(
        &self,
        taking: &Taking<'_, E>,
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
