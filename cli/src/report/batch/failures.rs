//! Why items have no answer: each cause with the number of its items, an example, the calls that failed and what to do.

use bcce_core::batch::ItemStatus;
use maud::{Markup, html};

use super::items::{Failures, Items};
use super::{Report, advice, outcomes};
use crate::figures::{count, plural};
use crate::report::chart::{self, Bar};
use crate::report::page::{Section, facts};

/// The most targets of failed calls that are listed for a cause.
const MOST_TARGETS: usize = 8;

/// A cause with what is known of its items.
pub struct Row<'a> {
    pub status: ItemStatus,
    /// The name of the error. Empty for items that were not started or are not over.
    pub error: &'a str,
    pub items: u64,
    /// `None` if no item of it was read.
    pub failures: Option<&'a Failures>,
}

/// Returns the causes, that of the most items first. Before the batch ends, the progress counts them.
pub fn rows<'a>(report: &'a Report) -> Vec<Row<'a>> {
    let (items, batch): (&Items, _) = (&report.items, &report.batch);
    let mut rows: Vec<Row<'a>> = if items.results > 0 {
        let of = |((status, error), failures): (&'a (ItemStatus, String), &'a Failures)| Row {
            status: *status,
            error,
            items: failures.items,
            failures: Some(failures),
        };
        items.causes.iter().map(of).collect()
    } else {
        let errors = batch.manifest.as_ref().map(|manifest| &manifest.sums.errors);
        let errors = errors.unwrap_or(&batch.progress.errors);
        let of = |(error, items_of): (&'a String, &u64)| Row {
            status: ItemStatus::Failed,
            error,
            items: *items_of,
            failures: items.causes.get(&(ItemStatus::Failed, error.clone())),
        };
        let rejected = outcomes::counts(batch).rejected;
        let is_separate = batch.manifest.is_none() && rejected > 0;
        let rejected = is_separate.then_some(Row {
            status: ItemStatus::Rejected,
            error: "Bcce.InvalidRequest",
            items: rejected,
            failures: None,
        });
        errors.iter().map(of).chain(rejected).collect()
    };
    rows.retain(|row| row.items > 0);
    rows.sort_by_key(|row| std::cmp::Reverse(row.items));
    rows
}

pub fn section(report: &Report) -> Option<Section> {
    let rows = rows(report);
    let (first, all) = (rows.first()?, rows.iter().map(|row| row.items).sum::<u64>());
    let lead = match rows.len() {
        1 => format!("All {} for the same reason: {}.", count(all), first.label()),
        many => {
            format!("{many} reasons. Most often, {} times: {}.", count(first.items), first.label())
        }
    };
    let bar = |row: &Row<'_>| Bar {
        class: if row.status == ItemStatus::Failed { "failed" } else { "waited" },
        label: row.label(),
        value: count(row.items),
        note: advice::of(row.error).unwrap_or_default(),
        share: row.items as f64 / first.items.max(1) as f64,
    };
    Some(Section {
        id: "failures",
        heading: "Why items have no answer",
        lead,
        body: html! {
            (chart::bars(&rows.iter().map(bar).collect::<Vec<_>>()))
            h3 { "An example of each" }
            @for (n, row) in rows.iter().enumerate() { (example(report, row, n == 0)) }
            p { "All of them: " code { (report.command(&format!(
                "batch results {} --failed", report.batch.reference.batch_id
            ))) } }
        },
    })
}

impl Row<'_> {
    /// Describes the cause: `failed with Bcce.NoTarget`.
    pub fn label(&self) -> String {
        let what = match self.status {
            ItemStatus::Succeeded => "answered",
            ItemStatus::Failed => "failed",
            ItemStatus::Cancelled => "cancelled",
            ItemStatus::Rejected => "rejected",
            ItemStatus::Skipped => "not started",
            ItemStatus::Running => "still running",
        };
        match self.error {
            "" => what.to_owned(),
            error => format!("{what} with {error}"),
        }
    }
}

fn example(report: &Report, row: &Row<'_>, is_first: bool) -> Markup {
    let Some(failures) = row.failures else { return html! {} };
    let Some(example) = &failures.example else { return html! {} };
    let explain = example.run_id.as_ref();
    let explain = explain.map(|run_id| report.command(&format!("runs explain {run_id}")));
    let mut known = vec![("item", example.item.clone())];
    known.extend(Some(example.message.clone()).filter(|m| !m.is_empty()).map(|m| ("error", m)));
    html! {
        details open[is_first] {
            summary { span.strong { (row.label()) } span.soft { (plural(row.items as usize, "item")) } }
            div.inside {
                (facts(known))
                @if let Some(explain) = explain { p { code { (explain) } } }
                (calls(report, failures))
            }
        }
    }
}

/// Lists the calls that failed in these items, by target and error.
fn calls(report: &Report, failures: &Failures) -> Markup {
    let mut calls: Vec<_> = failures.calls.iter().collect();
    calls.sort_by_key(|(_, calls)| std::cmp::Reverse(**calls));
    html! {
        @if !calls.is_empty() {
            @if let Some(part) = report.part() { p.soft { (part) } }
            div.wide { table {
                thead { tr { th scope="col" { "failed calls to" } th scope="col" { "error" } th.figure scope="col" { "calls" } } }
                tbody {
                    @for ((target, error), calls) in calls.iter().take(MOST_TARGETS) {
                        tr { td { (target) } td { (error) } td.figure { (count(**calls)) } }
                    }
                }
            } }
            @if calls.len() > MOST_TARGETS { p.soft { "And " (calls.len() - MOST_TARGETS) " more." } }
        }
    }
}
