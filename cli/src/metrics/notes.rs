//! The lines below a table of costs: the parts of the sums that a person asks about, and what the sums do not include.

use std::collections::BTreeMap;

use bcce_core::config::residency::base_model;

use crate::figures;
use crate::metrics::groups::Sums;
use crate::metrics::{Selected, View};
use crate::paint::{Ink, Line, span};

/// Returns the lines for the sum of all groups. A table of tokens has no lines about costs.
pub fn of(selected: &Selected, total: &Sums, view: View) -> Vec<Line> {
    let mut notes = Vec::new();
    if view == View::Cost {
        notes.extend(included(total).into_iter().map(|text| vec![span(Ink::Plain, text)]));
    }
    let mut missing = uncounted(total);
    if view == View::Cost {
        missing.extend(without_price(selected));
    }
    missing.extend(unreadable_text(selected));
    notes.extend(missing.into_iter().map(|text| vec![span(Ink::Yellow, text)]));
    notes
}

fn included(total: &Sums) -> Vec<String> {
    let (line, detail) = (&total.line, &total.detail);
    let mut notes = Vec::new();
    let failed = line.failed_calls - line.lost_calls;
    if failed > 0 {
        let calls = figures::plural(failed as usize, "failed call");
        let cost = figures::usd(detail.failed_cost_usd);
        notes.push(format!("Included: {calls}, whose known cost is {cost}."));
    }
    if !detail.cache_saved_usd.is_zero() || !detail.cache_extra_usd.is_zero() {
        notes.push(format!(
            "Prompt cache: reads saved {}, writes cost {} more than input.",
            figures::usd(detail.cache_saved_usd),
            figures::usd(detail.cache_extra_usd)
        ));
    }
    notes
}

/// Returns a line for each kind of call whose usage is unknown.
fn uncounted(total: &Sums) -> Vec<String> {
    let line = &total.line;
    let calls = |count: u64, noun| figures::plural(count as usize, noun);
    let lost = (line.lost_calls > 0).then(|| {
        let lost = calls(line.lost_calls, "lost call");
        format!("Not included: {lost}, which may have been paid.")
    });
    let unknown = line.unknown_calls - line.lost_calls;
    let unknown = (unknown > 0).then(|| {
        let unknown = calls(unknown, "call");
        format!("Not included: {unknown} of unknown usage, such as answers that were cut off.")
    });
    lost.into_iter().chain(unknown).collect()
}

fn without_price(selected: &Selected) -> impl Iterator<Item = String> {
    unpriced(selected).into_iter().map(|(model, calls)| {
        let calls = figures::plural(calls as usize, "call");
        format!("Not included: {calls} to {model}, for which prices.yaml had no price on that day.")
    })
}

/// Returns the line for items of the ledger that cannot be read.
pub fn unreadable(selected: &Selected) -> Option<Line> {
    unreadable_text(selected).map(|text| vec![span(Ink::Yellow, text)])
}

fn unreadable_text(selected: &Selected) -> Option<String> {
    let items = selected.unknown();
    let first = items.first()?;
    let items = figures::plural(items.len(), "item");
    Some(format!(
        "Not included: {items} of the ledger that this version of bcce does not write, such as {first}."
    ))
}

/// Returns the number of calls with known usage and without a price, by model and tier.
fn unpriced(selected: &Selected) -> BTreeMap<String, u64> {
    let mut unpriced = BTreeMap::new();
    for calls in selected.calls().filter(|calls| selected.filters.want_calls(calls)) {
        let (line, tier) = (&calls.usage.line, &calls.usage.tier);
        let mut model = base_model(line.resolved_id()).to_owned();
        if !["default", "batch"].contains(&tier.as_str()) {
            model = format!("{model} (tier {tier})");
        }
        let count = line.unpriced_calls - line.unknown_calls;
        if count > 0 {
            *unpriced.entry(model).or_default() += count;
        }
    }
    unpriced
}
