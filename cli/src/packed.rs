//! The packed attempts of a run: items that a batch ran without executions of their own. What is stored of them is read
//! from the parts of the batch.

pub mod objects; // the objects of a run, wherever they are stored
#[cfg(test)]
pub mod samples; // packed runs for tests
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use bcce_core::base::error::Fault;
use bcce_core::batch::Entry;
use bcce_core::batch::packed::{PackedPlace, PackedRun, Stage, parse_segment};
use bcce_core::batch::reference::SEGMENT;
use bcce_core::io::objects::{bytes, find_lines};
use bcce_core::io::packed::{ProvenManifest, find_manifest};
use bcce_core::ledger::{BatchRecord, RunRecord};
use bcce_core::ports::{FindPlaces, GetObject, ListObjects, ReadAttempts};
use bcce_core::run::ids::{Run, RunRef};
use bcce_core::run::manifest::Manifest;
use bcce_core::run::notification::RunStatus;
use time::OffsetDateTime;

use crate::stack::Stack;

/// The packed attempts of a run, as far as they have been read, oldest first.
#[derive(Debug, Default)]
pub struct Packed(Vec<PackedAttempt>);

/// A packed attempt of a run.
#[derive(Debug)]
pub struct PackedAttempt {
    pub place: PackedPlace,
    /// The number of segments that have been read. A segment does not change.
    segments: usize,
    /// The line of the run in these segments: the first that is over, or else the last.
    stored: Option<PackedRun>,
    /// The manifest of the run, once its part is sealed.
    sealed: Option<ProvenManifest>,
    /// The record of the run attempt, in the form in which the ledger has it for a run with its own execution. `None`
    /// if the item has no run: it was refused, or the batch ended before it started the item.
    record: Option<RunRecord>,
}

impl Packed {
    /// Reads everything that is new. Returns the records of all attempts of the run, oldest first.
    pub async fn look(&mut self, stack: &Stack, run_id: &str) -> Result<Vec<RunRecord>, Fault> {
        let records = stack.ledger.attempts(run_id).await?;
        let places = stack.ledger.places(run_id).await?;
        let batches = async |batch_id: &str| stack.ledger.batch_attempts(batch_id).await;
        self.read(&stack.store, places, batches).await?;
        Ok(self.among(records))
    }

    /// Reads what is new at `places`. `batches` reads the records of a batch.
    async fn read(
        &mut self,
        store: &(impl GetObject + ListObjects),
        places: Vec<PackedPlace>,
        batches: impl AsyncFn(&str) -> Result<Vec<BatchRecord>, Fault>,
    ) -> Result<(), Fault> {
        self.0.retain(|attempt| places.contains(&attempt.place));
        for place in places {
            if !self.0.iter().any(|attempt| attempt.place == place) {
                self.0.push(PackedAttempt::new(place));
            }
        }
        self.0.sort_by_key(|attempt| attempt.place.attempt_no);
        for attempt in &mut self.0 {
            attempt.read(store).await?;
            if !attempt.is_begun() {
                attempt.read_item(store, &batches).await?;
            }
        }
        Ok(())
    }

    /// Adds the records of the packed attempts to those of the ledger.
    fn among(&self, ledger: Vec<RunRecord>) -> Vec<RunRecord> {
        let packed = self.0.iter().filter_map(|attempt| attempt.record.clone());
        let records = packed.chain(ledger).map(|record| (record.attempt_no, record));
        records.collect::<BTreeMap<_, _>>().into_values().collect()
    }

    /// Returns the packed attempt with this number. Returns `None` if that attempt has an execution of its own, or does
    /// not exist.
    pub fn attempt(&self, attempt_no: u32) -> Option<&PackedAttempt> {
        self.0.iter().find(|attempt| attempt.place.attempt_no == attempt_no)
    }
}

impl PackedAttempt {
    fn new(place: PackedPlace) -> Self {
        Self { place, segments: 0, stored: None, sealed: None, record: None }
    }

    /// Returns true if the part of the run is sealed.
    pub fn is_sealed(&self) -> bool {
        self.sealed.is_some()
    }

    /// Returns the prefix of the segments, which contain the objects of the run.
    pub fn prefix(&self) -> String {
        self.place.batch.segments_prefix(self.place.part)
    }

    /// Returns true if more is stored of the run than its plan.
    fn is_begun(&self) -> bool {
        let has_begun = |run: &PackedRun| run.stage() != Stage::Planned;
        self.stored.as_ref().is_some_and(has_begun) || self.sealed.is_some()
    }

    async fn read(&mut self, store: &(impl GetObject + ListObjects)) -> Result<(), Fault> {
        if self.is_sealed() {
            return Ok(());
        }
        // The manifest is read first. If there is one, the segments that are read after it are final.
        let sealed = find_manifest(store, &self.place).await?;
        let mut keys = store.list(&self.prefix()).await?;
        keys.retain(|key| key.ends_with(SEGMENT));
        for key in keys.iter().skip(self.segments) {
            let runs = parse_segment(key, &bytes(store, key).await?)?;
            for run in runs.into_iter().filter(|run| run.n == self.place.n) {
                if self.stored.as_ref().is_none_or(|before| run.replaces(before.stage())) {
                    self.stored = Some(run);
                }
            }
        }
        self.segments = keys.len();
        self.record = match (&sealed, &self.stored) {
            (Some(sealed), _) => Some(self.record_of(&sealed.manifest, true)),
            (None, Some(run)) if run.stage() != Stage::Planned => self.record_unsealed(run)?,
            (None, _) => self.record.take(),
        };
        self.sealed = sealed;
        Ok(())
    }

    /// Returns the record of a run whose part is not sealed. An item that was refused has no run.
    fn record_unsealed(&self, run: &PackedRun) -> Result<Option<RunRecord>, Fault> {
        if let Some(manifest) = run.manifest()? {
            return Ok(Some(self.record_of(&manifest, false)));
        }
        let Run { reference, execution_arn, started_at } = &run.run;
        Ok((!run.is_over()).then(|| running(reference, execution_arn, *started_at)))
    }

    fn record_of(&self, manifest: &Manifest, is_sealed: bool) -> RunRecord {
        let totals = &manifest.totals;
        let place = &self.place;
        RunRecord {
            run_id: manifest.run_id.clone(),
            attempt_no: manifest.attempt_no,
            tenant: manifest.tenant.clone(),
            workflow: manifest.workflow.clone(),
            request_id: manifest.request_id.clone(),
            execution_arn: manifest.execution_arn.clone(),
            trace_id: None,
            status: manifest.status,
            started_at: manifest.started_at,
            ended_at: Some(manifest.ended_at),
            manifest: is_sealed.then(|| place.batch.part_runs_key(place.part)),
            cost_usd: Some(totals.known_cost()),
            cost_is_complete: totals.usage.is_some() && totals.cost_usd.is_some(),
            truncated: manifest.truncated,
            tags: manifest.tags.clone(),
            error_name: manifest.error.as_ref().map(|error| error.name.as_str().to_owned()),
            error_message: manifest.error.as_ref().map(|error| error.message.clone()),
        }
    }

    /// Makes the record of a run of which nothing but its plan is stored yet.
    async fn read_item(
        &mut self,
        store: &(impl GetObject + ListObjects),
        batches: &impl AsyncFn(&str) -> Result<Vec<BatchRecord>, Fault>,
    ) -> Result<(), Fault> {
        let batch = self.place.batch.clone();
        if !store.list(&batch.part_runs_key(self.place.part)).await?.is_empty() {
            // The part may have been sealed since the manifest was looked for. If the run is not in it, the batch ended
            // before it started the run.
            self.record = None;
            return self.read(store).await;
        }
        if self.record.is_some() {
            return Ok(());
        }
        let batches = batches(&batch.batch_id).await?;
        let opened = batches.into_iter().find(|record| record.attempt_no == batch.attempt_no);
        let entries: Option<Vec<Entry>> =
            find_lines(store, &batch.part_key(self.place.part)).await?;
        let item = entries.into_iter().flatten().find_map(|entry| match entry {
            Entry::Item(item) if item.n == self.place.n => Some(item),
            _ => None,
        });
        let known = item.zip(opened);
        self.record = known.map(|(item, opened)| {
            let run = item.run(&batch, self.place.attempt_no);
            running(&run, &opened.execution_arn, opened.started_at)
        });
        Ok(())
    }
}

/// Returns the record of a run that is not over.
fn running(run: &RunRef, execution_arn: &str, started_at: OffsetDateTime) -> RunRecord {
    RunRecord {
        run_id: run.run_id.clone(),
        attempt_no: run.attempt_no,
        tenant: run.tenant.clone(),
        workflow: run.workflow.clone(),
        request_id: run.request_id.clone(),
        execution_arn: execution_arn.to_owned(),
        trace_id: None,
        status: RunStatus::Running,
        started_at,
        ended_at: None,
        manifest: None,
        cost_usd: None,
        cost_is_complete: false,
        truncated: 0,
        tags: BTreeMap::new(),
        error_name: None,
        error_message: None,
    }
}
