use std::io::Write;

use crate::exit::{Exit, Outcome};
use crate::figures;
use crate::json;
use crate::letters::{Filter, LETTER, Letter, look, note_unseen, show_again};
use crate::stack::Stack;
use crate::world::World;

#[derive(Debug, clap::Args)]
#[command(after_long_help = json::fields("Prints an array of dead letters.", &[&LETTER]))]
pub struct Args {
    #[command(flatten)]
    filter: Filter,
    /// Maximum number of dead letters to print
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..))]
    limit: u16,
    /// Print the dead letters with their bodies as a JSON array
    #[arg(long)]
    json: bool,
}

pub async fn run(args: Args, world: &World, out: &mut dyn Write) -> Outcome {
    let stack = Stack::find(world).await?;
    let seen = look(&stack.dead_letters, &stack.outputs.inbox_queue_url).await?;
    show_again(&stack.dead_letters, &seen.letters).await?;
    note_unseen(seen.unseen);
    let now = world.now();
    let mut found: Vec<Letter> =
        seen.letters.into_iter().filter(|letter| args.filter.wants(letter, now)).collect();
    let more = found.len().saturating_sub(args.limit.into());
    found.truncate(args.limit.into());
    match args.json {
        true => json::print(&found, out)?,
        false if found.is_empty() => {
            writeln!(out, "no matching dead letters in {}", world.environment)?
        }
        false => super::print(&found, world, out)?,
    }
    if more > 0 {
        crate::terminal::note(&format!(
            "note: {} not printed; --limit prints more",
            figures::plural(more, "dead letter")
        ));
    }
    Ok(Exit::Done)
}
