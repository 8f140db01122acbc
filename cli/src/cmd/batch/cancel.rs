use std::io::Write;
use std::time::Duration;

use crate::batch::Batch;
use crate::batch::json::FIELDS;
use crate::cmd::cancel::cancel;
use crate::exit::Outcome;
use crate::json;
use crate::lookup::BatchName;
use crate::stack::Stack;
use crate::tracked::Tracked;
use crate::values::duration;
use crate::world::World;

#[derive(Debug, clap::Args)]
#[command(after_long_help = json::fields("Prints the state of the batch, as `bcce batch status` does. With --no-wait, prints only the id and the attempt.", &[&FIELDS]))]
pub struct Args {
    #[command(flatten)]
    batch: BatchName,
    /// Exit as soon as the execution is stopped, before the batch is finalized
    #[arg(long)]
    no_wait: bool,
    /// Maximum time to wait, such as 90s, 30m or 2h; the batch is still finalized after it
    #[arg(long, value_name = "TIME", default_value = "30m", value_parser = duration)]
    timeout: Duration,
    /// Show no progress, and print the result as JSON
    #[arg(long)]
    json: bool,
}

pub async fn run(args: Args, world: &World, out: &mut dyn Write) -> Outcome {
    let stack = Stack::find(world).await?;
    let batch_id = args.batch.find(&stack, world).await?;
    let batch = Batch::latest(&stack, &batch_id).await?;
    cancel(&stack, world, batch, (!args.no_wait).then_some(args.timeout), args.json, out).await
}
