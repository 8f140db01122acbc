//! Shows how long the items took. The items of bulk jobs have the time of their job.

use bcce_core::base::histogram::{self, Histogram};
use bcce_core::batch::bulk::{JobRecord, Leftovers};
use maud::{Markup, html};

use super::Report;
use crate::batch::view::job_status;
use crate::figures::{self, count, milliseconds, plural};
use crate::report::chart::{self, Bar};
use crate::report::columns::{Column, columns, numbers};
use crate::report::page::Section;

/// The most columns of a distribution.
pub const MOST_COLUMNS: usize = 24;
/// The names of the percentiles.
pub const P50: &str = "p50: half are below";
pub const P90: &str = "p90: nine of ten are below";
pub const P99: &str = "p99: 99 of 100 are below";

pub fn section(report: &Report) -> Option<Section> {
    let jobs = report.jobs();
    let items = &report.items;
    if jobs.is_empty() && items.times.is_empty() {
        return None;
    }
    let (lead, body) = match jobs {
        [] => (lead(report), html! { (distribution(report)) (calls(report)) }),
        jobs => (lead_of_jobs(jobs), html! { (self::jobs(jobs)) (calls(report)) }),
    };
    Some(Section { id: "time", heading: "How long they took", lead, body })
}

fn lead(report: &Report) -> String {
    let at = |percent| milliseconds(report.items.times.quantile(percent).unwrap_or(0));
    let read = if report.part().is_some() { " that were read" } else { "" };
    format!(
        "Half of the runs{read} took about {} or less, and one of a hundred more than {}.",
        at(50),
        at(99)
    )
}

fn distribution(report: &Report) -> Markup {
    let times = &report.items.times;
    let bars = times.bars(MOST_COLUMNS);
    let column = |bar: &histogram::Bar| Column {
        label: format!("{} to {}", milliseconds(bar.from), milliseconds(bar.to)),
        values: vec![("answered", bar.values)],
    };
    let (first, last) =
        (bars.first().map_or(0, |bar| bar.from), bars.last().map_or(0, |bar| bar.to));
    let ends = [milliseconds(first), milliseconds(last)];
    html! {
        @if let Some(part) = report.part() { p.soft { (part) } }
        (columns(
            &bars.iter().map(column).collect::<Vec<_>>(),
            &["time of a run", "runs"],
            ends.each_ref().map(String::as_str),
            count,
        ))
        (numbers(&quantiles(times)))
    }
}

fn quantiles(times: &Histogram) -> Vec<(&'static str, String)> {
    let at = |percent| times.quantile(percent).map(|ms| format!("about {}", milliseconds(ms)));
    let highest = times.highest().map(|ms| format!("at most {}", milliseconds(ms)));
    [(P50, at(50)), (P90, at(90)), (P99, at(99)), ("the longest", highest)]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect()
}

/// Tells about the calls on demand: their times, and the failovers.
fn calls(report: &Report) -> Markup {
    let items = &report.items;
    html! {
        @if !items.calls.is_empty() {
            h3 { "A call that answered" }
            @if let Some(part) = report.part() { p.soft { (part) } }
            (numbers(&quantiles(&items.calls)))
        }
        @if items.recovered > 0 {
            p {
                (plural(items.recovered as usize, "run")) " succeeded although a call failed. Calls after which "
                "another target was tried took " (milliseconds(items.failed_over_ms)) " in sum."
            }
        }
    }
}

fn lead_of_jobs(jobs: &[JobRecord]) -> String {
    let given: u64 = jobs.iter().map(|job| job.given).sum();
    format!(
        "{} went to Bedrock in {}. A record has the time of its job.",
        plural(given as usize, "record"),
        plural(jobs.len(), "bulk job")
    )
}

fn jobs(jobs: &[JobRecord]) -> Markup {
    let bar = |job: &JobRecord| {
        let processed = job.records.processed.unwrap_or(0);
        Bar {
            class: "answered",
            label: format!("Job {}: {}", job.job, job_status(job)),
            value: took(job),
            note: records(job),
            share: processed as f64 / job.given.max(1) as f64,
        }
    };
    html! {
        (chart::bars(&jobs.iter().map(bar).collect::<Vec<_>>()))
        @for job in jobs {
            @if let Some(why) = job.leftovers.as_ref().and_then(Leftovers::describe) {
                p.warn { "Job " (job.job) ": " (why) }
            }
        }
    }
}

fn took(job: &JobRecord) -> String {
    match (job.submitted_at, job.ended_at) {
        (Some(from), Some(to)) => figures::between(from, to),
        (Some(from), None) => format!("since {}", figures::stamp(from)),
        (None, _) => String::new(),
    }
}

/// Describes the records of a job: `25,000 records, 740 processed, 3 failed`.
fn records(job: &JobRecord) -> String {
    let mut parts = vec![plural(job.given as usize, "record")];
    let numbers = [(job.records.processed, "processed"), (job.records.failed, "failed")];
    parts.extend(numbers.iter().filter_map(|(n, word)| Some(format!("{} {word}", count((*n)?)))));
    parts.extend(job.message.clone());
    parts.join(", ")
}
