//! Lists the records of the last days, newest first. The ledger lists the records of a day in shards.

use std::cmp::Reverse;
use std::io::Write;

use bcce_aws::dynamodb::Ledger;
use bcce_core::base::error::Fault;
use bcce_core::ledger::SHARDS;
use futures::future::try_join_all;
use serde::Serialize;
use time::{Date, OffsetDateTime};

use crate::exit::{Exit, Outcome};
use crate::figures;
use crate::paint::{Ink, Line, Span, render, span};
use crate::stack::Stack;
use crate::terminal::note;
use crate::world::World;

/// The number of records of one shard and day that are searched with a filter. One answer of the ledger holds them.
const LOOKED_THROUGH: u16 = 1_000;

/// A day and the hex digit of one of its shards.
pub type Shard = (Date, char);

/// A record of a run or of a batch that can be listed.
pub trait Listed: Serialize + Sized {
    /// The noun for a record, in the singular and the plural.
    const NOUNS: [&'static str; 2];
    /// The heading of the column before the id.
    const AMOUNT: &'static str;

    /// Returns the newest records of a shard, at most `most`.
    async fn listed(ledger: &Ledger, shard: Shard, most: i32) -> Result<Vec<Self>, Fault>;
    fn row(&self) -> Row<'_>;
}

/// The columns of the line of a record.
pub struct Row<'a> {
    pub id: &'a str,
    pub workflow: &'a str,
    pub attempt_no: u32,
    pub started_at: OffsetDateTime,
    pub ended_at: Option<OffsetDateTime>,
    pub status: Span,
    pub amount: String,
    /// The number of answers that `max_tokens` cut.
    pub truncated: u64,
    pub error_name: Option<&'a str>,
}

/// The options of a command that lists records.
#[derive(Debug, clap::Args)]
pub struct Filter {
    /// List only runs or batches of this workflow
    #[arg(long, value_name = "NAME")]
    workflow: Option<String>,
    /// Number of days to go back
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u16).range(1..=366))]
    days: u16,
    /// Maximum number of runs or batches to print
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..))]
    limit: u16,
    /// Print the records as a JSON array
    #[arg(long)]
    json: bool,
}

impl Filter {
    fn wants(&self, row: &Row<'_>, status: Option<&str>) -> bool {
        self.workflow.as_ref().is_none_or(|workflow| workflow == row.workflow)
            && status.is_none_or(|status| status == row.status.text)
    }
}

/// Prints the latest records that match a filter, with one status or with any.
pub async fn print<R: Listed>(
    filter: &Filter,
    status: Option<&str>,
    world: &World,
    out: &mut dyn Write,
) -> Outcome {
    let stack = Stack::find(world).await?;
    let is_filtered = filter.workflow.is_some() || status.is_some();
    let listed = async |shard, most| R::listed(&stack.ledger, shard, most).await;
    let wanted = |record: &R| filter.wants(&record.row(), status);
    let mut found =
        search(filter, world.now().date(), is_filtered, R::NOUNS[1], listed, wanted).await?;
    newest_first(&mut found, filter.limit.into());
    if filter.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&found).unwrap_or_default())?;
        return Ok(Exit::Done);
    }
    if found.is_empty() {
        let days = figures::plural(filter.days.into(), "day");
        writeln!(out, "no such {} in {} in the last {days}", R::NOUNS[0], world.environment)?;
        return Ok(Exit::Done);
    }
    for line in std::iter::once(heading::<R>()).chain(found.iter().map(|record| line(record.row())))
    {
        // The line is not cut because people copy the id at its end.
        writeln!(out, "{}", render(&line, world.color, usize::MAX))?;
    }
    Ok(Exit::Done)
}

/// Sorts records, newest first and a retry before the attempt that it follows. Keeps the first `limit` of them.
pub fn newest_first<R: Listed>(records: &mut Vec<R>, limit: usize) {
    records.sort_by_key(|record| {
        let row = record.row();
        Reverse((row.started_at, row.attempt_no))
    });
    records.truncate(limit);
}

fn heading<R: Listed>() -> Line {
    let ([noun, _], amount) = (R::NOUNS, R::AMOUNT);
    let text = format!("{:<20}  {:<9}  {:>8}  {amount:>9}  {noun}", "started", "status", "took");
    vec![span(Ink::Dim, text)]
}

/// Returns the line of a record with its start, status, duration, amount and id.
pub fn line(row: Row<'_>) -> Line {
    let took = row.ended_at.map(|ended| figures::between(row.started_at, ended));
    let attempt = match row.attempt_no {
        1 => String::new(),
        n => format!("  attempt {n}"),
    };
    let cut = match row.truncated {
        0 => String::new(),
        cut => format!("  {} cut by max_tokens", figures::plural(cut as usize, "answer")),
    };
    let took = took.unwrap_or_default();
    vec![
        span(Ink::Plain, format!("{}  ", figures::stamp(row.started_at))),
        span(row.status.ink, format!("{:<9}", row.status.text)),
        span(Ink::Plain, format!("  {took:>8}  {:>9}  {}", row.amount, row.id)),
        span(Ink::Dim, attempt),
        span(Ink::Yellow, cut),
        span(Ink::Red, row.error_name.map(|name| format!("  {name}")).unwrap_or_default()),
    ]
}

/// Returns the `wanted` records of the last days in no particular order. Goes back day by day until `filter.limit`
/// records are found, so the result includes the newest ones.
///
/// `is_filtered` is true if only some records are wanted, `what` is their noun for a note, and `listed` returns the
/// newest records of a shard.
async fn search<R>(
    filter: &Filter,
    today: Date,
    is_filtered: bool,
    what: &str,
    listed: impl AsyncFn(Shard, i32) -> Result<Vec<R>, Fault>,
    wanted: impl Fn(&R) -> bool,
) -> Outcome<Vec<R>> {
    let limit = filter.limit;
    let most = if is_filtered { LOOKED_THROUGH } else { limit.min(LOOKED_THROUGH) };
    let (mut found, mut day) = (Vec::new(), today);
    for _ in 0..filter.days {
        let shards = SHARDS.chars().map(|digit| listed((day, digit), most.into()));
        let shards = try_join_all(shards).await?;
        if is_filtered && shards.iter().any(|shard| shard.len() >= LOOKED_THROUGH.into()) {
            note(&format!(
                "note: {day} has more {what} than were searched; older {what} of that day may be missing"
            ));
        }
        found.extend(shards.into_iter().flatten().filter(|record| wanted(record)));
        match day.previous_day().filter(|_| found.len() < limit.into()) {
            Some(before) => day = before,
            None => break,
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use time::macros::date;

    const TODAY: Date = date!(2026 - 11 - 01);
    const FILTER: Filter = Filter { workflow: None, days: 3, limit: 20, json: false };

    /// Searches a ledger with two records on each day. Returns the records found and the shards that were read.
    async fn searched(
        limit: u16,
        is_filtered: bool,
        is_wanted: fn(&u8) -> bool,
    ) -> (Vec<u8>, Vec<String>) {
        let asked = RefCell::new(Vec::new());
        let listed = async |(day, digit): Shard, most: i32| {
            asked.borrow_mut().push(format!("{day}#{digit} {most}"));
            Ok(if digit == '7' { vec![1, 2] } else { vec![] })
        };
        let filter = Filter { limit, ..FILTER };
        let found =
            search(&filter, TODAY, is_filtered, "records", listed, is_wanted).await.unwrap();
        (found, asked.into_inner())
    }

    #[tokio::test]
    async fn days_are_gone_back_until_enough_is_found() {
        let (found, asked) = searched(20, false, |_| true).await;
        assert_eq!((found.len(), asked.len()), (6, 3 * SHARDS.len()));
        assert_eq!(asked[0], "2026-11-01#0 20");
        let (found, asked) = searched(2, false, |_| true).await;
        assert_eq!((found, asked.len()), (vec![1, 2], SHARDS.len()));
    }

    #[tokio::test]
    async fn for_a_filter_more_is_looked_through() {
        let (found, asked) = searched(20, true, |n| *n == 2).await;
        assert_eq!((found, asked[0].as_str()), (vec![2; 3], "2026-11-01#0 1000"));
    }
}
