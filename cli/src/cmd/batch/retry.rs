use std::io::Write;
use std::time::Duration;

use bcce_core::batch::{BatchManifest, BatchRef, BatchStatus};
use bcce_core::io::objects::find;
use bcce_core::ledger::BatchRecord;
use bcce_core::run::ids::MAX_ATTEMPTS;

use crate::batch::Batch;
use crate::cmd::retry::{not_over, retry};
use crate::exit::{Failure, Outcome};
use crate::json::{self, Field};
use crate::lookup::BatchName;
use crate::references::batch_reference;
use crate::stack::Stack;
use crate::tracked::Tracked;
use crate::values::duration;
use crate::world::World;

/// The fields of an attempt that was started.
const STARTED: [Field; 2] =
    [("batch_id", "id of the batch"), ("attempt_no", "number of the attempt, from 1")];

#[derive(Debug, clap::Args)]
#[command(after_long_help = json::fields("Prints the new attempt. With --wait, prints the state of the batch when it ends, as `bcce batch status` does.", &[&STARTED]))]
pub struct Args {
    #[command(flatten)]
    batch: BatchName,
    /// Watch the batch until it ends, and exit with 0 if every item succeeded, 1 if not
    #[arg(long)]
    wait: bool,
    /// Maximum time to wait with --wait, such as 90s, 30m or 2h; the batch continues after it
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = duration, requires = "wait")]
    timeout: Duration,
    /// Print the batch id and the attempt as JSON, or with --wait the state of the batch when it ends
    #[arg(long)]
    json: bool,
}

pub async fn run(args: Args, world: &World, out: &mut dyn Write) -> Outcome {
    let stack = Stack::find(world).await?;
    let batch_id = args.batch.find(&stack, world).await?;
    let records = stack.batch_records(&batch_id).await?;
    let record = &records[records.len() - 1];
    let latest = Batch::new(batch_reference(record));
    let mut execution = None;
    let mut manifest = None;
    if record.status == BatchStatus::Running {
        execution = stack.batch_machine.status(&latest.reference.execution_name()).await?;
    } else {
        manifest = find(&stack.store, &latest.reference.manifest_key()).await?;
    }
    let command = |verb: &str| latest.command(&stack, verb);
    let next = next(record, execution.as_deref(), manifest.as_ref(), command)?;
    retry(&stack, world, Batch::new(next), args.wait.then_some(args.timeout), args.json, out).await
}

/// Returns the next attempt. `execution` is the status of the execution of an attempt that has not ended, and
/// `manifest` the manifest of one that has.
///
/// # Errors
/// The batch has not ended, has no remaining items, or has used all of its attempts.
fn next(
    latest: &BatchRecord,
    execution: Option<&str>,
    manifest: Option<&BatchManifest>,
    command: impl Fn(&str) -> String,
) -> Outcome<BatchRef> {
    let id = &latest.batch_id;
    if latest.status == BatchStatus::Running {
        return Err(not_over::<Batch>(id, latest.attempt_no, execution, command));
    }
    // If the batch was refused before it was opened, all of its items remain.
    let left = manifest.filter(|manifest| manifest.opened.is_some()).map(left);
    if latest.status == BatchStatus::Succeeded || left == Some(0) {
        let rejected = manifest.map_or(0, |manifest| manifest.sums.counts.rejected);
        let why = match rejected {
            0 => "every item succeeded".to_owned(),
            _ => {
                format!(
                    "{rejected} items were rejected and would be rejected again; the others succeeded"
                )
            }
        };
        return Err(Failure::usage(
            format!("{id} has no items to run again: {why}"),
            format!(
                "{} prints the answers; submit corrected items as a new batch",
                command("outputs")
            ),
        ));
    }
    batch_reference(latest).retry().ok_or_else(|| {
        Failure::usage(
            format!("{id} has used all {MAX_ATTEMPTS} attempts"),
            format!(
                "{} shows why items failed; use a new --id to start a new batch",
                command("results")
            ),
        )
    })
}

/// Returns the number of items that can still run.
fn left(manifest: &BatchManifest) -> u64 {
    let counts = &manifest.sums.counts;
    counts.failed + counts.cancelled + counts.skipped + counts.running
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::samples::{manifest, opened, record};
    use crate::exit::Exit;

    fn of(
        attempt: u32,
        status: BatchStatus,
        change: impl Fn(&mut BatchManifest),
    ) -> Outcome<BatchRef> {
        let mut manifest = manifest();
        manifest.opened = Some(opened());
        change(&mut manifest);
        let command = |verb: &str| format!("`bcce batch {verb}`");
        next(&record(attempt, status), Some("RUNNING"), Some(&manifest), command)
    }

    #[test]
    fn what_is_left_is_the_next_attempts() {
        for status in [BatchStatus::Partial, BatchStatus::Failed, BatchStatus::Cancelled] {
            assert_eq!(of(2, status, |_| {}).unwrap().attempt_no, 3);
        }
        let skipped = |manifest: &mut BatchManifest| {
            manifest.sums.counts.failed = 0;
            manifest.sums.counts.skipped = 1;
        };
        assert!(of(1, BatchStatus::Failed, skipped).is_ok());
        let refused = |manifest: &mut BatchManifest| {
            manifest.opened = None;
            manifest.sums.counts = Default::default();
        };
        assert!(of(1, BatchStatus::Failed, refused).is_ok(), "the batch was never opened");
    }

    #[test]
    fn a_batch_that_is_not_over_or_has_nothing_left_is_refused_with_the_reason() {
        let why = |refused: Outcome<BatchRef>| {
            let failure = refused.unwrap_err();
            assert_eq!(failure.exit, Exit::Usage);
            format!("{} -> {}", failure.what, failure.then)
        };
        assert!(why(of(1, BatchStatus::Running, |_| {})).contains("running, as attempt 1"));
        let all = why(of(1, BatchStatus::Succeeded, |manifest| {
            manifest.sums.counts.rejected = 0;
        }));
        assert!(all.contains("every item succeeded"), "{all}");
        let only_rejected = |manifest: &mut BatchManifest| manifest.sums.counts.failed = 0;
        let message = why(of(1, BatchStatus::Partial, only_rejected));
        assert!(message.contains("3 items were rejected"), "{message}");
        assert!(why(of(MAX_ATTEMPTS, BatchStatus::Failed, |_| {})).contains("99 attempts"));
    }
}
