use std::io::Write;

use crate::exit::{Exit, Failure, Outcome};
use crate::seal::key::{Known, pem, pin};
use crate::stack::Stack;
use crate::world::World;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Write the key to infra/config/ENV/signing-key.pem; `verify` then compares the key in KMS with this file
    #[arg(long)]
    pin: bool,
}

pub async fn run(args: Args, world: &World, out: &mut dyn Write) -> Outcome {
    // If the file exists with another key, `find` fails and names both keys.
    let key = Known::find(None, &Stack::find(world).await?).await?;
    if !args.pin {
        write!(out, "{}", pem(&key.key)?)?;
        return Ok(Exit::Done);
    }
    if key.file.is_some() {
        let path = pin(&world.environment);
        let what = format!("{} already has this key", path.display());
        return Err(Failure::usage(what, "nothing to do"));
    }
    let path = key.pin(&world.environment)?;
    writeln!(out, "{}", key.describe_pinned(&path))?;
    Ok(Exit::Done)
}
