use std::io::Write;

use crate::batch::objects::{manifest, print};
use crate::exit::{Exit, Outcome};
use crate::json::{self, Field};
use crate::lookup::BatchName;
use crate::stack::Stack;
use crate::world::World;

const FIELDS: [Field; 6] = [
    ("n", "number of the item in the batch, from 1"),
    ("line", "line of the source on which the item begins, or place of the object in the listing"),
    ("id", "id of the item"),
    ("run_id", "id of the run"),
    (
        "output",
        "the answer: a text, JSON if the workflow asks for it, or a list of answers if the step has `for_each`",
    ),
    ("truncated", "number of answers that max_tokens cut; missing if there are none"),
];

#[derive(Debug, clap::Args)]
#[command(after_long_help = json::fields("Prints a line of JSON for each item that succeeded.", &[&FIELDS]))]
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
    print(&stack, manifest.outputs.as_ref(), "outputs", |_| true, out).await?;
    Ok(Exit::Done)
}
