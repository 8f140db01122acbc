use std::io::Write;
use std::time::Duration;

use bcce_core::ledger::RunRecord;
use bcce_core::run::notice::RunStatus;
use serde::Serialize;
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::arguments::{duration, run_id};
use crate::exit::{Exit, Failure, Outcome};
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
    /// Stop waiting after this long; the run is settled all the same
    #[arg(long, value_name = "TIME", default_value = "30m", value_parser = duration)]
    timeout: Duration,
}

pub async fn run(args: Args, world: &World, out: &mut dyn Write) -> Outcome {
    let stack = Stack::find(world).await?;
    let (run, record) = stack.latest(&args.run).await?;
    let shows = format!("`{}` shows it", stack.command(&format!("runs show {}", args.run)));
    if let Some(over) = record.as_ref().filter(|record| record.status != RunStatus::Running) {
        let what = format!("{} is settled: {}", args.run, over.status);
        return Err(Failure::usage(what, shows));
    }
    let end = stack.machine.end(&run.execution_name()).await?;
    let end = end.or_else(|| {
        let arn_of = |record: RunRecord| (record.execution_arn, record.started_at);
        record.map(arn_of).map(|(arn, started)| forgotten(&arn, &run, started, world.now()))
    });
    stack
        .settle_machine
        .start_with(&event(&args.run, end).map_err(|what| {
            let follow = stack.command(&format!("runs follow {}", args.run));
            Failure::usage(what, format!("`{follow}` waits for the end of a run that goes on"))
        })?)
        .await?;
    let mut progress = Progress::new(run);
    let watch = Watch { timeout: args.timeout, sent: false };
    let followed =
        follow(&stack, world, &mut Screen::new(world, out, false), &mut progress, watch).await;
    match progress.standing() {
        Standing::Over(status) => {
            writeln!(out, "{} is settled: {status}", args.run)?;
            Ok(Exit::Done)
        }
        _ => followed,
    }
}

/// Of an execution that Step Functions has forgotten, as it does after 90 days, only the record is left. `reference`:
/// what it was started with.
pub fn forgotten(
    execution_arn: &str,
    reference: &impl Serialize,
    started_at: OffsetDateTime,
    now: OffsetDateTime,
) -> Value {
    let millis = |at: OffsetDateTime| (at.unix_timestamp_nanos() / 1_000_000) as i64;
    json!({
        "executionArn": execution_arn,
        "status": "ABORTED",
        "input": serde_json::to_string(reference).unwrap_or_default(),
        "startDate": millis(started_at),
        "stopDate": millis(now),
    })
}

/// What a machine settles by: the event that EventBridge would have sent. `id`: of the run or the batch.
pub fn event(id: &str, end: Option<Value>) -> Result<Value, String> {
    let end = end.ok_or_else(|| format!("Step Functions does not know the execution of {id}"))?;
    match (end["status"].as_str(), end.get("stopDate")) {
        (Some("SUCCEEDED"), _) => Err(format!("the execution of {id} succeeded, which settles it")),
        (_, Some(_)) => Ok(json!({ "detail": end })),
        _ => Err(format!("the execution of {id} is running")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stack::reference;
    use crate::view::tests::record;
    use bcce_core::run::ids::RunRef;

    #[test]
    fn what_step_functions_has_forgotten_is_settled_by_its_record() {
        let record = record(2, RunStatus::Running).unwrap();
        let run = reference(&record);
        let end = forgotten(&record.execution_arn, &run, record.started_at, record.started_at);
        let told = event("r", Some(end)).unwrap();
        let input: RunRef =
            serde_json::from_str(told["detail"]["input"].as_str().unwrap()).unwrap();
        assert_eq!(input, run);
        assert_eq!(told["detail"]["stopDate"], told["detail"]["startDate"]);
    }

    #[test]
    fn only_an_execution_that_ended_badly_is_settled() {
        let ended = json!({ "status": "TIMED_OUT", "stopDate": 1 });
        assert_eq!(event("r", Some(ended.clone())), Ok(json!({ "detail": ended })));
        for other in [
            None,
            Some(json!({ "status": "RUNNING" })),
            Some(json!({ "status": "SUCCEEDED", "stopDate": 1 })),
        ] {
            assert!(event("r", other).is_err());
        }
    }
}
