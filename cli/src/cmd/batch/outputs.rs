use std::io::Write;

use crate::batch::objects::{Lines, manifest, print};
use crate::exit::{Exit, Outcome};
use crate::stack::Stack;
use crate::values::batch_id;
use crate::world::World;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Id of the batch, as `bcce batch list` shows it
    #[arg(value_name = "BATCH", value_parser = batch_id)]
    batch: String,
    /// Number of the attempt to read [default: the latest that has ended]
    #[arg(long, value_name = "N")]
    attempt: Option<u32>,
}

pub async fn run(args: Args, world: &World, out: &mut dyn Write) -> Outcome {
    let stack = Stack::find(world).await?;
    let manifest = manifest(&stack, &args.batch, args.attempt).await?;
    print(&stack, manifest.outputs.as_ref(), "outputs", Lines::new(|_| true), out).await?;
    Ok(Exit::Done)
}
