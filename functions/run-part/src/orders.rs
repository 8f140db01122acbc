//! The orders of others: halts, stops and cancelled runs.

use bcce_core::batch::{BatchProgress, Halt};

/// The orders of others, as they were read last.
#[derive(Debug, Default)]
pub(crate) struct Orders {
    /// The progress of the whole batch at the last reading, and the part's share in it.
    all: BatchProgress,
    own: BatchProgress,
    /// The number of runs that this invocation works on.
    pub running: usize,
}

impl Orders {
    /// Returns the progress of the batch. `own` is the part's share in it.
    pub fn total(&self, own: &BatchProgress) -> BatchProgress {
        let mut total = self.all.clone();
        total.succeeded += own.succeeded - self.own.succeeded;
        total.failed += own.failed - self.own.failed;
        total.cancelled += own.cancelled - self.own.cancelled;
        total
    }

    /// Takes the progress of the batch as it was read now. `own` is the part's share in it.
    pub fn read(&mut self, all: BatchProgress, own: BatchProgress) {
        // A halt that this invocation has not written yet is kept.
        let halted = self.all.halted.take();
        self.all = BatchProgress { halted: all.halted.clone().or(halted), ..all };
        self.own = own;
    }

    /// Records that this invocation has halted the batch.
    pub fn halted(&mut self, halt: Halt) {
        self.all.halted.get_or_insert(halt);
    }

    /// Returns whether no further item may be started.
    pub fn starts_nothing(&self) -> bool {
        self.all.halted.is_some() || self.all.is_stopped
    }

    /// Returns whether no further call may be started, since the execution of the batch has ended.
    pub fn is_stopped(&self) -> bool {
        self.all.is_stopped
    }

    /// Returns whether a person has cancelled a run.
    pub fn is_cancelled(&self, run_id: &str) -> bool {
        self.all.cancelled_runs.contains(run_id)
    }
}
