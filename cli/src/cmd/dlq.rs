//! The commands for dead letters, one file for each.

pub mod drop;
pub mod list;
pub mod redrive;
pub mod show;

use std::io::Write;

use time::OffsetDateTime;

use crate::exit::{Failure, Outcome};
use crate::figures;
use crate::letters::{Filter, Letter, Look, look, note_unseen, show_again};
use crate::paint::{Ink, Line, render, span};
use crate::stack::Stack;
use crate::world::World;

/// The selection of dead letters: by message id, or all that match the filters.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub struct Selection {
    /// Message ids of the dead letters, as `bcce dlq list` shows them
    #[arg(value_name = "MESSAGE", required_unless_present = "all", conflicts_with = "all")]
    messages: Vec<String>,
    /// Select all dead letters that match the filters
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    filter: Filter,
    /// Print what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// Reads the queue and returns the selected dead letters, which stay hidden from other readers. The others become
/// visible again.
///
/// # Errors
/// There is no dead letter with one of the message ids.
async fn select(stack: &Stack, selection: &Selection, now: OffsetDateTime) -> Outcome<Vec<Letter>> {
    let Look { letters, unseen } =
        look(&stack.dead_letters, &stack.outputs.inbox_queue_url).await?;
    let (meant, rest): (Vec<Letter>, Vec<Letter>) =
        letters.into_iter().partition(|letter| selection.means(letter, now));
    show_again(&stack.dead_letters, &rest).await?;
    note_unseen(unseen);
    let missing = selection.missing(&meant);
    if !missing.is_empty() {
        show_again(&stack.dead_letters, &meant).await?;
        return Err(no_such(stack, &missing));
    }
    Ok(meant)
}

fn no_such(stack: &Stack, missing: &[&str]) -> Failure {
    let then = format!("`{}` shows the dead letters", stack.command("dlq list"));
    Failure::usage(format!("there is no such dead letter: {}", missing.join(", ")), then)
}

impl Selection {
    fn means(&self, letter: &Letter, now: OffsetDateTime) -> bool {
        (self.all || self.messages.contains(&letter.message_id)) && self.filter.wants(letter, now)
    }

    fn missing<'a>(&'a self, meant: &[Letter]) -> Vec<&'a str> {
        let is_there = |id: &&String| meant.iter().any(|letter| letter.message_id == **id);
        self.messages.iter().filter(|id| !is_there(id)).map(String::as_str).collect()
    }
}

fn print(letters: &[Letter], world: &World, out: &mut dyn Write) -> std::io::Result<()> {
    for line in letters.iter().flat_map(lines) {
        writeln!(out, "{}", render(&line, world.color, usize::MAX))?;
    }
    Ok(())
}

/// Formats a dead letter as two lines: its ids and tenant, then its error.
fn lines(letter: &Letter) -> [Line; 2] {
    let sent = letter.sent_at.map_or("?".to_owned(), figures::stamp);
    let known = |text: &Option<String>| text.clone().unwrap_or_else(|| "?".to_owned());
    let heading = format!("{sent}  {}  ", letter.message_id);
    let whose =
        format!("{}  {}  {}", known(&letter.tenant), known(&letter.workflow), letter.request_id);
    [
        vec![span(Ink::Plain, heading), span(Ink::Dim, whose)],
        vec![
            span(Ink::Red, format!("  {}", letter.error)),
            span(Ink::Plain, format!(": {}", letter.reason)),
        ],
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::letters::tests::given;

    fn selection(messages: &[&str], all: bool) -> Selection {
        let messages = messages.iter().map(ToString::to_string).collect();
        Selection { messages, all, filter: Filter::default(), dry_run: false, json: false }
    }

    #[test]
    fn letters_are_meant_by_id_or_all_of_them() {
        let (letter, now) = (given("{}"), OffsetDateTime::UNIX_EPOCH);
        assert!(selection(&[], true).means(&letter, now));
        assert!(selection(&["m"], false).means(&letter, now));
        assert!(!selection(&["n"], false).means(&letter, now));
        assert_eq!(selection(&["m", "n"], false).missing(&[letter]), ["n"]);
    }

    #[test]
    fn a_letter_shows_whose_it_is_and_why_it_is_dead() {
        let [heading, reason] =
            lines(&given(r#"{"workflow":"explain"}"#)).map(|line| render(&line, false, usize::MAX));
        assert_eq!(heading, "2026-11-01 11:00:00Z  m  payments  explain  r");
        assert_eq!(reason, "  Bcce.InvalidRequest: request: is not JSON");
    }
}
