//! The records of each part, on the list of what runs on demand, or on that of what does not.

use std::collections::{BTreeMap, BTreeSet};

use bcce_core::artifact::{add_line, to_json};
use bcce_core::batch::reference::BatchRef;
use bcce_core::bulk::{HeldPart, HeldRecord, JobsRecord, TakenPart, Verdict, job_of};
use bcce_core::error::Fault;
use bcce_core::ports::{GetObject, GetRange, PutObject};
use futures::{StreamExt, TryStreamExt};

use crate::{AT_A_TIME, Ports};

impl<S> Ports<S>
where
    S: GetObject + GetRange + PutObject,
{
    /// How many of them run on demand. Those of the sample have run.
    pub(crate) async fn divide(
        &self,
        batch: &BatchRef,
        jobs: &JobsRecord,
        parts: &BTreeMap<u32, TakenPart>,
        all: u32,
    ) -> Result<u64, Fault> {
        let sampled = self.sampled(batch).await?;
        let sampled: BTreeSet<u64> = sampled.into_iter().map(|place| place.n).collect();
        let sampled = &sampled;
        let due = parts.iter().filter(|(_, taken)| taken.left > 0).map(|(part, _)| *part);
        let divided = due.map(|part| async move {
            let job = jobs.job(job_of(part, all));
            let Some((job, leftovers)) =
                job.and_then(|job| Some((job.job, job.leftovers.as_ref()?)))
            else {
                return Ok(0);
            };
            match leftovers.verdict {
                Verdict::OnDemand => self.run(batch, part, sampled).await,
                Verdict::Held => self.hold(batch, part, sampled, leftovers.held(job)).await,
                Verdict::Sample | Verdict::NotStarted => Ok(0),
            }
        });
        let divided = futures::stream::iter(divided).buffer_unordered(AT_A_TIME);
        divided.try_fold(0, |sum, records| async move { Ok(sum + records) }).await
    }

    async fn run(
        &self,
        batch: &BatchRef,
        part: u32,
        sampled: &BTreeSet<u64>,
    ) -> Result<u64, Fault> {
        let (mut lines, mut records) = (Vec::new(), 0);
        for left in self.left(batch, part).await? {
            if !sampled.contains(&left.place.n) {
                add_line(&mut lines, &left.place)?;
                records += 1;
            }
        }
        if records > 0 {
            self.store.put(&batch.rest_records_key(part), &batch.batch_id, lines).await?;
        }
        Ok(records)
    }

    async fn hold(
        &self,
        batch: &BatchRef,
        part: u32,
        sampled: &BTreeSet<u64>,
        error: Fault,
    ) -> Result<u64, Fault> {
        let left = self.left(batch, part).await?.into_iter();
        let held = left.filter(|left| !sampled.contains(&left.place.n));
        let records = held.map(|left| HeldRecord { n: left.place.n, totals: left.totals });
        let held = HeldPart { error, records: records.collect() };
        self.store.put(&batch.held_key(part), &batch.batch_id, to_json(&held)?).await?;
        Ok(0)
    }
}
