//! Shows where the money went: the tokens of each step, the failed calls, and what AWS itself took.

use maud::{Markup, html};
use rust_decimal::Decimal;

use super::Reported;
use crate::figures::{self, plural};
use crate::metrics::table::{percent, share};
use crate::report::chart::{self, Bar};
use crate::report::page::Section;
use crate::run::timeline::Sums;

pub fn section(reported: &Reported<'_>) -> Section {
    let steps = steps(reported);
    let known: Decimal = steps.iter().map(|(_, sums)| sums.totals.known_cost()).sum();
    let all = known + reported.platform.unwrap_or_default();
    let mut bars: Vec<Bar> = steps.iter().map(|(step, sums)| bar(step, sums, all)).collect();
    bars.extend(reported.platform.map(|usd| Bar {
        class: "platform",
        label: "AWS itself".to_owned(),
        value: figures::usd(usd),
        note: "Step Functions, Lambda, S3, KMS, DynamoDB, queues; without logs".to_owned(),
        share: share(usd, all),
    }));
    Section {
        id: "money",
        heading: "Where the money went",
        lead: lead(reported, known),
        body: html! {
            @if bars.is_empty() { p.soft { "No call was made." } } @else { (chart::bars(&bars)) }
            (lost(reported))
        },
    }
}

/// Returns the sums of each step that made a call, the dearest first.
fn steps<'a>(reported: &Reported<'a>) -> Vec<(&'a str, Sums)> {
    let executions: Vec<_> = reported.executions().filter(|e| e.record.is_some()).collect();
    let steps = executions.chunk_by(|one, other| one.step.step == other.step.step);
    let sums = steps.map(|step| {
        let records = step.iter().filter_map(|execution| execution.record);
        (step[0].step.step.as_str(), Sums::of(records))
    });
    let mut steps: Vec<(&str, Sums)> = sums.filter(|(_, sums)| sums.calls > 0).collect();
    steps.sort_by_key(|(_, sums)| std::cmp::Reverse(sums.totals.known_cost()));
    steps
}

fn bar(step: &str, sums: &Sums, all: Decimal) -> Bar {
    let failed = match sums.failed_calls {
        0 => String::new(),
        n => format!("; {} failed, for {}", plural(n, "call"), figures::exact_cost(&sums.failed)),
    };
    Bar {
        class: "answered",
        label: step.to_owned(),
        value: figures::exact_cost(&sums.totals),
        note: format!("{}; {}{failed}", plural(sums.calls, "call"), figures::tokens(&sums.totals)),
        share: share(sums.totals.known_cost(), all),
    }
}

fn lead(reported: &Reported<'_>, known: Decimal) -> String {
    let tokens = format!("Tokens cost {}.", figures::exact_cost(&reported.run.totals()));
    let is_whole = reported.run.totals().cost_usd.is_some() && !known.is_zero();
    let platform = match reported.platform {
        Some(usd) if is_whole => {
            let share = percent(share(usd, known));
            format!(" AWS itself adds {}, {share} of that.", figures::usd(usd))
        }
        Some(usd) => format!(" AWS itself took {}.", figures::usd(usd)),
        None if !reported.is_over() => " What AWS takes is known at the end.".to_owned(),
        None if reported.run.packed_attempt().is_some() => {
            " What AWS took is counted with the batch.".to_owned()
        }
        None => " No manifest states what AWS took.".to_owned(),
    };
    format!("{tokens}{platform}")
}

/// Tells about lost calls and models without a price, whose cost is not known.
fn lost(reported: &Reported<'_>) -> Markup {
    let lost = reported.run.lost_calls();
    let unpriced = reported.run.totals().unpriced;
    html! {
        @if lost > 0 {
            p.body.warn { (plural(lost, "call")) " may have been paid, but no answer was stored. The cost is unknown." }
        }
        @if !unpriced.is_empty() { p.body.warn { "Without a price: " (unpriced.join(", ")) "." } }
    }
}
