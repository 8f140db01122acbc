use std::io::Write;
use std::time::Duration;

use bcce_core::batch::packed::PackedPlace;

use crate::exit::{Failure, Outcome};
use crate::finalizing::finalize;
use crate::json::{self, records};
use crate::lookup::RunName;
use crate::run::Run;
use crate::stack::Stack;
use crate::tracked::Tracked;
use crate::values::duration;
use crate::world::World;

#[derive(Debug, clap::Args)]
#[command(after_long_help = json::fields("Prints the record of the run when it is finalized, as `bcce runs follow` does.", &[&records::RUN]))]
pub struct Args {
    #[command(flatten)]
    run: RunName,
    /// Maximum time to wait, such as 90s, 30m or 2h; the run is still finalized after it
    #[arg(long, value_name = "TIME", default_value = "30m", value_parser = duration)]
    timeout: Duration,
    /// Show no progress, and print the result as JSON
    #[arg(long)]
    json: bool,
}

pub async fn run(args: Args, world: &World, out: &mut dyn Write) -> Outcome {
    let stack = Stack::find(world).await?;
    let run_id = args.run.find(&stack, world).await?;
    let run = Run::latest(&stack, &run_id).await?;
    if let Some(packed) = run.packed_attempt().filter(|packed| !packed.is_sealed()) {
        return Err(of_batch(&run_id, &packed.place, |rest| stack.command(rest)));
    }
    finalize(&stack, world, run, args.timeout, args.json, out).await
}

/// Returns the failure for a packed run: only its batch can be finalized.
fn of_batch(id: &str, place: &PackedPlace, command: impl Fn(&str) -> String) -> Failure {
    let batch_id = &place.batch.batch_id;
    Failure::usage(
        format!(
            "{id} has no execution of its own: it is sealed with part {} of the batch {batch_id}",
            place.part
        ),
        format!(
            "`{}` shows the batch; if its execution has ended, `{}` finalizes it with all of its runs",
            command(&format!("batch status {batch_id}")),
            command(&format!("batch finalize {batch_id}"))
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packed::samples::place;

    #[test]
    fn a_packed_run_is_finalized_with_its_batch() {
        let failure = of_batch("r", &place(7, 1), |rest| format!("bcce {rest}"));
        let batch_id = place(7, 1).batch.batch_id;
        assert!(failure.what.contains(&format!("part 2 of the batch {batch_id}")), "{failure:?}");
        assert!(failure.then.contains(&format!("`bcce batch finalize {batch_id}`")), "{failure:?}");
    }
}
