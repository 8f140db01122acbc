use std::io::Write;
use std::time::Duration;

use bcce_core::batch::BatchStatus;

use crate::arguments::{batch_id, duration};
use crate::batch::follow::follow;
use crate::batch::{Batch, Standing};
use crate::cmd::settle::{event, forgotten};
use crate::exit::{Exit, Failure, Outcome};
use crate::follow::Watch;
use crate::follow::screen::Screen;
use crate::stack::Stack;
use crate::world::World;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Id of the batch
    #[arg(value_name = "BATCH", value_parser = batch_id)]
    batch: String,
    /// Stop waiting after this long; the batch is settled all the same
    #[arg(long, value_name = "TIME", default_value = "30m", value_parser = duration)]
    timeout: Duration,
}

pub async fn run(args: Args, world: &World, out: &mut dyn Write) -> Outcome {
    let stack = Stack::find(world).await?;
    let (reference, record) = stack.latest_batch(&args.batch).await?;
    let status = |more: &str| stack.command(&format!("batch status {}{more}", args.batch));
    if let Some(over) = record.as_ref().filter(|record| record.status != BatchStatus::Running) {
        let what = format!("{} is settled: {}", args.batch, over.status);
        return Err(Failure::usage(what, format!("`{}` shows it", status(""))));
    }
    let end = stack.batch_machine.end(&reference.execution_name()).await?;
    let end = end.or_else(|| {
        let record = record.as_ref()?;
        Some(forgotten(&record.execution_arn, &reference, record.started_at, world.now()))
    });
    let event = event(&args.batch, end).map_err(|what| {
        let then = format!("`{}` waits for the end of a batch that goes on", status(" --watch"));
        Failure::usage(what, then)
    })?;
    stack.settle_machine.start_with(&event).await?;
    let mut batch = Batch::new(reference);
    let watch = Watch { timeout: args.timeout, sent: false };
    let mut screen = Screen::new(world, out, false);
    let followed = follow(&stack, world, &mut screen, &mut batch, watch).await;
    match batch.standing() {
        Standing::Over(status) => {
            writeln!(out, "{} is settled: {status}", args.batch)?;
            Ok(Exit::Done)
        }
        _ => followed,
    }
}
