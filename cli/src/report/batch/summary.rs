//! The first screen: how the batch went, in a headline, some sentences and four numbers.

use std::collections::BTreeMap;

use bcce_core::batch::{BatchStatus, ItemStatus};

use super::failures::rows;
use super::{Report, cost, outcomes};
use crate::batch::view;
use crate::figures::{self, count, plural};
use crate::report::page::{Number, Tone};
use crate::tracked::Status;

pub fn kicker(report: &Report) -> String {
    let reference = &report.batch.reference;
    let workflow = report.batch.record.as_ref().map(|record| record.workflow.as_str());
    let of = workflow.map(|workflow| format!(" of {workflow}")).unwrap_or_default();
    match reference.attempt_no {
        1 => format!("Report of a batch{of}"),
        n => format!("Report of attempt {n} at a batch{of}"),
    }
}

pub fn tone(report: &Report) -> Tone {
    let waits = report.batch.progress.halted.is_some() || is_paused(report);
    match report.batch.status() {
        Status::Over(BatchStatus::Succeeded) => Tone::Good,
        Status::Over(BatchStatus::Partial | BatchStatus::Cancelled) => Tone::Warn,
        Status::Over(_) | Status::Finalizing(_) => Tone::Bad,
        Status::UnderWay | Status::Unknown if waits => Tone::Warn,
        Status::UnderWay | Status::Unknown => Tone::Neutral,
    }
}

pub fn headline(report: &Report) -> String {
    let batch = &report.batch;
    let counts = outcomes::counts(batch);
    let (answered, items) = (count(counts.succeeded), count(counts.items));
    match batch.status() {
        Status::Over(BatchStatus::Succeeded) => format!("All {items} items answered."),
        Status::Over(BatchStatus::Cancelled) => {
            format!("Cancelled with {answered} of {items} items answered.")
        }
        Status::Over(_) if counts.succeeded == 0 => "No item was answered.".to_owned(),
        Status::Over(_) => format!("{answered} of {items} items answered."),
        Status::Finalizing(_) => "Ended, and not finalized.".to_owned(),
        Status::Unknown => "Not started yet.".to_owned(),
        Status::UnderWay if batch.record.is_none() => "Being opened.".to_owned(),
        Status::UnderWay => {
            let (over, all) = (count(batch.progress.over()), count(batch.to_run()));
            format!("{over} of {all} items ended so far.")
        }
    }
}

/// Returns the error that ended the batch.
pub fn error(report: &Report) -> Option<(String, String)> {
    let error = report.batch.manifest.as_ref()?.error.as_ref()?;
    Some((error.name.to_string(), error.message.clone()))
}

/// Returns the sentences: how long it took and what it cost, why items have no answer, and what stopped the batch.
pub fn lead(report: &Report) -> Vec<String> {
    let batch = &report.batch;
    let halted = view::halted(batch).map(|why| format!("Halted on {why}."));
    let paused = view::paused(batch, report.now).map(|why| format!("Paused {why}."));
    [went(report), why(report), rejected(report), halted, paused].into_iter().flatten().collect()
}

fn went(report: &Report) -> Option<String> {
    let batch = &report.batch;
    batch.record.as_ref()?;
    let (from, to) = report.span();
    let (took, tokens) = (figures::between(from, to), figures::rough_cost(&batch.totals()));
    if report.is_over() {
        return Some(format!("It took {took}, and its tokens cost {tokens}."));
    }
    let per_minute = batch.pace.per_minute(from);
    let left = per_minute.and_then(|per_minute| view::left(batch, per_minute));
    let left = left.map(|left| format!(", with about {} left", figures::duration(left)));
    let at = figures::stamp(report.now);
    Some(format!(
        "As of {at}, it runs for {took}{}. Tokens cost {tokens} so far.",
        left.unwrap_or_default()
    ))
}

/// Tells how many items failed and why: `19 failed, all of them with Bcce.NoTarget, after Bcce.TargetThrottled in
/// us-west-2.`
fn why(report: &Report) -> Option<String> {
    let rows = rows(report);
    let failed: Vec<_> = rows.iter().filter(|row| row.status == ItemStatus::Failed).collect();
    let (first, all) = (failed.first()?, failed.iter().map(|row| row.items).sum::<u64>());
    let share = match failed.len() {
        1 if all == 1 => String::new(),
        1 => "all of them ".to_owned(),
        _ => format!("{} of them ", count(first.items)),
    };
    let mut text = format!("{} failed, {share}with {}", count(all), first.error);
    // What the calls failed with says more than that no target was left.
    let calls = first.failures.map(|failures| &failures.calls);
    text += &calls.and_then(|calls| after(calls, first.error)).unwrap_or_default();
    Some(text + ".")
}

/// Tells which error most of the failed calls had, and in which region: ` mostly after Bcce.TargetThrottled in us-west-2`.
pub fn after(calls: &BTreeMap<(String, String), u64>, of_items: &str) -> Option<String> {
    let ((target, error), most) = calls.iter().max_by_key(|(_, calls)| **calls)?;
    let region = target.split(' ').next().unwrap_or_default();
    let mostly = if *most == calls.values().sum::<u64>() { "" } else { " mostly" };
    let error = if error == of_items { String::new() } else { format!(" after {error}") };
    Some(format!("{mostly}{error} in {region}"))
}

fn rejected(report: &Report) -> Option<String> {
    match outcomes::counts(&report.batch).rejected {
        0 => None,
        1 => Some("One item was rejected, because it is not a valid request.".to_owned()),
        more => Some(format!(
            "{} items were rejected, because they are not valid requests.",
            count(more)
        )),
    }
}

pub fn numbers(report: &Report) -> Vec<Number> {
    let batch = &report.batch;
    if batch.record.is_none() {
        return Vec::new();
    }
    let counts = outcomes::counts(batch);
    let (from, to) = report.span();
    vec![
        Number {
            value: count(counts.succeeded),
            label: "answered",
            note: format!(
                "{} of {} items",
                of_all(counts.succeeded, counts.items),
                count(counts.items)
            ),
        },
        Number {
            value: figures::between(from, to),
            label: if report.is_over() { "from start to end" } else { "since the start" },
            note: pace(report),
        },
        Number {
            value: figures::rough_cost(&batch.totals()),
            label: "for tokens",
            note: each(report),
        },
        aws(report),
    ]
}

/// Formats a share of items, rounded down: 9,999 of 10,000 are not all.
fn of_all(part: u64, all: u64) -> String {
    let tenths = (part * 1_000).checked_div(all).unwrap_or(0);
    match tenths % 10 {
        0 => format!("{} %", tenths / 10),
        tenth => format!("{}.{tenth} %", tenths / 10),
    }
}

fn pace(report: &Report) -> String {
    let (from, to) = report.span();
    let minutes = (to - from).as_seconds_f64() / 60.0;
    let over = report.over();
    match (minutes > 0.0).then(|| over as f64 / minutes) {
        Some(pace) if pace >= 1.0 => format!("{} a minute", plural(pace.round() as usize, "run")),
        _ => format!("since {}", figures::stamp(from)),
    }
}

/// Returns the mean cost of a run.
fn each(report: &Report) -> String {
    let over = report.over();
    let totals = report.batch.totals();
    let least = if totals.cost_usd.is_none() { "at least " } else { "" };
    match totals.known_cost().checked_div(over.into()) {
        Some(each) => format!("{least}{} for each run", figures::usd(each)),
        None => String::new(),
    }
}

fn aws(report: &Report) -> Number {
    let label = "for AWS itself";
    let Some(platform) = cost::platform(report) else {
        let (value, note) = match report.batch.manifest {
            Some(_) => ("unknown", "the manifest does not state it"),
            None if report.is_over() => ("unknown", "the manifest is gone"),
            None => ("later", "known at the end"),
        };
        return Number { value: value.to_owned(), label, note: note.to_owned() };
    };
    let share = platform.of_tokens(&report.batch.totals());
    let note = share.map(|share| format!("{share} of the cost of tokens"));
    Number { value: platform.cell(), label, note: note.unwrap_or_default() }
}

fn is_paused(report: &Report) -> bool {
    view::paused(&report.batch, report.now).is_some()
}
