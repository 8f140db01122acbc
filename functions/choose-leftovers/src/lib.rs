//! Chooses which leftovers of a batch run on demand, after take-part has handled the answers of its jobs.
//!
//! The state `ChooseLeftovers` of the batch machine invokes [`handle`], which returns the list of parts in which items
//! run. Which items of a part these are, `run-part` reads from the verdicts. If nearly all records of a job failed, a
//! sample of them runs first. The state machine then invokes the function again, and it decides on the other records by
//! the outcome of the sample. The function must never run all records of a job on demand while the job or its records
//! may be at fault.

mod sample; // the records of a sample, and the outcomes of their runs
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use bcce_aws::{StartError, variable};
use bcce_core::base::error::Fault;
use bcce_core::base::json::{add_line, to_json};
use bcce_core::batch::bulk::{JobsRecord, Leftovers, TakenPart, Verdict, job_of};
use bcce_core::batch::manifest::Opened;
use bcce_core::batch::reference::{BatchRef, BatchRun, Part};
use bcce_core::io::objects;
use bcce_core::ports::{GetObject, ListObjects, PutObject};
use futures::{StreamExt, TryStreamExt};
use serde::{Deserialize, Serialize};

/// The number of small objects that are read or written at a time.
const AT_A_TIME: usize = 32;

/// The settings of the function, from its environment variables.
pub struct Config {
    /// The name of the artifact bucket (`BCCE_ARTIFACT_BUCKET`).
    pub bucket: String,
    /// The ARN of the KMS key that encrypts the objects of the bucket (`BCCE_ARTIFACT_KEY_ARN`).
    pub key_arn: String,
}

impl Config {
    /// Reads the settings from the environment.
    ///
    /// # Errors
    /// A [`StartError`] that names the variable that is missing.
    pub fn from_env() -> Result<Self, StartError> {
        Ok(Self {
            bucket: variable("BCCE_ARTIFACT_BUCKET")?,
            key_arn: variable("BCCE_ARTIFACT_KEY_ARN")?,
        })
    }
}

/// The services that [`handle`] uses.
pub struct Ports<S> {
    pub store: S,
}

/// A batch whose leftovers are to be chosen.
#[derive(Debug, Deserialize)]
pub struct Request {
    pub batch: BatchRun,
    /// True if the sample that an earlier invocation chose is over.
    pub sampled: bool,
}

/// The parts in which items run on demand now.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Response {
    /// A sample runs. The function has to be invoked again afterwards.
    Sample {
        /// The key of the list of parts with items of the sample.
        parts: String,
    },
    /// All leftovers that run on demand, except the sample.
    Leftovers {
        /// The key of the list of parts with such items.
        parts: String,
    },
    /// No item runs on demand.
    Nothing,
}

/// Chooses the leftovers that run on demand. Safe to repeat.
///
/// # Errors
/// `Bcce.Internal`: S3 failed, or an object cannot be parsed.
pub async fn handle<S>(ports: &Ports<S>, _: &Config, request: Request) -> Result<Response, Fault>
where
    S: GetObject + ListObjects + PutObject,
{
    let (batch, store) = (&request.batch.reference, &ports.store);
    let opened: Opened = objects::read(store, &batch.opened_key()).await?;
    // Boxed here and below, because nested futures exceed the compiler's limit on type depth.
    let parts = Box::pin(ports.taken(batch, opened.parts)).await?;
    let jobs = objects::find::<JobsRecord>(store, &batch.jobs_key()).await?;
    // Without a recorded job, no item of the batch was a record.
    let mut jobs = jobs.unwrap_or_else(|| JobsRecord::started(request.batch.started_at));
    let is_recorded = !jobs.jobs.is_empty();
    let of_job = |job: u32| {
        let its = move |part: &u32| job_of(*part, opened.parts) == job;
        parts.iter().filter(move |(part, _)| its(part))
    };
    if request.sampled {
        Box::pin(ports.judge(batch, &mut jobs, opened.parts)).await?;
    } else {
        for job in &mut jobs.jobs {
            let its = of_job(job.job).map(|(_, part)| part);
            job.leftovers = Leftovers::of(job.did_fail(), its);
        }
        let mut places = Vec::new();
        for job in jobs.jobs.iter().filter(|job| is(job.leftovers.as_ref(), Verdict::Sample)) {
            let left = of_job(job.job).map(|(part, taken)| (*part, taken.left));
            places.extend(ports.sample(batch, &left.collect::<Vec<_>>()).await?);
        }
        if !places.is_empty() {
            ports.note_sample(batch, &places).await?;
            ports.note(batch, &jobs).await?;
            return Ok(Response::Sample { parts: batch.sample_parts_key() });
        }
    }
    let runs = |(part, taken): &(&u32, &TakenPart)| {
        let job = jobs.job(job_of(**part, opened.parts));
        let leftovers = job.and_then(|job| job.leftovers.as_ref());
        taken.others > 0 || (taken.left > 0 && is(leftovers, Verdict::OnDemand))
    };
    let due: BTreeSet<u32> = parts.iter().filter(runs).map(|(part, _)| *part).collect();
    if is_recorded {
        ports.note(batch, &jobs).await?;
    }
    if due.is_empty() {
        return Ok(Response::Nothing);
    }
    let key = batch.leftover_parts_key();
    ports.put_parts(batch, &key, &due).await?;
    Ok(Response::Leftovers { parts: key })
}

/// Returns true if the leftovers have this verdict.
fn is(leftovers: Option<&Leftovers>, verdict: Verdict) -> bool {
    leftovers.is_some_and(|leftovers| leftovers.verdict == verdict)
}

impl<S> Ports<S>
where
    S: GetObject + PutObject,
{
    /// Reads the counts that take-part stored, by part. A part without counts could not be handled, and none of its
    /// items runs.
    async fn taken(&self, batch: &BatchRef, parts: u32) -> Result<BTreeMap<u32, TakenPart>, Fault> {
        let read = (1..=parts).map(|part| async move {
            let taken = objects::find::<TakenPart>(&self.store, &batch.taken_key(part)).await?;
            Ok::<_, Fault>(taken.map(|taken| (part, taken)))
        });
        let read = futures::stream::iter(read).buffer_unordered(AT_A_TIME);
        let taken: Vec<_> = read.try_collect().await?;
        Ok(taken.into_iter().flatten().collect())
    }

    /// Stores the list of some of the batch's parts, from which the state machine runs them.
    async fn put_parts(
        &self,
        batch: &BatchRef,
        key: &str,
        parts: &BTreeSet<u32>,
    ) -> Result<(), Fault> {
        let all: Vec<Part> = objects::read_lines(&self.store, &batch.parts_key()).await?;
        let mut lines = Vec::new();
        let mut chosen = all.iter().filter(|part| parts.contains(&part.part));
        chosen.try_for_each(|part| add_line(&mut lines, part))?;
        self.store.put(key, &batch.batch_id, lines).await
    }

    /// Stores the verdicts. The batch's manifest lists them, and run-part and collect-part read from them which records
    /// run and which are held.
    async fn note(&self, batch: &BatchRef, jobs: &JobsRecord) -> Result<(), Fault> {
        for job in &jobs.jobs {
            if let Some(why) = job.leftovers.as_ref().and_then(Leftovers::describe) {
                tracing::warn!(batch_id = batch.batch_id, job = job.job, "{why}");
            }
        }
        self.store.put(&batch.jobs_key(), &batch.batch_id, to_json(jobs)?).await
    }
}
