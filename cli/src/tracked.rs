//! What a run and a batch have in common: how they stand, and what can be done with them.

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

/// How a run or a batch stands. `S`: its status in the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status<S> {
    /// There is neither an execution nor a record: the message is in the inbox, or was rejected.
    Unknown,
    UnderWay,
    Over(S),
    /// The execution ended with this status, and the finalize machine is about to close the record.
    Finalizing(String),
}

impl<S> Status<S> {
    /// `closed`: the status of a closed record, which decides because it is written last. `execution`: the status of
    /// the execution as Step Functions spells it.
    pub fn of(closed: Option<S>, has_record: bool, execution: Option<&str>) -> Self {
        match (closed, execution) {
            (Some(status), _) => Self::Over(status),
            (None, None) if !has_record => Self::Unknown,
            (None, None | Some("RUNNING" | "PENDING_REDRIVE")) => Self::UnderWay,
            (None, Some(ended)) => Self::Finalizing(ended.to_owned()),
        }
    }
}

/// How often something is looked at.
#[derive(Clone, Copy, Debug)]
pub struct Rhythm {
    /// Between two looks.
    pub pause: Duration,
    /// The same after a minute.
    pub long_pause: Duration,
    /// Pictures per look: the time goes on while nothing is asked.
    pub pictures: u32,
    /// Looks between two questions to Step Functions, which answers 15 a second for a whole account.
    pub looks_per_status: usize,
    /// Time in which what ended badly is finalized: that of the last calls, and the finalize machine's own. What is
    /// open after that stays open.
    pub finalizing: Duration,
}

/// An attempt at a run or a batch.
#[derive(Debug)]
pub struct Attempt {
    pub number: u32,
    pub execution_name: String,
    /// What its execution is started with.
    pub input: Value,
    /// The ARN of its execution and when that was started, once they are recorded.
    pub recorded: Option<(String, OffsetDateTime)>,
    /// Key prefix of the objects.
    pub prefix: String,
}

/// A run or a batch, as far as it is known.
pub trait Tracked: Shown + Sized {
    /// Status in the ledger.
    type Status: Copy + Debug + Display + PartialEq;

    const CANCELLED: Self::Status;
    /// What it is: `run` or `batch`.
    const NOUN: &'static str;
    /// The command's group of verbs for it.
    const GROUP: &'static str;
    /// The verb that shows it.
    const SHOW: &'static str;
    /// The verb that waits for its end.
    const FOLLOW: &'static str;
    const RHYTHM: Rhythm;

    /// Returns the latest attempt, with its record if it has one.
    async fn latest(stack: &Stack, id: &str) -> Outcome<Self>;
    /// Looks once, at everything that is new.
    async fn look(
        &mut self,
        stack: &Stack,
        now: OffsetDateTime,
        ask_execution: bool,
    ) -> Result<(), Fault>;
    /// Starts the execution of this attempt.
    async fn start(&self, stack: &Stack) -> Result<Started, Fault>;
    fn machine(stack: &Stack) -> &StateMachine;

    fn id(&self) -> &str;
    fn attempt(&self) -> Attempt;
    fn status(&self) -> Status<Self::Status>;

    /// Returns what is wrong with one that is over, or `None` if it succeeded.
    fn failure(&self, stack: &Stack) -> Option<Failure>;
    /// Describes what one that is over finished and paid.
    fn paid(&self) -> String;
    /// Returns the line that says where the answers are, if there are any.
    fn hint(&self, stack: &Stack) -> Option<String>;
    /// Prints it for programs.
    fn print_json(&self, out: &mut dyn Write) -> std::io::Result<()>;

    /// Returns a command for it as it would be typed.
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
