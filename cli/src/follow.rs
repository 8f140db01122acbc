//! Follows a run or a batch until it is over. The ledger says how it stands, its objects what it did.

use std::fmt::{Debug, Display};
use std::io::Write;
use std::time::Duration;

use bcce_aws::sfn::StateMachine;
use bcce_core::error::Fault;
use bcce_core::ports::Started;
use serde_json::Value;
use time::OffsetDateTime;

use crate::exit::{Exit, Failure, Outcome};
use crate::figures;
use crate::screen::{Moment, Screen, Shown};
use crate::stack::Stack;
use crate::world::World;

/// From the inbox to an execution it takes seconds, a cold start included.
const SOON: Duration = Duration::from_secs(20);
/// Looks in a row that may fail, beside the SDK's own retries.
const FAILED_LOOKS: u32 = 3;
/// After so long a look is taken less often.
const LONG: Duration = Duration::from_secs(60);

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
    fn attempt_no(&self) -> u32;
    fn execution_name(&self) -> String;
    /// What its execution is started with.
    fn input(&self) -> Value;
    /// The ARN of its execution and when that was started, as recorded.
    fn recorded(&self) -> Option<(&str, OffsetDateTime)>;
    fn status(&self) -> Status<Self::Status>;
    /// Key prefix of its objects.
    fn prefix(&self) -> String;

    /// Reports that there is no such run or batch.
    fn unknown(&self, stack: &Stack) -> Failure;
    /// Returns what is wrong with one that is over, or `None` if it succeeded.
    fn failure(&self, stack: &Stack) -> Option<Failure>;
    /// Describes what one that is over finished and paid.
    fn paid(&self) -> String;
    /// The line that says where the answers are, if there are any.
    fn hint(&self, stack: &Stack) -> Option<String>;
    /// Prints it for programs.
    fn print_json(&self, out: &mut dyn Write) -> std::io::Result<()>;

    /// Returns a command for it as it would be typed.
    fn command(&self, stack: &Stack, verb: &str) -> String {
        format!("`{}`", stack.command(&format!("{} {verb} {}", Self::GROUP, self.id())))
    }
}

#[derive(Clone, Copy, Debug)]
pub struct Watch {
    pub timeout: Duration,
    /// It was sent just now, so that it may take a while to appear.
    pub sent: bool,
}

/// Follows to the end and prints what is left to say on standard output.
pub async fn follow_and_print<T: Tracked>(
    stack: &Stack,
    world: &World,
    mut tracked: T,
    watch: Watch,
    json: bool,
    out: &mut dyn Write,
) -> Outcome {
    let mut screen = Screen::new(world, out, json);
    let outcome = follow(stack, world, &mut screen, &mut tracked, watch).await;
    if json {
        tracked.print_json(out)?;
    } else if let Some(hint) = tracked.hint(stack) {
        writeln!(out, "{hint}")?;
    }
    outcome
}

/// Follows to the end. `screen` shows it on the way.
pub async fn follow<T: Tracked>(
    stack: &Stack,
    world: &World,
    screen: &mut Screen<'_>,
    tracked: &mut T,
    watch: Watch,
) -> Outcome {
    let since = world.now();
    let (mut frame, mut failed, mut ended_at) = (0, 0, None);
    for n in 0.. {
        let ask = tracked.recorded().is_none() || n % T::RHYTHM.looks_per_status == 0;
        failed = match tracked.look(stack, world.now(), ask).await {
            Ok(()) => 0,
            Err(fault) if failed >= FAILED_LOOKS => return Err(fault.into()),
            Err(_) => failed + 1,
        };
        let now = world.now();
        let status = tracked.status();
        ended_at = matches!(status, Status::Finalizing(_)).then(|| ended_at.unwrap_or(now));
        screen.note(note::<T>(stack, &status, watch.sent && now - since > SOON));
        let finalizing = ended_at.map(|ended_at| now - ended_at);
        if let Some(end) = end(status, watch, now - since, finalizing, T::RHYTHM.finalizing) {
            screen.last(tracked, Moment { now, since, frame })?;
            return conclude(stack, tracked, end, watch);
        }
        let pause = if now - since < LONG { T::RHYTHM.pause } else { T::RHYTHM.long_pause };
        for _ in 0..T::RHYTHM.pictures {
            screen.show(tracked, Moment { now: world.now(), since, frame })?;
            frame += 1;
            tokio::time::sleep(pause / T::RHYTHM.pictures).await;
        }
    }
    Ok(Exit::TimedOut)
}

/// What is worth saying beside the picture. `is_late`: it should have been seen by now.
fn note<T: Tracked>(stack: &Stack, status: &Status<T::Status>, is_late: bool) -> Option<String> {
    match status {
        Status::Unknown if is_late => Some(not_started(stack, T::NOUN)),
        Status::Finalizing(ended) => {
            let most = figures::milliseconds(T::RHYTHM.finalizing.as_millis() as u64);
            Some(format!(
                "the execution ended {ended}; the {} is finalized when its last calls are over, within {most}",
                T::NOUN
            ))
        }
        _ => None,
    }
}

#[derive(Debug, PartialEq)]
enum End<S> {
    Over(S),
    NotFinalized(String),
    Unknown,
    TimedOut,
}

/// Decides whether to stop following. `finalizing`: how long ago the execution was first seen to have ended; `most`: how
/// long that may take.
fn end<S>(
    status: Status<S>,
    watch: Watch,
    waited: time::Duration,
    finalizing: Option<time::Duration>,
    most: Duration,
) -> Option<End<S>> {
    match status {
        Status::Over(status) => Some(End::Over(status)),
        Status::Finalizing(ended) if finalizing.is_some_and(|time| time > most) => {
            Some(End::NotFinalized(ended))
        }
        Status::Unknown if !watch.sent && waited > SOON => Some(End::Unknown),
        _ if waited > watch.timeout => Some(End::TimedOut),
        _ => None,
    }
}

fn conclude<T: Tracked>(stack: &Stack, tracked: &T, end: End<T::Status>, watch: Watch) -> Outcome {
    let (id, noun) = (tracked.id(), T::NOUN);
    let waited = figures::milliseconds(watch.timeout.as_millis() as u64);
    Err(match end {
        End::Over(_) => return tracked.failure(stack).map_or(Ok(Exit::Done), Err),
        End::Unknown => tracked.unknown(stack),
        End::NotFinalized(status) => Failure {
            exit: Exit::Failed,
            what: format!("the execution of {id} ended {status} and the {noun} was not finalized"),
            then: format!(
                "{} finalizes it; what was finished lies in s3://{}/{}; the executions of the finalize machine and \
                 the functions' logs have the cause",
                tracked.command(stack, "finalize"),
                stack.outputs.artifact_bucket,
                tracked.prefix()
            ),
        },
        End::TimedOut if tracked.status() == Status::Unknown => Failure {
            exit: Exit::TimedOut,
            what: format!("no {noun} was started within {waited}"),
            then: not_started(stack, noun),
        },
        End::TimedOut => Failure {
            exit: Exit::TimedOut,
            what: format!("the {noun} was not over within {waited}; it goes on"),
            then: tracked.command(stack, T::FOLLOW),
        },
    })
}

/// Says what became of a request that has not started a run or a batch.
fn not_started(stack: &Stack, noun: &str) -> String {
    let outputs = &stack.outputs;
    format!(
        "no {noun} yet: the inbox is busy or the request was rejected; then {} was sent the reason, and the message is in {}",
        outputs.notifications_topic_arn, outputs.dead_letter_queue_url
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const SENT: Watch = Watch { timeout: Duration::from_secs(60), sent: true };
    const ASKED: Watch = Watch { timeout: Duration::from_secs(60), sent: false };
    const MOST: Duration = Duration::from_secs(900);

    fn end_of(status: Status<char>, watch: Watch, waited_s: i64) -> Option<End<char>> {
        end(status, watch, time::Duration::seconds(waited_s), None, MOST)
    }

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

    #[test]
    fn what_was_just_sent_is_waited_for_and_an_unknown_id_is_not() {
        assert_eq!(end_of(Status::Unknown, ASKED, 5), None);
        assert_eq!(end_of(Status::Unknown, ASKED, 30), Some(End::Unknown));
        assert_eq!(end_of(Status::Unknown, SENT, 30), None);
        assert_eq!(end_of(Status::Unknown, SENT, 61), Some(End::TimedOut));
    }

    #[test]
    fn an_execution_that_ended_has_a_while_to_be_finalized() {
        let waited = time::Duration::seconds(30);
        let ended = || Status::<char>::Finalizing("ABORTED".into());
        let after = |seconds| Some(time::Duration::seconds(seconds));
        assert_eq!(end(ended(), SENT, waited, after(450), MOST), None);
        let not_finalized = Some(End::NotFinalized("ABORTED".into()));
        assert_eq!(end(ended(), SENT, waited, after(901), MOST), not_finalized);
        assert_eq!(end_of(Status::Over('c'), SENT, 30), Some(End::Over('c')));
    }

    #[test]
    fn what_takes_long_is_left_to_go_on() {
        assert_eq!(end_of(Status::UnderWay, ASKED, 61), Some(End::TimedOut));
    }
}
