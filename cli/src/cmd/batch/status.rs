use std::io::Write;
use std::time::Duration;

use bcce_core::batch::BatchStatus;
use serde_json::{Value, json};

use crate::arguments::{batch_id, duration};
use crate::batch::follow::{follow, look};
use crate::batch::{Batch, Standing, view};
use crate::exit::{Exit, Outcome};
use crate::follow::Watch;
use crate::follow::screen::{Screen, Shown};
use crate::paint::render;
use crate::stack::{Stack, first_batch};
use crate::view::Moment;
use crate::world::World;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Id of the batch
    #[arg(value_name = "BATCH", value_parser = batch_id)]
    batch: String,
    /// Show it until it is over, and exit by its status
    #[arg(long)]
    watch: bool,
    /// With --watch: stop watching after this long; the batch goes on
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = duration, requires = "watch")]
    timeout: Duration,
    /// Print JSON, with --watch when the batch is over
    #[arg(long)]
    json: bool,
}

pub async fn run(args: Args, world: &World, out: &mut dyn Write) -> Outcome {
    let stack = Stack::find(world).await?;
    let mut batch = Batch::new(match stack.latest_batch(&args.batch).await {
        Ok((reference, _)) => reference,
        // It may have been sent a moment ago.
        Err(failure) if args.watch && failure.exit == Exit::Usage => first_batch(&args.batch),
        Err(failure) => return Err(failure),
    });
    if args.watch {
        let watch = Watch { timeout: args.timeout, sent: false };
        return follow_and_print(&stack, world, batch, watch, args.json, out).await;
    }
    let now = world.now();
    look(&stack, &mut batch, now, true).await?;
    match args.json {
        true => print_json(&batch, out)?,
        false => {
            let (width, _) = world.size();
            for line in batch.picture(Moment { now, since: now, frame: 0 }, width) {
                writeln!(out, "{}", render(&line, world.color, usize::MAX))?;
            }
        }
    }
    Ok(Exit::Done)
}

/// Follows a batch to its end and says what is left to say on standard output.
pub async fn follow_and_print(
    stack: &Stack,
    world: &World,
    mut batch: Batch,
    watch: Watch,
    json: bool,
    out: &mut dyn Write,
) -> Outcome {
    let mut screen = Screen::new(world, out, json);
    let outcome = follow(stack, world, &mut screen, &mut batch, watch).await;
    match batch.standing() {
        _ if json => print_json(&batch, out)?,
        Standing::Over(BatchStatus::Succeeded | BatchStatus::Partial) => {
            let id = &batch.reference.batch_id;
            let outputs = stack.command(&format!("batch outputs {id}"));
            writeln!(out, "-> `{outputs}` prints the answers")?;
        }
        _ => {}
    }
    outcome
}

fn print_json(batch: &Batch, out: &mut dyn Write) -> std::io::Result<()> {
    writeln!(out, "{}", serde_json::to_string_pretty(&as_json(batch))?)
}

fn as_json(batch: &Batch) -> Value {
    let record = batch.record.as_ref();
    let per_minute = record.and_then(|record| batch.pace.per_minute(record.started_at));
    let left = per_minute.and_then(|per_minute| view::left(batch, per_minute));
    let standing = match batch.standing() {
        Standing::Unknown => "SENT",
        Standing::UnderWay if record.is_none() => "OPENING",
        Standing::UnderWay => "RUNNING",
        Standing::Settling(_) => "SETTLING",
        Standing::Over(status) => status.as_str(),
    };
    json!({
        "batch_id": batch.reference.batch_id,
        "attempt_no": batch.reference.attempt_no,
        "status": standing,
        "record": record,
        "opened": batch.opened,
        "jobs": batch.jobs,
        "tally": batch.tally,
        "per_minute": per_minute.map(|rate| (rate * 10.0).round() / 10.0),
        "seconds_left": left.map(|left| left.whole_seconds()),
        "manifest": batch.manifest,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::tests::half_way;

    #[test]
    fn programs_read_what_people_see() {
        let told = as_json(&half_way());
        assert_eq!(told["status"], "RUNNING");
        assert_eq!((&told["per_minute"], &told["seconds_left"]), (&json!(62.0), &json!(240)));
        assert_eq!(told["tally"]["errors"]["Bcce.NoTarget"], 12);
        assert_eq!((&told["opened"]["items"], &told["manifest"]), (&json!(500), &Value::Null));
        let opening = Batch::new(half_way().reference);
        assert_eq!(as_json(&opening)["status"], "SENT");
    }
}
