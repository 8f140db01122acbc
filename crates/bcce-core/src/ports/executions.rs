//! Executions of the state machines.

use time::OffsetDateTime;

use crate::base::error::Fault;
use crate::batch::reference::BatchRef;
use crate::run::ids::RunRef;

pub trait StartRun {
    /// Starts the execution of a run. Safe to repeat.
    async fn start(&self, run: &RunRef) -> Result<Started, Fault>;
}

pub trait StartBatch {
    /// Starts the execution of a batch attempt. Safe to repeat.
    async fn start_batch(&self, batch: &BatchRef) -> Result<Started, Fault>;
}

/// The result of a start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Started {
    /// The execution is running. This call or an earlier one with the same input has started it.
    Running { since: OffsetDateTime },
    /// An execution with the same name is over, or has another input.
    Existed,
    /// Step Functions throttled the start. The message is valid and can be tried again.
    Throttled,
}
