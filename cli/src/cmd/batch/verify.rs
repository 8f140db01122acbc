use std::io::Write;

use crate::batch::objects::sealed;
use crate::exit::Outcome;
use crate::json;
use crate::lookup::BatchName;
use crate::seal::batch::verified;
use crate::seal::verified::FIELDS;
use crate::stack::Stack;
use crate::world::World;

#[derive(Debug, clap::Args)]
#[command(after_long_help = json::fields("Prints an object.", &[&[("batch_id", "id of the batch")], &FIELDS]))]
pub struct Args {
    #[command(flatten)]
    batch: BatchName,
    /// Number of the attempt to verify [default: the latest that has ended]
    #[arg(long, value_name = "N")]
    attempt: Option<u32>,
    /// PEM file with the public key, as `bcce key` prints it; KMS is not called
    #[arg(long, value_name = "FILE")]
    public_key: Option<String>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

pub async fn run(args: Args, world: &World, out: &mut dyn Write) -> Outcome {
    let stack = Stack::find(world).await?;
    let batch_id = args.batch.find(&stack, world).await?;
    let batch = sealed(&stack, &batch_id, args.attempt).await?;
    let verified = verified(&stack, &batch, args.public_key.as_deref()).await?;
    verified.print(args.json, world, out)
}
