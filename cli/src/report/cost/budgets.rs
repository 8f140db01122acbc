//! Shows what is used of the budgets now.

use bcce_core::config::budgets::{Unit, Window};
use time::OffsetDateTime;

use super::MOST_BARS;
use crate::budgets::Counted;
use crate::figures;
use crate::metrics::table::percent;
use crate::report::chart::{self, Bar};
use crate::report::page::Section;

/// Draws what is used of each budget that has a window now.
pub fn section(budgets: &[Counted], now: OffsetDateTime) -> Option<Section> {
    let mut budgets: Vec<(&Counted, Window)> =
        budgets.iter().filter_map(|counted| Some((counted, counted.window?))).collect();
    budgets.sort_by(|(one, _), (other, _)| other.used().total_cmp(&one.used()));
    let (most, _) = budgets.first()?;
    let bar = |(counted, window): &(&Counted, Window)| Bar {
        class: if counted.used() < 0.9 { "answered" } else { "failed" },
        label: format!("{}: {}", counted.name, counted.payer()),
        value: percent(counted.used()),
        note: budget(counted, *window, now),
        share: counted.used(),
    };
    Some(Section {
        id: "budgets",
        heading: "What is used of the budgets",
        lead: format!(
            "Most of it, {}, of {} as of {}. All runs count, whatever the page selects.",
            percent(most.used()),
            most.name,
            figures::stamp(now)
        ),
        body: chart::bars(&budgets.iter().take(MOST_BARS).map(bar).collect::<Vec<_>>()),
    })
}

/// Describes a budget: `2026-11: $41.20 spent and $0.30 reserved of $100.00 · lasts for its window`.
fn budget(counted: &Counted, window: Window, now: OffsetDateTime) -> String {
    let (state, amount) = (&counted.state, |amount| counted.amount(amount));
    let lasts = counted.describe_lasts(now).map(|lasts| match lasts.as_str() {
        "used up" => " · used up".to_owned(),
        lasts => format!(" · lasts {lasts}"),
    });
    let tokens = if counted.unit == Unit::Tokens { " tokens" } else { "" };
    format!(
        "{}: {} spent and {} reserved of {}{tokens}{}",
        window.name(now),
        amount(state.spent()),
        amount(state.reserved()),
        amount(counted.limit),
        lasts.unwrap_or_default()
    )
}
