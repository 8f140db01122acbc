//! Starts the bulk jobs of a batch, reads their status, and stops them when their time is up or the batch has ended.
//!
//! The state `BulkJob` of the batch machine and of the finalize machine invokes [`handle`] repeatedly, and the machine
//! waits between two invocations. The function returns the time to wait, or that all jobs are over. A job that fails is
//! not an error, since its leftovers run on demand. The function must never start a job twice, or report a job as over
//! while it may still run.

#[cfg(test)]
mod tests;

use bcce_aws::{StartError, optional_variable, variable};
use bcce_core::base::error::Fault;
use bcce_core::base::json::to_json;
use bcce_core::batch::StoredBatch;
use bcce_core::batch::bulk::{
    JobRecord, JobStart, JobStatus, JobsRecord, NewJob, NextLook, Rendered, job_name, job_of,
    jobs_of,
};
use bcce_core::batch::manifest::{BulkMode, Opened};
use bcce_core::batch::reference::{BatchRef, BatchRun};
use bcce_core::io::objects;
use bcce_core::ports::{Clock, FindJob, GetObject, PutObject, ReadJob, StartJob, StopJob};
use bcce_core::run::ending::ExecutionStatus;
use futures::{StreamExt, TryStreamExt};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

/// The number of small objects that are read at a time.
const AT_A_TIME: usize = 16;
/// The message of a job that was not started in time.
const TOO_LATE: &str = "the batch ended, or its time was up, before the job could be started";

/// The settings of the function, from its environment variables.
pub struct Config {
    /// The name of the artifact bucket (`BCCE_ARTIFACT_BUCKET`).
    pub bucket: String,
    /// The ARN of the KMS key that encrypts the objects of the bucket (`BCCE_ARTIFACT_KEY_ARN`).
    pub key_arn: String,
    /// The ARN of the role with which Bedrock reads records and writes answers (`BCCE_BULK_SERVICE_ROLE_ARN`).
    pub service_role_arn: String,
    /// The URL of the Bedrock endpoint, in which `{region}` stands for the region of the stack
    /// (`AWS_ENDPOINT_URL_BEDROCK`). `None` means the endpoint of AWS.
    pub endpoint: Option<String>,
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
            service_role_arn: variable("BCCE_BULK_SERVICE_ROLE_ARN")?,
            endpoint: optional_variable("AWS_ENDPOINT_URL_BEDROCK"),
        })
    }
}

/// The services that [`handle`] uses.
pub struct Ports<S, J, C> {
    pub store: S,
    pub jobs: J,
    pub clock: C,
}

/// A batch whose jobs are to be handled.
#[derive(Debug, Deserialize)]
pub struct Request {
    pub batch: BatchRun,
    /// The end of the batch's execution, if the finalize machine invokes the function. No further job is started then,
    /// and running jobs are stopped.
    #[serde(default)]
    pub ended: Option<ExecutionStatus>,
}

/// The state of the jobs as a whole.
#[derive(Debug, PartialEq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Response {
    /// A job is not over. The function has to be invoked again.
    Waiting {
        /// The time to wait, in seconds.
        wait_s: u64,
    },
    /// All jobs are over, or should be by their own timeout.
    Over {
        /// The reasons why some of their records run on demand.
        because: Vec<String>,
    },
}

/// Starts, reads and stops the jobs of a batch, as their state requires. Safe to repeat.
///
/// # Errors
/// `Bcce.Internal`: S3 or Bedrock failed, or the batch is not in bulk mode. A retry continues where this invocation
/// ended.
pub async fn handle<S, J, C>(
    ports: &Ports<S, J, C>,
    config: &Config,
    request: Request,
) -> Result<Response, Fault>
where
    S: GetObject + PutObject,
    J: StartJob + FindJob + ReadJob + StopJob,
    C: Clock,
{
    let (batch, now) = (&request.batch, ports.clock.now());
    let opened: Opened = objects::read(&ports.store, &batch.opened_key()).await?;
    let bulk =
        opened.bulk.clone().ok_or_else(|| Fault::internal("the batch is not in bulk mode"))?;
    let known = objects::find(&ports.store, &batch.jobs_key()).await?;
    let mut jobs = known.unwrap_or_else(|| JobsRecord::started(now));
    let is_open = request.ended.is_none() && now < bulk.cut_off;
    // If one job fails, the others still have to be read and stopped. So errors are returned at the end.
    let made = if is_open {
        ports.start(config, batch, &opened, &bulk, &mut jobs).await
    } else {
        ports.close(config, batch, &opened, &mut jobs, request.ended, now).await
    };
    let looked = ports.look(&mut jobs).await;
    let stopped = if is_open { Ok(()) } else { ports.stop(&jobs).await };
    ports.note(batch, &jobs).await?;
    made.and(looked).and(stopped)?;
    match jobs.next_look(bulk.cut_off, now) {
        NextLook::Wait(wait_s) => Ok(Response::Waiting { wait_s }),
        NextLook::Over => {
            let (batch_id, because) = (&batch.batch_id, jobs.because());
            if because.is_empty() {
                tracing::info!(batch_id, "the jobs of the batch are over");
            } else {
                tracing::warn!(batch_id, ?because, "records of the batch run on demand");
            }
            Ok(Response::Over { because })
        }
    }
}

impl<S, J, C> Ports<S, J, C>
where
    S: GetObject + PutObject,
    J: StartJob + FindJob + ReadJob + StopJob,
{
    /// Stores the record of the jobs.
    async fn note(&self, batch: &BatchRef, jobs: &JobsRecord) -> Result<(), Fault> {
        self.store.put(&batch.jobs_key(), &batch.batch_id, to_json(jobs)?).await
    }

    /// Starts the jobs that are due. Each job is recorded before its start, so that a job is found even if the function
    /// ends before it records the start. A job that an earlier invocation may have started is looked up by its name
    /// first. A second start under the same name returns the same job.
    async fn start(
        &self,
        config: &Config,
        batch: &BatchRef,
        opened: &Opened,
        bulk: &BulkMode,
        jobs: &mut JobsRecord,
    ) -> Result<(), Fault> {
        let due = due(opened, jobs);
        if due.is_empty() {
            return Ok(());
        }
        let stored: StoredBatch = objects::read(&self.store, &batch.request_key()).await?;
        for job in due {
            let given = self.given(batch, opened.parts, job).await?;
            if let Some(why) = JobRecord::too_few(given) {
                jobs.put(JobRecord::not_started(job, given, Some(why)));
                continue;
            }
            let name = job_name(&config.bucket, batch, job);
            if jobs.job(job).is_some()
                && let Some(arn) = self.jobs.find_job(&name).await?
            {
                jobs.put(JobRecord::started(job, arn, given));
                continue;
            }
            jobs.put(JobRecord::starting(job, given));
            self.note(batch, jobs).await?;
            let (input, output) = (batch.bulk_input_prefix(job), batch.bulk_output_prefix());
            let new = NewJob {
                name: &name,
                role_arn: &config.service_role_arn,
                model_id: &bulk.target.model_id,
                input: &format!("s3://{}/{input}", config.bucket),
                output: &format!("s3://{}/{output}", config.bucket),
                key_arn: &config.key_arn,
                timeout_hours: jobs.hours(bulk.cut_off),
                tags: &stored.tags,
            };
            jobs.put(match self.jobs.start_job(&new).await? {
                JobStart::Started { arn } => JobRecord::started(job, arn, given),
                JobStart::Refused { because } => JobRecord::refused(job, given, because),
            });
            self.note(batch, jobs).await?;
        }
        Ok(())
    }

    /// Closes the jobs that are due, since no further job is started. An invocation that was interrupted may have
    /// started jobs that are not recorded, and one whose execution was ended may still do so. These jobs are looked up
    /// by their names.
    async fn close(
        &self,
        config: &Config,
        batch: &BatchRef,
        opened: &Opened,
        jobs: &mut JobsRecord,
        ended: Option<ExecutionStatus>,
        now: OffsetDateTime,
    ) -> Result<(), Fault> {
        jobs.stopped_at.get_or_insert(now);
        for job in due(opened, jobs) {
            let given = self.given(batch, opened.parts, job).await?;
            if let Some(why) = JobRecord::too_few(given) {
                jobs.put(JobRecord::not_started(job, given, Some(why)));
                continue;
            }
            let may_be_there = ended.is_some() || jobs.job(job).is_some();
            let found = if may_be_there {
                self.jobs.find_job(&job_name(&config.bucket, batch, job)).await?
            } else {
                None
            };
            jobs.put(match found {
                Some(arn) => JobRecord::started(job, arn, given),
                None if may_be_there && !jobs.is_known(now) => JobRecord::starting(job, given),
                None => JobRecord::not_started(job, given, Some(TOO_LATE.to_owned())),
            });
        }
        Ok(())
    }

    /// Returns the number of records that are rendered for a job.
    async fn given(&self, batch: &BatchRef, parts: u32, job: u32) -> Result<u64, Fault> {
        let its = (1..=parts).filter(|part| job_of(*part, parts) == job);
        let read = its.map(|part| async move {
            let found = objects::find::<Rendered>(&self.store, &batch.rendered_key(part)).await?;
            // A part that could not be rendered has no records.
            Ok(found.map_or(0, |rendered| rendered.records))
        });
        let read = futures::stream::iter(read).buffer_unordered(AT_A_TIME);
        read.try_fold(0, |sum, records| async move { Ok(sum + records) }).await
    }

    /// Reads the status of the jobs that are not over. Reads all of them before it returns an error.
    async fn look(&self, jobs: &mut JobsRecord) -> Result<(), Fault> {
        let mut all = Ok(());
        for job in jobs.jobs.iter_mut().filter(|job| !job.is_over()) {
            let Some(arn) = job.arn.clone() else { continue };
            match self.jobs.read_job(&arn).await {
                Ok(seen) => job.see(seen),
                Err(fault) => all = Err(fault),
            }
        }
        all
    }

    /// Stops the jobs that are not over. Called at each invocation, because Bedrock may refuse to stop a job for a
    /// while.
    async fn stop(&self, jobs: &JobsRecord) -> Result<(), Fault> {
        let at_work = |job: &&JobRecord| !job.is_over() && job.status != Some(JobStatus::Stopping);
        let mut all = Ok(());
        for arn in jobs.jobs.iter().filter(at_work).filter_map(|job| job.arn.as_ref()) {
            all = all.and(self.jobs.stop_job(arn).await);
        }
        all
    }
}

/// Returns the jobs that have no record, or whose record does not show whether they were started.
fn due(opened: &Opened, jobs: &JobsRecord) -> Vec<u32> {
    let is_due = |job: &u32| jobs.job(*job).is_none_or(|record| record.is_starting);
    (1..=jobs_of(opened.parts)).filter(is_due).collect()
}
