//! Reads the items and records of a part, its job, and the output of the job.

use std::collections::BTreeMap;

use bcce_core::base::error::Fault;
use bcce_core::batch::bulk::{
    JobRecord, JobStatus, JobsRecord, Output, Rendered, Took, job_of, output_key,
};
use bcce_core::batch::reference::{BatchRef, bulk_file};
use bcce_core::batch::{Entry, Item, bulk};
use bcce_core::io::objects;
use bcce_core::ports::{Clock, GetObject};

use crate::Ports;

/// The job of a part, as it ended.
pub(crate) struct Job {
    pub record: JobRecord,
    /// The time from the submission of the job to its end.
    pub took: Took,
}

impl<S, L, C> Ports<S, L, C>
where
    S: GetObject,
    C: Clock,
{
    /// Reads the job that has the records of a part. `parts` is the number of parts of the batch. Returns `None` if no
    /// start of a job was requested.
    pub(crate) async fn job(
        &self,
        batch: &BatchRef,
        part: u32,
        parts: u32,
    ) -> Result<Option<Job>, Fault> {
        let jobs = objects::find::<JobsRecord>(&self.store, &batch.jobs_key()).await?;
        let Some(jobs) = jobs else { return Ok(None) };
        let job = jobs.job(job_of(part, parts));
        // A job that Bedrock refused to start counts as well, since it may be at fault like a job that failed.
        let job = job.filter(|job| job.arn.is_some() || job.is_refused);
        Ok(job.map(|job| {
            let from = job.submitted_at.unwrap_or(jobs.started_at);
            let took = Took { from, to: job.ended_at.unwrap_or_else(|| self.clock.now()) };
            Job { record: job.clone(), took }
        }))
    }

    /// Reads the output of a job for a part. Returns an empty output if the job made none.
    ///
    /// # Errors
    /// `Bcce.Internal`: S3 failed, or the job is completed and has no output.
    pub(crate) async fn output(
        &self,
        batch: &BatchRef,
        part: u32,
        rendered: &Rendered,
        arn: &str,
        status: Option<JobStatus>,
    ) -> Result<Output, Fault> {
        let key = output_key(&batch.bulk_output_prefix(), arn, &bulk_file(part));
        let output = match self.store.get(&key).await? {
            Some(body) => bulk::read(&body),
            // The answers were paid. If their absence were accepted, the items would be paid again on demand.
            None if status == Some(JobStatus::Completed) && rendered.records > 0 => {
                return Err(Fault::internal(format!(
                    "{arn} is completed, but its output {key} does not exist"
                )));
            }
            None => Output::default(),
        };
        for problem in &output.unreadable {
            tracing::warn!(batch_id = batch.batch_id, part, "a record is not readable: {problem}");
        }
        Ok(output)
    }

    /// Reads the counts of the records that were rendered for a part. Returns zeros if it could not be rendered.
    pub(crate) async fn rendered(&self, batch: &BatchRef, part: u32) -> Result<Rendered, Fault> {
        let rendered = objects::find(&self.store, &batch.rendered_key(part)).await?;
        Ok(rendered.unwrap_or_default())
    }

    /// Reads the valid items of a part, by number.
    pub(crate) async fn items(
        &self,
        batch: &BatchRef,
        part: u32,
    ) -> Result<BTreeMap<u64, Item>, Fault> {
        let entries: Vec<Entry> = objects::read_lines(&self.store, &batch.part_key(part)).await?;
        let items = entries.into_iter().filter_map(|entry| match entry {
            Entry::Item(item) => Some((item.n, *item)),
            Entry::Rejected(_) => None,
        });
        Ok(items.collect())
    }
}
