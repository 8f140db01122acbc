//! Records of runs and batches in the ledger.

use crate::base::error::Fault;
use crate::batch::BatchProgress;
use crate::batch::Halt;
use crate::batch::reference::BatchRef;
use crate::ledger::ClosedBatch;
use crate::ledger::ClosedRun;
use crate::ledger::OpenedBatch;
use crate::ledger::OpenedRun;
use crate::ledger::RunRecord;
use crate::run::call_log::LoggedCall;
use crate::run::call_log::LoggedStep;
use crate::run::ids::ItemOf;
use crate::run::ids::RunRef;
use crate::run::ids::StepRef;

pub trait OpenRun {
    /// Records that a run is under way. Safe to repeat.
    async fn open(&self, run: &OpenedRun) -> Result<Opened, Fault>;
}

pub trait OpenBatch {
    /// Records that an attempt at a batch is under way. Safe to repeat.
    async fn open_batch(&self, batch: &OpenedBatch) -> Result<Opened, Fault>;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opened {
    /// Opened by this call, or by an earlier one for the same execution.
    Open,
    /// The attempt is over and counted: Step Functions forgets an execution's name after 90 days, the
    /// ledger does not.
    Over,
}

pub trait CloseRun {
    /// Closes the run record and adds its usage to the counters, in one transaction.
    async fn close(&self, run: &ClosedRun) -> Result<Closed, Fault>;
}

pub trait CloseBatch {
    /// Closes the record of an attempt at a batch.
    async fn close_batch(&self, batch: &ClosedBatch) -> Result<Closed, Fault>;
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Closed {
    /// Closed by this call.
    Now,
    /// Closed by an earlier call; nothing was added.
    Before {
        /// The execution that did it and so sends the notification.
        notification_owner: Option<String>,
    },
}

pub trait TakeBatchOver {
    /// Makes `to` the notification owner of a batch in place of `from`. Returns `false` if another execution owns it by
    /// now.
    async fn take_batch_over(&self, batch: &BatchRef, from: &str, to: &str) -> Result<bool, Fault>;
}

pub trait TakeOver {
    /// Makes `to` the notification owner of a run in place of `from`. Returns `false` if another execution owns it by
    /// now.
    async fn take_over(&self, run: &RunRef, from: &str, to: &str) -> Result<bool, Fault>;
}

pub trait ReadBatchProgress {
    /// Reads the progress of an attempt at a batch.
    async fn batch_progress(&self, batch: &ItemOf) -> Result<BatchProgress, Fault>;
}

pub trait HaltBatch {
    /// Records that no further item is started. Returns whether `notification_owner` sends the notification.
    async fn halt(
        &self,
        batch: &ItemOf,
        notification_owner: &str,
        halt: &Halt,
    ) -> Result<bool, Fault>;
}

pub trait ReadAttempts {
    /// Lists the attempts at a run, oldest first.
    async fn attempts(&self, run_id: &str) -> Result<Vec<RunRecord>, Fault>;
}

pub trait LogCall {
    /// Records that a call of a step starts. Safe to repeat.
    async fn log_call(&self, run: &RunRef, step: &StepRef, call: &LoggedCall) -> Result<(), Fault>;
}

pub trait ReadCallLog {
    /// Returns the calls that this attempt at a run has started.
    async fn logged_calls(&self, run: &RunRef) -> Result<Vec<LoggedStep>, Fault>;
}
