//! The state of a batch: its status and progress from the ledger, and its results from its manifest. Items are counted,
//! but never read.

pub mod follow; // reads the state of a batch until it ends
pub mod json; // the state as JSON
pub mod objects; // reads the manifest, the results and the outputs
pub mod pace; // how many runs end per minute
pub mod rate; // how many calls a packed batch makes at a time
#[cfg(test)]
pub mod samples; // batches for tests
pub mod view; // displays a batch as a picture or as lines

use bcce_core::batch::Rate;
use bcce_core::batch::bulk::JobRecord;
use bcce_core::batch::manifest::Opened;
use bcce_core::batch::{BatchManifest, BatchProgress, BatchRef, BatchStatus};
use bcce_core::call::attempt::Totals;
use bcce_core::ledger::BatchRecord;
use time::OffsetDateTime;

use self::pace::Pace;
use crate::references::batch_reference;
use crate::tracked::Status;

/// The state of a batch and its latest attempt, as far as it has been read.
#[derive(Debug)]
pub struct Batch {
    /// The reference of the latest attempt.
    pub reference: BatchRef,
    pub record: Option<BatchRecord>,
    /// The status of the execution, as Step Functions names it.
    pub execution: Option<String>,
    pub opened: Option<Opened>,
    /// The bulk jobs, as `bulk-job` saw them last. Empty in other modes.
    pub jobs: Vec<JobRecord>,
    /// The progress of this attempt.
    pub progress: BatchProgress,
    pub manifest: Option<BatchManifest>,
    pub pace: Pace,
    /// The lines of the log: one for each percentage that was seen, and one for each noticeable change of the rate.
    reported: Vec<String>,
    /// The percentage and the rate of the last such lines.
    last_percent: Option<u64>,
    last_rate: Option<Rate>,
    /// The end of the pause at the last reading.
    last_pause: Option<OffsetDateTime>,
}

impl Batch {
    pub fn new(reference: BatchRef) -> Self {
        Self {
            reference,
            record: None,
            execution: None,
            opened: None,
            jobs: Vec::new(),
            progress: BatchProgress::default(),
            manifest: None,
            pace: Pace::default(),
            reported: Vec::new(),
            last_percent: None,
            last_rate: None,
            last_pause: None,
        }
    }

    /// Takes the latest record. A record of an earlier attempt is ignored: a retry has no record at first.
    pub fn note_record(&mut self, record: Option<BatchRecord>) {
        let record = record.filter(|record| record.attempt_no >= self.reference.attempt_no);
        if let Some(record) = &record {
            let latest = batch_reference(record);
            if latest.attempt_no != self.reference.attempt_no {
                *self = Self { execution: self.execution.take(), ..Self::new(latest.clone()) };
            }
            self.reference = latest;
        }
        self.record = record;
    }

    /// Takes the progress, and adds a line to the log if the percentage or the rate has changed.
    pub fn note_progress(&mut self, progress: BatchProgress, now: OffsetDateTime) {
        self.progress = progress;
        self.pace.note(now, self.progress.over());
        let percent = self.percent();
        if self.progress.over() > 0 && self.last_percent.is_none_or(|last| last < percent) {
            self.reported.push(view::progress(self, now));
            self.last_percent = Some(percent);
        }
        let pause = self.progress.paused.as_ref().map(|pause| pause.until);
        if let Some(why) = view::paused(self, now).filter(|_| self.last_pause != pause) {
            self.reported.push(format!("paused {why}"));
        }
        self.last_pause = pause;
        if let Some(rate) = &self.progress.rate
            && rate::is_noticeable(self.last_rate.as_ref(), rate)
        {
            self.reported.push(rate::describe(rate));
            self.last_rate = Some(rate.clone());
        }
    }

    pub fn status(&self) -> Status<BatchStatus> {
        let closed = self.record.as_ref().map(|record| record.status);
        let closed = closed.filter(|status| *status != BatchStatus::Running);
        Status::of(closed, self.record.is_some(), self.execution.as_deref())
    }

    /// Returns the end of this attempt. The record has it even if the manifest is gone.
    pub fn ended_at(&self) -> Option<OffsetDateTime> {
        let manifest = self.manifest.as_ref().map(|manifest| manifest.ended_at);
        self.record.as_ref().and_then(|record| record.ended_at).or(manifest)
    }

    /// Returns the number of runs of this attempt, including those that have ended.
    pub fn to_run(&self) -> u64 {
        self.record.as_ref().map_or(0, |record| record.to_run)
    }

    pub fn percent(&self) -> u64 {
        (self.progress.over() * 100).checked_div(self.to_run()).unwrap_or(0).min(100)
    }

    /// Returns the tokens and the cost of this attempt so far.
    pub fn totals(&self) -> Totals {
        match &self.manifest {
            Some(manifest) => manifest.sums.totals.clone(),
            None => self.progress.totals(),
        }
    }
}

#[cfg(test)]
mod tests;
