use std::io::Write;
use std::time::Duration;

use crate::batch::Batch;
use crate::cmd::cancel::cancel;
use crate::exit::Outcome;
use crate::lookup::BatchName;
use crate::stack::Stack;
use crate::tracked::Tracked;
use crate::values::duration;
use crate::world::World;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    batch: BatchName,
    /// Exit as soon as the execution is stopped, before the batch is finalized
    #[arg(long)]
    no_wait: bool,
    /// Maximum time to wait, such as 90s, 30m or 2h; the batch is still finalized after it
    #[arg(long, value_name = "TIME", default_value = "30m", value_parser = duration)]
    timeout: Duration,
}

pub async fn run(args: Args, world: &World, out: &mut dyn Write) -> Outcome {
    let stack = Stack::find(world).await?;
    let batch_id = args.batch.find(&stack, world).await?;
    let batch = Batch::latest(&stack, &batch_id).await?;
    cancel(&stack, world, batch, (!args.no_wait).then_some(args.timeout), out).await
}
