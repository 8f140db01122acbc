use std::io::Write;

use futures::StreamExt;

use super::{Selection, select};
use crate::exit::{Exit, Failure, Outcome};
use crate::figures;
use crate::letters::{Letter, inbox_of, show_again};
use crate::stack::Stack;
use crate::world::World;

/// Letters sent at a time.
const AT_A_TIME: usize = 8;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    selection: Selection,
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
    let sending = letters.iter().map(|letter| send_told(&stack, letter));
    let mut sent = futures::stream::iter(sending).buffered(AT_A_TIME);
    let mut kept = Vec::new();
    while let Some((outcome, letter)) = sent.next().await {
        match outcome {
            Ok(()) => writeln!(out, "sent     {}  {}", letter.message_id, letter.request_id)?,
            Err(failure) => {
                writeln!(out, "kept     {}  {}", letter.message_id, failure.what)?;
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

async fn send_told<'a>(stack: &Stack, letter: &'a Letter) -> (Outcome<()>, &'a Letter) {
    (send(stack, letter).await, letter)
}

/// Sent first and deleted second: killed in between it lies in both queues, under one request id.
async fn send(stack: &Stack, letter: &Letter) -> Outcome<()> {
    let tenant = letter.tenant.as_deref().ok_or_else(|| {
        Failure::usage("whose it is cannot be told", "its queue is no inbox of this stack")
    })?;
    let inbox = inbox_of(tenant, &stack.outputs.inbox_queue_url);
    stack.queues.send_again(&inbox, &letter.body, &letter.request_id).await?;
    Ok(stack.dead_letters.delete(&letter.receipt).await?)
}
