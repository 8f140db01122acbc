//! The batch inference jobs of a batch: started once, looked at while the state machine waits between two calls, and
//! stopped when their time is up. What they leave over runs on demand, so nothing about a job is an error here.

#[cfg(test)]
mod tests;

use std::time::Duration;

use bcce_aws::{StartError, optional_variable, variable};
use bcce_core::artifact::{parse, to_json};
use bcce_core::batch::StoredBatch;
use bcce_core::batch::manifest::{InBulk, Opened};
use bcce_core::batch::reference::{BatchRef, BatchRun};
use bcce_core::bulk::{
    Course, JobRecord, JobStart, JobsRecord, NewJob, Rendered, hours, job_name, job_of, jobs_of,
};
use bcce_core::ending::ExecutionStatus;
use bcce_core::error::Fault;
use bcce_core::ports::{Clock, GetObject, PutObject, ReadJob, StartJob, StopJob};
use futures::{StreamExt, TryStreamExt};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

/// Small objects read at a time.
const AT_A_TIME: usize = 16;

pub struct Config {
    pub bucket: String,
    pub key_arn: String,
    /// What the service reads records and writes answers as.
    pub service_role_arn: String,
    /// Of Bedrock, with an optional `{region}`; `None`: AWS's own.
    pub endpoint: Option<String>,
}

impl Config {
    pub fn from_env() -> Result<Self, StartError> {
        Ok(Self {
            bucket: variable("BCCE_ARTIFACT_BUCKET")?,
            key_arn: variable("BCCE_ARTIFACT_KEY_ARN")?,
            service_role_arn: variable("BCCE_BULK_SERVICE_ROLE_ARN")?,
            endpoint: optional_variable("AWS_ENDPOINT_URL_BEDROCK"),
        })
    }
}

pub struct Ports<S, J, C> {
    pub store: S,
    pub jobs: J,
    pub clock: C,
}

#[derive(Debug, Deserialize)]
pub struct Request {
    pub batch: BatchRun,
    /// How its execution ended, from outside: no job is started any more, and those that are at work are stopped.
    #[serde(default)]
    pub ended: Option<ExecutionStatus>,
}

#[derive(Debug, PartialEq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Response {
    Waiting {
        wait_s: u64,
    },
    Over {
        /// Why records of them run on demand.
        because: Vec<String>,
    },
}

/// # Errors
/// `Bcce.Internal`; a retry goes on where this call ended.
pub async fn handle<S, J, C>(
    ports: &Ports<S, J, C>,
    config: &Config,
    request: Request,
) -> Result<Response, Fault>
where
    S: GetObject + PutObject,
    J: StartJob + ReadJob + StopJob,
    C: Clock,
{
    let (batch, now) = (&request.batch, ports.clock.now());
    let opened: Opened = ports.read(&batch.opened_key()).await?;
    let bulk = opened.bulk.clone().ok_or_else(|| Fault::internal("the batch is not in bulk"))?;
    let key = batch.jobs_key();
    let mut jobs = match ports.store.get(&key).await? {
        Some(body) => parse(&key, &body)?,
        None => JobsRecord::begun(now),
    };
    let cut_off = match request.ended {
        Some(_) => now.min(bulk.cut_off),
        None => bulk.cut_off,
    };
    if request.ended.is_none() && now < cut_off {
        ports.start(config, batch, &opened, &bulk, &mut jobs, now).await?;
    }
    ports.look(&mut jobs).await?;
    let mut course = jobs.course(cut_off, now);
    if course == Course::Stop {
        ports.stop(&mut jobs, now).await?;
        course = jobs.course(cut_off, now);
    }
    ports.note(batch, &jobs).await?;
    Ok(match course {
        Course::Wait(wait_s) => Response::Waiting { wait_s },
        Course::Over | Course::Stop => {
            let because = jobs.because();
            tracing::info!(batch_id = batch.batch_id, ?because, "the jobs of the batch are over");
            Response::Over { because }
        }
    })
}

impl<S, J, C> Ports<S, J, C>
where
    S: GetObject + PutObject,
    J: StartJob + ReadJob + StopJob,
{
    async fn read<T: serde::de::DeserializeOwned>(&self, key: &str) -> Result<T, Fault> {
        let body = self.store.get(key).await?;
        parse(key, &body.ok_or_else(|| Fault::internal(format!("{key} is missing")))?)
    }

    async fn note(&self, batch: &BatchRef, jobs: &JobsRecord) -> Result<(), Fault> {
        self.store.put(&batch.jobs_key(), &batch.batch_id, to_json(jobs)?).await
    }

    /// Those that are not on record. One that was started and not recorded is the same one by its name.
    async fn start(
        &self,
        config: &Config,
        batch: &BatchRef,
        opened: &Opened,
        bulk: &InBulk,
        jobs: &mut JobsRecord,
        now: OffsetDateTime,
    ) -> Result<(), Fault> {
        let missing: Vec<u32> =
            (1..=jobs_of(opened.parts)).filter(|job| jobs.job(*job).is_none()).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let stored: StoredBatch = self.read(&batch.request_key()).await?;
        for job in missing {
            let given = self.given(batch, opened.parts, job).await?;
            let record = match JobRecord::too_few(given) {
                Some(why) => JobRecord::not_started(job, given, Some(why)),
                None => {
                    let (input, output) =
                        (batch.bulk_input_prefix(job), batch.bulk_output_prefix());
                    let new = NewJob {
                        name: &job_name(batch, job),
                        role_arn: &config.service_role_arn,
                        model_id: &bulk.target.model_id,
                        input: &format!("s3://{}/{input}", config.bucket),
                        output: &format!("s3://{}/{output}", config.bucket),
                        key_arn: &config.key_arn,
                        timeout_hours: hours(left(bulk.cut_off, now)),
                        tags: &stored.tags,
                    };
                    match self.jobs.start_job(&new).await? {
                        JobStart::Started { arn } => JobRecord::started(job, arn, given),
                        JobStart::Refused { because } => {
                            JobRecord::not_started(job, given, Some(because))
                        }
                    }
                }
            };
            jobs.jobs.push(record);
            self.note(batch, jobs).await?;
        }
        Ok(())
    }

    /// Records of a job.
    async fn given(&self, batch: &BatchRef, parts: u32, job: u32) -> Result<u64, Fault> {
        let its = (1..=parts).filter(|part| job_of(*part, parts) == job);
        let read = its.map(|part| async move {
            let key = batch.rendered_key(part);
            // A part that could not be rendered has none.
            let Some(body) = self.store.get(&key).await? else { return Ok(0) };
            parse::<Rendered>(&key, &body).map(|rendered| rendered.records)
        });
        let read = futures::stream::iter(read).buffer_unordered(AT_A_TIME);
        read.try_fold(0, |sum, records| async move { Ok(sum + records) }).await
    }

    async fn look(&self, jobs: &mut JobsRecord) -> Result<(), Fault> {
        for job in jobs.jobs.iter_mut().filter(|job| !job.is_over()) {
            if let Some(arn) = job.arn.clone() {
                job.see(self.jobs.read_job(&arn).await?);
            }
        }
        Ok(())
    }

    async fn stop(&self, jobs: &mut JobsRecord, now: OffsetDateTime) -> Result<(), Fault> {
        for job in jobs.jobs.iter().filter(|job| !job.is_over()) {
            if let Some(arn) = &job.arn {
                self.jobs.stop_job(arn).await?;
            }
        }
        jobs.stopped_at = Some(now);
        Ok(())
    }
}

fn left(cut_off: OffsetDateTime, now: OffsetDateTime) -> Duration {
    Duration::try_from(cut_off - now).unwrap_or_default()
}
