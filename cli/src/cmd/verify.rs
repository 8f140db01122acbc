use std::io::Write;

use bcce_core::ports::ReadAttempts;

use crate::exit::{Exit, Outcome};
use crate::json;
use crate::lookup::RunName;
use crate::seal::run::verified;
use crate::seal::verified::FIELDS;
use crate::stack::Stack;
use crate::world::World;

#[derive(Debug, clap::Args)]
#[command(after_long_help = json::fields("Prints an object.", &[&[("run_id", "id of the run")], &FIELDS]))]
pub struct Args {
    #[command(flatten)]
    run: RunName,
    /// Number of the run attempt to verify [default: the latest that is sealed]
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
    let run_id = args.run.find(&stack, world).await?;
    let records = stack.ledger.attempts(&run_id).await?;
    let (attempt, public_key) = (args.attempt, args.public_key.as_deref());
    let verified = verified(&stack, &run_id, &records, attempt, public_key).await?;
    let exit = verified.print(args.json, world, out)?;
    // The objects of a run attempt are in no manifest before it is sealed.
    let under_way = records.iter().filter(|record| record.ended_at.is_none());
    for record in under_way.filter(|_| exit == Exit::Failed && !args.json) {
        let attempt = record.attempt_no;
        writeln!(out, "run attempt {attempt} is under way, and its objects are not sealed yet")?;
    }
    Ok(exit)
}
