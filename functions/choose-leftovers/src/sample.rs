//! Chooses the sample of a job, and decides on the other records by the outcome of its runs.

use std::collections::{BTreeMap, BTreeSet};

use bcce_core::base::error::Fault;
use bcce_core::base::json::add_line;
use bcce_core::batch::bulk;
use bcce_core::batch::bulk::{JobsRecord, Sampled, Verdict, job_of};
use bcce_core::batch::reference::{BatchRef, Place};
use bcce_core::io::objects;
use bcce_core::io::packed::Segments;
use bcce_core::ports::{GetObject, ListObjects, PutObject};
use bcce_core::run::notification::RunStatus;
use futures::{StreamExt, TryStreamExt};

use crate::{Ports, is};

/// The number of segments that are read at a time. Each has a megabyte or two, and the function 256 MB.
const SEGMENTS_AT_A_TIME: usize = 8;

impl<S> Ports<S>
where
    S: GetObject + ListObjects + PutObject,
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

    /// Stores the places of the sample, and the list of their parts.
    pub(crate) async fn note_sample(
        &self,
        batch: &BatchRef,
        places: &[Place],
    ) -> Result<(), Fault> {
        let mut lines = Vec::new();
        places.iter().try_for_each(|place| add_line(&mut lines, place))?;
        self.store.put(&batch.sample_key(), &batch.batch_id, lines).await?;
        let parts: BTreeSet<u32> = places.iter().map(|place| place.part).collect();
        self.put_parts(batch, &batch.sample_parts_key(), &parts).await
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
        let mut by_part: BTreeMap<u32, BTreeSet<u64>> = BTreeMap::new();
        for place in self.sampled(batch).await? {
            by_part.entry(place.part).or_default().insert(place.n);
        }
        let read = by_part.iter().map(|(part, its)| async move {
            Ok::<_, Fault>((*part, its.len(), self.statuses(batch, *part, its).await?))
        });
        let mut read = futures::stream::iter(read).buffer_unordered(SEGMENTS_AT_A_TIME);
        let mut by_job: BTreeMap<u32, Sampled> = BTreeMap::new();
        while let Some((part, items, statuses)) = read.try_next().await? {
            let sampled = by_job.entry(job_of(part, parts)).or_default();
            sampled.items += items as u64;
            let answered =
                statuses.iter().filter(|status| **status == RunStatus::Succeeded).count();
            sampled.answered += answered as u64;
            sampled.failed += (statuses.len() - answered) as u64;
        }
        drop(read);
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

    /// Returns the statuses of the runs of a part's sample. A run that is not over, or was never started, has none.
    async fn statuses(
        &self,
        batch: &BatchRef,
        part: u32,
        sampled: &BTreeSet<u64>,
    ) -> Result<Vec<RunStatus>, Fault> {
        let segments = Segments::list(&self.store, batch, part).await?;
        let mut statuses = BTreeMap::new();
        // The runs of the sample were stored last, and the segments before them have the plans of the whole part.
        for at in (0..segments.count()).rev() {
            if statuses.len() == sampled.len() {
                break;
            }
            let runs = segments.runs(&self.store, at).await?;
            for run in runs.into_iter().filter(|run| sampled.contains(&run.n)) {
                if let Some(manifest) = run.manifest()? {
                    statuses.insert(run.n, manifest.status);
                }
            }
        }
        Ok(statuses.into_values().collect())
    }
}
