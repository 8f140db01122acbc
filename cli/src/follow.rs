//! Looks at a run until it is over. The ledger says where it stands, its artifacts what it did.

use std::time::Duration;

use bcce_core::base::error::Fault;
use bcce_core::base::limits::INVOKE_SECONDS;
use bcce_core::ports::{GetObject, ListObjects, ReadAttempts};
use bcce_core::run::notice::RunStatus;
use futures::StreamExt;
use time::OffsetDateTime;

use crate::exit::{Exit, Failure, Outcome};
use crate::figures;
use crate::follow::screen::Screen;
use crate::progress::{Progress, Standing};
use crate::stack::{Stack, unknown_run};
use crate::view::Moment;
use crate::world::World;

pub mod screen; // how it is shown

/// Between two looks, and what it grows to after a minute.
const PAUSE: Duration = Duration::from_millis(500);
const LONG_PAUSE: Duration = Duration::from_secs(2);
/// Pictures per look: the spinner turns while nothing is asked.
const PICTURES: u32 = 4;
/// Looks between two questions to Step Functions, which answers 15 a second for a whole account.
const LOOKS_PER_STATUS: usize = 8;
/// From the inbox to a run record it takes seconds, a cold start included.
const SOON: Duration = Duration::from_secs(20);
/// An execution that was ended from outside is settled when its last calls are over: within a quarter of
/// an hour, and the settle machine's own time. What is open after that stays so.
const SETTLING: Duration = Duration::from_secs(INVOKE_SECONDS + 120);
/// Looks in a row that may fail, beside the SDK's own retries.
const FAILED_LOOKS: u32 = 3;
const AT_A_TIME: usize = 8;

#[derive(Clone, Copy, Debug)]
pub struct Watch {
    pub timeout: Duration,
    /// The request was sent just now, so that its run may take a while to appear.
    pub sent: bool,
}

/// Looks once, at everything that is new.
pub async fn look(
    stack: &Stack,
    progress: &mut Progress,
    ask_execution: bool,
) -> Result<(), Fault> {
    // Before the rest: when it has ended, what is read after it is final.
    if ask_execution {
        progress.execution = stack.machine.status(&progress.run.execution_name()).await?;
    }
    progress.note_record(stack.ledger.attempts(&progress.run.run_id).await?.pop());
    let wanted = progress.wanted(&stack.store.list(&progress.run.prefix()).await?);
    let get = |key: String| async { (stack.store.get(&key).await, key) };
    let got: Vec<_> = futures::stream::iter(wanted).map(get).buffered(AT_A_TIME).collect().await;
    for (body, key) in got {
        if let Some(body) = body? {
            progress.absorb(&key, &body)?;
        }
    }
    Ok(())
}

/// Follows to the end. `screen` shows it on the way.
pub async fn follow(
    stack: &Stack,
    world: &World,
    screen: &mut Screen<'_>,
    progress: &mut Progress,
    watch: Watch,
) -> Outcome {
    let since = world.now();
    let (mut frame, mut failed, mut settling) = (0, 0, None);
    for n in 0.. {
        let ask = progress.record.is_none() || n % LOOKS_PER_STATUS == 0;
        failed = match look(stack, progress, ask).await {
            Ok(()) => 0,
            Err(fault) if failed >= FAILED_LOOKS => return Err(fault.into()),
            Err(_) => failed + 1,
        };
        let now = world.now();
        let end = end(progress, watch, now - since, *settling.get_or_insert(now), now);
        if !matches!(progress.standing(), Standing::Settling(_)) {
            settling = None;
        }
        let late = watch.sent && progress.standing() == Standing::Unknown && now - since > SOON;
        screen.note(match progress.standing() {
            Standing::Settling(status) => Some(being_settled(&status)),
            _ => late.then(|| rejected(stack, "run")),
        });
        if let Some(end) = end {
            screen.last(progress, Moment { now, since, frame })?;
            return conclude(stack, progress, end, watch);
        }
        let pause = if now - since < Duration::from_secs(60) { PAUSE } else { LONG_PAUSE };
        for _ in 0..PICTURES {
            screen.show(progress, Moment { now: world.now(), since, frame })?;
            frame += 1;
            tokio::time::sleep(pause / PICTURES).await;
        }
    }
    Ok(Exit::TimedOut)
}

#[derive(Debug, PartialEq)]
enum End {
    Over(RunStatus),
    Unsealed(String),
    NoRun,
    TimedOut,
}

/// `settling`: when the execution was first seen to have ended, if it has.
fn end(
    progress: &Progress,
    watch: Watch,
    waited: time::Duration,
    settling: OffsetDateTime,
    now: OffsetDateTime,
) -> Option<End> {
    match progress.standing() {
        Standing::Over(status) => Some(End::Over(status)),
        Standing::Settling(status) if now - settling > SETTLING => Some(End::Unsealed(status)),
        Standing::Unknown if !watch.sent && waited > SOON => Some(End::NoRun),
        _ if waited > watch.timeout => Some(End::TimedOut),
        _ => None,
    }
}

fn conclude(stack: &Stack, progress: &Progress, end: End, watch: Watch) -> Outcome {
    let run = &progress.run;
    let failure = |exit, what: String, then: String| Err(Failure { exit, what, then });
    match end {
        End::Over(RunStatus::Succeeded) => Ok(Exit::Done),
        End::Over(status) => {
            let error = progress.manifest.as_ref().and_then(|manifest| manifest.error.as_ref());
            let error = error.map(|error| format!(": {error}")).unwrap_or_default();
            let then = format!(
                "`{}` shows all of it",
                stack.command(&format!("runs show {}", run.run_id))
            );
            failure(Exit::Failed, format!("the run {status}{error}"), then)
        }
        End::Unsealed(status) => failure(
            Exit::Failed,
            format!("the execution of {} ended {status} and sealed no manifest", run.run_id),
            format!(
                "`{}` settles it; what was finished lies in s3://{}/{}; the executions of the settle machine \
                 and the functions' logs have the cause",
                stack.command(&format!("runs settle {}", run.run_id)),
                stack.outputs.artifact_bucket,
                run.prefix()
            ),
        ),
        End::NoRun => Err(unknown_run(&stack.environment, &run.run_id)),
        End::TimedOut => {
            let waited = figures::milliseconds(watch.timeout.as_millis() as u64);
            let go_on = stack.command(&format!("runs follow {}", run.run_id));
            match progress.standing() {
                Standing::Unknown => failure(
                    Exit::TimedOut,
                    format!("no run was started within {waited}"),
                    rejected(stack, "run"),
                ),
                _ => failure(
                    Exit::TimedOut,
                    format!("the run was not over within {waited}; it goes on"),
                    format!("`{go_on}`"),
                ),
            }
        }
    }
}

fn being_settled(status: &str) -> String {
    format!(
        "the execution ended {status}; it is sealed when its last calls are over, a quarter of an hour at most"
    )
}

/// Of a request that seems to have come to nothing.
pub fn rejected(stack: &Stack, awaited: &str) -> String {
    let outputs = &stack.outputs;
    format!(
        "no {awaited} yet: the inbox is busy or the request was rejected; then {} was told why, and the message lies in {}",
        outputs.notifications_topic_arn, outputs.dead_letter_queue_url
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use bcce_core::run::ids::RunRef;
    use time::macros::datetime;

    const SENT: Watch = Watch { timeout: Duration::from_secs(60), sent: true };
    const ASKED: Watch = Watch { timeout: Duration::from_secs(60), sent: false };
    const NOW: OffsetDateTime = datetime!(2026-11-01 12:00 UTC);

    fn standing(execution: Option<&str>) -> Progress {
        let mut progress = Progress::new(RunRef::first("default", "explain", "42"));
        progress.execution = execution.map(str::to_owned);
        progress
    }

    #[test]
    fn a_request_just_sent_is_waited_for_and_an_unknown_run_is_not() {
        let (soon, later) = (time::Duration::seconds(5), time::Duration::seconds(30));
        assert_eq!(end(&standing(None), ASKED, soon, NOW, NOW), None);
        assert_eq!(end(&standing(None), ASKED, later, NOW, NOW), Some(End::NoRun));
        assert_eq!(end(&standing(None), SENT, later, NOW, NOW), None);
        assert_eq!(
            end(&standing(None), SENT, time::Duration::seconds(61), NOW, NOW),
            Some(End::TimedOut)
        );
    }

    #[test]
    fn an_execution_that_ended_has_a_moment_to_settle() {
        let (waited, ended) = (time::Duration::seconds(30), standing(Some("ABORTED")));
        assert_eq!(end(&ended, SENT, waited, NOW - SETTLING / 2, NOW), None);
        assert_eq!(
            end(&ended, SENT, waited, NOW - SETTLING * 2, NOW),
            Some(End::Unsealed("ABORTED".into()))
        );
    }

    #[test]
    fn a_run_that_takes_long_is_left_to_go_on() {
        assert_eq!(
            end(&standing(Some("RUNNING")), ASKED, time::Duration::seconds(61), NOW, NOW),
            Some(End::TimedOut)
        );
    }
}
