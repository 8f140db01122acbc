use std::io::Write;
use std::time::Duration;

use bcce_core::ledger::RunRecord;
use bcce_core::ports::{StartRun, Started};
use bcce_core::run::ids::{MAX_ATTEMPTS, RunRef};
use bcce_core::run::notice::RunStatus;
use serde_json::json;

use super::follow::print_end;
use crate::arguments::{duration, run_id};
use crate::exit::{Exit, Failure, Outcome};
use crate::follow::screen::Screen;
use crate::follow::{Watch, follow};
use crate::progress::Progress;
use crate::stack::{Stack, reference};
use crate::world::World;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Id of the run
    #[arg(value_name = "RUN", value_parser = run_id)]
    run: String,
    /// Follow the run and exit by its status
    #[arg(long)]
    wait: bool,
    /// With --wait: stop waiting after this long; the run goes on
    #[arg(long, value_name = "TIME", default_value = "30m", value_parser = duration, requires = "wait")]
    timeout: Duration,
    /// Print JSON: what was started, or with --wait the run's record when it is over
    #[arg(long)]
    json: bool,
}

pub async fn run(args: Args, world: &World, out: &mut dyn Write) -> Outcome {
    let stack = Stack::find(world).await?;
    let records = stack.records(&args.run).await?;
    let latest = &records[records.len() - 1];
    let status = match latest.status {
        RunStatus::Running => stack.machine.status(&reference(latest).execution_name()).await?,
        _ => None,
    };
    let command = |verb: &str| format!("`{}`", stack.command(&format!("runs {verb} {}", args.run)));
    let retry = next(latest, status.as_deref(), command)?;
    match stack.machine.start(&retry).await? {
        Started::Running { .. } => {}
        Started::Existed => {
            crate::terminal::note(&format!("attempt {} was started before", retry.attempt_no))
        }
        Started::Throttled => {
            return Err(Failure::unreachable(
                "states:StartExecution: too many starts just now; nothing was started",
                "try again in a minute",
            ));
        }
    }
    if !args.wait {
        let (run_id, attempt_no) = (&retry.run_id, retry.attempt_no);
        match args.json {
            true => writeln!(out, "{}", json!({ "run_id": run_id, "attempt_no": attempt_no }))?,
            false => writeln!(out, "{run_id}  attempt {attempt_no}")?,
        }
        return Ok(Exit::Done);
    }
    let mut progress = Progress::new(retry);
    let watch = Watch { timeout: args.timeout, sent: true };
    let outcome =
        follow(&stack, world, &mut Screen::new(world, out, args.json), &mut progress, watch).await;
    print_end(&stack, &progress, args.json, out)?;
    outcome
}

/// The next attempt, or why there is none. `execution`: how the latest stands, where it is not over. The
/// ledger decides, since Step Functions forgets a name after 90 days.
fn next(
    latest: &RunRecord,
    execution: Option<&str>,
    command: impl Fn(&str) -> String,
) -> Outcome<RunRef> {
    let id = &latest.run_id;
    match (latest.status, execution) {
        (RunStatus::Succeeded, _) => Err(Failure::usage(
            format!("{id} succeeded: there is nothing to retry"),
            format!("{} prints its answer; a new --id runs the request again", command("output")),
        )),
        (RunStatus::Running, Some("RUNNING")) => Err(Failure::usage(
            format!("{id} is running, as attempt {}", latest.attempt_no),
            format!("{} waits for its end, {} stops it", command("follow"), command("cancel")),
        )),
        (RunStatus::Running, ended) => Err(Failure::usage(
            format!(
                "the execution of {id} is over ({}) and the run is not settled yet",
                ended.unwrap_or("Step Functions knows it no more")
            ),
            format!(
                "{} waits for its end; if none comes, {} settles it",
                command("follow"),
                command("settle")
            ),
        )),
        _ => reference(latest).retry().ok_or_else(|| {
            Failure::usage(
                format!("{id} had {MAX_ATTEMPTS} attempts, and no run has more"),
                format!("{} tells why they failed; a new --id is a new run", command("explain")),
            )
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::tests::record;

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
    fn a_run_that_is_not_over_or_needs_none_is_refused_with_the_reason() {
        let why = |refused: Outcome<RunRef>| {
            let failure = refused.unwrap_err();
            assert_eq!(failure.exit, Exit::Usage);
            format!("{} -> {}", failure.what, failure.then)
        };
        assert!(why(of(1, RunStatus::Succeeded, None)).contains("nothing to retry"));
        assert!(why(of(1, RunStatus::Running, Some("RUNNING"))).contains("running, as attempt 1"));
        let unsettled = why(of(1, RunStatus::Running, Some("ABORTED")));
        assert!(
            unsettled.contains("(ABORTED)") && unsettled.contains("runs settle"),
            "{unsettled}"
        );
        assert!(why(of(1, RunStatus::Running, None)).contains("not settled"));
        assert!(why(of(MAX_ATTEMPTS, RunStatus::Failed, None)).contains("99 attempts"));
    }
}
