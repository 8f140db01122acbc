//! Holds what is known of a batch: its status from the ledger, and its results from its manifest. Its items are
//! counted, never read.

pub mod follow; // looks at it, until it is over
pub mod json; // as programs read it
pub mod objects; // what it left: manifest, results, outputs
pub mod pace; // how fast it goes
#[cfg(test)]
pub mod samples; // batches that tests show
pub mod view; // as a picture, or as lines

use bcce_core::batch::bulk::JobRecord;
use bcce_core::batch::manifest::Opened;
use bcce_core::batch::{BatchManifest, BatchProgress, BatchRef, BatchStatus};
use bcce_core::call::attempt::Totals;
use bcce_core::ledger::BatchRecord;
use time::OffsetDateTime;

use self::pace::Pace;
use crate::references::batch_reference;
use crate::tracked::Status;

#[derive(Debug)]
pub struct Batch {
    /// The latest attempt at it.
    pub reference: BatchRef,
    pub record: Option<BatchRecord>,
    /// The execution's status as Step Functions spells it.
    pub execution: Option<String>,
    pub opened: Option<Opened>,
    /// Of the mode `bulk`, as they were seen last by bulk-job.
    pub jobs: Vec<JobRecord>,
    /// Runs of this attempt that are over.
    pub progress: BatchProgress,
    pub manifest: Option<BatchManifest>,
    pub pace: Pace,
    /// Lines of a log, one for each percent that was seen.
    reported: Vec<(u64, String)>,
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
        }
    }

    /// Takes the latest record. Until a retry has one, that is the previous attempt's and is ignored.
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

    pub fn note_progress(&mut self, progress: BatchProgress, now: OffsetDateTime) {
        self.progress = progress;
        self.pace.note(now, self.progress.over());
        let percent = self.percent();
        if self.progress.over() > 0 && self.reported.last().is_none_or(|(last, _)| *last < percent)
        {
            let line = view::progress(self, now);
            self.reported.push((percent, line));
        }
    }

    pub fn status(&self) -> Status<BatchStatus> {
        let closed = self.record.as_ref().map(|record| record.status);
        let closed = closed.filter(|status| *status != BatchStatus::Running);
        Status::of(closed, self.record.is_some(), self.execution.as_deref())
    }

    /// Counts the runs of this attempt, over ones included.
    pub fn to_run(&self) -> u64 {
        self.record.as_ref().map_or(0, |record| record.to_run)
    }

    pub fn percent(&self) -> u64 {
        (self.progress.over() * 100).checked_div(self.to_run()).unwrap_or(0).min(100)
    }

    /// Returns what this attempt paid so far.
    pub fn totals(&self) -> Totals {
        match &self.manifest {
            Some(manifest) => manifest.sums.totals.clone(),
            None => self.progress.totals(),
        }
    }
}

#[cfg(test)]
mod tests;
