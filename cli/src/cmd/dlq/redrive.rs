use std::io::Write;

use futures::StreamExt;

use super::{Selection, select};
use crate::exit::{Exit, Failure, Outcome};
use crate::figures;
use crate::letters::{Letter, inbox_of, show_again};
use crate::paint::{Ink, render, span};
use crate::stack::Stack;
use crate::world::World;

/// Letters sent at a time.
const AT_A_TIME: usize = 8;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    selection: Selection,
    /// Tenant whose inbox takes letters that do not name one, like those of EventBridge Scheduler
    #[arg(long, value_name = "TENANT")]
    to: Option<String>,
}

pub async fn run(args: Args, world: &World, out: &mut dyn Write) -> Outcome {
    let stack = Stack::find(world).await?;
    let letters = select(&stack, &args.selection, world.now()).await?;
    if args.selection.dry_run {
        show_again(&stack.dead_letters, &letters).await?;
        super::print(&letters, world, out)?;
        writeln!(out, "would send {} again", figures::plural(letters.len(), "letter"))?;
        return Ok(Exit::Done);
    }
    let sending = letters.iter().map(|letter| send_one(&stack, letter, args.to.as_deref()));
    let mut sent = futures::stream::iter(sending).buffered(AT_A_TIME);
    let mut kept = Vec::new();
    while let Some((outcome, letter)) = sent.next().await {
        match outcome {
            Ok(()) => print_line("sent", &letter.message_id, &letter.request_id, world, out)?,
            Err(failure) => {
                print_line("kept", &letter.message_id, &failure.what, world, out)?;
                kept.push(letter.clone());
            }
        }
    }
    show_again(&stack.dead_letters, &kept).await?;
    let count = figures::plural(letters.len() - kept.len(), "letter");
    writeln!(out, "sent {count} again; one that is still no request comes back here")?;
    match kept.len() {
        0 => Ok(Exit::Done),
        n => Err(Failure {
            exit: Exit::Unreachable,
            what: format!("{} could not be sent again and stayed", figures::plural(n, "letter")),
            then: "mend the cause and redrive again: what was sent twice runs once".into(),
        }),
    }
}

/// Painted as every line is: an id may hold anything.
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

/// Sent first and deleted second: killed in between it lies in both queues, under one request id.
async fn send(stack: &Stack, letter: &Letter, to: Option<&str>) -> Outcome<()> {
    let tenant = letter
        .tenant
        .as_deref()
        .or(to)
        .ok_or_else(|| Failure::usage("does not name its tenant", "--to names the tenant"))?;
    let inbox = inbox_of(tenant, &stack.outputs.inbox_queue_url);
    stack.queues.send_again(&inbox, &letter.body, &letter.request_id).await?;
    Ok(stack.dead_letters.delete(&letter.receipt).await?)
}
