//! Shows what the items cost: tokens by target, what AWS itself takes, and how costs are distributed.

use bcce_core::base::platform::PlatformUse;
use bcce_core::call::attempt::Totals;
use bcce_core::run::manifest::UsageLine;
use maud::{Markup, html};
use rust_decimal::Decimal;

use super::Report;
use super::read::Basis;
use super::times::{MOST_COLUMNS, P50, P90, P99};
use crate::figures::{self, count, plural};
use crate::metrics::platform::NOT_INCLUDED;
use crate::metrics::table::{percent, share};
use crate::report::charges;
use crate::report::chart::{self, Bar};
use crate::report::columns::{Column, columns, numbers};
use crate::report::page::Section;

/// The cost of AWS for a batch, besides tokens.
pub struct Platform {
    pub taken: PlatformUse,
    pub usd: Decimal,
    /// False if runs with executions of their own were not read.
    pub is_whole: bool,
}

/// Returns what AWS takes, which is known once the batch is sealed.
pub fn platform(report: &Report) -> Option<Platform> {
    let manifest = report.batch.manifest.as_ref()?;
    let mut taken = manifest.sums.platform.clone();
    taken.add(&report.items.platform);
    let is_whole = matches!(report.basis, Basis::Whole | Basis::Parts { .. });
    (!taken.is_empty()).then(|| Platform { usd: report.prices.total(&taken), taken, is_whole })
}

pub fn section(report: &Report) -> Option<Section> {
    let totals = report.batch.totals();
    let platform = platform(report);
    let has_calls = !report.items.targets.is_empty() || !totals.known_cost().is_zero();
    if !has_calls && platform.is_none() {
        return None;
    }
    Some(Section {
        id: "cost",
        heading: "What they cost",
        lead: lead(report, &totals, platform.as_ref()),
        body: html! {
            (targets(report))
            @if totals.cost_usd.is_none() { p.warn { (unknown(report)) } }
            @if !totals.unpriced.is_empty() { p.warn { "Models without a price: " (totals.unpriced.join(", ")) "." } }
            (distribution(report))
            @if let Some(aws) = &platform { (charges(report, aws)) }
        },
    })
}

fn lead(report: &Report, totals: &Totals, platform: Option<&Platform>) -> String {
    let tokens = figures::cost(totals);
    match platform {
        None if report.batch.manifest.is_some() => {
            format!("Tokens cost {tokens}. The manifest does not state what AWS itself takes.")
        }
        None if report.is_over() => {
            format!(
                "Tokens cost {tokens}. What AWS itself takes is not known without the manifest."
            )
        }
        None => {
            format!(
                "Tokens cost {tokens}. What AWS itself takes is known when the batch is sealed."
            )
        }
        Some(aws) => match aws.of_tokens(totals) {
            Some(share) => {
                format!(
                    "Tokens cost {tokens}. AWS itself takes {}, which is {share} of that.",
                    aws.cell()
                )
            }
            None => format!("Tokens cost {tokens}, and AWS itself {}.", aws.cell()),
        },
    }
}

impl Platform {
    /// Describes the cost. It is a part of the whole if not all runs were read.
    pub fn cell(&self) -> String {
        match self.is_whole {
            true => figures::usd(self.usd),
            false => format!("{} + unknown", figures::usd(self.usd)),
        }
    }

    /// Returns the share of the cost of tokens. Returns `None` if there is no such cost, or if one of both costs is not
    /// wholly known.
    pub fn of_tokens(&self, totals: &Totals) -> Option<String> {
        let tokens = totals.cost_usd.filter(|cost| self.is_whole && !cost.is_zero())?;
        Some(percent(share(self.usd, tokens)))
    }
}

fn unknown(report: &Report) -> String {
    let unknown = match (&report.batch.manifest, report.batch.progress.unknown_cost) {
        (None, runs) => runs,
        (Some(_), _) if report.part().is_some() => 0,
        (Some(_), _) => report.items.unknown_costs,
    };
    match unknown {
        0 => "The cost of some runs is not fully known.".to_owned(),
        1 => "The cost of one run is not fully known, such as after a stream that was cut."
            .to_owned(),
        many => format!(
            "The cost of {} runs is not fully known, such as after streams that were cut.",
            count(many)
        ),
    }
}

/// Draws the known cost of each target, the dearest first.
fn targets(report: &Report) -> Markup {
    let mut lines: Vec<&UsageLine> = report.items.targets.iter().collect();
    lines.sort_by_key(|line| std::cmp::Reverse((line.totals.known_cost(), line.calls)));
    let most = lines.first().map(|line| line.totals.known_cost()).unwrap_or_default();
    let bar = |line: &&UsageLine| Bar {
        class: "answered",
        label: format!("{} {}", line.region, line.model_id),
        value: figures::cost(&line.totals),
        note: called(line),
        share: share(line.totals.known_cost(), most),
    };
    html! {
        @if let Some(part) = report.part().filter(|_| !lines.is_empty()) { p.soft { (part) } }
        (chart::bars(&lines.iter().map(bar).collect::<Vec<_>>()))
    }
}

fn called(line: &UsageLine) -> String {
    let failed = match line.failed_calls {
        0 => String::new(),
        failed => format!(", {} failed", count(failed)),
    };
    format!("{}{failed}; {}", plural(line.calls as usize, "call"), figures::tokens(&line.totals))
}

fn distribution(report: &Report) -> Markup {
    let bars = report.items.cost_bars(MOST_COLUMNS);
    let column = |(from, to, runs): &(Decimal, Decimal, u64)| Column {
        label: format!("{} to {}", precise(*from), precise(*to)),
        values: vec![("answered", *runs)],
    };
    let at = |percent| report.items.cost_at(percent).map(|usd| format!("about {}", precise(usd)));
    let quantiles = [(P50, at(50)), (P90, at(90)), (P99, at(99))];
    let free = report.items.free;
    let free = (free > 0).then(|| plural(free as usize, "run"));
    let quantiles = quantiles.into_iter().chain([("without cost", free)]);
    let quantiles: Vec<_> = quantiles.filter_map(|(name, value)| Some((name, value?))).collect();
    let ends = [bars.first().map(|(from, ..)| *from), bars.last().map(|(_, to, _)| *to)];
    let ends = ends.map(|usd| precise(usd.unwrap_or_default()));
    html! {
        @if !bars.is_empty() {
            h3 { "The cost of a run" }
            @if let Some(part) = report.part() { p.soft { (part) } }
            (columns(
                &bars.iter().map(column).collect::<Vec<_>>(),
                &["cost", "runs"],
                ends.each_ref().map(String::as_str),
                count,
            ))
            (numbers(&quantiles))
        }
    }
}

/// Formats a cost that may be far below a cent, with three significant digits.
fn precise(usd: Decimal) -> String {
    let rounded = usd.round_sf(3).unwrap_or(usd);
    format!("${}", rounded.normalize())
}

/// Lists what AWS takes besides tokens, the dearest first.
fn charges(report: &Report, aws: &Platform) -> Markup {
    html! {
        h3 { "What AWS itself takes: " (aws.cell()) }
        details {
            summary { "Each kind, at the prices of " (report.prices.date) }
            div.inside { (charges::table(&report.prices, &aws.taken)) }
        }
        p.soft { (NOT_INCLUDED) }
    }
}
