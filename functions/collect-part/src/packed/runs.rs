//! Reads the runs of a part from its segments. Runs that are not over are closed first: the execution of the batch has
//! ended, `run-part` has failed for good, or a record of a bulk job does not run on demand.

use std::collections::{BTreeMap, BTreeSet};

use bcce_core::base::error::Fault;
use bcce_core::base::json::parse;
use bcce_core::batch::bulk::{JobRecord, JobsRecord, job_of};
use bcce_core::batch::manifest::Opened;
use bcce_core::batch::packed::{PackedRun, REQUEST, RunState, StartedCall};
use bcce_core::batch::reference::{BatchRef, Place};
use bcce_core::batch::{Entry, Item, Mode, StoredBatch};
use bcce_core::io::objects;
use bcce_core::io::packed::{JobRecords, OwnedPart, SegmentBuffer, Segments, commit_left};
use bcce_core::ports::{
    Clock, CommitAllowance, GetObject, ListObjects, PutOnce, ReadPartCalls, TakePart,
};
use bcce_core::run::artifact::StepArtifact;
use bcce_core::run::ending::{Ending, ExecutionStatus};
use bcce_core::run::ids::Run;
use bcce_core::run::manifest::Manifest;
use serde_json::Value;
use std::time::Duration;

use crate::{Ports, Request};

/// The time for which the function owns the part, which is longer than it may take.
const LEASE: Duration = Duration::from_secs(320);

/// A run that is over.
pub(super) struct EndedRun {
    pub manifest: Manifest,
    /// The answer, if the run succeeded.
    pub output: Option<Value>,
}

/// The runs of a part, by item number.
#[derive(Default)]
pub(super) struct PartRuns {
    pub ended: BTreeMap<u64, EndedRun>,
    /// The items that were refused when they were to be started.
    pub refused: BTreeMap<u64, Fault>,
    /// The number of segments that were read.
    pub segments: u64,
    /// The stored lines of runs that are not over.
    under_way: BTreeMap<u64, PackedRun>,
}

impl PartRuns {
    /// Reads all runs of a part, and closes those that are not over. Returns `None` while a function works the part
    /// off.
    ///
    /// # Errors
    /// `Bcce.Internal`: S3 or the ledger failed, or an object cannot be parsed.
    pub async fn read<S, L, K, C, M>(
        ports: &Ports<S, L, K, C, M>,
        request: &Request,
        opened: &Opened,
    ) -> Result<Option<Self>, Fault>
    where
        S: GetObject + PutOnce + ListObjects,
        L: TakePart + ReadPartCalls + CommitAllowance,
        C: Clock,
    {
        let (batch, part) = (&request.batch.reference, request.part.part);
        let (store, ledger, lease) = (&ports.store, &ports.ledger, (ports.clock.now(), LEASE));
        let owned = OwnedPart::take(store, ledger, (batch, part), "collect-part", lease);
        let Some(owned) = owned.await? else { return Ok(None) };
        let mut runs = Self::default();
        let segments = Segments::list(store, batch, part).await?;
        segments.read(store, |run| runs.add(run)).await?;
        runs.segments = segments.count() as u64;
        let calls = ledger.part_calls(&owned.part).await?;
        if calls.left().next().is_some() {
            let job = job(store, batch, part, opened).await?;
            let is_started = job.is_some_and(|job| job.arn.is_some());
            let left = (&calls, JobRecords::Untaken { is_started });
            commit_left(store, ledger, &owned.part, &segments, left).await?;
        }
        if !owned.is_first {
            runs.close(ports, request, opened, calls.started, segments.next()).await?;
        }
        Ok(Some(runs))
    }

    /// Adds a line of a segment. The first line of a run that is over counts.
    fn add(&mut self, run: PackedRun) -> Result<(), Fault> {
        if self.ended.contains_key(&run.n) || self.refused.contains_key(&run.n) {
            return Ok(());
        }
        match &run.state {
            RunState::Planned | RunState::UnderWay(_) => {
                let before = self.under_way.get(&run.n);
                if before.is_none_or(|before| run.replaces(before.stage())) {
                    self.under_way.insert(run.n, run);
                }
            }
            RunState::Refused(fault) => {
                self.refused.insert(run.n, fault.clone());
                self.under_way.remove(&run.n);
            }
            RunState::Over { .. } => {
                self.under_way.remove(&run.n);
                let manifest = run.manifest()?;
                let manifest = manifest.ok_or_else(|| Fault::internal("a run has no manifest"))?;
                let output = answer(&run, &manifest)?;
                self.ended.insert(run.n, EndedRun { manifest, output });
            }
        }
        Ok(())
    }

    /// Closes the runs that are not over, and stores them in segments of their own. A run that was only planned is
    /// closed if it is held or was charged; otherwise it was never started.
    async fn close<S, L, K, C, M>(
        &mut self,
        ports: &Ports<S, L, K, C, M>,
        request: &Request,
        opened: &Opened,
        calls: Vec<StartedCall>,
        next_segment: u32,
    ) -> Result<(), Fault>
    where
        S: GetObject + PutOnce + ListObjects,
        C: Clock,
    {
        let mut started: BTreeMap<u64, Vec<StartedCall>> = BTreeMap::new();
        for call in calls {
            if !self.ended.contains_key(&call.n) && !self.refused.contains_key(&call.n) {
                started.entry(call.n).or_default().push(call);
            }
        }
        let (batch, part) = (&request.batch.reference, request.part.part);
        let mut open = std::mem::take(&mut self.under_way);
        if started.keys().any(|n| !open.contains_key(n)) {
            self.begin(ports, request, &started, &mut open).await?;
        }
        let held = held(&ports.store, batch, part, opened).await?;
        let at = ports.clock.now();
        let status = request.ended.unwrap_or(ExecutionStatus::Failed);
        let ending = Ending { status, at, error: None, cause: None };
        let mut segments = SegmentBuffer::new(batch, part, next_segment);
        for (n, mut run) in open {
            let calls = started.remove(&n).unwrap_or_default();
            let new = calls.into_iter().filter(|call| !run.started.contains(call));
            let new: Vec<StartedCall> = new.collect();
            run.started.extend(new);
            if run.state == RunState::Planned && run.started.is_empty() {
                let fault = match held.as_ref().filter(|held| held.items.contains(&n)) {
                    Some(held) => Some(held.error.clone()),
                    None => run.record_failure()?,
                };
                if fault.is_none() {
                    continue;
                }
                run.state = RunState::Over { ended_at: at, fault, ending: None };
            } else {
                run.close(ending.clone())?;
            }
            segments.add(&ports.store, &run).await?;
            self.add(run)?;
        }
        segments.finish(&ports.store).await
    }

    /// Adds runs of which only the calls are known, because the function that made them was ended.
    async fn begin<S, L, K, C, M>(
        &self,
        ports: &Ports<S, L, K, C, M>,
        request: &Request,
        started: &BTreeMap<u64, Vec<StartedCall>>,
        open: &mut BTreeMap<u64, PackedRun>,
    ) -> Result<(), Fault>
    where
        S: GetObject,
    {
        let (store, batch, part) = (&ports.store, &request.batch, request.part.part);
        let places = objects::read_lines::<Place>(store, &batch.places_key(part)).await?;
        let stored: StoredBatch = objects::read(store, &batch.request_key()).await?;
        let entries = objects::read_lines::<Entry>(store, &batch.part_key(part)).await?;
        let items: BTreeMap<u64, Box<Item>> = entries
            .into_iter()
            .filter_map(|entry| match entry {
                Entry::Item(item) => Some((item.n, item)),
                Entry::Rejected(_) => None,
            })
            .collect();
        for place in places {
            let calls = started.get(&place.n).map(Vec::as_slice).unwrap_or_default();
            let (Some(first), Some(item)) =
                (calls.iter().map(|call| call.call.started_at).min(), items.get(&place.n))
            else {
                continue;
            };
            if open.contains_key(&place.n) {
                continue;
            }
            let run = Run {
                reference: item.run(batch, place.attempt_no),
                execution_arn: batch.execution_arn.clone(),
                started_at: first,
            };
            let mut packed = PackedRun::new(place.n, run);
            // The text of an object is not read here.
            if item.object.is_none() {
                packed.add(REQUEST, &item.request(&stored, batch))?;
            }
            open.insert(place.n, packed);
        }
        Ok(())
    }
}

/// Returns the bulk job of a part. Returns `None` if there is none.
async fn job(
    store: &impl GetObject,
    batch: &BatchRef,
    part: u32,
    opened: &Opened,
) -> Result<Option<JobRecord>, Fault> {
    if opened.mode != Mode::Bulk {
        return Ok(None);
    }
    let jobs = objects::find::<JobsRecord>(store, &batch.jobs_key()).await?;
    Ok(jobs.and_then(|jobs| jobs.job(job_of(part, opened.parts)).cloned()))
}

/// The records of a part that do not run on demand.
struct Held {
    error: Fault,
    items: BTreeSet<u64>,
}

/// Returns the records of a part that do not run on demand: those that take-part has left over of a job whose leftovers
/// are held.
async fn held(
    store: &impl GetObject,
    batch: &BatchRef,
    part: u32,
    opened: &Opened,
) -> Result<Option<Held>, Fault> {
    let job = job(store, batch, part, opened).await?;
    let Some(error) = job.as_ref().and_then(JobRecord::held) else { return Ok(None) };
    let left = objects::find_lines::<Place>(store, &batch.left_key(part)).await?;
    let items = left.into_iter().flatten().map(|place| place.n).collect();
    Ok(Some(Held { error, items }))
}

/// Returns the answer of a run that succeeded.
fn answer(run: &PackedRun, manifest: &Manifest) -> Result<Option<Value>, Fault> {
    let Some(key) = &manifest.result else { return Ok(None) };
    let body = run.object_at(key).ok_or_else(|| Fault::internal(format!("{key} is missing")))?;
    Ok(Some(parse::<StepArtifact>(key, body)?.output.value()))
}
