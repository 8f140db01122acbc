//! Prints sums by group as a table, as JSON or as CSV.

use std::io::Write;

use bcce_core::base::usage::Usage;
use bcce_core::call::attempt::Totals;
use rust_decimal::Decimal;
use serde_json::{Value, json};

use crate::exit::{Exit, Failure, Outcome};
use crate::figures;
use crate::json::{self, Field};
use crate::metrics::dimension::Dimension;
use crate::metrics::groups::{Groups, Sums, cost_by_day};
use crate::metrics::period::Period;
use crate::metrics::platform::PlatformPrices;
use crate::metrics::table::{Row, Table, percent, share, sparkline};
use crate::metrics::{Form, Selected, View, notes};
use crate::paint::{Ink, Line, render, span};
use crate::world::World;

/// The fields that all reports have.
pub const REPORT: [Field; 7] = [
    ("version", "1"),
    ("environment", "the environment"),
    ("from, to", "first and last day of the period, in UTC"),
    ("by", "dimension of the groups, such as workflow or tag:team"),
    ("filters", "selected values by dimension"),
    ("groups", "list of groups; each has its value in a field that is named after the dimension"),
    ("unknown_items", "keys of items of the ledger that this version cannot read"),
];

/// The fields of sums: those of each group and of the total. Amounts are decimal numbers.
pub const SUMS: [Field; 18] = [
    ("cost_by_day", "list of days: day and known_cost_usd"),
    ("total", "sums over all groups, with the fields of a group, which follow"),
    ("total_before", "with --compare, the sums of the period before; a group has them as `before`"),
    ("runs, failed_runs", "numbers of runs, or null if the dimension or a filter is one of calls"),
    ("calls", "number of calls, of which the following are parts"),
    ("failed_calls", "calls that failed"),
    ("rejected_calls", "calls that the target rejected: a fault of the configuration"),
    ("unknown_calls", "calls whose usage is unknown"),
    ("unpriced_calls", "calls whose cost is unknown"),
    ("lost_calls", "calls that no artifact records"),
    (
        "usage, known_usage",
        "tokens; usage is null if that of a call is unknown, and known_usage has the others",
    ),
    ("cost_usd", "cost, or null if that of a call is unknown"),
    ("priced_subtotal_usd", "if cost_usd is null, the sum of the known costs"),
    ("unpriced", "ids of the models without a price"),
    ("failed_cost_usd", "cost of the calls that failed"),
    ("cache_saved_usd", "amount that reads from prompt caches saved"),
    ("cache_extra_usd", "amount that writes to prompt caches added"),
    (
        "platform",
        "with --platform, what AWS charges besides tokens: runs, usd, known_usd, taken and prices_date",
    ),
];

/// Prints the sums of each group. JSON and CSV have all figures, whatever the view.
///
/// # Errors
/// The output cannot be written.
pub fn sums(selected: &Selected, view: View, world: &World, out: &mut dyn Write) -> Outcome {
    match selected.form {
        Form::Json => json::print(&sums_json(selected), out)?,
        Form::Csv => sums_csv(selected, out)?,
        Form::Text => lines(&text(selected, view, bars(world)), world, out)?,
    }
    Ok(Exit::Done)
}

/// Prints rows of CSV below a heading. A note on standard error says what the rows do not include.
///
/// # Errors
/// The output cannot be written.
pub fn csv(
    selected: &Selected,
    head: &[String],
    rows: impl IntoIterator<Item = Vec<String>>,
    out: &mut dyn Write,
) -> Outcome<()> {
    // Rows have no place for it.
    if let Some(line) = notes::unreadable(selected) {
        crate::terminal::note(&render(&line, false, usize::MAX));
    }
    let mut writer = csv::Writer::from_writer(out);
    writer.write_record(head).map_err(unwritten)?;
    for row in rows {
        writer.write_record(row).map_err(unwritten)?;
    }
    Ok(writer.flush()?)
}

/// Returns the JSON of a report: the fields that all reports have, and its groups.
pub fn report(selected: &Selected, groups: Vec<Value>) -> Value {
    json!({
        "version": 1,
        "environment": selected.environment,
        "from": selected.period.from.to_string(),
        "to": selected.period.to.to_string(),
        "by": selected.by.name(),
        "filters": selected.filters.json(),
        "groups": groups,
        "unknown_items": selected.unknown(),
    })
}

/// Prints lines. They are not cut, because a narrow terminal would hide the costs at their end.
pub fn lines(lines: &[Line], world: &World, out: &mut dyn Write) -> std::io::Result<()> {
    for line in lines {
        writeln!(out, "{}", render(line, world.color, usize::MAX))?;
    }
    Ok(())
}

/// Returns the width for tables with bars. Without a terminal, there are no bars.
fn bars(world: &World) -> Option<usize> {
    world.terminal.then(|| world.size().0)
}

/// Returns the heading above a table.
pub fn heading(what: &str, selected: &Selected) -> Line {
    let (of, period) = (selected.filters.describe(), selected.period);
    let text = format!("{what}{of} in {}, {period}", selected.environment);
    vec![span(Ink::Bold, text)]
}

fn text(selected: &Selected, view: View, width: Option<usize>) -> Vec<Line> {
    let what = match view {
        View::Cost => "Cost",
        View::Usage => "Usage",
    };
    let mut text = vec![heading(what, selected), Vec::new()];
    let groups = Sorted::of(selected);
    if groups.names.is_empty() {
        text.push(vec![span(Ink::Plain, "There was no usage.")]);
        text.extend(notes::of(selected, &Sums::default(), view));
        return text;
    }
    let table = match view {
        View::Cost => groups.costs(selected.platform.as_ref()),
        View::Usage => groups.usages(),
    };
    text.extend(table.lines(width));
    text.push(Vec::new());
    let has_days = selected.period.from < selected.period.to && selected.by != Dimension::Day;
    if view == View::Cost && width.is_some() && has_days {
        text.extend([per_day(selected), Vec::new()]);
    }
    text.extend(notes::of(selected, &groups.total, view));
    if let Some(prices) = &selected.platform {
        if text.last().is_some_and(|last| !last.is_empty()) {
            text.push(Vec::new());
        }
        text.extend(prices.lines(&groups.total));
    }
    while text.last().is_some_and(Vec::is_empty) {
        text.pop();
    }
    text
}

fn per_day(selected: &Selected) -> Line {
    let days = cost_by_day(&selected.days, &selected.filters, selected.period);
    let costs: Vec<Decimal> = days.iter().map(|(_, cost)| *cost).collect();
    let (least, most) = (costs.iter().min(), costs.iter().max());
    let [least, most] = [least, most].map(|cost| figures::usd(cost.copied().unwrap_or_default()));
    vec![
        span(Ink::Dim, "per day  "),
        span(Ink::Green, sparkline(&costs)),
        span(Ink::Plain, format!("  {least} to {most}")),
    ]
}

/// The groups in the order in which they are printed.
pub struct Sorted {
    pub now: Groups,
    before: Option<Groups>,
    pub names: Vec<String>,
    pub total: Sums,
    pub total_before: Sums,
}

impl Sorted {
    /// Sums the selected usage by group.
    pub fn of(selected: &Selected) -> Self {
        let of = |days| Groups::of(days, &selected.filters, &selected.by);
        let (mut now, before) = (of(&selected.days), selected.before.as_deref().map(of));
        now.complete(selected.period);
        let mut names: Vec<String> = now.order().into_iter().cloned().collect();
        let gone = before.iter().filter(|_| selected.by != Dimension::Day).flat_map(Groups::order);
        names.extend(gone.filter(|name| !now.groups.contains_key(*name)).cloned());
        let total = now.total();
        let total_before = before.as_ref().map(Groups::total).unwrap_or_default();
        Self { now, before, names, total, total_before }
    }

    fn head(&self, columns: &[&str]) -> Vec<String> {
        let runs = self.now.have_runs.then(|| "runs".to_owned());
        let by = self.now.by.name();
        let columns = columns.iter().map(|column| (*column).to_owned());
        std::iter::once(by).chain(runs).chain(columns).collect()
    }

    fn row(&self, name: &str, sums: &Sums, cells: Vec<String>) -> Row {
        let runs = self.now.have_runs.then(|| figures::count(sums.runs.all()));
        Row::plain(std::iter::once(name.to_owned()).chain(runs).chain(cells))
    }

    /// Returns the sums of a group in the period before. Returns `None` without a comparison, and for days, which are
    /// compared in sum only.
    pub fn before(&self, name: &str) -> Option<Sums> {
        let before = self.before.as_ref().filter(|before| before.by != Dimension::Day)?;
        Some(before.get(name))
    }

    /// Returns the table of costs, with a column for what AWS charges besides tokens if there are `prices` for it.
    fn costs(&self, prices: Option<&PlatformPrices>) -> Table {
        let mut headings = self.head(&["calls", "tokens in", "tokens out", "cost", "share"]);
        if prices.is_some() {
            headings.push("AWS".to_owned());
        }
        if self.before.is_some() {
            headings.extend(["before", "change"].map(str::to_owned));
        }
        let highest = self.now.groups.values().map(Sums::cost).max().unwrap_or_default();
        let row = |name: &str, sums: &Sums, before: Option<&Sums>| {
            let totals = &sums.line.totals;
            let used = totals.known_usage();
            let mut cells = vec![
                figures::count(sums.line.calls),
                figures::count(used.prompt_tokens()),
                figures::count(used.output_tokens),
                figures::cost(totals),
                percent(share(sums.cost(), self.total.cost())),
            ];
            cells.extend(prices.map(|prices| prices.cell(sums)));
            if self.before.is_some() {
                let before = before.map(|before| &before.line.totals);
                cells.push(before.map(figures::cost).unwrap_or_default());
                cells.push(before.map(|before| change(totals, before)).unwrap_or_default());
            }
            self.row(name, sums, cells)
        };
        let mut rows = Vec::new();
        for name in &self.names {
            let (sums, before) = (self.now.get(name), self.before(name));
            let bar = Some(share(sums.cost(), highest));
            rows.push(Row { bar, ..row(name, &sums, before.as_ref()) });
        }
        rows.push(row("total", &self.total, Some(&self.total_before)).bold());
        Table { headings, texts: 1, rows }
    }

    fn usages(&self) -> Table {
        let headings = self.head(&[
            "calls",
            "of unknown usage",
            "input",
            "output",
            "cache read",
            "write 5m",
            "write 1h",
        ]);
        let row = |name: &str, sums: &Sums| {
            let Usage {
                input_tokens,
                output_tokens,
                cache_read_tokens,
                cache_write_5m_tokens,
                cache_write_1h_tokens,
            } = sums.line.totals.known_usage();
            let counts = [
                sums.line.calls,
                sums.line.unknown_calls,
                input_tokens,
                output_tokens,
                cache_read_tokens,
                cache_write_5m_tokens,
                cache_write_1h_tokens,
            ];
            self.row(name, sums, counts.map(figures::count).into())
        };
        let mut rows: Vec<Row> =
            self.names.iter().map(|name| row(name, &self.now.get(name))).collect();
        rows.push(row("total", &self.total).bold());
        Table { headings, texts: 1, rows }
    }
}

/// Formats the change of a cost: `+12 %`, `-100 %`, `new`. Returns an empty text if one of the costs is not fully known.
pub fn change(now: &Totals, before: &Totals) -> String {
    match (now.cost_usd, before.cost_usd) {
        (Some(now), Some(before)) if now == before => {
            if now.is_zero() {
                String::new()
            } else {
                "0 %".into()
            }
        }
        (Some(_), Some(before)) if before.is_zero() => "new".into(),
        (Some(now), Some(before)) => format!("{:+.0} %", share(now - before, before) * 100.0),
        _ => String::new(),
    }
}

fn sums_json(selected: &Selected) -> Value {
    let groups = Sorted::of(selected);
    let by = groups.now.by.name();
    let of = |sums: &Sums| {
        let mut json = sums.json(groups.now.have_runs);
        if let Some(prices) = &selected.platform {
            json["platform"] = prices.json(sums);
        }
        json
    };
    let group = |name: &String| {
        let mut group = json!({ by.as_str(): name });
        if let (Value::Object(group), Value::Object(sums)) = (&mut group, of(&groups.now.get(name)))
        {
            group.extend(sums);
        }
        if let Some(before) = groups.before(name) {
            group["before"] = of(&before);
        }
        group
    };
    let mut report = report(selected, groups.names.iter().map(group).collect());
    let days = cost_by_day(&selected.days, &selected.filters, selected.period);
    let day =
        |(day, cost): (String, Decimal)| json!({ "day": day, "known_cost_usd": cost.normalize() });
    report["cost_by_day"] = days.into_iter().map(day).collect();
    report["total"] = of(&groups.total);
    if groups.before.is_some() {
        report["total_before"] = of(&groups.total_before);
    }
    report
}

/// The figures in CSV, by their names in JSON.
const FIGURES: [&str; 19] = [
    "runs",
    "failed_runs",
    "calls",
    "failed_calls",
    "rejected_calls",
    "unknown_calls",
    "unpriced_calls",
    "lost_calls",
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_5m_tokens",
    "cache_write_1h_tokens",
    "usage_is_complete",
    "known_cost_usd",
    "cost_is_complete",
    "failed_cost_usd",
    "cache_saved_usd",
    "cache_extra_usd",
];

fn sums_csv(selected: &Selected, out: &mut dyn Write) -> Outcome<()> {
    let groups = Sorted::of(selected);
    let head = ["from".to_owned(), "to".to_owned(), groups.now.by.name()];
    let more = selected.platform.iter().flat_map(|_| ["platform_runs", "platform_usd"]);
    let names = FIGURES.into_iter().chain(more);
    let head: Vec<String> = head.into_iter().chain(names.map(str::to_owned)).collect();
    let row = |name: &String| {
        let sums = groups.now.get(name);
        let mut figures = sums.json(groups.now.have_runs);
        figures["known_cost_usd"] = json!(sums.cost().normalize());
        figures["usage_is_complete"] = json!(sums.line.totals.usage.is_some());
        figures["cost_is_complete"] = json!(sums.line.totals.cost_usd.is_some());
        let used = json!(sums.line.totals.known_usage());
        let cell = |figure: &str| match used.get(figure).unwrap_or(&figures[figure]) {
            Value::String(text) => text.clone(),
            Value::Null => String::new(),
            other => other.to_string(),
        };
        let Period { from, to } = selected.period;
        let cells = [from.to_string(), to.to_string(), name.clone()];
        let more = selected.platform.iter().flat_map(|prices| {
            let usd = prices.total(&sums.platform).normalize();
            [sums.platform_runs.to_string(), usd.to_string()]
        });
        cells.into_iter().chain(FIGURES.map(cell)).chain(more).collect()
    };
    csv(selected, &head, groups.names.iter().map(row), out)
}

/// Converts an error of writing CSV. A closed pipe ends the command quietly, as it does for other output.
fn unwritten(error: csv::Error) -> Failure {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error.into(),
        other => Failure::unreachable(
            format!("the output cannot be written: {other:?}"),
            "report this error",
        ),
    }
}

#[cfg(test)]
mod tests;
