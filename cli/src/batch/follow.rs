//! Looks at a batch until it is over.

use std::time::Duration;

use bcce_core::base::error::Fault;
use bcce_core::base::json::parse;
use bcce_core::base::limits::INVOKE_SECONDS;
use bcce_core::batch::bulk::JobsRecord;
use bcce_core::batch::{BatchStatus, Mode};
use bcce_core::ports::{GetObject, ReadBatchProgress};
use serde::de::DeserializeOwned;
use time::OffsetDateTime;

use super::{Batch, Standing, view};
use crate::exit::{Exit, Failure, Outcome};
use crate::figures;
use crate::follow::screen::Screen;
use crate::follow::{Watch, rejected};
use crate::stack::{Stack, unknown_batch};
use crate::view::Moment;
use crate::world::World;

/// Between two looks, and what it grows to after a minute.
const PAUSE: Duration = Duration::from_secs(1);
const LONG_PAUSE: Duration = Duration::from_secs(5);
/// Pictures per look: the time goes on.
const PICTURES: u32 = 2;
/// Looks between two questions to Step Functions.
const LOOKS_PER_STATUS: usize = 5;
/// From the inbox to an execution it takes seconds, a cold start included.
const SOON: Duration = Duration::from_secs(20);
/// A batch that was ended from outside is closed when the last calls of its runs are over.
const SETTLING: Duration = Duration::from_secs(INVOKE_SECONDS + 300);
/// Looks in a row that may fail, beside the SDK's own retries.
const FAILED_LOOKS: u32 = 3;

/// Looks once.
pub async fn look(
    stack: &Stack,
    batch: &mut Batch,
    now: OffsetDateTime,
    ask_execution: bool,
) -> Result<(), Fault> {
    // Before the rest: when it has ended, what is read after it is final.
    if ask_execution {
        let name = batch.reference.execution_name();
        batch.execution = stack.batch_machine.status(&name).await?;
    }
    batch.note_record(stack.ledger.batch_attempts(&batch.reference.batch_id).await?.pop());
    let Some(record) = &batch.record else { return Ok(()) };
    let is_over = record.status != BatchStatus::Running;
    let reference = &batch.reference;
    if batch.opened.is_none() {
        batch.opened = read(stack, &reference.opened_key()).await?;
    }
    if is_over && batch.manifest.is_none() {
        batch.manifest = read(stack, &reference.manifest_key()).await?;
    }
    // The first ones may be over before the last one is started.
    if record.mode == Mode::Bulk && batch.manifest.is_none() {
        let jobs: Option<JobsRecord> = read(stack, &reference.jobs_key()).await?;
        batch.jobs = jobs.map_or_else(Vec::new, |record| record.jobs);
    }
    let tally = stack.ledger.batch_progress(&batch.reference.item_of()).await?;
    batch.note_tally(tally, now);
    Ok(())
}

async fn read<T: DeserializeOwned>(stack: &Stack, key: &str) -> Result<Option<T>, Fault> {
    stack.store.get(key).await?.map(|body| parse(key, &body)).transpose()
}

/// Follows to the end. `screen` shows it on the way.
pub async fn follow(
    stack: &Stack,
    world: &World,
    screen: &mut Screen<'_>,
    batch: &mut Batch,
    watch: Watch,
) -> Outcome {
    let since = world.now();
    let (mut frame, mut failed, mut settling) = (0, 0, None);
    for n in 0.. {
        let ask = batch.record.is_none() || n % LOOKS_PER_STATUS == 0;
        failed = match look(stack, batch, world.now(), ask).await {
            Ok(()) => 0,
            Err(fault) if failed >= FAILED_LOOKS => return Err(fault.into()),
            Err(_) => failed + 1,
        };
        let now = world.now();
        let end = end(batch, watch, now - since, *settling.get_or_insert(now), now);
        if !matches!(batch.standing(), Standing::Settling(_)) {
            settling = None;
        }
        let late = watch.sent && batch.standing() == Standing::Unknown && now - since > SOON;
        screen.note(late.then(|| rejected(stack, "batch")));
        if let Some(end) = end {
            screen.last(batch, Moment { now, since, frame })?;
            return conclude(stack, batch, end, watch);
        }
        let pause = if now - since < Duration::from_secs(60) { PAUSE } else { LONG_PAUSE };
        for _ in 0..PICTURES {
            screen.show(batch, Moment { now: world.now(), since, frame })?;
            frame += 1;
            tokio::time::sleep(pause / PICTURES).await;
        }
    }
    Ok(Exit::TimedOut)
}

#[derive(Debug, PartialEq)]
enum End {
    Over(BatchStatus),
    Unclosed(String),
    NoBatch,
    TimedOut,
}

/// `settling`: when the execution was first seen to have ended, if it has.
fn end(
    batch: &Batch,
    watch: Watch,
    waited: time::Duration,
    settling: OffsetDateTime,
    now: OffsetDateTime,
) -> Option<End> {
    match batch.standing() {
        Standing::Over(status) => Some(End::Over(status)),
        Standing::Settling(status) if now - settling > SETTLING => Some(End::Unclosed(status)),
        Standing::Unknown if !watch.sent && waited > SOON => Some(End::NoBatch),
        _ if waited > watch.timeout => Some(End::TimedOut),
        _ => None,
    }
}

fn conclude(stack: &Stack, batch: &Batch, end: End, watch: Watch) -> Outcome {
    let id = &batch.reference.batch_id;
    let command = |rest: &str| format!("`{}`", stack.command(&format!("batch {rest}")));
    let failure = |exit, what: String, then: String| Err(Failure { exit, what, then });
    match end {
        End::Over(BatchStatus::Succeeded) => Ok(Exit::Done),
        End::Over(status) => {
            let counts = batch.manifest.as_ref().map(|manifest| manifest.sums.counts);
            let counts = counts.map(|counts| format!(": {}", view::counted(&counts)));
            let then = format!(
                "{} has them with their errors, {} runs again what is left",
                command(&format!("results {id} --failed")),
                command(&format!("retry {id}"))
            );
            failure(
                Exit::Failed,
                format!("the batch is {status}{}", counts.unwrap_or_default()),
                then,
            )
        }
        End::Unclosed(status) => failure(
            Exit::Failed,
            format!("the execution of {id} ended {status} and the batch was not closed"),
            format!(
                "{} settles it; what was finished lies in s3://{}/{}; the executions of the batch machine and \
                 the functions' logs have the cause",
                command(&format!("settle {id}")),
                stack.outputs.artifact_bucket,
                batch.reference.prefix()
            ),
        ),
        End::NoBatch => Err(unknown_batch(&stack.environment, id)),
        End::TimedOut => {
            let waited = figures::milliseconds(watch.timeout.as_millis() as u64);
            match batch.standing() {
                Standing::Unknown => failure(
                    Exit::TimedOut,
                    format!("no batch was started within {waited}"),
                    rejected(stack, "batch"),
                ),
                _ => failure(
                    Exit::TimedOut,
                    format!("the batch was not over within {waited}; it goes on"),
                    command(&format!("status {id} --watch")),
                ),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::tests::under_way;
    use time::macros::datetime;

    const SENT: Watch = Watch { timeout: Duration::from_secs(60), sent: true };
    const ASKED: Watch = Watch { timeout: Duration::from_secs(60), sent: false };
    const NOW: OffsetDateTime = datetime!(2026-11-01 12:00 UTC);

    #[test]
    fn a_batch_just_sent_is_waited_for_and_an_unknown_one_is_not() {
        let seconds = time::Duration::seconds;
        let unknown = Batch::new(under_way().reference);
        assert_eq!(end(&unknown, ASKED, seconds(5), NOW, NOW), None);
        assert_eq!(end(&unknown, ASKED, seconds(30), NOW, NOW), Some(End::NoBatch));
        assert_eq!(end(&unknown, SENT, seconds(30), NOW, NOW), None);
        assert_eq!(end(&unknown, SENT, seconds(61), NOW, NOW), Some(End::TimedOut));
    }

    #[test]
    fn an_execution_that_ended_has_a_while_to_be_closed() {
        let (mut ended, waited) = (under_way(), time::Duration::seconds(30));
        ended.execution = Some("ABORTED".into());
        assert_eq!(end(&ended, SENT, waited, NOW - SETTLING / 2, NOW), None);
        let unclosed = Some(End::Unclosed("ABORTED".into()));
        assert_eq!(end(&ended, SENT, waited, NOW - SETTLING * 2, NOW), unclosed);
        let record = ended.record.as_mut().unwrap();
        record.status = BatchStatus::Cancelled;
        let over = Some(End::Over(BatchStatus::Cancelled));
        assert_eq!(end(&ended, SENT, waited, NOW - SETTLING * 2, NOW), over);
    }
}
