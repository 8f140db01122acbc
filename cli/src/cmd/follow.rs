use std::io::Write;
use std::time::Duration;

use bcce_core::run::ids::RunRef;

use crate::exit::Outcome;
use crate::follow::{Watch, follow_and_print};
use crate::json;
use crate::lookup::RunName;
use crate::run::Run;
use crate::stack::Stack;
use crate::values::duration;
use crate::world::World;

/// The length of the hash of a run id with the hyphen before it.
const HASH: usize = 33;

#[derive(Debug, clap::Args)]
#[command(after_long_help = json::fields("Prints the record of the latest run attempt, once the run has ended.", &[&json::records::RUN]))]
pub struct Args {
    #[command(flatten)]
    run: RunName,
    /// Maximum time to wait, such as 90s, 30m or 2h; the run continues after it
    #[arg(long, value_name = "TIME", default_value = "30m", value_parser = duration)]
    timeout: Duration,
    /// Show no progress, and print the record of the run as JSON when it ends
    #[arg(long)]
    json: bool,
}

pub async fn run(args: Args, world: &World, out: &mut dyn Write) -> Outcome {
    let stack = Stack::find(world).await?;
    let run_id = args.run.find(&stack, world).await?;
    // Only the id is known. The other fields come from the ledger.
    let mut reference = RunRef::first("default", &run_id[..run_id.len() - HASH], "");
    reference.run_id = run_id;
    let watch = Watch { timeout: args.timeout, sent: false };
    follow_and_print(&stack, world, Run::new(reference), watch, args.json, out).await
}
