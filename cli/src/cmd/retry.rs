use std::io::Write;
use std::time::Duration;

use bcce_core::batch::packed::PackedPlace;
use bcce_core::ledger::RunRecord;
use bcce_core::ports::Started;
use bcce_core::run::ids::{MAX_ATTEMPTS, RunRef};
use bcce_core::run::notification::RunStatus;
use serde_json::json;

use crate::exit::{Exit, Failure, Outcome};
use crate::follow::{Watch, follow_and_print};
use crate::json::{self, Field};
use crate::lookup::RunName;
use crate::references::run_reference;
use crate::run::Run;
use crate::stack::Stack;
use crate::terminal::note;
use crate::tracked::Tracked;
use crate::values::duration;
use crate::world::World;

/// The fields of an attempt that was started.
const STARTED: [Field; 2] =
    [("run_id", "id of the run"), ("attempt_no", "number of the attempt, from 1")];

#[derive(Debug, clap::Args)]
#[command(after_long_help = json::fields("Prints the new run attempt. With --wait, prints the record of the run when it ends, as `bcce runs follow` does.", &[&STARTED]))]
pub struct Args {
    #[command(flatten)]
    run: RunName,
    /// Follow the run until it ends, and exit with 0 if it succeeded, 1 if not
    #[arg(long)]
    wait: bool,
    /// Maximum time to wait with --wait, such as 90s, 30m or 2h; the run continues after it
    #[arg(long, value_name = "TIME", default_value = "30m", value_parser = duration, requires = "wait")]
    timeout: Duration,
    /// Print the run id and the run attempt as JSON, or with --wait the record of the run when it ends
    #[arg(long)]
    json: bool,
}

pub async fn run(args: Args, world: &World, out: &mut dyn Write) -> Outcome {
    let stack = Stack::find(world).await?;
    let run_id = args.run.find(&stack, world).await?;
    let (latest, records) = Run::find(&stack, &run_id).await?;
    let record = &records[records.len() - 1];
    if let Some(packed) = latest.packed_attempt().filter(|packed| !packed.is_sealed()) {
        return Err(not_sealed(record, &packed.place, |rest| stack.command(rest)));
    }
    let execution = match record.status {
        RunStatus::Running => stack.machine.status(&latest.reference.execution_name()).await?,
        _ => None,
    };
    let next = next(record, execution.as_deref(), |verb| latest.command(&stack, verb))?;
    retry(&stack, world, Run::new(next), args.wait.then_some(args.timeout), args.json, out).await
}

/// Starts the next attempt of a run or a batch. If there is a `wait`, follows the attempt for at most that time.
pub async fn retry<T: Tracked>(
    stack: &Stack,
    world: &World,
    next: T,
    wait: Option<Duration>,
    is_json: bool,
    out: &mut dyn Write,
) -> Outcome {
    let id = next.id();
    let attempt_no = next.attempt().number;
    match next.start(stack).await? {
        Started::Running { .. } => {}
        Started::Existed => note(&format!("note: attempt {attempt_no} was started before")),
        Started::Throttled => {
            return Err(Failure::unreachable(
                "states:StartExecution: too many executions are being started; nothing was started",
                "try again in a minute",
            ));
        }
    }
    if let Some(timeout) = wait {
        let watch = Watch { timeout, sent: true };
        return follow_and_print(stack, world, next, watch, is_json, out).await;
    }
    if is_json {
        let name = format!("{}_id", T::NOUN);
        json::print(&json!({ name: id, "attempt_no": attempt_no }), out)?;
    } else {
        writeln!(out, "{id}  attempt {attempt_no}")?;
    }
    Ok(Exit::Done)
}

/// Returns the next run attempt. `execution` is the status of the execution of a run attempt that has not ended. The
/// ledger decides, because Step Functions forgets the name of an execution after 90 days.
///
/// # Errors
/// The run succeeded, has not ended, or has used all of its run attempts.
fn next(
    latest: &RunRecord,
    execution: Option<&str>,
    command: impl Fn(&str) -> String,
) -> Outcome<RunRef> {
    let id = &latest.run_id;
    match latest.status {
        RunStatus::Succeeded => Err(Failure::usage(
            format!("{id} succeeded: there is nothing to retry"),
            format!(
                "{} prints its answer; use a new --id to run the request again",
                command("output")
            ),
        )),
        RunStatus::Running => Err(not_over::<Run>(id, latest.attempt_no, execution, command)),
        _ => run_reference(latest).retry().ok_or_else(|| {
            Failure::usage(
                format!("{id} has used all {MAX_ATTEMPTS} attempts"),
                format!(
                    "{} shows why the run failed; use a new --id to start a new run",
                    command("explain")
                ),
            )
        }),
    }
}

/// Returns the failure for a packed run whose part is not sealed: its batch is working on the part.
fn not_sealed(
    latest: &RunRecord,
    place: &PackedPlace,
    command: impl Fn(&str) -> String,
) -> Failure {
    let (id, batch_id) = (&latest.run_id, &place.batch.batch_id);
    let what = match latest.status {
        RunStatus::Running => {
            format!("{id} is running, as attempt {}, in the batch {batch_id}", latest.attempt_no)
        }
        over => format!(
            "{id} ended with {over}, but its part of the batch {batch_id} is running and not sealed yet"
        ),
    };
    let watch = command(&format!("batch status {batch_id} --watch"));
    let retry = command(&format!("batch retry {batch_id}"));
    let then = format!(
        "`{watch}` waits until the batch ends; then run this command again, or `{retry}` for all items that did not succeed"
    );
    Failure::usage(what, then)
}

/// Returns the failure for an attempt that has not ended. `execution` is the status of its execution.
pub fn not_over<T: Tracked>(
    id: &str,
    attempt_no: u32,
    execution: Option<&str>,
    command: impl Fn(&str) -> String,
) -> Failure {
    let follow = command(T::FOLLOW);
    if execution == Some("RUNNING") {
        let then = format!("{follow} waits until it ends, {} stops it", command("cancel"));
        return Failure::usage(format!("{id} is running, as attempt {attempt_no}"), then);
    }
    let ended = execution.unwrap_or("unknown to Step Functions");
    Failure::usage(
        format!(
            "the execution of {id} has ended ({ended}) and the {} is not finalized yet",
            T::NOUN
        ),
        format!(
            "{follow} waits until it is finalized; {} finalizes it if that does not happen",
            command("finalize")
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packed::samples::place;
    use crate::run::samples::record;

    fn of(attempt: u32, status: RunStatus, execution: Option<&str>) -> Outcome<RunRef> {
        next(&record(attempt, status).unwrap(), execution, |verb| format!("`bcce runs {verb}`"))
    }

    #[test]
    fn what_failed_or_was_cancelled_has_a_next_attempt() {
        for status in [RunStatus::Failed, RunStatus::Cancelled, RunStatus::Rejected] {
            assert_eq!(of(2, status, None).unwrap().attempt_no, 3);
        }
    }

    #[test]
    fn a_packed_run_is_retried_once_its_part_is_sealed() {
        let batch_id = place(7, 1).batch.batch_id;
        let refused = |status| {
            let record = record(1, status).unwrap();
            not_sealed(&record, &place(7, 1), |rest| format!("bcce {rest}"))
        };
        for (status, what) in [
            (RunStatus::Running, "is running, as attempt 1, in the batch"),
            (RunStatus::Failed, "ended with FAILED, but its part of the batch"),
        ] {
            let failure = refused(status);
            assert_eq!(failure.exit, Exit::Usage);
            assert!(failure.what.contains(what) && failure.what.contains(&batch_id), "{failure:?}");
            assert!(failure.then.contains("batch status") && failure.then.contains("batch retry"));
        }
    }

    #[test]
    fn a_run_that_is_not_over_or_needs_none_is_refused_with_the_reason() {
        let why = |refused: Outcome<RunRef>| {
            let failure = refused.unwrap_err();
            assert_eq!(failure.exit, Exit::Usage);
            format!("{} -> {}", failure.what, failure.then)
        };
        assert!(why(of(1, RunStatus::Succeeded, None)).contains("nothing to retry"));
        assert!(why(of(1, RunStatus::Running, Some("RUNNING"))).contains("running, as attempt 1"));
        let open = why(of(1, RunStatus::Running, Some("ABORTED")));
        assert!(open.contains("(ABORTED)") && open.contains("runs finalize"), "{open}");
        assert!(why(of(1, RunStatus::Running, None)).contains("not finalized"));
        assert!(why(of(MAX_ATTEMPTS, RunStatus::Failed, None)).contains("99 attempts"));
    }
}
