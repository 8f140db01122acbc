use std::io::Write;

use futures::StreamExt;
use serde_json::json;

use super::{Selection, select};
use crate::exit::{Exit, Failure, Outcome};
use crate::figures;
use crate::json::{self, Field};
use crate::letters::{Letter, inbox_of, show_again};
use crate::paint::{Ink, render, span};
use crate::stack::Stack;
use crate::world::World;

/// The number of dead letters that are sent at a time.
const AT_A_TIME: usize = 8;

const FIELDS: [Field; 3] = [
    ("selected", "list of the selected dead letters, with the fields that `bcce dlq show` has"),
    ("sent", "ids of the messages that were sent back; empty with --dry-run"),
    ("kept", "list of those that could not be sent back: message_id and error"),
];

#[derive(Debug, clap::Args)]
#[command(after_long_help = json::fields("Prints an object.", &[&FIELDS]))]
pub struct Args {
    #[command(flatten)]
    selection: Selection,
    /// Tenant whose inbox receives the dead letters that have no tenant, such as those of EventBridge Scheduler
    #[arg(long, value_name = "TENANT")]
    to: Option<String>,
}

pub async fn run(args: Args, world: &World, out: &mut dyn Write) -> Outcome {
    let stack = Stack::find(world).await?;
    let letters = select(&stack, &args.selection, world.now()).await?;
    if args.selection.dry_run {
        show_again(&stack.dead_letters, &letters).await?;
        if args.selection.json {
            json::print(&json!({ "selected": letters, "sent": [], "kept": [] }), out)?;
            return Ok(Exit::Done);
        }
        super::print(&letters, world, out)?;
        writeln!(out, "would send {} back", figures::plural(letters.len(), "dead letter"))?;
        return Ok(Exit::Done);
    }
    let sending = letters.iter().map(|letter| send_one(&stack, letter, args.to.as_deref()));
    let mut sent = futures::stream::iter(sending).buffered(AT_A_TIME);
    let (mut ids, mut kept, mut errors) = (Vec::new(), Vec::new(), Vec::new());
    while let Some((outcome, letter)) = sent.next().await {
        let (what, more) = match &outcome {
            Ok(()) => ("sent", &letter.request_id),
            Err(failure) => ("kept", &failure.what),
        };
        if !args.selection.json {
            print_line(what, &letter.message_id, more, world, out)?;
        }
        match outcome {
            Ok(()) => ids.push(&letter.message_id),
            Err(failure) => {
                kept.push(letter.clone());
                errors.push(json!({ "message_id": letter.message_id, "error": failure.what }));
            }
        }
    }
    show_again(&stack.dead_letters, &kept).await?;
    if args.selection.json {
        json::print(&json!({ "selected": letters, "sent": ids, "kept": errors }), out)?;
    } else {
        let count = figures::plural(ids.len(), "dead letter");
        let note = "a message that is still invalid returns to the dead-letter queue";
        writeln!(out, "sent {count} back; {note}")?;
    }
    match kept.len() {
        0 => Ok(Exit::Done),
        n => Err(Failure {
            exit: Exit::Unreachable,
            what: format!("{} could not be sent back", figures::plural(n, "dead letter")),
            then: "correct the cause and redrive again; a request that is sent twice runs once"
                .into(),
        }),
    }
}

/// Prints a line without control characters, because an id may contain any character.
fn print_line(
    what: &str,
    id: &str,
    more: &str,
    world: &World,
    out: &mut dyn Write,
) -> std::io::Result<()> {
    let line = vec![span(Ink::Plain, format!("{what}  {id}  {more}"))];
    writeln!(out, "{}", render(&line, world.color, usize::MAX))
}

async fn send_one<'a>(
    stack: &Stack,
    letter: &'a Letter,
    to: Option<&str>,
) -> (Outcome<()>, &'a Letter) {
    (send(stack, letter, to).await, letter)
}

/// Sends a dead letter to the inbox and then deletes it. If the command is killed in between, the message is in both
/// queues with the same request id.
///
/// # Errors
/// The dead letter has no tenant and `to` is `None`, or SQS returned an error.
async fn send(stack: &Stack, letter: &Letter, to: Option<&str>) -> Outcome<()> {
    let tenant = letter
        .tenant
        .as_deref()
        .or(to)
        .ok_or_else(|| Failure::usage("has no tenant: set one with --to", "use --to"))?;
    let inbox = inbox_of(tenant, &stack.outputs.inbox_queue_url);
    stack.queues.send_again(&inbox, &letter.body, &letter.request_id).await?;
    Ok(stack.dead_letters.delete(&letter.receipt).await?)
}
