use std::io::Write;

use crate::exit::{Exit, Outcome};
use crate::seal::{key_of, pem};
use crate::stack::Stack;
use crate::world::World;

/// A manifest is verified anywhere with it: `bcce runs verify --public-key FILE`, or
/// `openssl dgst -sha256 -verify FILE -signature manifest-1.json.sig manifest-1.json`.
#[derive(Debug, clap::Args)]
pub struct Args {}

pub async fn run(Args {}: Args, world: &World, out: &mut dyn Write) -> Outcome {
    let stack = Stack::find(world).await?;
    let key = key_of(&stack.signing_key.public_key().await?)?;
    write!(out, "{}", pem(&key)?)?;
    Ok(Exit::Done)
}
