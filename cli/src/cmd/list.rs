use std::cmp::Reverse;
use std::io::Write;

use bcce_core::ledger::{RunRecord, listing_shard};
use bcce_core::run::notice::RunStatus;

use crate::exit::{Exit, Outcome};
use crate::figures;
use crate::latest::{self, Search};
use crate::paint::{Ink, Line, render, span};
use crate::stack::Stack;
use crate::view::status_ink;
use crate::world::World;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only runs of this workflow
    #[arg(long, value_name = "NAME")]
    workflow: Option<String>,
    /// Only runs with this status: running, succeeded, failed, rejected or cancelled
    #[arg(long, value_parser = status)]
    status: Option<RunStatus>,
    /// How many days to go back
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u16).range(1..=366))]
    days: u16,
    /// How many runs to print
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..))]
    limit: u16,
    /// Print the records as a JSON array
    #[arg(long)]
    json: bool,
}

fn status(given: &str) -> Result<RunStatus, String> {
    let told = |_| "is one of running, succeeded, failed, rejected, cancelled".to_owned();
    serde_json::from_value(given.to_uppercase().into()).map_err(told)
}

pub async fn run(args: Args, world: &World, out: &mut dyn Write) -> Outcome {
    let stack = Stack::find(world).await?;
    let search = Search {
        today: world.now().date(),
        days: args.days,
        limit: args.limit,
        is_filtered: args.workflow.is_some() || args.status.is_some(),
    };
    let listed = async |shard: &str, most| stack.ledger.listed(shard, most).await;
    let wanted = |record: &RunRecord| args.wants(record);
    let mut found = latest::search(search, "runs", listing_shard, listed, wanted).await?;
    newest_first(&mut found, args.limit.into());
    match args.json {
        true => writeln!(out, "{}", serde_json::to_string_pretty(&found).unwrap_or_default())?,
        false => print(&found, &args, world, out)?,
    }
    Ok(Exit::Done)
}

impl Args {
    fn wants(&self, record: &RunRecord) -> bool {
        self.workflow.as_ref().is_none_or(|workflow| *workflow == record.workflow)
            && self.status.is_none_or(|status| status == record.status)
    }
}

fn newest_first(records: &mut Vec<RunRecord>, limit: usize) {
    records.sort_by_key(|record| Reverse((record.started_at, record.attempt_no)));
    records.truncate(limit);
}

fn print(
    records: &[RunRecord],
    args: &Args,
    world: &World,
    out: &mut dyn Write,
) -> std::io::Result<()> {
    if records.is_empty() {
        return writeln!(
            out,
            "no such run in {} in the last {}",
            world.environment,
            figures::plural(args.days.into(), "day")
        );
    }
    let heading = format!("{:<20}  {:<9}  {:>8}  {:>9}  run", "started", "status", "took", "cost");
    let lines = std::iter::once(vec![span(Ink::Dim, heading)]).chain(records.iter().map(line));
    for line in lines {
        // Not cut: the run id at its end is what one copies.
        writeln!(out, "{}", render(&line, world.color, usize::MAX))?;
    }
    Ok(())
}

fn line(record: &RunRecord) -> Line {
    let took =
        record.ended_at.map(|ended| figures::between(record.started_at, ended)).unwrap_or_default();
    let more = if record.ended_at.is_some() && !record.cost_is_complete { "+?" } else { "" };
    let cost =
        record.cost_usd.map(|cost| format!("{}{more}", figures::usd(cost))).unwrap_or_default();
    let attempt = if record.attempt_no > 1 {
        format!("  attempt {}", record.attempt_no)
    } else {
        String::new()
    };
    let cut = match record.truncated {
        0 => String::new(),
        cut => format!("  {} cut by max_tokens", figures::plural(cut as usize, "answer")),
    };
    let error = record.error_name.as_ref().map(|name| format!("  {name}")).unwrap_or_default();
    vec![
        span(Ink::Plain, format!("{}  ", figures::stamp(record.started_at))),
        span(status_ink(record.status), format!("{:<9}", record.status.as_str())),
        span(Ink::Plain, format!("  {took:>8}  {cost:>9}  {}", record.run_id)),
        span(Ink::Dim, attempt),
        span(Ink::Yellow, cut),
        span(Ink::Red, error),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::tests::record;

    #[test]
    fn a_status_is_written_in_any_case() {
        assert_eq!(status("failed"), Ok(RunStatus::Failed));
        assert_eq!(status("Succeeded"), Ok(RunStatus::Succeeded));
        assert!(status("done").is_err());
    }

    #[test]
    fn the_newest_come_first_and_a_retry_before_its_first_attempt() {
        let attempt = |n| record(n, RunStatus::Failed).unwrap();
        let mut older = attempt(1);
        older.started_at -= time::Duration::HOUR;
        let mut records = vec![older.clone(), attempt(1), attempt(2)];
        newest_first(&mut records, 2);
        assert_eq!(records, [attempt(2), attempt(1)]);
    }

    #[test]
    fn a_line_tells_when_what_how_and_for_how_much() {
        let mut failed = record(2, RunStatus::Failed).unwrap();
        failed.ended_at = Some(failed.started_at + time::Duration::seconds(14));
        failed.cost_usd = Some(rust_decimal::Decimal::new(31, 3));
        failed.error_name = Some("Bcce.NoTarget".into());
        let run = &failed.run_id;
        let expected = format!(
            "2026-11-01 12:00:00Z  FAILED       14.0 s  $0.0310+?  {run}  attempt 2  Bcce.NoTarget"
        );
        assert_eq!(render(&line(&failed), false, usize::MAX), expected);
    }

    #[test]
    fn answers_that_were_cut_are_told_of_a_run_that_succeeded() {
        let mut cut = record(1, RunStatus::Succeeded).unwrap();
        let told = |record: &RunRecord| render(&line(record), false, usize::MAX);
        assert!(!told(&cut).contains("cut"), "{}", told(&cut));
        cut.truncated = 1;
        assert!(told(&cut).ends_with("  1 answer cut by max_tokens"), "{}", told(&cut));
        cut.truncated = 2;
        assert!(told(&cut).ends_with("  2 answers cut by max_tokens"), "{}", told(&cut));
    }
}
