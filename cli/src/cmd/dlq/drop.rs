use std::io::Write;

use super::{Selection, select};
use crate::exit::{Exit, Failure, Outcome};
use crate::figures;
use crate::letters::show_again;
use crate::stack::Stack;
use crate::world::World;

#[derive(Debug, clap::Args)]
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
    let count = figures::plural(letters.len(), "dead letter");
    super::print(&letters, world, out)?;
    if args.selection.dry_run || !args.yes {
        show_again(&stack.dead_letters, &letters).await?;
        writeln!(out, "would drop {count}")?;
        return match args.selection.dry_run {
            true => Ok(Exit::Done),
            false => {
                Err(Failure::usage("nothing was dropped", "use --yes to drop them permanently"))
            }
        };
    }
    for (n, letter) in letters.iter().enumerate() {
        if let Err(fault) = stack.dead_letters.delete(&letter.receipt).await {
            writeln!(out, "dropped {n} of {count}")?;
            show_again(&stack.dead_letters, &letters[n..]).await?;
            return Err(fault.into());
        }
    }
    writeln!(out, "dropped {count}")?;
    Ok(Exit::Done)
}
