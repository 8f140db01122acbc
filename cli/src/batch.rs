//! What is known of a batch: where it stands by the ledger, and what it came to by its manifest. Its items are
//! counted, never read.

pub mod follow; // looks at it until it is over
pub mod objects; // what it left: manifest, results, outputs
pub mod pace; // how fast it goes
pub mod view; // as a picture, or as lines

use bcce_core::batch::bulk::JobRecord;
use bcce_core::batch::manifest::Opened;
use bcce_core::batch::{BatchManifest, BatchProgress, BatchRef, BatchStatus};
use bcce_core::call::attempt::Totals;
use bcce_core::ledger::BatchRecord;
use time::OffsetDateTime;

use self::pace::Pace;

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
    pub tally: BatchProgress,
    pub manifest: Option<BatchManifest>,
    pub pace: Pace,
    /// Lines of a log, one for each percent that was seen.
    said: Vec<(u64, String)>,
}

/// Where a batch stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// No execution and no record: the message lies in the inbox, or was rejected.
    Unknown,
    UnderWay,
    Over(BatchStatus),
    /// The execution ended like this and the record is not closed.
    Settling(String),
}

impl Batch {
    pub fn new(reference: BatchRef) -> Self {
        let (tally, pace, said, jobs) = Default::default();
        let (record, execution, opened, manifest) = Default::default();
        Self { reference, record, execution, opened, jobs, tally, manifest, pace, said }
    }

    /// Until a retry has a record, the latest is of the attempt before, and not its.
    pub fn note_record(&mut self, record: Option<BatchRecord>) {
        let record = record.filter(|record| record.attempt_no >= self.reference.attempt_no);
        if let Some(record) = &record {
            let latest = reference(record);
            if latest.attempt_no != self.reference.attempt_no {
                *self = Self { execution: self.execution.take(), ..Self::new(latest.clone()) };
            }
            self.reference = latest;
        }
        self.record = record;
    }

    pub fn note_tally(&mut self, tally: BatchProgress, now: OffsetDateTime) {
        self.tally = tally;
        self.pace.note(now, self.tally.over());
        let percent = self.percent();
        if self.tally.over() > 0 && self.said.last().is_none_or(|(said, _)| *said < percent) {
            let line = view::progress(self, now);
            self.said.push((percent, line));
        }
    }

    /// The record is closed last, so it decides.
    pub fn standing(&self) -> Standing {
        let status = self.record.as_ref().map(|record| record.status);
        let ended = self
            .execution
            .as_deref()
            .filter(|status| !matches!(*status, "RUNNING" | "PENDING_REDRIVE"));
        match (status, ended) {
            (Some(status), _) if status != BatchStatus::Running => Standing::Over(status),
            (_, Some(ended)) => Standing::Settling(ended.to_owned()),
            (None, None) if self.execution.is_none() => Standing::Unknown,
            _ => Standing::UnderWay,
        }
    }

    /// Runs that this attempt has to make, over ones included.
    pub fn to_run(&self) -> u64 {
        self.record.as_ref().map_or(0, |record| record.to_run)
    }

    pub fn percent(&self) -> u64 {
        (self.tally.over() * 100).checked_div(self.to_run()).unwrap_or(0).min(100)
    }

    /// What this attempt paid so far.
    pub fn totals(&self) -> Totals {
        match &self.manifest {
            Some(manifest) => manifest.sums.totals.clone(),
            None => self.tally.totals(),
        }
    }
}

/// The reference of an attempt as the ledger knows it.
pub fn reference(record: &BatchRecord) -> BatchRef {
    BatchRef {
        version: 1,
        batch_id: record.batch_id.clone(),
        attempt_no: record.attempt_no,
        tenant: record.tenant.clone(),
        workflow: record.workflow.clone(),
        request_id: record.request_id.clone(),
    }
}

#[cfg(test)]
pub mod tests;
