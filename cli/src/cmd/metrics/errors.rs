use std::collections::BTreeMap;
use std::io::Write;

use serde_json::{Value, json};

use crate::exit::{Exit, Outcome};
use crate::figures;
use crate::json::{self, Field};
use crate::metrics::dimension::Dimension;
use crate::metrics::groups::Groups;
use crate::metrics::print::{self, heading};
use crate::metrics::table::{Row, Table};
use crate::metrics::{Form, Selected, Selection, notes};
use crate::paint::Ink;
use crate::paint::{Line, span};
use crate::world::World;

const FIELDS: [Field; 3] = [
    ("groups[].error", "name of the error"),
    ("groups[].calls", "number of calls with the error"),
    (
        "groups[].runs",
        "number of runs with the error, or null if the dimension or a filter is one of calls",
    ),
];

#[derive(Debug, clap::Args)]
#[command(after_long_help = json::fields("Prints an object.", &[&print::REPORT, &FIELDS]))]
pub struct Args {
    #[command(flatten)]
    selection: Selection,
}

/// The name of the error of calls that were lost together with the function that made them.
const LOST: &str = "(lost)";

/// The number of failed calls and runs with an error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Count {
    calls: u64,
    /// `None` if only calls can be counted by the dimension and the filters.
    runs: Option<u64>,
}

pub async fn run(args: Args, world: &World, out: &mut dyn Write) -> Outcome {
    let selected = args.selection.read(Dimension::Error, false, world).await?;
    let counts = counts(&selected);
    match selected.form {
        Form::Json => json::print(&as_json(&selected, &counts), out)?,
        Form::Csv => {
            print::csv(&selected, &head(&selected), rows(&selected, &counts, &u64::to_string), out)?
        }
        Form::Text => print::lines(&text(&selected, &counts), world, out)?,
    }
    Ok(Exit::Done)
}

/// Returns the counts by group and error, the most frequent error of a group first.
fn counts(selected: &Selected) -> Vec<(String, String, Count)> {
    let groups = Groups::of(&selected.days, &selected.filters, &selected.by);
    let mut found = Vec::new();
    for (name, sums) in &groups.groups {
        let mut counts: BTreeMap<&str, Count> = BTreeMap::new();
        let lost = Some((LOST, sums.line.lost_calls)).filter(|(_, lost)| *lost > 0);
        let calls = sums.detail.errors.iter().map(|(error, calls)| (error.as_str(), *calls));
        for (error, calls) in calls.chain(lost) {
            counts.entry(error).or_default().calls = calls;
        }
        for (error, runs) in &sums.runs.errors {
            counts.entry(error).or_default().runs = Some(*runs);
        }
        let mut counts: Vec<_> = counts.into_iter().collect();
        counts.sort_by_key(|(_, count)| std::cmp::Reverse((count.calls, count.runs)));
        found.extend(counts.into_iter().map(|(error, count)| {
            let runs = groups.have_runs.then(|| count.runs.unwrap_or_default());
            (name.clone(), error.to_owned(), Count { runs, ..count })
        }));
    }
    found
}

/// Returns true if the groups are the errors themselves.
fn is_by_error(selected: &Selected) -> bool {
    selected.by == Dimension::Error
}

fn head(selected: &Selected) -> Vec<String> {
    let group = Some(selected.by.name()).filter(|_| !is_by_error(selected));
    group.into_iter().chain(["error", "calls", "runs"].map(str::to_owned)).collect()
}

fn rows<'a>(
    selected: &Selected,
    counts: &'a [(String, String, Count)],
    format: &'a dyn Fn(&u64) -> String,
) -> impl Iterator<Item = Vec<String>> + 'a {
    let is_by_error = is_by_error(selected);
    counts.iter().map(move |(name, error, count)| {
        let group = Some(name.clone()).filter(|_| !is_by_error);
        let runs = count.runs.as_ref().map(format).unwrap_or_default();
        group.into_iter().chain([error.clone(), format(&count.calls), runs]).collect()
    })
}

fn text(selected: &Selected, counts: &[(String, String, Count)]) -> Vec<Line> {
    let mut text = vec![heading("Errors", selected), Vec::new()];
    if counts.is_empty() {
        text.push(vec![span(Ink::Plain, "There were none.")]);
        text.extend(notes::unreadable(selected));
        return text;
    }
    let rows = rows(selected, counts, &|count| figures::count(*count)).map(Row::plain).collect();
    let texts = if is_by_error(selected) { 1 } else { 2 };
    text.extend(Table { headings: head(selected), texts, rows }.lines(None));
    let note = "A call that failed may have been answered by the next target. Runs count if they failed or were cancelled \
                with an error.";
    text.extend([Vec::new(), vec![span(Ink::Dim, note)]]);
    text.extend(notes::unreadable(selected));
    text
}

fn as_json(selected: &Selected, counts: &[(String, String, Count)]) -> Value {
    let by = selected.by.name();
    let group = |(name, error, count): &(String, String, Count)| {
        let mut group = json!({ "error": error, "calls": count.calls, "runs": count.runs });
        if !is_by_error(selected) {
            group[by.as_str()] = json!(name);
        }
        group
    };
    print::report(selected, counts.iter().map(group).collect())
}

#[cfg(test)]
mod tests;
