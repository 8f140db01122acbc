use std::io::Write;

use crate::exit::{Exit, Outcome};
use crate::figures;
use crate::json;
use crate::letters::{LETTER, Letter, look, show_again};
use crate::paint::{Ink, Line, field, render, span};
use crate::stack::Stack;
use crate::world::World;

#[derive(Debug, clap::Args)]
#[command(after_long_help = json::fields("Prints the dead letter.", &[&LETTER]))]
pub struct Args {
    /// Message id of the dead letter, as `bcce dlq list` shows it
    #[arg(value_name = "MESSAGE")]
    message: String,
    /// Print only the body, as it was sent
    #[arg(long, conflicts_with = "json")]
    body: bool,
    /// Print the dead letter as JSON
    #[arg(long)]
    json: bool,
}

pub async fn run(args: Args, world: &World, out: &mut dyn Write) -> Outcome {
    let stack = Stack::find(world).await?;
    let seen = look(&stack.dead_letters, &stack.outputs.inbox_queue_url).await?;
    show_again(&stack.dead_letters, &seen.letters).await?;
    let found = seen.letters.iter().find(|letter| letter.message_id == args.message);
    let letter = found.ok_or_else(|| super::no_such(&stack, &[&args.message]))?;
    if args.body {
        write!(out, "{}", letter.body)?;
    } else if args.json {
        json::print(letter, out)?;
    } else {
        for line in lines(letter) {
            writeln!(out, "{}", render(&line, world.color, usize::MAX))?;
        }
    }
    Ok(Exit::Done)
}

fn lines(letter: &Letter) -> Vec<Line> {
    let known = |text: &Option<String>| text.clone().unwrap_or_else(|| "?".to_owned());
    let mut lines = vec![
        vec![span(Ink::Bold, &letter.message_id)],
        field("sent", letter.sent_at.map_or("?".to_owned(), figures::stamp)),
        field("tenant", known(&letter.tenant)),
        field("workflow", known(&letter.workflow)),
        field("request", letter.request_id.clone()),
        field("error", format!("{}: {}", letter.error, letter.reason)),
        vec![],
    ];
    lines.extend(letter.body.lines().map(|line| vec![span(Ink::Plain, format!("  {line}"))]));
    lines
}
