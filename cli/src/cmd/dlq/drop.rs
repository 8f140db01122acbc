use std::io::Write;

use serde_json::json;

use super::{Selection, select};
use crate::exit::{Exit, Failure, Outcome};
use crate::figures;
use crate::json::{self, Field};
use crate::letters::{LETTER, show_again};
use crate::stack::Stack;
use crate::world::World;

const FIELDS: [Field; 2] = [
    ("dropped", "number of dead letters that were deleted; 0 with --dry-run"),
    ("letters", "list of the selected dead letters, with the fields that follow"),
];

#[derive(Debug, clap::Args)]
#[command(after_long_help = json::fields("Prints an object.", &[&FIELDS, &LETTER]))]
pub struct Args {
    #[command(flatten)]
    selection: Selection,
    /// Confirm the deletion, which cannot be undone
    #[arg(long)]
    yes: bool,
}

pub async fn run(args: Args, world: &World, out: &mut dyn Write) -> Outcome {
    let stack = Stack::find(world).await?;
    let letters = select(&stack, &args.selection, world.now()).await?;
    let is_json = args.selection.json;
    let count = figures::plural(letters.len(), "dead letter");
    if !is_json {
        super::print(&letters, world, out)?;
    }
    if args.selection.dry_run || !args.yes {
        show_again(&stack.dead_letters, &letters).await?;
        match is_json {
            true => json::print(&json!({ "dropped": 0, "letters": letters }), out)?,
            false => writeln!(out, "would drop {count}")?,
        }
        return match args.selection.dry_run {
            true => Ok(Exit::Done),
            false => {
                Err(Failure::usage("nothing was dropped", "use --yes to drop them permanently"))
            }
        };
    }
    for (n, letter) in letters.iter().enumerate() {
        if let Err(fault) = stack.dead_letters.delete(&letter.receipt).await {
            match is_json {
                true => json::print(&json!({ "dropped": n, "letters": letters }), out)?,
                false => writeln!(out, "dropped {n} of {count}")?,
            }
            show_again(&stack.dead_letters, &letters[n..]).await?;
            return Err(fault.into());
        }
    }
    match is_json {
        true => json::print(&json!({ "dropped": letters.len(), "letters": letters }), out)?,
        false => writeln!(out, "dropped {count}")?,
    }
    Ok(Exit::Done)
}
