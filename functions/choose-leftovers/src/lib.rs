//! Chooses what of a batch's leftovers runs on demand, once the answers of its jobs are taken. Where nearly all records
//! of a job failed, a sample of them runs first; called again after that, it decides on the others by the sample's runs.

mod lists; // what runs on demand
mod sample; // which records are the sample, and what their runs came to
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use bcce_aws::{StartError, variable};
use bcce_core::base::error::Fault;
use bcce_core::base::json::to_json;
use bcce_core::batch::bulk::{JobsRecord, Leftovers, TakenPart, Verdict, job_of};
use bcce_core::batch::manifest::Opened;
use bcce_core::batch::reference::{BatchRef, BatchRun};
use bcce_core::io::objects;
use bcce_core::ports::{GetObject, GetRange, PutObject};
use futures::{StreamExt, TryStreamExt};
use serde::{Deserialize, Serialize};

/// Small objects read or written at a time.
const AT_A_TIME: usize = 32;

pub struct Config {
    pub bucket: String,
    pub key_arn: String,
}

impl Config {
    pub fn from_env() -> Result<Self, StartError> {
        Ok(Self {
            bucket: variable("BCCE_ARTIFACT_BUCKET")?,
            key_arn: variable("BCCE_ARTIFACT_KEY_ARN")?,
        })
    }
}

pub struct Ports<S> {
    pub store: S,
}

#[derive(Debug, Deserialize)]
pub struct Request {
    pub batch: BatchRun,
    /// The sample that an earlier call chose is over.
    pub sampled: bool,
}

/// Says what runs on demand now. `held`: there are records that do not, and take-part has to close their runs.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Response {
    /// A sample, after which this function is to be called again.
    Sample {
        /// Prefix of the places of its items.
        places: String,
    },
    /// Everything that runs at all.
    Leftovers {
        places: String,
        held: bool,
    },
    Nothing {
        held: bool,
    },
}

/// # Errors
/// `Bcce.Internal`; a retry does it all again.
pub async fn handle<S>(ports: &Ports<S>, _: &Config, request: Request) -> Result<Response, Fault>
where
    S: GetObject + GetRange + PutObject,
{
    let batch = &request.batch.reference;
    let opened: Opened = objects::read(&ports.store, &batch.opened_key()).await?;
    // Boxed, as below: the compiler lays out a future with all that it waits for, and does so only so deep.
    let parts = Box::pin(ports.taken(batch, opened.parts)).await?;
    let is_listed = parts.values().any(|part| part.others > 0);
    let jobs = objects::find::<JobsRecord>(&ports.store, &batch.jobs_key()).await?;
    let Some(mut jobs) = jobs else {
        // Nobody ever saw a job: all that is left is on the list of the rest.
        return Ok(rest(batch, is_listed, false));
    };
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
            return Ok(Response::Sample { places: batch.sample_prefix() });
        }
    }
    let records = Box::pin(ports.list(batch, &jobs, &parts, opened.parts)).await?;
    ports.note(batch, &jobs).await?;
    let held = jobs.jobs.iter().any(|job| job.held().is_some());
    Ok(rest(batch, records > 0 || is_listed, held))
}

fn is(leftovers: Option<&Leftovers>, verdict: Verdict) -> bool {
    leftovers.is_some_and(|leftovers| leftovers.verdict == verdict)
}

fn rest(batch: &BatchRef, is_some: bool, held: bool) -> Response {
    if is_some {
        Response::Leftovers { places: batch.leftovers_prefix(), held }
    } else {
        Response::Nothing { held }
    }
}

impl<S> Ports<S>
where
    S: GetObject + PutObject,
{
    /// Reads what came of each part in its job. One that could not be taken has nothing, and nothing of it runs.
    async fn taken(&self, batch: &BatchRef, parts: u32) -> Result<BTreeMap<u32, TakenPart>, Fault> {
        let read = (1..=parts).map(|part| async move {
            let taken = objects::find::<TakenPart>(&self.store, &batch.taken_key(part)).await?;
            Ok::<_, Fault>(taken.map(|taken| (part, taken)))
        });
        let read = futures::stream::iter(read).buffer_unordered(AT_A_TIME);
        let taken: Vec<_> = read.try_collect().await?;
        Ok(taken.into_iter().flatten().collect())
    }

    /// Writes down the verdicts: the batch's manifest lists them, and take-part reads there what is held and why.
    async fn note(&self, batch: &BatchRef, jobs: &JobsRecord) -> Result<(), Fault> {
        for job in &jobs.jobs {
            if let Some(why) = job.leftovers.as_ref().and_then(Leftovers::describe) {
                tracing::warn!(batch_id = batch.batch_id, job = job.job, "{why}");
            }
        }
        self.store.put(&batch.jobs_key(), &batch.batch_id, to_json(jobs)?).await
    }
}
