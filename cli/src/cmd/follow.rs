use std::io::Write;
use std::time::Duration;

use bcce_core::run::ids::RunRef;
use bcce_core::run::notice::RunStatus;

use crate::arguments::{duration, run_id};
use crate::exit::Outcome;
use crate::follow::screen::Screen;
use crate::follow::{Watch, follow};
use crate::progress::{Progress, Standing};
use crate::stack::Stack;
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
    // Until the ledger tells the rest, only the id is known.
    let mut reference = RunRef::first("default", &args.run[..args.run.len() - HASH], "");
    reference.run_id = args.run;
    let mut progress = Progress::new(reference);
    let watch = Watch { timeout: args.timeout, sent: false };
    let outcome =
        follow(&stack, world, &mut Screen::new(world, out, args.json), &mut progress, watch).await;
    print_end(&stack, &progress, args.json, out)?;
    outcome
}

/// What is left to say on standard output when a run was followed.
pub fn print_end(
    stack: &Stack,
    progress: &Progress,
    json: bool,
    out: &mut dyn Write,
) -> std::io::Result<()> {
    let run_id = &progress.run.run_id;
    match (&progress.record, progress.standing()) {
        (Some(record), _) if json => writeln!(out, "{}", serde_json::to_string_pretty(record)?),
        (_, Standing::Over(RunStatus::Succeeded)) if !json => {
            let output = stack.command(&format!("runs output {run_id}"));
            writeln!(out, "-> `{output}` prints the answer")
        }
        _ => Ok(()),
    }
}
