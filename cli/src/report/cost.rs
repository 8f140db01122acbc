//! The report of the costs of a period: the sum, the groups, the days, what AWS itself takes, and what is not included.

mod budgets; // what is used of the budgets

use bcce_core::call::attempt::Totals;
use maud::{Markup, html};
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
use time::OffsetDateTime;

use super::charges;
use super::chart::{self, Bar};
use super::columns::{Column, columns};
use super::page::{Number, Page, Section, Tone, facts, line};
use crate::budgets::Counted;
use crate::figures::{self, count, plural};
use crate::metrics::dimension::Dimension;
use crate::metrics::groups::{Sums, cost_by_day};
use crate::metrics::platform::{NOT_INCLUDED, without};
use crate::metrics::print::{Sorted, change};
use crate::metrics::table::{percent, share};
use crate::metrics::{Selected, View, notes};

/// The most groups that have a bar. The table of the command lists all.
const MOST_BARS: usize = 50;
/// The number of units of a column's height that a dollar has: a hundredth of a cent.
const UNITS_OF_USD: Decimal = Decimal::from_parts(10_000, 0, 0, false, 0);

/// Returns the page. `budgets` are the counters of the budgets as they are now, and `command` is the command line that
/// wrote the page at `now`.
pub fn page(
    selected: &Selected,
    budgets: &[Counted],
    command: String,
    now: OffsetDateTime,
) -> Page {
    let groups = Sorted::of(selected);
    let sections = [
        Some(of_groups(selected, &groups)),
        of_days(selected),
        platform(selected, &groups.total),
        budgets::section(budgets, now),
        Some(included(selected, &groups.total)),
    ];
    let total = &groups.total;
    let is_known = total.line.totals.cost_usd.is_some();
    Page {
        title: format!("Cost in {}, {}", selected.environment, selected.period),
        kicker: format!("Cost{} in {}", selected.filters.describe(), selected.environment),
        headline: figures::rough_cost(&total.line.totals),
        tone: if is_known { Tone::Neutral } else { Tone::Warn },
        error: None,
        lead: lead(selected, &groups),
        numbers: numbers(selected, &groups),
        sections: sections.into_iter().flatten().collect(),
        command,
        made_at: now,
    }
}

fn lead(selected: &Selected, groups: &Sorted) -> Vec<String> {
    let mut lead = vec![format!("Tokens of {}.", selected.period)];
    if let Some(most) = groups.names.first().filter(|_| selected.by != Dimension::Day) {
        let of_all = share(groups.now.get(most).cost(), groups.total.cost());
        lead.push(format!("{} of it is {} {most}.", percent(of_all), selected.by.name()));
    }
    if groups.total.line.totals.cost_usd.is_none() {
        lead.push("The cost of some calls is unknown, and is not in the sum.".to_owned());
    }
    lead
}

fn numbers(selected: &Selected, groups: &Sorted) -> Vec<Number> {
    let total = &groups.total;
    let usage = total.line.totals.known_usage();
    let days = selected.period.days().count();
    let per_day = total.cost().checked_div(days.into()).unwrap_or_default();
    let runs = groups.now.have_runs.then(|| plural(total.runs.all() as usize, "run"));
    let mut numbers = vec![
        Number {
            value: figures::usd(per_day),
            label: "a day",
            note: format!("over {}", plural(days, "day")),
        },
        Number {
            value: count(total.line.calls),
            label: "calls of a model",
            note: runs.unwrap_or_else(|| format!("{} failed", count(total.line.failed_calls))),
        },
        Number {
            value: count(usage.prompt_tokens() + usage.output_tokens),
            label: "tokens",
            note: format!(
                "{} in, {} out",
                count(usage.prompt_tokens()),
                count(usage.output_tokens)
            ),
        },
    ];
    numbers.extend(selected.platform.as_ref().map(|prices| Number {
        value: prices.cell(total),
        label: "for AWS itself",
        note: "besides tokens".to_owned(),
    }));
    if selected.before.is_some() {
        let before = &groups.total_before.line.totals;
        numbers.push(Number {
            value: against(&total.line.totals, before),
            label: "against the period before",
            note: figures::cost(before),
        });
    }
    // The first screen has room for four. The cost of a day gives way.
    if numbers.len() > 4 {
        numbers.remove(0);
    }
    numbers
}

/// Formats the change of the whole cost. A cost of 0 in both periods has not changed.
fn against(now: &Totals, before: &Totals) -> String {
    let is_known = now.cost_usd.is_some() && before.cost_usd.is_some();
    match change(now, before) {
        change if !change.is_empty() => change,
        _ if is_known => "0 %".to_owned(),
        _ => "unknown".to_owned(),
    }
}

fn of_groups(selected: &Selected, groups: &Sorted) -> Section {
    let costs = groups.now.groups.values().map(Sums::cost);
    let most = costs.max().unwrap_or_default();
    let bars: Vec<Bar> =
        groups.names.iter().take(MOST_BARS).map(|name| bar(selected, groups, name, most)).collect();
    let more = groups.names.len().saturating_sub(MOST_BARS);
    let lead = match groups.names.len() {
        0 => "There was no usage.".to_owned(),
        all => format!("By {}, {}.", selected.by.name(), plural(all, "group")),
    };
    let body = html! {
        (chart::bars(&bars))
        @if more > 0 { p.soft { "And " (plural(more, "group")) " that cost less. --json lists all." } }
    };
    Section { id: "groups", heading: "Where the money went", lead, body }
}

fn bar(selected: &Selected, groups: &Sorted, name: &str, most: Decimal) -> Bar {
    let sums = groups.now.get(name);
    Bar {
        class: "answered",
        label: name.to_owned(),
        value: figures::cost(&sums.line.totals),
        note: note(selected, groups, name, &sums),
        share: share(sums.cost(), most),
    }
}

fn note(selected: &Selected, groups: &Sorted, name: &str, sums: &Sums) -> String {
    let of_all = percent(share(sums.cost(), groups.total.cost()));
    let mut parts = vec![of_all];
    parts.extend(groups.now.have_runs.then(|| plural(sums.runs.all() as usize, "run")));
    parts.extend([plural(sums.line.calls as usize, "call"), figures::tokens(&sums.line.totals)]);
    parts.extend(selected.platform.as_ref().map(|prices| format!("AWS {}", prices.cell(sums))));
    let against = |before: Sums| {
        let change = change(&sums.line.totals, &before.line.totals);
        let cost = figures::cost(&before.line.totals);
        format!("before {cost} {change}").trim_end().to_owned()
    };
    parts.extend(groups.before(name).map(against));
    parts.join(" · ")
}

/// Draws the known cost of each day. A period of one day, and groups of days, have no such section.
fn of_days(selected: &Selected) -> Option<Section> {
    let is_long = selected.period.from < selected.period.to;
    if !is_long || selected.by == Dimension::Day {
        return None;
    }
    let days = cost_by_day(&selected.days, &selected.filters, selected.period);
    let dearest = days.iter().max_by_key(|(_, cost)| *cost)?;
    let column = |(day, cost): &(String, Decimal)| Column {
        label: day.clone(),
        values: vec![("answered", units(*cost))],
    };
    let (first, last) = (days.first()?, days.last()?);
    Some(Section {
        id: "days",
        heading: "Day by day",
        lead: format!("The dearest day was {}, with {}.", dearest.0, figures::usd(dearest.1)),
        body: columns(
            &days.iter().map(column).collect::<Vec<_>>(),
            &["day (UTC)", "known cost"],
            [&first.0, &last.0],
            |units| figures::usd(Decimal::from(units) / UNITS_OF_USD),
        ),
    })
}

fn units(cost: Decimal) -> u64 {
    (cost * UNITS_OF_USD).ceil().to_u64().unwrap_or(u64::MAX)
}

fn platform(selected: &Selected, total: &Sums) -> Option<Section> {
    let prices = selected.platform.as_ref()?;
    let usd = prices.total(&total.platform);
    let lead = match (total.cost().is_zero(), total.runs_without_platform()) {
        (false, 0) => format!(
            "{}, which is {} of the known cost of tokens.",
            figures::usd(usd),
            percent(share(usd, total.cost()))
        ),
        _ => format!("{}.", prices.cell(total)),
    };
    let body = html! {
        (charges::table(prices, &total.platform))
        p.soft { (NOT_INCLUDED) }
        @if let Some(text) = without(total) { p.warn { (text) } }
    };
    Some(Section { id: "aws", heading: "What AWS itself takes", lead, body })
}

fn included(selected: &Selected, total: &Sums) -> Section {
    let notes = notes::of(selected, total, View::Cost);
    let lead = match notes.len() {
        0 => "Every call has a known usage and a known price.",
        _ => "What the sums include besides answers, and what they leave out.",
    };
    let aws = "What AWS charges besides tokens is not known by call. To see it, group and filter by workflow, tenant, \
               day or tag.";
    Section {
        id: "included",
        heading: "What is included",
        lead: lead.to_owned(),
        body: html! {
            @for each in &notes { p { (line(each)) } }
            @if selected.platform.is_none() { p.soft { (aws) } }
            (exact(&total.line.totals))
        },
    }
}

fn exact(totals: &Totals) -> Markup {
    facts([("cost", figures::exact_cost(totals)), ("tokens", figures::tokens(totals))])
}

#[cfg(test)]
mod tests;
