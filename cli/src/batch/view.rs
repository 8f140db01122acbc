//! Displays a batch as a picture or as one line per event. The functions do no IO.

use std::collections::BTreeMap;

use bcce_core::batch::bulk::JobRecord;
use bcce_core::batch::manifest::{BatchManifest, Counts, Opened};
use bcce_core::batch::{BatchStatus, Mode};
use time::OffsetDateTime;

use super::Batch;
use super::pace::remaining;
use super::rate;
use crate::figures;
use crate::paint::{Ink, Line, field, span};
use crate::screen::Moment;
use crate::screen::Shown;
use crate::tracked::Status;

/// The width of the progress bar in characters.
const BAR: usize = 40;

impl Shown for Batch {
    fn picture(&self, moment: Moment, width: usize) -> Vec<Line> {
        let mut lines = vec![heading(self, moment), vec![]];
        lines.extend(body(self, moment.now, width));
        lines
    }

    fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if self.status() != Status::Unknown {
            lines.push(match self.reference.attempt_no {
                1 => format!("{} started", self.reference.batch_id),
                n => format!("{} started, attempt {n}", self.reference.batch_id),
            });
        }
        lines.extend(self.opened.iter().flat_map(|opened| [found(opened), manner(opened)]));
        lines.extend(jobs(&self.jobs));
        lines.extend(leftovers(self));
        lines.extend(self.reported.iter().cloned());
        lines.extend(halted(self));
        lines
    }

    fn sum(&self) -> Option<String> {
        let manifest = self.manifest.as_ref()?;
        let (tokens, cost) = (figures::tokens(&self.totals()), figures::cost(&self.totals()));
        Some(format!("{}: {} · {tokens} · {cost}", manifest.status, counted(&manifest.sums.counts)))
    }
}

fn heading(batch: &Batch, moment: Moment) -> Line {
    let (ink, status) = match batch.status() {
        Status::Unknown => (Ink::Yellow, "SENT".to_owned()),
        Status::UnderWay if batch.record.is_none() => (Ink::Yellow, "OPENING".to_owned()),
        Status::UnderWay => (Ink::Yellow, "RUNNING".to_owned()),
        Status::Over(status) => (ink(status), status.to_string()),
        Status::Finalizing(ended) => (Ink::Red, format!("{ended}, not finalized yet")),
    };
    let record = batch.record.as_ref();
    let started = record.map_or(moment.since, |record| record.started_at);
    let ended = batch.ended_at().unwrap_or(moment.now);
    let attempt = match batch.reference.attempt_no {
        1 => String::new(),
        n => format!("  attempt {n}"),
    };
    vec![
        span(Ink::Bold, &batch.reference.batch_id),
        span(ink, format!("  {status}")),
        span(Ink::Dim, format!("{attempt}  {}", figures::between(started, ended))),
    ]
}

pub fn ink(status: BatchStatus) -> Ink {
    match status {
        BatchStatus::Succeeded => Ink::Green,
        BatchStatus::Running | BatchStatus::Partial => Ink::Yellow,
        BatchStatus::Failed | BatchStatus::Cancelled => Ink::Red,
    }
}

fn body(batch: &Batch, now: OffsetDateTime, width: usize) -> Vec<Line> {
    let Some(record) = &batch.record else {
        let waiting = match batch.status() {
            Status::Unknown => "waiting for the batch to start",
            _ => "opening the batch",
        };
        return vec![vec![span(Ink::Dim, waiting)]];
    };
    let mut lines = Vec::new();
    if record.status == BatchStatus::Running {
        lines.push(vec![span(Ink::Plain, bar(batch, width))]);
        lines.push(vec![span(Ink::Plain, progress(batch, now))]);
        lines.push(vec![]);
    }
    lines.extend(batch.opened.iter().flat_map(|opened| {
        [
            field("source", opened.source.uri.clone()),
            field("items", found(opened)),
            field("mode", manner(opened)),
        ]
    }));
    let rate = batch.progress.rate.as_ref().filter(|_| record.status == BatchStatus::Running);
    lines.extend(rate.map(|rate| field("rate", rate::describe(rate))));
    lines.extend(jobs(&batch.jobs).map(|jobs| field("jobs", jobs)));
    lines.extend(leftovers(batch).map(|why| red_field("leftovers", why)));
    lines.extend(paused(batch, now).map(|why| field("paused", why)));
    lines.extend(halted(batch).map(|why| red_field("halted", why)));
    let errors = match &batch.manifest {
        Some(manifest) => &manifest.sums.errors,
        None => &batch.progress.errors,
    };
    lines.extend(
        errors.iter().map(|(name, count)| red_field("failures", format!("{count} {name}"))),
    );
    lines.extend(batch.manifest.iter().flat_map(|manifest| outcome(batch, manifest)));
    lines
}

fn red_field(name: &str, value: String) -> Line {
    let mut line = field(name, value);
    line.iter_mut().skip(1).for_each(|span| span.ink = Ink::Red);
    line
}

/// Lists the results of a batch that has ended.
fn outcome(batch: &Batch, manifest: &BatchManifest) -> Vec<Line> {
    let totals = batch.totals();
    let mut lines = vec![
        field("outcome", counted(&manifest.sums.counts)),
        field("cost", format!("{}, {}", figures::exact_cost(&totals), figures::tokens(&totals))),
    ];
    let objects = [("results", &manifest.results), ("outputs", &manifest.outputs)];
    lines.extend(objects.into_iter().filter_map(|(name, object)| {
        let object = object.as_ref()?;
        Some(field(name, format!("{}, {} bytes", object.key, figures::count(object.bytes))))
    }));
    lines.extend(manifest.error.iter().map(|error| red_field("error", error.to_string())));
    lines
}

/// Describes the progress: `312 of 497 ended, 12 failed · 74 per minute · about 2 m 30 s left · $0.4123`.
pub fn progress(batch: &Batch, now: OffsetDateTime) -> String {
    let (progress, to_run) = (&batch.progress, batch.to_run());
    let mut line =
        format!("{} of {} ended", figures::count(progress.over()), figures::count(to_run));
    let others = [
        (progress.failed, "failed"),
        (progress.cancelled, "cancelled"),
        (progress.truncated, "cut by max_tokens"),
    ];
    for (count, word) in others {
        if count > 0 {
            line += &format!(", {} {word}", figures::count(count));
        }
    }
    let started = batch.record.as_ref().map_or(now, |record| record.started_at);
    if let Some(per_minute) = batch.pace.per_minute(started).filter(|_| progress.over() > 0) {
        line += &format!(" · {} per minute", speed(per_minute));
        if let Some(left) = left(batch, per_minute) {
            line += &format!(" · about {} left", figures::duration(left));
        }
    }
    line += &format!(" · {}", figures::cost(&batch.totals()));
    if progress.unknown_cost > 0 {
        line += &format!(" of {}", figures::plural(progress.unknown_cost as usize, "run"));
    }
    line
}

/// Returns the expected time until the last run ends, or `None` if there is no useful forecast.
pub fn left(batch: &Batch, per_minute: f64) -> Option<time::Duration> {
    let record = batch.record.as_ref().filter(|record| record.status == BatchStatus::Running)?;
    let left = batch.to_run().saturating_sub(batch.progress.over());
    // A halted batch does not run all of its items, a paused one makes no progress, and the answers of a bulk job arrive together.
    let waits = batch.progress.halted.is_some() || batch.progress.paused.is_some();
    let is_steady = !waits && record.mode == Mode::OnDemand && left > 0;
    remaining(left, per_minute).filter(|_| is_steady)
}

fn speed(per_minute: f64) -> String {
    match per_minute {
        few if few < 10.0 => format!("{few:.1}"),
        many => figures::count(many.round() as u64),
    }
}

fn bar(batch: &Batch, width: usize) -> String {
    let percent = batch.percent();
    let cells = BAR.min(width.saturating_sub(8));
    let full = cells * percent as usize / 100;
    format!("{}{} {percent:>3} %", "█".repeat(full), "░".repeat(cells - full))
}

/// Describes the items: `500 items, 3 of them rejected`.
fn found(opened: &Opened) -> String {
    let mut found = format!("{} items", figures::count(opened.items));
    if opened.rejected > 0 {
        found += &format!(", {} of them rejected", figures::count(opened.rejected));
    }
    if opened.to_run + opened.rejected != opened.items {
        found += &format!(", {} to run in this attempt", figures::count(opened.to_run));
    }
    found
}

/// Describes the mode and its reasons: `on demand, 20 at a time: <reason>`.
pub fn manner(opened: &Opened) -> String {
    let mode = match opened.mode {
        Mode::OnDemand => "on demand",
        Mode::Bulk => "in bulk",
        Mode::Auto => "auto",
    };
    let because = if opened.because.is_empty() {
        String::new()
    } else {
        format!(": {}", opened.because.join("; "))
    };
    format!("{mode}, {} at a time{because}", opened.concurrency)
}

/// Describes the bulk jobs: `3 jobs of 1,500 records: 1 Completed, 1 InProgress, 1 not started; 740 processed`.
fn jobs(jobs: &[JobRecord]) -> Option<String> {
    if jobs.is_empty() {
        return None;
    }
    let mut by_status: BTreeMap<String, usize> = BTreeMap::new();
    for job in jobs {
        *by_status.entry(job_status(job)).or_default() += 1;
    }
    let statuses: Vec<String> =
        by_status.iter().map(|(status, count)| format!("{count} {status}")).collect();
    let given = jobs.iter().map(|job| job.given).sum();
    let processed = jobs.iter().filter_map(|job| job.records.processed).sum();
    Some(format!(
        "{} of {} records: {}; {} processed",
        figures::plural(jobs.len(), "job"),
        figures::count(given),
        statuses.join(", "),
        figures::count(processed)
    ))
}

/// Returns the status of a bulk job, as the service spells it.
pub fn job_status(job: &JobRecord) -> String {
    match job.status {
        Some(status) => format!("{status:?}"),
        None if job.is_starting => "starting".to_owned(),
        None => "not started".to_owned(),
    }
}

/// Describes the leftovers of each bulk job in which nearly all records failed.
fn leftovers(batch: &Batch) -> impl Iterator<Item = String> {
    let jobs = match &batch.manifest {
        Some(manifest) => &manifest.bulk,
        None => &batch.jobs,
    };
    jobs.iter().filter_map(|job| {
        let why = job.leftovers.as_ref()?.describe()?;
        Some(format!("job {}: {why}", job.job))
    })
}

/// Describes until when and why the batch is paused, if it is.
pub fn paused(batch: &Batch, now: OffsetDateTime) -> Option<String> {
    let is_running = batch.record.as_ref()?.status == BatchStatus::Running;
    let pause = batch.progress.paused.as_ref().filter(|pause| is_running && pause.until > now)?;
    Some(format!("until {}: {}", figures::stamp(pause.until), pause.because))
}

/// Describes why the batch halted, if it did.
pub fn halted(batch: &Batch) -> Option<String> {
    let halt = batch.progress.halted.as_ref()?;
    let (at, because) = (figures::stamp(halt.at), &halt.because);
    Some(format!("{at}: {because}; no further item is started"))
}

/// Describes the counts: `497 of 500 items succeeded, 2 failed, 1 rejected`.
pub fn counted(counts: &Counts) -> String {
    let (succeeded, items) = (figures::count(counts.succeeded), figures::count(counts.items));
    let mut counted = format!("{succeeded} of {items} items succeeded");
    let others = [
        (counts.failed, "failed"),
        (counts.cancelled, "cancelled"),
        (counts.rejected, "rejected"),
        (counts.skipped, "not started"),
        (counts.running, "still running"),
        (counts.truncated, "cut by max_tokens"),
    ];
    for (count, word) in others.into_iter().filter(|(count, _)| *count > 0) {
        counted += &format!(", {} {word}", figures::count(count));
    }
    counted
}
