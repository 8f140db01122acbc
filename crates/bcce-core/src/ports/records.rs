//! Records of runs and batches in the ledger.

use std::collections::BTreeSet;

use time::OffsetDateTime;

use crate::base::error::Fault;
use crate::batch::BatchProgress;
use crate::batch::Halt;
use crate::batch::reference::BatchRef;
use crate::ledger::ClosedBatch;
use crate::ledger::ClosedRun;
use crate::ledger::OpenedBatch;
use crate::ledger::OpenedRun;
use crate::ledger::RunRecord;
use crate::ledger::attempts::AttemptKey;
use crate::run::call_log::LoggedCall;
use crate::run::call_log::LoggedStep;
use crate::run::ids::ItemOf;
use crate::run::ids::RunRef;
use crate::run::ids::StepRef;

pub trait OpenRun {
    /// Records that a run is under way. Safe to repeat.
    async fn open(&self, run: &OpenedRun) -> Result<RecordState, Fault>;
}

pub trait OpenBatch {
    /// Records that a batch attempt is under way. Safe to repeat.
    async fn open_batch(&self, batch: &OpenedBatch) -> Result<RecordState, Fault>;
}

/// The state of a record, as opening it returns it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordState {
    /// The record is open. This call or an earlier one of the same execution has opened it.
    Open,
    /// The attempt is over and was counted. Step Functions forgets the name of an execution after 90 days, but the
    /// ledger does not.
    Over,
}

pub trait CloseRun {
    /// Closes the run record and adds its usage to the counters, in one transaction.
    async fn close(&self, run: &ClosedRun) -> Result<Closed, Fault>;
}

pub trait CloseBatch {
    /// Closes the record of a batch attempt.
    async fn close_batch(&self, batch: &ClosedBatch) -> Result<Closed, Fault>;
}

/// The result of closing a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Closed {
    /// Closed by this call.
    Now,
    /// Closed by an earlier call; nothing was added.
    Before {
        /// The ARN of the execution that closed it, which sends the notification.
        notification_owner: Option<String>,
    },
}

pub trait TakeBatchOver {
    /// Makes `to` the notification owner of a batch in place of `from`. Returns `false` if `from` is not the owner any
    /// more.
    async fn take_batch_over(&self, batch: &BatchRef, from: &str, to: &str) -> Result<bool, Fault>;
}

pub trait TakeOver {
    /// Makes `to` the notification owner of a run in place of `from`. Returns `false` if `from` is not the owner any
    /// more.
    async fn take_over(&self, run: &RunRef, from: &str, to: &str) -> Result<bool, Fault>;
}

pub trait ReadBatchProgress {
    /// Reads the progress of a batch attempt. The rate is that of the parts that functions own at `now`. A run never
    /// counts twice, but a run that is being counted may be missing.
    async fn batch_progress(
        &self,
        batch: &ItemOf,
        now: OffsetDateTime,
    ) -> Result<BatchProgress, Fault>;
}

pub trait HaltBatch {
    /// Records the halt of a batch: no further item is started. Returns whether `notification_owner` sends the
    /// notification.
    async fn halt(
        &self,
        batch: &ItemOf,
        notification_owner: &str,
        halt: &Halt,
    ) -> Result<bool, Fault>;
}

pub trait ReadAttempts {
    /// Lists the run attempts of a run, oldest first.
    async fn attempts(&self, run_id: &str) -> Result<Vec<RunRecord>, Fault>;
}

pub trait LogCall {
    /// Records that a call of a step starts. Safe to repeat.
    async fn log_call(&self, run: &RunRef, step: &StepRef, call: &LoggedCall) -> Result<(), Fault>;
}

pub trait ReadCallLog {
    /// Returns the calls that this run attempt has started.
    async fn logged_calls(&self, run: &RunRef) -> Result<Vec<LoggedStep>, Fault>;
}

pub trait ReadClosed {
    /// Returns which of these attempts have a closed record. The others have an open record or none.
    async fn closed(&self, attempts: &[AttemptKey]) -> Result<BTreeSet<AttemptKey>, Fault>;
}
