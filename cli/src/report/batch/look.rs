//! The items to look at, each with the command that explains it.

use bcce_core::run::notification::RunStatus;
use maud::{Markup, html};

use super::worst::{Item, Worst};
use super::{Report, outcomes};
use crate::figures::{self, count, milliseconds, plural};
use crate::metrics::table::share;
use crate::report::chart::{Piece, track};
use crate::report::page::Section;

/// Lists the items that are worth a look: the slowest, the dearest, those with most calls, and those that were cut.
pub fn section(report: &Report) -> Option<Section> {
    let items = &report.items;
    if items.slowest.items().is_empty() {
        return None;
    }
    let cut = match outcomes::counts(&report.batch).truncated {
        0 => "No answer was cut by max_tokens.".to_owned(),
        1 => "One item has an answer that max_tokens cut.".to_owned(),
        cut => format!("{} items have an answer that max_tokens cut.", count(cut)),
    };
    Some(Section {
        id: "worst",
        heading: "Items to look at",
        lead: cut,
        body: html! {
            @if let Some(part) = report.part() { p.soft { (part) } }
            (list(report, "The slowest", &items.slowest, true, milliseconds, of_counts))
            (list(report, "The dearest", &items.dearest, false, figures::usd, share))
            (list(report, "The most calls", &items.most_calls, false, calls, of_counts))
            (list(report, "Cut by max_tokens", &items.cut, false, answers, of_counts))
        },
    })
}

fn calls(calls: u64) -> String {
    plural(calls as usize, "call")
}

fn answers(answers: u64) -> String {
    plural(answers as usize, "answer")
}

fn of_counts(count: u64, highest: u64) -> f64 {
    share(count.into(), highest.into())
}

/// Lists items with a bar for each, which is as long as `share` says.
fn list<V: Ord + Copy>(
    report: &Report,
    name: &str,
    worst: &Worst<V>,
    is_open: bool,
    shown: impl Fn(V) -> String,
    share: impl Fn(V, V) -> f64,
) -> Markup {
    let Some((highest, _)) = worst.items().first() else { return html! {} };
    html! {
        details open[is_open] {
            summary { span.strong { (name) } }
            div.inside { ul.bars {
                @for (value, item) in worst.items() {
                    li {
                        div.row { span.strong { (item.id) } span.figure { (shown(*value)) } }
                        (track(&[Piece { class: class(item), from: 0.0, to: share(*value, *highest) }], 8))
                        p.note { (described(item)) br; code { (report.command(&format!("runs explain {}", item.run_id))) } }
                    }
                }
            } }
        }
    }
}

fn class(item: &Item) -> &'static str {
    if item.status == RunStatus::Succeeded { "answered" } else { "failed" }
}

/// Describes an item: `SUCCEEDED · 2.1 s · 1 call · $0.0021`.
fn described(item: &Item) -> String {
    let mut parts = vec![
        item.status.to_string(),
        milliseconds(item.took_ms),
        plural(item.calls as usize, "call"),
        figures::cost(&item.totals),
    ];
    if item.truncated > 0 {
        parts.push(format!("{} cut", plural(item.truncated as usize, "answer")));
    }
    parts.join(" · ")
}
