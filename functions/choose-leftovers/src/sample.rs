//! Chooses the sample of a job, and decides on the other records by the outcome of its runs.

use std::collections::BTreeMap;

use bcce_core::base::error::Fault;
use bcce_core::base::json::add_line;
use bcce_core::batch::bulk::{JobsRecord, Sampled, Verdict, job_of};
use bcce_core::batch::reference::{BatchRef, Place};
use bcce_core::batch::{Entry, bulk};
use bcce_core::io::objects;
use bcce_core::ports::{GetObject, GetRange, PutObject};
use bcce_core::run::manifest::Manifest;
use bcce_core::run::notification::RunStatus;

use crate::{Ports, is};

impl<S> Ports<S>
where
    S: GetObject + GetRange + PutObject,
{
    /// Returns the places of the sample of one job. `left` has the job's parts and the number of leftover records of
    /// each.
    pub(crate) async fn sample(
        &self,
        batch: &BatchRef,
        left: &[(u32, u64)],
    ) -> Result<Vec<Place>, Fault> {
        let mut by_part: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
        for (part, line) in bulk::sample(left) {
            by_part.entry(part).or_default().push(line);
        }
        let mut places = Vec::new();
        for (part, lines) in by_part {
            let records = self.left(batch, part).await?;
            places.extend(lines.into_iter().filter_map(|line| records.get(line).copied()));
        }
        Ok(places)
    }

    /// Stores the places of the sample.
    pub(crate) async fn note_sample(
        &self,
        batch: &BatchRef,
        places: &[Place],
    ) -> Result<(), Fault> {
        let mut lines = Vec::new();
        places.iter().try_for_each(|place| add_line(&mut lines, place))?;
        self.store.put(&batch.sample_key(), &batch.batch_id, lines).await
    }

    /// Reads the list of a part's records without a finished run, which take-part stored.
    pub(crate) async fn left(&self, batch: &BatchRef, part: u32) -> Result<Vec<Place>, Fault> {
        objects::read_lines(&self.store, &batch.left_key(part)).await
    }

    /// Decides on the other records of each job by its sample.
    pub(crate) async fn judge(
        &self,
        batch: &BatchRef,
        jobs: &mut JobsRecord,
        parts: u32,
    ) -> Result<(), Fault> {
        let mut by_job: BTreeMap<u32, Sampled> = BTreeMap::new();
        for place in self.sampled(batch).await? {
            let sampled = by_job.entry(job_of(place.part, parts)).or_default();
            sampled.items += 1;
            match self.status(batch, &place).await? {
                Some(RunStatus::Succeeded) => sampled.answered += 1,
                Some(_) => sampled.failed += 1,
                None => {}
            }
        }
        for job in &mut jobs.jobs {
            let sampled = by_job.remove(&job.job).unwrap_or_default();
            // A retry of this invocation finds the jobs that were decided on, and decides again.
            let is_due = |leftovers: &&mut bulk::Leftovers| {
                is(Some(leftovers), Verdict::Sample) || leftovers.sample.is_some()
            };
            if let Some(leftovers) = job.leftovers.as_mut().filter(is_due) {
                leftovers.judge(sampled);
            }
        }
        Ok(())
    }

    /// Reads the places of the sample. Returns an empty list if there is no sample.
    pub(crate) async fn sampled(&self, batch: &BatchRef) -> Result<Vec<Place>, Fault> {
        let found = objects::find_lines(&self.store, &batch.sample_key()).await?;
        Ok(found.unwrap_or_default())
    }

    /// Returns the status of an item's run. Returns `None` if the run is not over or was never started.
    async fn status(&self, batch: &BatchRef, place: &Place) -> Result<Option<RunStatus>, Fault> {
        let key = batch.part_key(place.part);
        let entry = objects::read_range(&self.store, &key, place.at, place.bytes).await?;
        let Entry::Item(item) = entry else {
            return Err(Fault::internal(format!(
                "{key} does not have item {} at its place",
                place.n
            )));
        };
        let run = item.run(batch, place.attempt_no);
        let manifest = objects::find::<Manifest>(&self.store, &run.manifest_key()).await?;
        Ok(manifest.map(|manifest| manifest.status))
    }
}
