use std::io::Write;

use bcce_core::base::histogram::{Histogram, MAX_ERROR};
use serde_json::{Value, json};

use crate::exit::{Exit, Outcome};
use crate::figures;
use crate::json::{self, Field};
use crate::metrics::dimension::Dimension;
use crate::metrics::groups::{Groups, Sums};
use crate::metrics::print::{self, heading};
use crate::metrics::table::{Row, Table};
use crate::metrics::{Form, Selected, Selection, notes};
use crate::paint::{Ink, Line, span};
use crate::world::World;

const FIELDS: [Field; 3] = [
    (
        "groups[].first_token_ms",
        "count, p50, p90 and p99 of the time to the first token, in milliseconds",
    ),
    ("groups[].answer_ms", "the same of the time to the whole answer"),
    ("max_relative_error", "largest error of the times, as a share of them"),
];

#[derive(Debug, clap::Args)]
#[command(after_long_help = json::fields("Prints an object.", &[&print::REPORT, &FIELDS]))]
pub struct Args {
    #[command(flatten)]
    selection: Selection,
}

/// The percentiles of each histogram.
const PERCENTILES: [u64; 3] = [50, 90, 99];

pub async fn run(args: Args, world: &World, out: &mut dyn Write) -> Outcome {
    let selected = args.selection.read(Dimension::Target, false, world).await?;
    let groups = answered(&selected);
    match selected.form {
        Form::Json => json::print(&as_json(&selected, &groups), out)?,
        Form::Csv => print::csv(&selected, &head(&selected, "_", "_ms"), rows(&groups, raw), out)?,
        Form::Text => print::lines(&text(&selected, &groups), world, out)?,
    }
    Ok(Exit::Done)
}

/// Returns the groups that have answers, in the order of their names.
fn answered(selected: &Selected) -> Vec<(String, Sums)> {
    let groups = Groups::of(&selected.days, &selected.filters, &selected.by).groups;
    groups.into_iter().filter(|(_, sums)| !sums.detail.answer.is_empty()).collect()
}

/// Returns the headings. `gap` stands between the words of a heading, and `unit` at the end of that of a time.
fn head(selected: &Selected, gap: &str, unit: &str) -> Vec<String> {
    let of = |what: &str| {
        let what = what.replace(' ', gap);
        PERCENTILES.map(|percent| format!("{what}{gap}p{percent}{unit}"))
    };
    [vec![selected.by.name(), "answers".into()], of("first token").into(), of("answer").into()]
        .concat()
}

/// Returns the cells of each group. `format` formats a time in milliseconds.
fn rows(groups: &[(String, Sums)], format: fn(u64) -> String) -> Vec<Vec<String>> {
    let times = |histogram: &Histogram| {
        PERCENTILES.map(|percent| histogram.quantile(percent).map(format).unwrap_or_default())
    };
    let row = |(name, sums): &(String, Sums)| {
        let detail = &sums.detail;
        let first = vec![name.clone(), detail.answer.count().to_string()];
        [first, times(&detail.first_token).into(), times(&detail.answer).into()].concat()
    };
    groups.iter().map(row).collect()
}

/// Formats a time without adding to its error: in milliseconds below ten seconds, and in tenths of a second above.
fn rounded(milliseconds: u64) -> String {
    match milliseconds {
        0..10_000 => format!("{} ms", figures::count(milliseconds)),
        _ => figures::milliseconds(milliseconds + 50),
    }
}

fn raw(milliseconds: u64) -> String {
    milliseconds.to_string()
}

fn text(selected: &Selected, groups: &[(String, Sums)]) -> Vec<Line> {
    let mut text = vec![heading("Latency", selected), Vec::new()];
    if groups.is_empty() {
        text.push(vec![span(Ink::Plain, "There were no answers.")]);
        text.extend(notes::unreadable(selected));
        return text;
    }
    let rows = rows(groups, rounded).into_iter().map(Row::plain).collect();
    text.extend(Table { headings: head(selected, " ", ""), texts: 1, rows }.lines(None));
    let note = format!(
        "Times are from the start of a call that answered, at most {:.2} % too high or too low. Bulk jobs are not included.",
        MAX_ERROR * 100.0
    );
    text.extend([Vec::new(), vec![span(Ink::Dim, note)]]);
    text.extend(notes::unreadable(selected));
    text
}

fn as_json(selected: &Selected, groups: &[(String, Sums)]) -> Value {
    let by = selected.by.name();
    let times = |histogram: &Histogram| {
        let [p50, p90, p99] = PERCENTILES.map(|percent| histogram.quantile(percent));
        json!({ "count": histogram.count(), "p50": p50, "p90": p90, "p99": p99 })
    };
    let group = |(name, sums): &(String, Sums)| {
        let (first_token, answer) = (&sums.detail.first_token, &sums.detail.answer);
        json!({ by.as_str(): name, "first_token_ms": times(first_token), "answer_ms": times(answer) })
    };
    let mut report = print::report(selected, groups.iter().map(group).collect());
    report["max_relative_error"] = json!(MAX_ERROR);
    report
}

#[cfg(test)]
mod tests;
