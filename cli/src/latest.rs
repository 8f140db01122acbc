//! Lists the records of the last days, newest first and page by page.

pub mod cursor; // the position at which the next page begins
pub mod search; // merges the pages of the ledger's shards

use std::cmp::Reverse;
use std::io::Write;

use bcce_aws::dynamodb::Ledger;
use bcce_aws::dynamodb::listing::{Condition, Listing, Page};
use bcce_core::base::error::Fault;
use serde::Serialize;
use time::{Date, Duration, OffsetDateTime, Time};

use self::cursor::Cursor;
use self::search::{Found, MOST_READ, Search, search};
use crate::exit::{Exit, Failure, Outcome};
use crate::figures;
use crate::paint::{Ink, Line, Span, one_line, render, span};
use crate::stack::Stack;
use crate::terminal::note;
use crate::values::{Moment, moment};
use crate::world::World;

/// The largest number of days to go back.
const MAX_DAYS: i64 = 366;

/// A record of a run or of a batch that can be listed.
pub trait Listed: Serialize + Sized {
    /// The noun for a record, in the singular and the plural.
    const NOUNS: [&'static str; 2];
    /// The heading of the column before the id.
    const AMOUNT: &'static str;

    /// Returns the key of a shard of a day.
    fn shard(day: Date, digit: char) -> String;
    /// Reads a page of a shard.
    async fn listed(ledger: &Ledger, listing: Listing) -> Result<Page<Self>, Fault>;
    fn row(&self) -> Row<'_>;
}

/// The columns of the line of a record.
pub struct Row<'a> {
    pub id: &'a str,
    pub attempt_no: u32,
    pub started_at: OffsetDateTime,
    pub ended_at: Option<OffsetDateTime>,
    pub status: Span,
    pub amount: String,
    /// The number of answers that `max_tokens` cut.
    pub truncated: u64,
    pub error_name: Option<&'a str>,
}

/// The options of a command that lists records. All of them must match.
#[derive(Debug, clap::Args)]
pub struct Filter {
    /// List only runs or batches of this workflow
    #[arg(long, value_name = "NAME")]
    workflow: Option<String>,
    /// List only runs or batches of this tenant
    #[arg(long, value_name = "NAME")]
    tenant: Option<String>,
    /// Number of UTC days to go back, today included
    #[arg(
        long, default_value_t = 7, value_parser = clap::value_parser!(u16).range(1..=MAX_DAYS),
        conflicts_with = "since"
    )]
    days: u16,
    /// List only what started since then: a time ago such as 90s, 2h or 7d, or a date or time in UTC such as 2026-11-03
    /// or 2026-11-03T12:30
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<Moment>,
    /// List only what started before then, such as 2h, 7d or 2026-11-03
    #[arg(long, value_name = "TIME", value_parser = moment)]
    older_than: Option<Moment>,
    /// Maximum number of runs or batches to print
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..))]
    limit: u16,
    /// Print the page after the one that ended with this cursor; give the same filters again
    #[arg(long, value_name = "CURSOR", value_parser = cursor::parse)]
    cursor: Option<Cursor>,
    /// Print the records as a JSON array; the cursor of the next page is printed on standard error
    #[arg(long)]
    json: bool,
}

impl Filter {
    /// Returns what to search for at the time `now`.
    ///
    /// # Errors
    /// The times exclude every record, or are too far back.
    fn search(&self, status: Option<&str>, now: OffsetDateTime) -> Outcome<Search> {
        let first_day = now.date() - Duration::days(i64::from(self.days) - 1);
        let default = first_day.with_time(Time::MIDNIGHT).assume_utc();
        let since = self.since.map_or(default, |since| since.at(now));
        let before = self.older_than.map(|before| before.at(now));
        check_times(since, before, now)?;
        let conditions = [
            ("workflow", self.workflow.as_deref()),
            ("tenant", self.tenant.as_deref()),
            ("status", status),
        ];
        let given = conditions.into_iter().filter_map(|(name, value)| Some((name, value?)));
        Ok(Search {
            since,
            before,
            today: now.date(),
            cursor: self.cursor.clone(),
            conditions: given.map(|(name, value)| Condition::equals(name, value)).collect(),
            is_narrowed: false,
            limit: self.limit.into(),
            most_read: MOST_READ,
        })
    }
}

fn check_times(
    since: OffsetDateTime,
    before: Option<OffsetDateTime>,
    now: OffsetDateTime,
) -> Outcome<()> {
    let refused = |what: String, then: &str| Err(Failure::usage(what, then));
    let stamp = figures::stamp;
    if since > now {
        let what = format!("--since: {} is after now, {}", stamp(since), stamp(now));
        return refused(what, "give an earlier time; dates and times are those of UTC");
    }
    if now - since > Duration::days(MAX_DAYS) {
        let what = format!("--since: {} is more than {MAX_DAYS} days ago", stamp(since));
        return refused(what, "give a later time");
    }
    match before.filter(|before| *before <= since) {
        Some(before) => refused(
            format!("--older-than: {} is not after the start, {}", stamp(before), stamp(since)),
            "go further back with --days or --since",
        ),
        None => Ok(()),
    }
}

/// Prints a page of the latest records that match a filter, with one status or with any. `narrow` selects among them.
pub async fn print<R: Listed>(
    filter: &Filter,
    status: Option<&str>,
    narrow: Option<impl Fn(&R) -> bool>,
    world: &World,
    out: &mut dyn Write,
) -> Outcome {
    let wanted = Search { is_narrowed: narrow.is_some(), ..filter.search(status, world.now())? };
    let stack = Stack::find(world).await?;
    let listed = async |listing: Listing| R::listed(&stack.ledger, listing).await;
    let is_wanted = |record: &R| narrow.as_ref().is_none_or(|narrow| narrow(record));
    let mut found = search(&wanted, R::shard, listed, is_wanted).await?;
    newest_first(&mut found.records);
    if filter.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&found.records).unwrap_or_default())?;
    } else if found.records.is_empty() {
        let since = figures::stamp(wanted.since);
        writeln!(out, "no such {} in {} since {since}", R::NOUNS[0], world.environment)?;
    } else {
        let lines = found.records.iter().map(|record| line(record.row()));
        for line in std::iter::once(heading::<R>()).chain(lines) {
            // The line is not cut because people copy the id at its end.
            writeln!(out, "{}", render(&line, world.color, usize::MAX))?;
        }
    }
    out.flush()?;
    notes(&found, R::NOUNS[1]).iter().for_each(|line| note(line));
    Ok(Exit::Done)
}

/// Returns what to say about a search besides its records. Scripts read the cursor from the last line.
fn notes<R>(found: &Found<R>, what: &str) -> Vec<String> {
    let mut notes = Vec::new();
    notes.extend(unreadable(&found.unreadable));
    if let Some(next) = &found.next {
        if found.is_cut {
            let started_at = next.started_at();
            notes.push(format!(
                "note: {} {what} were read, and those that started at {started_at} or earlier were not searched",
                figures::count(MOST_READ as u64)
            ));
        }
        notes.push(format!("next page: --cursor {next}"));
    }
    notes
}

/// Returns the note about items of the ledger that this version cannot read, if there are any.
pub fn unreadable(keys: &[String]) -> Option<String> {
    let first = one_line(keys.first()?);
    let items = figures::plural(keys.len(), "item");
    let what = "of the ledger that this version of bcce does not write";
    Some(format!("note: skipped {items} {what}, such as {first}"))
}

/// Sorts records, newest first and a retry before the attempt that it follows.
pub fn newest_first<R: Listed>(records: &mut [R]) {
    records.sort_by_key(|record| {
        let row = record.row();
        Reverse((row.started_at, row.attempt_no))
    });
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

#[cfg(test)]
mod tests;
