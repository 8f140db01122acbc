use std::io::Write;
use std::time::Duration;

use bcce_core::batch::BatchStatus;

use crate::arguments::{batch_id, duration};
use crate::batch::follow::follow;
use crate::batch::{Batch, Standing, view};
use crate::exit::{Exit, Failure, Outcome};
use crate::figures;
use crate::follow::Watch;
use crate::follow::screen::Screen;
use crate::stack::Stack;
use crate::world::World;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Id of the batch
    #[arg(value_name = "BATCH", value_parser = batch_id)]
    batch: String,
    /// Do not wait until the batch is closed
    #[arg(long)]
    no_wait: bool,
    /// Stop waiting after this long; the batch is closed all the same
    #[arg(long, value_name = "TIME", default_value = "30m", value_parser = duration)]
    timeout: Duration,
}

pub async fn run(args: Args, world: &World, out: &mut dyn Write) -> Outcome {
    let stack = Stack::find(world).await?;
    let (reference, record) = stack.latest_batch(&args.batch).await?;
    let status = format!("`{}`", stack.command(&format!("batch status {}", args.batch)));
    if let Some(over) = record.filter(|record| record.status != BatchStatus::Running) {
        let what = format!("{} is over: {}", args.batch, over.status);
        return Err(Failure::usage(what, format!("{status} shows it")));
    }
    stack.batch_machine.stop(&reference.execution_name(), "bcce batch cancel").await?;
    if args.no_wait {
        writeln!(out, "{} is stopped; it is closed when its last runs are over", args.batch)?;
        return Ok(Exit::Done);
    }
    let mut batch = Batch::new(reference);
    let watch = Watch { timeout: args.timeout, sent: false };
    let mut screen = Screen::new(world, out, false);
    let followed = follow(&stack, world, &mut screen, &mut batch, watch).await;
    match batch.standing() {
        Standing::Over(BatchStatus::Cancelled) => {
            let counts = batch.manifest.as_ref().map(|manifest| manifest.sums.counts);
            let counts = counts.map(|counts| view::counted(&counts)).unwrap_or_default();
            let cost = figures::cost(&batch.totals());
            writeln!(out, "{} is CANCELLED and closed: {counts}, {cost}", args.batch)?;
            Ok(Exit::Done)
        }
        Standing::Over(over) => Err(Failure {
            exit: Exit::Failed,
            what: format!("nothing of {} was left to cancel: it is {over}", args.batch),
            then: format!("{status} shows it"),
        }),
        _ => followed,
    }
}
