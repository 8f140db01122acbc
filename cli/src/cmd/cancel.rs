use std::io::Write;
use std::time::Duration;

use serde_json::json;

use crate::exit::{Exit, Failure, Outcome};
use crate::follow::{Watch, follow};
use crate::json::{self, records};
use crate::lookup::RunName;
use crate::run::Run;
use crate::screen::Screen;
use crate::stack::Stack;
use crate::tracked::{Status, Tracked};
use crate::values::duration;
use crate::world::World;

#[derive(Debug, clap::Args)]
#[command(after_long_help = json::fields("Prints the record of the run, as `bcce runs follow` does. With --no-wait, prints only the id and the attempt.", &[&records::RUN]))]
pub struct Args {
    #[command(flatten)]
    run: RunName,
    /// Exit as soon as the run is stopped, before it is finalized
    #[arg(long)]
    no_wait: bool,
    /// Maximum time to wait, such as 90s, 30m or 2h; the run is still finalized after it
    #[arg(long, value_name = "TIME", default_value = "30m", value_parser = duration)]
    timeout: Duration,
    /// Show no progress, and print the result as JSON
    #[arg(long)]
    json: bool,
}

pub async fn run(args: Args, world: &World, out: &mut dyn Write) -> Outcome {
    let stack = Stack::find(world).await?;
    let run_id = args.run.find(&stack, world).await?;
    let run = Run::latest(&stack, &run_id).await?;
    cancel(&stack, world, run, (!args.no_wait).then_some(args.timeout), args.json, out).await
}

/// Stops a run or a batch. If there is a `wait`, waits for at most that time until it is over.
///
/// # Errors
/// It has already ended, or ended with another status than cancelled.
pub async fn cancel<T: Tracked>(
    stack: &Stack,
    world: &World,
    mut tracked: T,
    wait: Option<Duration>,
    is_json: bool,
    out: &mut dyn Write,
) -> Outcome {
    let id = tracked.id().to_owned();
    let shows = format!("{} shows it", tracked.command(stack, T::SHOW));
    if let Status::Over(status) = tracked.status() {
        return Err(Failure::usage(format!("{id} has already ended: {status}"), shows));
    }
    let cause = format!("bcce {} cancel", T::GROUP);
    let then = tracked.stop(stack, &cause).await?;
    let Some(timeout) = wait else {
        match is_json {
            true => {
                let name = format!("{}_id", T::NOUN);
                json::print(&json!({ name: id, "attempt_no": tracked.attempt().number }), out)?;
            }
            false => writeln!(out, "{id} {then}")?,
        }
        return Ok(Exit::Done);
    };
    let watch = Watch { timeout, sent: false };
    let mut screen = Screen::new(world, out, is_json);
    let followed = follow(stack, world, &mut screen, &mut tracked, watch).await;
    if is_json {
        tracked.print_json(out)?;
    }
    match tracked.status() {
        Status::Over(status) if status == T::CANCELLED && is_json => Ok(Exit::Done),
        Status::Over(status) if status == T::CANCELLED => {
            let sealed = if tracked.is_sealed() { " and sealed" } else { "" };
            writeln!(out, "{id} is {status}{sealed}: {}", tracked.paid())?;
            Ok(Exit::Done)
        }
        Status::Over(status) => Err(Failure {
            exit: Exit::Failed,
            what: format!("{id} could not be cancelled, because it ended with {status}"),
            then: shows,
        }),
        _ => followed,
    }
}
