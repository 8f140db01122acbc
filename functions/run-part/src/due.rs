//! The items of a part that run now: all that the batch attempt runs, or in bulk mode the leftovers of the jobs.

use std::collections::BTreeSet;

use bcce_core::base::error::Fault;
use bcce_core::batch::Mode;
use bcce_core::batch::bulk::{JobsRecord, Verdict, job_of};
use bcce_core::batch::manifest::Opened;
use bcce_core::batch::reference::{BatchRef, Place};
use bcce_core::io::objects;
use bcce_core::ports::GetObject;

/// Returns the items of a part that run now, in the order of the source.
///
/// # Errors
/// `Bcce.Internal`: S3 failed, or an object is not what this version writes.
pub(crate) async fn places(
    store: &impl GetObject,
    batch: &BatchRef,
    part: u32,
    mode: Mode,
) -> Result<Vec<Place>, Fault> {
    let list = async |key: String| {
        let found = objects::find_lines::<Place>(store, &key).await?;
        Ok::<_, Fault>(found.unwrap_or_default())
    };
    if mode != Mode::Bulk {
        return list(batch.places_key(part)).await;
    }
    let (mut records, mut others) =
        (list(batch.left_key(part)).await?, list(batch.others_key(part)).await?);
    match verdict(store, batch, part).await? {
        Some(Verdict::OnDemand) => {}
        Some(Verdict::Sample) => {
            let sample = list(batch.sample_key()).await?;
            let sample: BTreeSet<u64> = sample.into_iter().map(|place| place.n).collect();
            records.retain(|place| sample.contains(&place.n));
            others.clear();
        }
        Some(Verdict::Held | Verdict::NotStarted) | None => records.clear(),
    }
    records.append(&mut others);
    records.sort_unstable_by_key(|place| place.n);
    Ok(records)
}

/// Returns the verdict on the leftovers of the part's job. Returns `None` if the job has no leftovers.
async fn verdict(
    store: &impl GetObject,
    batch: &BatchRef,
    part: u32,
) -> Result<Option<Verdict>, Fault> {
    let Some(jobs) = objects::find::<JobsRecord>(store, &batch.jobs_key()).await? else {
        return Ok(None);
    };
    let opened: Opened = objects::read(store, &batch.opened_key()).await?;
    let leftovers = jobs.job(job_of(part, opened.parts)).and_then(|job| job.leftovers.as_ref());
    Ok(leftovers.map(|leftovers| leftovers.verdict))
}
