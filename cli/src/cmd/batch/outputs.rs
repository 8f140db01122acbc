use std::io::Write;

use crate::batch::objects::{Lines, manifest, print};
use crate::exit::{Exit, Outcome};
use crate::lookup::BatchName;
use crate::stack::Stack;
use crate::world::World;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    batch: BatchName,
    /// Number of the attempt to read [default: the latest that has ended]
    #[arg(long, value_name = "N")]
    attempt: Option<u32>,
}

pub async fn run(args: Args, world: &World, out: &mut dyn Write) -> Outcome {
    let stack = Stack::find(world).await?;
    let batch_id = args.batch.find(&stack, world).await?;
    let manifest = manifest(&stack, &batch_id, args.attempt).await?;
    print(&stack, manifest.outputs.as_ref(), "outputs", Lines::new(|_| true), out).await?;
    Ok(Exit::Done)
}
