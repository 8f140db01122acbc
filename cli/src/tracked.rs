//! The common interface of runs and batches: their status, and the operations on them.

use std::fmt::{Debug, Display};
use std::io::Write;
use std::time::Duration;

use bcce_aws::sfn::StateMachine;
use bcce_core::base::error::Fault;
use bcce_core::ports::Started;
use serde_json::Value;
use time::OffsetDateTime;

use crate::exit::{Failure, Outcome};
use crate::screen::Shown;
use crate::stack::Stack;

/// The status of a run or a batch. `S` is the type of its status in the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status<S> {
    /// There is neither an execution nor a record. The message is in the inbox, or was rejected.
    Unknown,
    /// The execution is running.
    UnderWay,
    /// The record is closed with this status.
    Over(S),
    /// The execution ended with this status of Step Functions, and the finalize machine has yet to close the record.
    Finalizing(String),
}

impl<S> Status<S> {
    /// Derives the status. `closed` is the status of a closed record. It takes precedence because the record is closed
    /// last. `execution` is the status of the execution, as Step Functions names it.
    pub fn of(closed: Option<S>, has_record: bool, execution: Option<&str>) -> Self {
        match (closed, execution) {
            (Some(status), _) => Self::Over(status),
            (None, None) if !has_record => Self::Unknown,
            (None, None | Some("RUNNING" | "PENDING_REDRIVE")) => Self::UnderWay,
            (None, Some(ended)) => Self::Finalizing(ended.to_owned()),
        }
    }
}

/// The intervals at which the state is read.
#[derive(Clone, Copy, Debug)]
pub struct Rhythm {
    /// The time between two reads in the first minute.
    pub pause: Duration,
    /// The time between two reads after the first minute.
    pub long_pause: Duration,
    /// The number of pictures per read. They keep the elapsed time current between reads.
    pub pictures: u32,
    /// The number of reads per request to Step Functions, which allows 15 requests per second for a whole account.
    pub looks_per_status: usize,
    /// The longest time from the end of a failed execution until it is finalized: that of the last calls and of the
    /// finalize machine. A record that is open after this time stays open.
    pub finalizing: Duration,
}

/// The end of the message about an execution that was stopped.
pub const STOPPED: &str = "is stopped; it is finalized after its last calls have ended";

/// A run attempt or a batch attempt.
#[derive(Debug)]
pub struct Attempt {
    pub number: u32,
    /// The name of its execution. For a packed run attempt, that of its batch.
    pub execution_name: String,
    /// The input of its execution.
    pub input: Value,
    /// The ARN and the start of its execution, once the ledger has a record.
    pub recorded: Option<(String, OffsetDateTime)>,
    /// The key prefix of its objects. For a packed run attempt, that of the segments that contain them.
    pub prefix: String,
}

/// A run or a batch whose state is read from the stack.
pub trait Tracked: Shown + Sized {
    /// The type of the status in the ledger.
    type Status: Copy + Debug + Display + PartialEq;

    const CANCELLED: Self::Status;
    /// The noun for it: `run` or `batch`.
    const NOUN: &'static str;
    /// The group of its commands: `runs` or `batch`.
    const GROUP: &'static str;
    /// The command that shows it.
    const SHOW: &'static str;
    /// The command that waits for its end.
    const FOLLOW: &'static str;
    const RHYTHM: Rhythm;

    /// Returns the latest attempt, with its record if it has one.
    async fn latest(stack: &Stack, id: &str) -> Outcome<Self>;
    /// Reads everything that is new. Asks Step Functions for the status of the execution only if `ask_execution` is
    /// true.
    async fn look(
        &mut self,
        stack: &Stack,
        now: OffsetDateTime,
        ask_execution: bool,
    ) -> Result<(), Fault>;
    /// Stops this attempt. `cause` is recorded with an execution. Returns what follows, as the end of a sentence.
    async fn stop(&self, stack: &Stack, cause: &str) -> Result<&'static str, Fault>;
    /// Starts the execution of this attempt.
    async fn start(&self, stack: &Stack) -> Result<Started, Fault>;
    fn machine(stack: &Stack) -> &StateMachine;

    fn id(&self) -> &str;
    fn attempt(&self) -> Attempt;
    fn status(&self) -> Status<Self::Status>;

    /// Returns true if it is sealed once it is over. A packed run is sealed later, with its part.
    fn is_sealed(&self) -> bool;
    /// Returns the failure of a run or batch that has ended, or `None` if it succeeded or has not ended.
    fn failure(&self, stack: &Stack) -> Option<Failure>;
    /// Describes the results and the cost of a run or batch that has ended.
    fn paid(&self) -> String;
    /// Returns the line that says where the answers are, if there are any.
    fn hint(&self, stack: &Stack) -> Option<String>;
    /// Prints the state as JSON.
    fn print_json(&self, out: &mut dyn Write) -> std::io::Result<()>;

    /// Returns a command line for it, in backquotes.
    fn command(&self, stack: &Stack, verb: &str) -> String {
        format!("`{}`", stack.command(&format!("{} {verb} {}", Self::GROUP, self.id())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_that_is_closed_decides_and_then_the_execution() {
        for execution in [None, Some("RUNNING"), Some("FAILED")] {
            assert_eq!(Status::of(Some('s'), true, execution), Status::Over('s'));
        }
        let of = |has_record, execution| Status::<char>::of(None, has_record, execution);
        assert_eq!(of(false, None), Status::Unknown);
        assert_eq!(of(true, None), Status::UnderWay);
        assert_eq!(of(false, Some("RUNNING")), Status::UnderWay);
        assert_eq!(of(true, Some("PENDING_REDRIVE")), Status::UnderWay);
        for has_record in [false, true] {
            assert_eq!(of(has_record, Some("ABORTED")), Status::Finalizing("ABORTED".into()));
        }
    }
}
