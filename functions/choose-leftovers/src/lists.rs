//! Stores the lists of records that run on demand, part by part.

use std::collections::{BTreeMap, BTreeSet};

use bcce_core::base::error::Fault;
use bcce_core::base::json::add_line;
use bcce_core::batch::bulk::{JobsRecord, TakenPart, Verdict, job_of};
use bcce_core::batch::reference::BatchRef;
use bcce_core::ports::{GetObject, GetRange, PutObject};
use futures::{StreamExt, TryStreamExt};

use crate::{AT_A_TIME, Ports, is};

impl<S> Ports<S>
where
    S: GetObject + GetRange + PutObject,
{
    /// Stores the lists of the leftovers that run on demand, and returns their number. Leaves out the sample, which has
    /// run. `all` is the number of parts of the batch.
    pub(crate) async fn list(
        &self,
        batch: &BatchRef,
        jobs: &JobsRecord,
        parts: &BTreeMap<u32, TakenPart>,
        all: u32,
    ) -> Result<u64, Fault> {
        let sampled = self.sampled(batch).await?;
        let sampled: BTreeSet<u64> = sampled.into_iter().map(|place| place.n).collect();
        let sampled = &sampled;
        let due = parts.iter().filter(|(part, taken)| {
            let job = jobs.job(job_of(**part, all));
            let leftovers = job.and_then(|job| job.leftovers.as_ref());
            taken.left > 0 && is(leftovers, Verdict::OnDemand)
        });
        let listed = due.map(|(part, _)| self.list_part(batch, *part, sampled));
        let listed = futures::stream::iter(listed).buffer_unordered(AT_A_TIME);
        listed.try_fold(0, |sum, records| async move { Ok(sum + records) }).await
    }

    /// Stores the list of a part, and returns its length.
    async fn list_part(
        &self,
        batch: &BatchRef,
        part: u32,
        sampled: &BTreeSet<u64>,
    ) -> Result<u64, Fault> {
        let (mut lines, mut records) = (Vec::new(), 0);
        for place in self.left(batch, part).await? {
            if !sampled.contains(&place.n) {
                add_line(&mut lines, &place)?;
                records += 1;
            }
        }
        if records > 0 {
            self.store.put(&batch.rest_records_key(part), &batch.batch_id, lines).await?;
        }
        Ok(records)
    }
}
