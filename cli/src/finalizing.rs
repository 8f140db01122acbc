//! Finalizes a run or a batch whose execution has ended.

use std::io::Write;
use std::time::Duration;

use bcce_core::ports::DescribeEnd;
use bcce_core::run::execution_end::{ExecutionEnd, FinalizeEvent};
use time::OffsetDateTime;

use crate::exit::{Exit, Failure, Outcome};
use crate::follow::{Watch, follow};
use crate::screen::Screen;
use crate::stack::Stack;
use crate::tracked::{Status, Tracked};
use crate::world::World;

/// Starts the finalize machine for a run or a batch whose execution has ended, and waits until it is finalized.
///
/// # Errors
/// It is already finalized, or its execution is running, succeeded or unknown.
pub async fn finalize<T: Tracked>(
    stack: &Stack,
    world: &World,
    mut tracked: T,
    timeout: Duration,
    is_json: bool,
    out: &mut dyn Write,
) -> Outcome {
    let id = tracked.id().to_owned();
    if let Status::Over(status) = tracked.status() {
        let then = format!("{} shows it", tracked.command(stack, T::SHOW));
        return Err(Failure::usage(format!("{id} is already finalized: {status}"), then));
    }
    let end = T::machine(stack).end(&tracked.attempt().execution_name).await?;
    let end = end.or_else(|| forgotten(&tracked, world.now()));
    let event = FinalizeEvent::of(&id, end).map_err(|what| {
        let follow = tracked.command(stack, T::FOLLOW);
        Failure::usage(what, format!("{follow} waits until the {} ends", T::NOUN))
    })?;
    stack.finalize_machine.start_with(&event).await?;
    let watch = Watch { timeout, sent: false };
    let mut screen = Screen::new(world, out, is_json);
    let followed = follow(stack, world, &mut screen, &mut tracked, watch).await;
    let Status::Over(status) = tracked.status() else { return followed };
    match is_json {
        true => tracked.print_json(out)?,
        false => writeln!(out, "{id} is finalized: {status}")?,
    }
    Ok(Exit::Done)
}

/// Describes the end of an execution that Step Functions has deleted, as it does after 90 days. The description comes
/// from the record of the ledger. Returns `None` if there is no record.
fn forgotten(tracked: &impl Tracked, now: OffsetDateTime) -> Option<ExecutionEnd> {
    let attempt = tracked.attempt();
    let (execution_arn, started_at) = attempt.recorded?;
    let millis = |at: OffsetDateTime| (at.unix_timestamp_nanos() / 1_000_000) as i64;
    Some(ExecutionEnd {
        execution_arn,
        status: "ABORTED".to_owned(),
        input: Some(attempt.input.to_string()),
        start_date: millis(started_at),
        stop_date: Some(millis(now)),
        error: None,
        cause: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::references::run_reference;
    use crate::run::Run;
    use crate::run::samples::record;
    use bcce_core::run::ids::RunRef;
    use bcce_core::run::notification::RunStatus;

    #[test]
    fn what_step_functions_has_forgotten_is_finalized_by_its_record() {
        let record = record(2, RunStatus::Running).unwrap();
        let (reference, started_at) = (run_reference(&record), record.started_at);
        let mut run = Run::new(reference.clone());
        assert_eq!(forgotten(&run, started_at), None, "no record");
        run.note_record(Some(record));
        let event = FinalizeEvent::of("r", forgotten(&run, started_at)).unwrap();
        let input = event.detail.input.unwrap();
        assert_eq!(serde_json::from_str::<RunRef>(&input).unwrap(), reference);
        assert_eq!(event.detail.stop_date, Some(event.detail.start_date));
    }
}
