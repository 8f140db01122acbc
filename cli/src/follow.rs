//! Follows a run or a batch until it ends. The status comes from the ledger, the steps and results from the bucket.

use std::io::Write;
use std::time::Duration;

use crate::exit::{Exit, Failure, Outcome};
use crate::figures;
use crate::screen::{Moment, Screen};
use crate::stack::{Stack, unknown};
use crate::tracked::{Status, Tracked};
use crate::world::World;

/// The time in which a sent message becomes an execution, including a cold start.
const SOON: Duration = Duration::from_secs(20);
/// The number of consecutive reads that may fail, in addition to the SDK's own retries.
const FAILED_LOOKS: u32 = 3;
/// The time after which the state is read less often.
const LONG: Duration = Duration::from_secs(60);

/// The options for following a run or a batch.
#[derive(Clone, Copy, Debug)]
pub struct Watch {
    /// The time after which following stops. The run or the batch continues.
    pub timeout: Duration,
    /// True if the request was sent just now, so that its execution may not exist yet.
    pub sent: bool,
}

/// Follows a run or a batch until it ends. Then prints it as JSON, or a hint where the answers are.
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

/// Follows a run or a batch until it ends, and displays it on `screen`.
///
/// # Errors
/// The run or batch did not succeed, does not exist, was not finalized, or did not end within the timeout; or its state
/// could not be read several times in a row.
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
        let ask = tracked.attempt().recorded.is_none() || n % T::RHYTHM.looks_per_status == 0;
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

/// Returns the note below the picture, if there is one. `is_late` is true if the execution should exist by now.
fn note<T: Tracked>(stack: &Stack, status: &Status<T::Status>, is_late: bool) -> Option<String> {
    match status {
        Status::Unknown if is_late => Some(not_started(stack, T::NOUN)),
        Status::Finalizing(ended) => {
            let most = figures::milliseconds(T::RHYTHM.finalizing.as_millis() as u64);
            Some(format!(
                "the execution ended with {ended}; the {} is finalized after its last calls have ended, within {most}",
                T::NOUN
            ))
        }
        _ => None,
    }
}

/// The reason to stop following.
#[derive(Debug, PartialEq)]
enum End<S> {
    Over(S),
    NotFinalized(String),
    Unknown,
    TimedOut,
}

/// Decides whether to stop following. `finalizing` is the time since the execution was first seen to have ended, and
/// `most` is the longest time that finalizing may take.
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
    let id = tracked.id();
    let noun = T::NOUN;
    let waited = figures::milliseconds(watch.timeout.as_millis() as u64);
    Err(match end {
        End::Over(_) => return tracked.failure(stack).map_or(Ok(Exit::Done), Err),
        End::Unknown => unknown(&stack.environment, noun, T::GROUP, id),
        End::NotFinalized(status) => Failure {
            exit: Exit::Failed,
            what: format!(
                "the execution of {id} ended with {status} and the {noun} was not finalized"
            ),
            then: format!(
                "{} finalizes it; its artifacts are in s3://{}/{}; the executions of the finalize machine and the \
                 functions' logs show the cause",
                tracked.command(stack, "finalize"),
                stack.outputs.artifact_bucket,
                tracked.attempt().prefix
            ),
        },
        End::TimedOut if tracked.status() == Status::Unknown => Failure {
            exit: Exit::TimedOut,
            what: format!("no {noun} was started within {waited}"),
            then: not_started(stack, noun),
        },
        End::TimedOut => Failure {
            exit: Exit::TimedOut,
            what: format!("the {noun} did not end within {waited}; it continues"),
            then: tracked.command(stack, T::FOLLOW),
        },
    })
}

/// Explains why a request has not started a run or a batch yet.
fn not_started(stack: &Stack, noun: &str) -> String {
    let outputs = &stack.outputs;
    format!(
        "no {noun} yet: the inbox is busy, or the request was rejected; a rejected message is in {}, and the reason was \
         published to {}",
        outputs.dead_letter_queue_url, outputs.notifications_topic_arn
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
