//! Reads what there is of a part: its items, its records, its job and what that returned.

use std::collections::BTreeMap;

use bcce_core::base::error::Fault;
use bcce_core::base::json::{parse, parse_lines};
use bcce_core::batch::bulk::{
    JobRecord, JobStatus, JobsRecord, Output, Rendered, Took, job_of, output_key,
};
use bcce_core::batch::manifest::Opened;
use bcce_core::batch::reference::{BatchRef, Place, bulk_file};
use bcce_core::batch::{Entry, Item, bulk};
use bcce_core::ports::{Clock, GetObject};

use crate::Ports;

/// The job of a part, as it ended.
pub(crate) struct Job {
    pub record: JobRecord,
    pub took: Took,
}

impl<S, K, L, C> Ports<S, K, L, C>
where
    S: GetObject,
    C: Clock,
{
    /// Reads the job that a part's records were given to. Returns `None` if none was asked for.
    pub(crate) async fn job(&self, batch: &BatchRef, part: u32) -> Result<Option<Job>, Fault> {
        let key = batch.opened_key();
        let body = self.store.get(&key).await?;
        let body = body.ok_or_else(|| Fault::internal(format!("{key} is missing")))?;
        let parts = parse::<Opened>(&key, &body)?.parts;
        let key = batch.jobs_key();
        let Some(body) = self.store.get(&key).await? else { return Ok(None) };
        let jobs: JobsRecord = parse(&key, &body)?;
        let job = jobs.job(job_of(part, parts));
        // One that Bedrock refused was asked for, and may be at fault as one that failed.
        let job = job.filter(|job| job.arn.is_some() || job.is_refused);
        Ok(job.map(|job| {
            let from = job.submitted_at.unwrap_or(jobs.started_at);
            let took = Took { from, to: job.ended_at.unwrap_or_else(|| self.clock.now()) };
            Job { record: job.clone(), took }
        }))
    }

    /// Reads what a job made of a part's file.
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
            // They were paid, and would be once more.
            None if status == Some(JobStatus::Completed) && rendered.records > 0 => {
                return Err(Fault::internal(format!("{arn} is completed and there is no {key}")));
            }
            None => Output::default(),
        };
        for told in &output.unreadable {
            tracing::warn!(batch_id = batch.batch_id, part, "a record is not readable: {told}");
        }
        Ok(output)
    }

    /// Reads a list of places. One that was never written is empty.
    pub(crate) async fn places(&self, key: &str) -> Result<Vec<Place>, Fault> {
        self.store.get(key).await?.map_or_else(|| Ok(Vec::new()), |body| parse_lines(key, &body))
    }

    /// Reads how many records were made of a part: none of one that could not be rendered.
    pub(crate) async fn rendered(&self, batch: &BatchRef, part: u32) -> Result<Rendered, Fault> {
        let key = batch.rendered_key(part);
        let body = self.store.get(&key).await?;
        body.map_or_else(|| Ok(Rendered::default()), |body| parse(&key, &body))
    }

    pub(crate) async fn items(
        &self,
        batch: &BatchRef,
        part: u32,
    ) -> Result<BTreeMap<u64, Item>, Fault> {
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
