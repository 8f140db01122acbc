//! What a job answered, by part: an answer that stands becomes the run that asking on demand would have made of it, with
//! its artifacts, its sealed manifest and its entry in the ledger. Records without one are listed for choose-leftovers,
//! which decides whether they run on demand; items that were no records of a job run on demand in any case.

mod left; // what is not a run that is over
mod settle; // an answer -> a run that is over
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use bcce_aws::{StartError, variable};
use bcce_core::artifact::{parse, parse_lines};
use bcce_core::batch::manifest::Opened;
use bcce_core::batch::reference::{BatchRef, BatchRun, Part, Place, bulk_file};
use bcce_core::batch::{Entry, Item};
use bcce_core::bulk::{
    self, JobRecord, JobStatus, JobsRecord, Output, Rendered, Took, job_of, output_key,
};
use bcce_core::error::Fault;
use bcce_core::ports::{Clock, CloseRun, GetObject, PutObject, PutOnce, SignDigest};
use futures::StreamExt;
use serde::{Deserialize, Serialize};

use left::Left;
use settle::{Answered, Outcome};

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
}

#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct Response {
    /// Items whose runs are over.
    pub taken: u64,
    /// Items whose runs are not.
    pub left: u64,
}

/// What came back of a part, and when it was asked.
struct Returned {
    output: Output,
    took: Took,
    /// As it ended.
    job: JobRecord,
    arn: String,
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
    S: GetObject + PutObject + PutOnce,
    K: SignDigest,
    L: CloseRun,
    C: Clock,
{
    let (batch, part) = (&request.batch, request.part.part);
    let key = batch.places_key(part);
    // Every item of the part may be rejected.
    let Some(body) = ports.store.get(&key).await? else { return Ok(Response::default()) };
    let places: Vec<Place> = parse_lines(&key, &body)?;
    let rendered = ports.rendered(batch, part).await?;
    let returned = ports.returned(batch, part, &rendered).await?;
    let items = ports.items(batch, part).await?;
    let mut outcomes = BTreeMap::new();
    if let Some(returned) = &returned {
        let answers = places.iter().filter_map(|place| {
            let (record, item) = (returned.output.records.get(&place.n)?, items.get(&place.n)?);
            let (arn, took) = (returned.arn.as_str(), returned.took);
            Some(Answered { config, emit, batch, item, returned: record, arn, took })
        });
        let taking = answers.map(|answered| async move {
            answered.settle(ports).await.map(|outcome| (answered.item.n, outcome))
        });
        let mut taking = futures::stream::iter(taking).buffer_unordered(AT_A_TIME);
        while let Some(taken) = taking.next().await {
            outcomes.extend([taken?]);
        }
    }
    let taken = outcomes.values().filter(|outcome| matches!(outcome, Outcome::Over)).count() as u64;
    let job = returned.as_ref().map(|returned| &returned.job);
    let left = Left::of(&places, &rendered, job, outcomes);
    left.note(&ports.store, batch, part).await?;
    let (batch_id, left) = (&batch.batch_id, places.len() as u64 - taken);
    tracing::info!(batch_id, part, taken, left, "a part is taken");
    Ok(Response { taken, left })
}

impl<S, K, L, C> Ports<S, K, L, C>
where
    S: GetObject,
    C: Clock,
{
    /// What the job of a part made of its file; `None`: there was no such job.
    async fn returned(
        &self,
        batch: &BatchRef,
        part: u32,
        rendered: &Rendered,
    ) -> Result<Option<Returned>, Fault> {
        let key = batch.opened_key();
        let body = self.store.get(&key).await?;
        let body = body.ok_or_else(|| Fault::internal(format!("{key} is missing")))?;
        let parts = parse::<Opened>(&key, &body)?.parts;
        let key = batch.jobs_key();
        let Some(body) = self.store.get(&key).await? else { return Ok(None) };
        let jobs: JobsRecord = parse(&key, &body)?;
        let Some(job) = jobs.job(job_of(part, parts)) else { return Ok(None) };
        let Some(arn) = job.arn.clone() else { return Ok(None) };
        let key = output_key(&batch.bulk_output_prefix(), &arn, &bulk_file(part));
        let output = match self.store.get(&key).await? {
            Some(body) => bulk::read(&body),
            // They were paid, and would be once more.
            None if job.status == Some(JobStatus::Completed) && rendered.records > 0 => {
                return Err(Fault::internal(format!("{arn} is completed and there is no {key}")));
            }
            None => Output::default(),
        };
        for told in &output.unreadable {
            tracing::warn!(batch_id = batch.batch_id, part, "a record is not readable: {told}");
        }
        let from = job.submitted_at.unwrap_or(jobs.started_at);
        let took = Took { from, to: job.ended_at.unwrap_or_else(|| self.clock.now()) };
        Ok(Some(Returned { output, took, job: job.clone(), arn }))
    }

    /// What was made records of a part. Of one that could not be rendered nothing was.
    async fn rendered(&self, batch: &BatchRef, part: u32) -> Result<Rendered, Fault> {
        let key = batch.rendered_key(part);
        let body = self.store.get(&key).await?;
        body.map_or_else(|| Ok(Rendered::default()), |body| parse(&key, &body))
    }

    async fn items(&self, batch: &BatchRef, part: u32) -> Result<BTreeMap<u64, Item>, Fault> {
        let key = batch.part_key(part);
        let body = self.store.get(&key).await?;
        let body = body.ok_or_else(|| Fault::internal(format!("{key} is missing")))?;
        let entries: Vec<Entry> = parse_lines(&key, &body)?;
        let items = entries.into_iter().filter_map(|entry| match entry {
            Entry::Item(item) => Some((item.n, *item)),
            Entry::Rejected(_) => None,
        });
        Ok(items.collect())
    }
}
