use std::collections::BTreeMap;
use std::io::Write;

use bcce_core::base::error::Fault;
use bcce_core::call::response_cache::CachedFrom;
use bcce_core::failover::route::Route;
use bcce_core::ledger::RunRecord;
use bcce_core::run::plan::Plan;
use serde::Serialize;
use time::OffsetDateTime;

use crate::exit::{Exit, Failure, Outcome};
use crate::json::{self, Field};
use crate::lookup::RunName;
use crate::paint::render;
use crate::run::Run;
use crate::run::timeline::{self, Event, Execution, Sums};
use crate::run::view::explained::{Account, lines};
use crate::stack::Stack;
use crate::tracked::{Status, Tracked};
use crate::world::World;

const FIELDS: [Field; 6] = [
    ("version", "1"),
    ("run", "record of the latest run attempt, with the fields that `bcce runs list` has"),
    ("deadline", "time at which the run times out, or null before it has a plan"),
    ("routes", "routes that the steps took, by name, as in the plan"),
    (
        "steps",
        "list of step executions: step, item, wave, model, route, status, error, events and sums",
    ),
    ("sums", "calls, tokens, cost and times of the calls that this run attempt paid for"),
];

#[derive(Debug, clap::Args)]
#[command(after_long_help = json::fields("Prints an object; docs/explain.md describes the fields within.", &[&FIELDS]))]
pub struct Args {
    #[command(flatten)]
    run: RunName,
    /// Explain only this step
    #[arg(long, value_name = "ID")]
    step: Option<String>,
    /// Show every item of a step with `for_each`, not only those that failed, waited or took more than one call
    #[arg(long)]
    all: bool,
    /// Print JSON with every item; docs/explain.md describes all fields
    #[arg(long)]
    json: bool,
}

pub async fn run(args: Args, world: &World, out: &mut dyn Write) -> Outcome {
    let stack = Stack::find(world).await?;
    let run_id = args.run.find(&stack, world).await?;
    let (mut run, records) = Run::find(&stack, &run_id).await?;
    run.look(&stack, world.now(), true).await?;
    let follow = stack.command(&format!("runs follow {}", run_id));
    let executions = executions(&run, &records, args.step.as_deref(), &follow)?;
    if args.json {
        let explanation = explanation(&run, &records, &executions);
        json::print(&explanation, out)?;
        return Ok(Exit::Done);
    }
    let account = Account { run: &run, records: &records, executions: &executions, all: args.all };
    for line in lines(account, world.size().0) {
        writeln!(out, "{}", render(&line, world.color, usize::MAX))?;
    }
    Ok(Exit::Done)
}

/// Returns the step executions to explain. There are none if the run was refused before it had a plan.
///
/// # Errors
/// The run has no plan yet, or no such step.
fn executions<'a>(
    run: &'a Run,
    records: &[RunRecord],
    step: Option<&str>,
    follow: &str,
) -> Outcome<Vec<Execution<'a>>> {
    let is_over = matches!(run.status(), Status::Over(_));
    match (&run.plan, is_over, step) {
        (Some(plan), _, None) => Ok(timeline::of(run, plan, records)),
        (Some(plan), _, Some(step)) if plan.step(step).is_some() => {
            let executions = timeline::of(run, plan, records).into_iter();
            Ok(executions.filter(|execution| execution.step.step == step).collect())
        }
        (Some(plan), _, Some(step)) => Err(unknown_step(plan, step)),
        (None, true, None) => Ok(Vec::new()),
        (None, true, Some(step)) => {
            let what = format!("the run has no step {step}: it was refused before it had a plan");
            Err(Failure::usage(what, "run the command without --step to see the reason"))
        }
        (None, false, _) => Err(Failure::usage(
            "the run has no plan yet",
            format!("`{follow}` shows the run until it ends"),
        )),
    }
}

fn unknown_step(plan: &Plan, step: &str) -> Failure {
    let ids: Vec<&str> = plan.steps.iter().map(|step| step.id.as_str()).collect();
    Failure::usage(
        format!("the run has no step {step}"),
        format!("the steps are {}", ids.join(", ")),
    )
}

/// The output of `--json`. Fields may be added, but never change.
#[derive(Serialize)]
struct Explanation<'a> {
    version: u32,
    run: Option<&'a RunRecord>,
    #[serde(with = "time::serde::rfc3339::option")]
    deadline: Option<OffsetDateTime>,
    /// The routes by name, as in the plan.
    routes: BTreeMap<&'a str, &'a Route>,
    steps: Vec<Step<'a>>,
    /// The sums of the calls that this run attempt paid for.
    sums: Sums,
}

#[derive(Serialize)]
struct Step<'a> {
    step: &'a str,
    item: Option<u32>,
    /// The number of the wave, from 0.
    wave: usize,
    model: &'a str,
    route: &'a str,
    status: &'static str,
    error: Option<&'a Fault>,
    /// The run attempt that paid for it.
    attempt_no: Option<u32>,
    /// The first answer to the same call, if the response cache answered the step.
    #[serde(skip_serializing_if = "Option::is_none")]
    cached_from: Option<&'a CachedFrom>,
    events: Vec<Timed<'a>>,
    sums: Sums,
}

#[derive(Serialize)]
struct Timed<'a> {
    /// The time since the start of the run attempt, in milliseconds.
    after_ms: i64,
    #[serde(flatten)]
    event: Event<'a>,
}

fn explanation<'a>(
    run: &'a Run,
    records: &'a [RunRecord],
    executions: &'a [Execution<'a>],
) -> Explanation<'a> {
    let (plan, record) = (run.plan.as_ref(), records.last());
    let timeout = plan.map(|plan| std::time::Duration::from_secs(plan.timeout));
    let taken = |name: &str| executions.iter().any(|execution| execution.step.route == name);
    let routes = plan.into_iter().flat_map(|plan| &plan.routes);
    let step_records = executions.iter().filter_map(|execution| execution.record);
    let step_records =
        step_records.filter(|step_record| step_record.attempt_no == run.reference.attempt_no);
    Explanation {
        version: 1,
        run: record,
        deadline: record.zip(timeout).map(|(record, timeout)| record.started_at + timeout),
        routes: routes
            .map(|(name, route)| (name.as_str(), route))
            .filter(|(name, _)| taken(name))
            .collect(),
        steps: executions.iter().map(step).collect(),
        sums: Sums::of(step_records),
    }
}

fn step<'a>(execution: &'a Execution<'a>) -> Step<'a> {
    let timed = |event: Event<'a>| Timed {
        after_ms: i64::try_from((event.at() - execution.started_at).whole_milliseconds())
            .unwrap_or(0),
        event,
    };
    Step {
        step: &execution.step.step,
        item: execution.step.item,
        wave: execution.wave,
        model: execution.model,
        route: &execution.step.route,
        status: execution.state.as_str(),
        error: execution.error,
        attempt_no: execution.record.map(|step_record| step_record.attempt_no),
        cached_from: execution.record.and_then(|step_record| step_record.cached_from.as_ref()),
        events: execution.events().into_iter().map(timed).collect(),
        sums: execution.sums(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::samples::{failing_over, record, review};
    use bcce_core::run::ids::RunRef;
    use bcce_core::run::notification::RunStatus;

    fn refused(run: &Run, step: Option<&str>) -> (Exit, String) {
        let records = [record(1, RunStatus::Running).unwrap()];
        let failure = executions(run, &records, step, "bcce runs follow r").unwrap_err();
        (failure.exit, format!("{} -> {}", failure.what, failure.then))
    }

    #[test]
    fn what_is_missing_is_named() {
        let none = Run::new(RunRef::first("default", "code-review", "m-1"));
        let (exit, message) = refused(&none, None);
        assert_eq!(exit, Exit::Usage);
        assert_eq!(
            message,
            "the run has no plan yet -> `bcce runs follow r` shows the run until it ends"
        );
        assert_eq!(
            refused(&review(&[]), Some("verdikt")).1,
            "the run has no step verdikt -> the steps are summarise, correctness, security, tests, verdict"
        );
    }

    #[test]
    fn one_step_is_explained_alone_and_json_has_its_events_and_sums() {
        let mut run = failing_over();
        let records = [record(1, RunStatus::Running).unwrap()];
        run.note_record(records.last().cloned());
        let all = executions(&run, &records, None, "").unwrap();
        assert_eq!(all.len(), 5);
        let one = executions(&run, &records, Some("summarise"), "").unwrap();
        let json = serde_json::to_value(explanation(&run, &records, &one)).unwrap();
        assert_eq!(json::undocumented(&json, &[&FIELDS]), [""; 0]);
        assert_eq!(json["deadline"], "2026-11-01T12:01:00Z");
        let step = &json["steps"][0];
        assert_eq!((&step["step"], &step["status"]), (&"summarise".into(), &"SUCCEEDED".into()));
        assert_eq!(
            (step["events"][0]["after_ms"].as_i64(), &step["item"]),
            (Some(900), &().into())
        );
        assert_eq!(step["events"][1]["event"], "attempt");
        assert_eq!(step["events"][1]["target"]["region"], "us-west-2");
        for sums in [&step["sums"], &json["sums"]] {
            assert_eq!((&sums["calls"], &sums["failed_calls"]), (&2.into(), &1.into()));
            assert_eq!(
                (&sums["cost_usd"], &sums["failed"]["cost_usd"]),
                (&"0.00311".into(), &"0".into())
            );
        }
    }
}
