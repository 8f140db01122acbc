use std::io::Write;

use crate::exit::{Exit, Outcome};
use crate::seal::{key_of, pem};
use crate::stack::Stack;
use crate::world::World;

#[derive(Debug, clap::Args)]
pub struct Args {}

pub async fn run(Args {}: Args, world: &World, out: &mut dyn Write) -> Outcome {
    let stack = Stack::find(world).await?;
    let key = key_of(&stack.signing_key.public_key().await?)?;
    write!(out, "{}", pem(&key)?)?;
    Ok(Exit::Done)
}
