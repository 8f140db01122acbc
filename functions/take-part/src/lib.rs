//! Turns the answers of a bulk job for one part into runs that are over, and lists the items that have none.
//!
//! The state `TakePart` of the batch machine and of the finalize machine invokes [`handle`], which returns how many runs
//! are over. The run of a valid answer is stored in a segment, as `run-part` stores it after a call. Records without a
//! valid answer are listed for choose-leftovers, which decides whether they run on demand. Items that were not records
//! of a job run on demand in any case. The function must never count an answer twice, or lose one that was paid.

mod finish; // a finished run for each answer
mod left; // items without a finished run
mod read; // the items, records and job of a part
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use bcce_aws::{StartError, variable};
use bcce_core::base::error::Fault;
use bcce_core::batch::bulk::Rendered;
use bcce_core::batch::manifest::Opened;
use bcce_core::batch::packed::{PackedPlace, PackedRun, PartProgress, RunState};
use bcce_core::batch::reference::{BatchRef, BatchRun, Part, Place};
use bcce_core::batch::{Item, Way};
use bcce_core::io::objects;
use bcce_core::io::packed::{JobRecords, OwnedPart, SegmentBuffer, Segments, commit_left, lost};
use bcce_core::ports::{
    Clock, CommitAllowance, GetObject, KeepPart, ListObjects, PlaceRuns, PutObject, PutOnce,
    ReadPartCalls, TakePart,
};
use serde::{Deserialize, Serialize};

use finish::{Outcome, Taking};
use left::Left;
use read::Job;

/// The time for which the function owns the part, which is longer than it may take.
const LEASE: Duration = Duration::from_secs(930);

/// The settings of the function, from its environment variables.
pub struct Config {
    /// The name of the artifact bucket (`BCCE_ARTIFACT_BUCKET`).
    pub bucket: String,
    /// The ARN of the KMS key that encrypts the objects of the bucket (`BCCE_ARTIFACT_KEY_ARN`).
    pub key_arn: String,
    /// The name of the ledger's DynamoDB table (`BCCE_LEDGER_TABLE`).
    pub ledger_table: String,
    /// The region of the stack, such as `us-east-1` (`AWS_REGION`).
    pub region: String,
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
            ledger_table: variable("BCCE_LEDGER_TABLE")?,
            region: variable("AWS_REGION")?,
        })
    }
}

/// The services that [`handle`] uses.
pub struct Ports<S, L, C> {
    pub store: S,
    pub ledger: L,
    pub clock: C,
}

/// A part whose answers are to be taken.
#[derive(Debug, Deserialize)]
pub struct Request {
    pub batch: BatchRun,
    pub part: Part,
}

/// The numbers of items by outcome.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct Response {
    /// The items whose run is over.
    pub taken: u64,
    /// The other items.
    pub left: u64,
}

/// Takes the answers of a part. Safe to repeat.
///
/// # Errors
/// `Bcce.Internal`: S3 or the ledger failed, or the output of a completed job is missing. A retry continues where this
/// invocation ended.
pub async fn handle<S, L, C>(
    ports: &Ports<S, L, C>,
    config: &Config,
    request: Request,
) -> Result<Response, Fault>
where
    S: GetObject + PutObject + PutOnce + ListObjects,
    L: TakePart + KeepPart + PlaceRuns + ReadPartCalls + CommitAllowance,
    C: Clock,
{
    let (batch, part) = (&request.batch, request.part.part);
    // If every item of the part is rejected, there are no places.
    let places = objects::find_lines::<Place>(&ports.store, &batch.places_key(part)).await?;
    let Some(places) = places else { return Ok(Response::default()) };
    let opened: Opened = objects::read(&ports.store, &batch.opened_key()).await?;
    if opened.way != Way::Packed {
        // An earlier version has opened the batch, and nothing is planned for its jobs' answers.
        tracing::warn!(batch_id = batch.batch_id, "the batch was opened before an update");
        return Ok(Response::default());
    }
    let lease = (ports.clock.now(), LEASE);
    let owned = OwnedPart::take(&ports.store, &ports.ledger, (batch, part), "take-part", lease);
    let Some(owned) = owned.await? else {
        // `run-part` runs what this function has left over, or `collect-part` seals it.
        tracing::info!(batch_id = batch.batch_id, part, "another function owns the part");
        return Ok(Response::default());
    };
    let job = ports.job(batch, part, opened.parts).await?;
    let items = ports.items(batch, part).await?;
    ports.ledger.place_runs(&packed_places(batch, part, &items)).await?;
    let rendered = ports.rendered(batch, part).await?;
    let subject = (&batch.reference, part, &rendered);
    // Boxed, because nested futures exceed the compiler's limit on type depth.
    let taken = Box::pin(ports.take(&config.region, subject, job.as_ref())).await?;
    let Taken { outcomes, progress } = taken;
    let is_over = |outcome: &&Outcome| **outcome == Outcome::Over;
    let taken = outcomes.values().filter(is_over).count() as u64;
    let left = Left::of(&places, &rendered, job.as_ref().map(|job| &job.record), outcomes);
    left.store(&ports.store, batch, part).await?;
    let calls = ports.ledger.part_calls(&owned.part).await?;
    if calls.left().next().is_some() {
        let (store, ledger) = (&ports.store, &ports.ledger);
        let segments = Segments::list(store, batch, part).await?;
        let calls = (&calls, JobRecords::Returned);
        commit_left(store, ledger, &owned.part, &segments, calls).await?;
    }
    ports.give_up(&owned, &progress).await?;
    let left = places.len() as u64 - taken;
    tracing::info!(
        batch_id = batch.batch_id,
        part,
        taken,
        left,
        "the answers of the part are taken"
    );
    Ok(Response { taken, left })
}

impl<S, L: KeepPart, C: Clock> Ports<S, L, C> {
    /// Gives a part up, so that `run-part` may take it at once, and records its progress.
    async fn give_up(&self, owned: &OwnedPart, progress: &PartProgress) -> Result<(), Fault> {
        let OwnedPart { part, owner, .. } = owned;
        match self.ledger.keep_part(part, owner, self.clock.now(), progress).await? {
            true => Ok(()),
            false => Err(lost()),
        }
    }
}

/// Returns the places of the runs of a part.
fn packed_places(batch: &BatchRef, part: u32, items: &BTreeMap<u64, Item>) -> Vec<PackedPlace> {
    let place = |item: &Item| {
        let run = item.run(batch, 1);
        let (run_id, attempt_no) = (run.run_id, run.attempt_no);
        PackedPlace { run_id, attempt_no, batch: batch.clone(), part, n: item.n }
    };
    items.values().map(place).collect()
}

/// The runs of a part after its answers are taken.
#[derive(Default)]
struct Taken {
    /// The outcomes of the records that the job returned, by item number.
    outcomes: BTreeMap<u64, Outcome>,
    /// The runs that are over.
    progress: PartProgress,
}

impl<S, L, C> Ports<S, L, C>
where
    S: GetObject + PutOnce + ListObjects,
    C: Clock,
{
    /// Adds the answers of a job to the planned runs of a part, and stores the runs that they change. The segments are
    /// read one at a time, because all plans of a part may need more memory than the function has.
    async fn take(
        &self,
        region: &str,
        (batch, part, rendered): (&BatchRef, u32, &Rendered),
        job: Option<&Job>,
    ) -> Result<Taken, Fault> {
        let segments = Segments::list(&self.store, batch, part).await?;
        let mut taken = Taken::default();
        let begun = self.begun(&segments, &mut taken.progress).await?;
        let Some(job) = job else { return Ok(taken) };
        let Some(arn) = job.record.arn.as_deref() else { return Ok(taken) };
        let output = self.output(batch, part, rendered, arn, job.record.status).await?;
        let taking = Taking { arn, took: job.took, region, now: self.clock.now() };
        let mut changed = SegmentBuffer::new(batch, part, segments.next());
        for at in 0..segments.count() {
            for mut run in segments.runs(&self.store, at).await? {
                let Some(returned) = output.records.get(&run.n) else { continue };
                if taken.outcomes.contains_key(&run.n) {
                    continue;
                }
                if let Some(is_over) = begun.get(&run.n) {
                    // A run that is not over runs on demand already.
                    if *is_over {
                        taken.outcomes.insert(run.n, Outcome::Over);
                    }
                    continue;
                }
                let outcome = taking.finish(&mut run, returned)?;
                if run.is_over() || run.record_failure()?.is_some() {
                    changed.add(&self.store, &run).await?;
                    taken.progress.count(&run)?;
                }
                taken.outcomes.insert(run.n, outcome);
            }
        }
        changed.finish(&self.store).await?;
        Ok(taken)
    }

    /// Returns the runs that are not only planned, by item number, and whether each is over. Counts those that are.
    async fn begun(
        &self,
        segments: &Segments,
        progress: &mut PartProgress,
    ) -> Result<BTreeMap<u64, bool>, Fault> {
        let mut begun = BTreeMap::new();
        let take = |run: PackedRun| {
            if run.state == RunState::Planned || begun.get(&run.n) == Some(&true) {
                return Ok(());
            }
            progress.count(&run)?;
            begun.insert(run.n, run.is_over());
            Ok(())
        };
        segments.read(&self.store, take).await?;
        Ok(begun)
    }
}
