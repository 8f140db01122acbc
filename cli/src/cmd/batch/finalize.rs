use std::io::Write;
use std::time::Duration;

use crate::batch::Batch;
use crate::batch::json::FIELDS;
use crate::exit::Outcome;
use crate::finalizing::finalize;
use crate::json;
use crate::lookup::BatchName;
use crate::stack::Stack;
use crate::tracked::Tracked;
use crate::values::duration;
use crate::world::World;

#[derive(Debug, clap::Args)]
#[command(after_long_help = json::fields("Prints the state of the batch when it is finalized, as `bcce batch status` does.", &[&FIELDS]))]
pub struct Args {
    #[command(flatten)]
    batch: BatchName,
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
    finalize(&stack, world, batch, args.timeout, args.json, out).await
}
