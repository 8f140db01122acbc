use std::io::Write;
use std::time::Duration;

use crate::batch::Batch;
use crate::batch::json::FIELDS;
use crate::exit::{Exit, Outcome};
use crate::follow::{Watch, follow_and_print};
use crate::json;
use crate::lookup::BatchName;
use crate::paint::render;
use crate::references::first_batch;
use crate::screen::{Moment, Shown};
use crate::stack::Stack;
use crate::tracked::Tracked;
use crate::values::duration;
use crate::world::World;

#[derive(Debug, clap::Args)]
#[command(after_long_help = json::fields("Prints an object.", &[&FIELDS]))]
pub struct Args {
    #[command(flatten)]
    batch: BatchName,
    /// Watch the batch until it ends, and exit with 0 if every item succeeded, 1 if not
    #[arg(long)]
    watch: bool,
    /// Maximum time to watch with --watch, such as 90s, 30m or 2h; the batch continues after it
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = duration, requires = "watch")]
    timeout: Duration,
    /// Print the state of the batch as JSON; with --watch, when the batch ends
    #[arg(long)]
    json: bool,
}

pub async fn run(args: Args, world: &World, out: &mut dyn Write) -> Outcome {
    let stack = Stack::find(world).await?;
    let batch_id = args.batch.find(&stack, world).await?;
    let mut batch = match Batch::latest(&stack, &batch_id).await {
        // The batch may have been sent a moment ago and not exist yet.
        Err(failure) if args.watch && failure.exit == Exit::Usage => {
            Batch::new(first_batch(&batch_id))
        }
        found => found?,
    };
    if args.watch {
        let watch = Watch { timeout: args.timeout, sent: false };
        return follow_and_print(&stack, world, batch, watch, args.json, out).await;
    }
    let now = world.now();
    batch.look(&stack, now, true).await?;
    if args.json {
        batch.print_json(out)?;
        return Ok(Exit::Done);
    }
    let (width, _) = world.size();
    for line in batch.picture(Moment { now, since: now, frame: 0 }, width) {
        writeln!(out, "{}", render(&line, world.color, usize::MAX))?;
    }
    Ok(Exit::Done)
}
