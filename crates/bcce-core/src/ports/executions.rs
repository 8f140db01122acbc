//! Executions of the state machines.

use time::OffsetDateTime;

use crate::base::error::Fault;
use crate::batch::reference::BatchRef;
use crate::run::ending::ExecutionStatus;
use crate::run::execution_end::{ExecutionEnd, FinalizeEvent};
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

pub trait DescribeEnd {
    /// Describes an execution in the form of the EventBridge event for its end. Returns `None` if no execution has that
    /// name.
    async fn end(&self, name: &str) -> Result<Option<ExecutionEnd>, Fault>;
}

pub trait ListEnded {
    /// Lists the executions that ended with this status, the newest start first. `page` is [`EndedPage::next`] of the
    /// page before, and `None` for the first page.
    async fn ended(
        &self,
        status: ExecutionStatus,
        page: Option<String>,
    ) -> Result<EndedPage, Fault>;
}

/// A page of executions that have ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndedPage {
    pub executions: Vec<EndedExecution>,
    /// The token of the next page, or `None` on the last one.
    pub next: Option<String>,
}

/// An execution that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndedExecution {
    pub name: String,
    pub started_at: OffsetDateTime,
    pub stopped_at: OffsetDateTime,
}

pub trait ListFinalizing {
    /// Lists the ARNs of the executions that are being finalized, at most `most` of them.
    async fn finalizing(&self, most: usize) -> Result<Vec<String>, Fault>;
}

pub trait StartFinalize {
    /// Starts the finalize machine under a name. Safe to repeat.
    async fn start_finalize(&self, name: &str, event: &FinalizeEvent) -> Result<Started, Fault>;
}
