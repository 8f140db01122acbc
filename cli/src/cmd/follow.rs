use std::io::Write;
use std::time::Duration;

use bcce_core::run::ids::RunRef;

use crate::exit::Outcome;
use crate::follow::{Watch, follow_and_print};
use crate::run::Run;
use crate::stack::Stack;
use crate::values::{duration, run_id};
use crate::world::World;

/// The hash of a run id and the dash before it.
const HASH: usize = 33;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Id of the run
    #[arg(value_name = "RUN", value_parser = run_id)]
    run: String,
    /// Stop waiting after this long; the run goes on
    #[arg(long, value_name = "TIME", default_value = "30m", value_parser = duration)]
    timeout: Duration,
    /// Show nothing on the way and print the run's record when it is over
    #[arg(long)]
    json: bool,
}

pub async fn run(args: Args, world: &World, out: &mut dyn Write) -> Outcome {
    let stack = Stack::find(world).await?;
    // Until the ledger has the rest, only the id is known.
    let mut reference = RunRef::first("default", &args.run[..args.run.len() - HASH], "");
    reference.run_id = args.run;
    let watch = Watch { timeout: args.timeout, sent: false };
    follow_and_print(&stack, world, Run::new(reference), watch, args.json, out).await
}
