use std::io::Write;
use std::time::Duration;

use bcce_core::run::notice::RunStatus;

use crate::arguments::{duration, run_id};
use crate::exit::{Exit, Failure, Outcome};
use crate::figures;
use crate::follow::screen::Screen;
use crate::follow::{Watch, follow};
use crate::progress::{Progress, Standing};
use crate::stack::Stack;
use crate::world::World;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Id of the run
    #[arg(value_name = "RUN", value_parser = run_id)]
    run: String,
    /// Do not wait until the run is settled
    #[arg(long)]
    no_wait: bool,
    /// Stop waiting after this long; the run is settled all the same
    #[arg(long, value_name = "TIME", default_value = "30m", value_parser = duration)]
    timeout: Duration,
}

pub async fn run(args: Args, world: &World, out: &mut dyn Write) -> Outcome {
    let stack = Stack::find(world).await?;
    let (run, record) = stack.latest(&args.run).await?;
    if let Some(over) = record.filter(|record| record.status != RunStatus::Running) {
        return Err(Failure::usage(
            format!("{} is over: {}", args.run, over.status),
            format!("`{}` shows it", stack.command(&format!("runs show {}", args.run))),
        ));
    }
    stack.machine.stop(&run.execution_name(), "bcce runs cancel").await?;
    if args.no_wait {
        writeln!(out, "{} is stopped; it is settled when its last calls are over", args.run)?;
        return Ok(Exit::Done);
    }
    let mut progress = Progress::new(run);
    let watch = Watch { timeout: args.timeout, sent: false };
    let followed =
        follow(&stack, world, &mut Screen::new(world, out, false), &mut progress, watch).await;
    match progress.standing() {
        Standing::Over(RunStatus::Cancelled) => {
            let totals = progress.totals();
            let paid = format!("{}, {}", figures::tokens(&totals), figures::cost(&totals));
            writeln!(out, "{} is CANCELLED and sealed: {paid}", args.run)?;
            Ok(Exit::Done)
        }
        Standing::Over(status) => Err(Failure {
            exit: Exit::Failed,
            what: format!("nothing of {} was left to cancel: it {status}", args.run),
            then: format!("`{}` shows it", stack.command(&format!("runs show {}", args.run))),
        }),
        _ => followed,
    }
}
