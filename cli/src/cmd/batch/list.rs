use std::cmp::Reverse;
use std::io::Write;

use bcce_core::batch::BatchStatus;
use bcce_core::ledger::{BatchRecord, batches_shard};

use crate::batch::view::ink;
use crate::exit::{Exit, Outcome};
use crate::figures;
use crate::latest::{self, Search};
use crate::paint::{Ink, Line, render, span};
use crate::stack::Stack;
use crate::world::World;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only batches of this workflow
    #[arg(long, value_name = "NAME")]
    workflow: Option<String>,
    /// Only batches with this status: running, succeeded, partial, failed or cancelled
    #[arg(long, value_parser = status)]
    status: Option<BatchStatus>,
    /// How many days to go back
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u16).range(1..=366))]
    days: u16,
    /// How many batches to print
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..))]
    limit: u16,
    /// Print the records as a JSON array
    #[arg(long)]
    json: bool,
}

fn status(given: &str) -> Result<BatchStatus, String> {
    let told = |_| "is one of running, succeeded, partial, failed, cancelled".to_owned();
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
    let listed = async |shard: &str, most| stack.ledger.listed_batches(shard, most).await;
    let wanted = |record: &BatchRecord| args.wants(record);
    let mut found = latest::search(search, "batches", batches_shard, listed, wanted).await?;
    found.sort_by_key(|record| Reverse((record.started_at, record.attempt_no)));
    found.truncate(args.limit.into());
    match args.json {
        true => writeln!(out, "{}", serde_json::to_string_pretty(&found).unwrap_or_default())?,
        false => print(&found, &args, world, out)?,
    }
    Ok(Exit::Done)
}

impl Args {
    fn wants(&self, record: &BatchRecord) -> bool {
        self.workflow.as_ref().is_none_or(|workflow| *workflow == record.workflow)
            && self.status.is_none_or(|status| status == record.status)
    }
}

fn print(
    records: &[BatchRecord],
    args: &Args,
    world: &World,
    out: &mut dyn Write,
) -> std::io::Result<()> {
    if records.is_empty() {
        let days = figures::plural(args.days.into(), "day");
        return writeln!(out, "no such batch in {} in the last {days}", world.environment);
    }
    let heading =
        format!("{:<20}  {:<9}  {:>8}  {:>9}  batch", "started", "status", "took", "items");
    let lines = std::iter::once(vec![span(Ink::Dim, heading)]).chain(records.iter().map(line));
    for line in lines {
        // Not cut: the id at its end is what one copies.
        writeln!(out, "{}", render(&line, world.color, usize::MAX))?;
    }
    Ok(())
}

fn line(record: &BatchRecord) -> Line {
    let took = record.ended_at.map(|ended| figures::between(record.started_at, ended));
    let (took, items) = (took.unwrap_or_default(), figures::count(record.items));
    let attempt = match record.attempt_no {
        1 => String::new(),
        n => format!("  attempt {n}"),
    };
    let error = record.error_name.as_ref().map(|name| format!("  {name}")).unwrap_or_default();
    vec![
        span(Ink::Plain, format!("{}  ", figures::stamp(record.started_at))),
        span(ink(record.status), format!("{:<9}", record.status.as_str())),
        span(Ink::Plain, format!("  {took:>8}  {items:>9}  {}", record.batch_id)),
        span(Ink::Dim, attempt),
        span(Ink::Red, error),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::tests::record;

    #[test]
    fn a_status_is_written_in_any_case() {
        assert_eq!(status("partial"), Ok(BatchStatus::Partial));
        assert!(status("rejected").is_err());
    }

    #[test]
    fn a_line_tells_when_how_and_how_many() {
        let mut failed = record(2, BatchStatus::Failed);
        failed.ended_at = Some(failed.started_at + time::Duration::seconds(14));
        failed.error_name = Some("Bcce.TooManyFailures".into());
        let expected = format!(
            "2026-11-01 12:00:00Z  FAILED       14.0 s        500  {}  attempt 2  Bcce.TooManyFailures",
            failed.batch_id
        );
        assert_eq!(render(&line(&failed), false, usize::MAX), expected);
    }
}
