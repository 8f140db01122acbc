//! Lists the items of a part that have no finished run.

use std::collections::BTreeMap;

use bcce_core::base::error::Fault;
use bcce_core::base::json::{add_line, to_json};
use bcce_core::batch::bulk::{JobRecord, JobStatus, Rendered, TakenPart};
use bcce_core::batch::reference::{BatchRef, Place};
use bcce_core::ports::PutObject;

use crate::finish::Outcome;

/// The items of a part that have no finished run.
#[derive(Default)]
pub(crate) struct Left {
    counts: TakenPart,
    /// The records of a job, including one that Bedrock refused to start.
    records: Vec<Place>,
    /// The items that were not records of a job.
    others: Vec<Place>,
}

impl Left {
    /// Sorts the items of a part into records and others, and counts them. `outcomes` has the outcomes of the records
    /// that the job returned, by item number.
    pub fn of(
        places: &[Place],
        rendered: &Rendered,
        job: Option<&JobRecord>,
        mut outcomes: BTreeMap<u64, Outcome>,
    ) -> Self {
        let mut left = Self::default();
        let is_completed = job.is_some_and(|job| job.status == Some(JobStatus::Completed));
        for place in places {
            let outcome = outcomes.remove(&place.n);
            let was_asked = rendered.records > 0 && !rendered.without.contains(&place.n);
            if outcome.is_none() && (job.is_none() || !was_asked) {
                left.others.push(*place);
                left.counts.others += 1;
                continue;
            }
            let counts = &mut left.counts;
            let is_processed = is_completed || outcome.is_some();
            counts.records += 1;
            counts.processed += u64::from(is_processed);
            match outcome {
                Some(Outcome::Over) => continue,
                Some(Outcome::Left(error)) => {
                    counts.error.get_or_insert(error);
                }
                None => {}
            }
            counts.failed += u64::from(is_processed);
            counts.left += 1;
            left.records.push(*place);
        }
        left
    }

    /// Stores the lists and the counts. An empty list is not stored.
    pub async fn store(
        &self,
        store: &impl PutObject,
        batch: &BatchRef,
        part: u32,
    ) -> Result<(), Fault> {
        let put = async |key: String, body| store.put(&key, &batch.batch_id, body).await;
        let (mut records, mut others) = (Vec::new(), Vec::new());
        self.records.iter().try_for_each(|record| add_line(&mut records, record))?;
        self.others.iter().try_for_each(|place| add_line(&mut others, place))?;
        if !records.is_empty() {
            put(batch.left_key(part), records).await?;
        }
        if !others.is_empty() {
            put(batch.others_key(part), others).await?;
        }
        put(batch.taken_key(part), to_json(&self.counts)?).await
    }
}
