//! Shows what became of the items, and when their runs ended.

use bcce_core::batch::Counts;
use maud::html;

use super::Report;
use super::items::COLUMNS;
use crate::batch::Batch;
use crate::figures::{self, count};
use crate::report::chart::{self, Part};
use crate::report::columns::{Column, columns};
use crate::report::page::Section;

/// The least share of the bar that a part has, so that it is seen.
const LEAST_SHARE: f64 = 0.005;

/// The items of which the same became.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    pub label: &'static str,
    pub class: &'static str,
    pub items: u64,
}

/// Returns what became of the items, without what became of none.
pub fn shares(batch: &Batch) -> Vec<Share> {
    let counts = counts(batch);
    let before = before(batch);
    let share = |label, class, items| Share { label, class, items };
    let all = [
        share("answered", "answered", counts.succeeded),
        share("not run again, as they had ended before", "platform", before),
        share("failed", "failed", counts.failed),
        share("cancelled", "waited", counts.cancelled),
        share("rejected as not valid", "waited", counts.rejected),
        share("not started", "between", counts.skipped),
        match batch.manifest {
            Some(_) => share("still running when the batch ended", "between", counts.running),
            None if batch.ended_at().is_some() => {
                share("not started, or without a known end", "between", counts.running)
            }
            None => share("waiting or under way", "between", counts.running),
        },
    ];
    all.into_iter().filter(|share| share.items > 0).collect()
}

/// Returns the counts: those of the manifest, or the progress so far.
pub fn counts(batch: &Batch) -> Counts {
    if let Some(manifest) = &batch.manifest {
        return manifest.sums.counts;
    }
    let progress = &batch.progress;
    let record = batch.record.as_ref();
    Counts {
        items: record.map_or(0, |record| record.items),
        succeeded: progress.succeeded,
        failed: progress.failed,
        cancelled: progress.cancelled,
        rejected: record.map_or(0, |record| record.rejected),
        skipped: 0,
        running: batch.to_run().saturating_sub(progress.over()),
        truncated: progress.truncated,
    }
}

/// Returns the number of items that this attempt does not run, since an earlier one has. The manifest counts them by
/// their status.
fn before(batch: &Batch) -> u64 {
    let Some(record) = batch.record.as_ref().filter(|_| batch.manifest.is_none()) else { return 0 };
    record.items.saturating_sub(record.rejected).saturating_sub(record.to_run)
}

pub fn section(report: &Report) -> Section {
    let shares = shares(&report.batch);
    let all: u64 = shares.iter().map(|share| share.items).sum();
    // The widths of all parts add up to 1, although the least are widened.
    let width = |share: &Share| (share.items as f64 / all.max(1) as f64).max(LEAST_SHARE);
    let widened: f64 = shares.iter().map(width).sum();
    let part = |share: &Share| Part {
        class: share.class,
        label: share.label.to_owned(),
        value: count(share.items),
        note: String::new(),
        share: width(share) / widened,
    };
    let parts: Vec<Part> = shares.iter().map(part).collect();
    Section {
        id: "items",
        heading: "What became of the items",
        lead: lead(report),
        body: html! {
            @if parts.is_empty() { p.soft { "The items are not counted yet." } } @else { (chart::whole(&parts)) }
            @if report.items.runs > 0 {
                h3 { "When the runs ended" }
                @if let Some(part) = report.part() { p.soft { (part) } }
                (over_time(report))
            }
        },
    }
}

fn lead(report: &Report) -> String {
    let rejected = counts(&report.batch).rejected;
    let opened = match &report.batch.opened {
        Some(opened) => format!("The source has {} items.", count(opened.items)),
        None => "The source was not read.".to_owned(),
    };
    match rejected {
        0 => opened,
        1 => format!("{opened} One of them is not a valid request, so it has no run."),
        more => format!("{opened} {} are not valid requests, so they have no run.", count(more)),
    }
}

fn over_time(report: &Report) -> maud::Markup {
    let (from, to) = report.span();
    let each = (to - from) / COLUMNS as i32;
    let column = |(n, ended): (usize, &super::items::Column)| Column {
        label: figures::stamp(from + each * n as i32),
        values: vec![("answered", ended.succeeded), ("failed", ended.others)],
    };
    let ended: Vec<Column> = report.items.ended.iter().enumerate().map(column).collect();
    let ends = [figures::stamp(from), figures::stamp(to)];
    columns(&ended, &["since", "answered", "others"], ends.each_ref().map(String::as_str), count)
}
