use std::io::Write;

use crate::exit::{Exit, Failure, Outcome};
use crate::seal::key::{Known, pem, pin};
use crate::stack::Stack;
use crate::world::World;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Write it to infra/config/<ENV>/signing-key.pem, which `verify` compares KMS with from then on
    #[arg(long)]
    pin: bool,
}

pub async fn run(args: Args, world: &World, out: &mut dyn Write) -> Outcome {
    // Of a file that is there and another key, this is the fault that says both.
    let key = Known::find(None, &Stack::find(world).await?).await?;
    if !args.pin {
        write!(out, "{}", pem(&key.key)?)?;
        return Ok(Exit::Done);
    }
    if key.file.is_some() {
        let path = pin(&world.environment);
        let what = format!("{} has this key already", path.display());
        return Err(Failure::usage(what, "nothing is left to do"));
    }
    let path = key.pin(&world.environment)?;
    writeln!(out, "{}", key.describe_pinned(&path))?;
    Ok(Exit::Done)
}
