use bcce_core::batch::{Halt, Pause};
use serde_json::json;

use super::samples::{STARTED, half_way, manifest, record, under_way};
use super::*;
use crate::figures;
use crate::paint::render;
use crate::screen::{Moment, Shown};

fn over() -> Batch {
    let mut batch = half_way();
    let record = batch.record.as_mut().unwrap();
    record.status = BatchStatus::Partial;
    record.ended_at = Some(STARTED + time::Duration::minutes(8));
    batch.manifest = Some(manifest());
    batch
}

fn drawn(batch: &Batch) -> Vec<String> {
    let now = STARTED + time::Duration::minutes(4);
    let lines = batch.picture(Moment { now, since: STARTED, frame: 0 }, 100);
    lines.iter().map(|line| render(line, false, 100)).collect()
}

#[test]
fn a_batch_under_way_shows_how_far_how_fast_and_for_how_much() {
    let id = BatchRef::first("default", "explain", "42").batch_id;
    let bar = format!("{}{}  49 %", "█".repeat(19), "░".repeat(21));
    #[rustfmt::skip]
    assert_eq!(drawn(&half_way()), [
        &format!("{id}  RUNNING  4 m 00 s"),
        "",
        &bar,
        "248 of 497 ended, 12 failed · 62 per minute · about 4 m 00 s left · $0.4123 + unknown of 2 runs",
        "",
        "  source     s3://b/k.csv",
        "  items      500 items, 3 of them rejected",
        "  mode       on demand, 20 at a time: it was asked for",
        "  failures   12 Bcce.NoTarget",
    ]);
}

#[test]
fn a_batch_that_is_over_shows_what_it_came_to_and_where_it_lies() {
    let lines = drawn(&over());
    assert!(lines[0].ends_with("  PARTIAL  8 m 00 s"), "{lines:#?}");
    #[rustfmt::skip]
    assert_eq!(lines[5..], [
        "  failures   3 Bcce.InvalidRequest",
        "  failures   12 Bcce.NoTarget",
        "  outcome    485 of 500 items succeeded, 12 failed, 3 rejected",
        "  cost       $1.5, 0 tokens in, 0 out + unknown",
        "  results    k/results-1.jsonl, 1,234 bytes",
        "  outputs    k/outputs-1.jsonl, 1,234 bytes",
    ]);
    let sum = over().sum().unwrap();
    assert!(sum.starts_with("PARTIAL: 485 of 500 items succeeded"), "{sum}");
}

#[test]
fn answers_that_were_cut_are_counted_while_a_batch_runs_and_when_it_is_over() {
    let mut batch = half_way();
    batch.progress.truncated = 7;
    let lines = drawn(&batch);
    assert!(
        lines[3].starts_with("248 of 497 ended, 12 failed, 7 cut by max_tokens ·"),
        "{lines:#?}"
    );
    let mut batch = over();
    batch.manifest.as_mut().unwrap().sums.counts.truncated = 9;
    let outcome =
        "  outcome    485 of 500 items succeeded, 12 failed, 3 rejected, 9 cut by max_tokens";
    assert!(drawn(&batch).contains(&outcome.to_owned()), "{:#?}", drawn(&batch));
}

#[test]
fn a_batch_that_halted_says_why_and_forecasts_nothing() {
    let mut halted = half_way();
    halted.progress.halted =
        Some(Halt { at: STARTED, because: "101 items failed (limit: 100)".into() });
    let lines = drawn(&halted);
    assert!(!lines[3].contains("left"), "{}", lines[3]);
    let why = "  halted     2026-11-01 12:00:00Z: 101 items failed (limit: 100); no further item is started";
    assert!(lines.contains(&why.to_owned()), "{lines:#?}");
    assert!(halted.lines().last().unwrap().contains("101 items failed"));
}

#[test]
fn a_paused_batch_says_until_when_and_forecasts_nothing() {
    let mut paused = half_way();
    let until = STARTED + time::Duration::hours(2);
    let progress = BatchProgress {
        paused: Some(Pause { until, because: "budgets.day: the call may cost $0.02".into() }),
        ..paused.progress.clone()
    };
    paused.note_progress(progress.clone(), STARTED);
    paused.note_progress(progress, STARTED);
    let lines = drawn(&paused);
    assert!(!lines[3].contains("left"), "{}", lines[3]);
    let why = format!("until {}: budgets.day: the call may cost $0.02", figures::stamp(until));
    assert!(lines.contains(&format!("  paused     {why}")), "{lines:#?}");
    let reported = paused.lines().iter().filter(|line| **line == format!("paused {why}")).count();
    assert_eq!(reported, 1, "{:#?}", paused.lines());
}

#[test]
fn a_batch_in_bulk_shows_its_jobs() {
    let mut batch = under_way();
    assert_eq!(jobs_line(&batch), None);
    let job = |job, status: &str, processed: u64| {
        json!({
            "job": job, "arn": "arn", "status": status, "given": 25_000,
            "records": { "total": 25_000, "processed": processed, "succeeded": processed, "failed": 0 },
        })
    };
    let refused = json!({ "job": 3, "arn": null, "status": null, "given": 90, "records": {}, "message": "too few" });
    let jobs = json!([job(1, "Completed", 25_000), job(2, "InProgress", 740), refused]);
    batch.jobs = serde_json::from_value(jobs).unwrap();
    let line = "  jobs       3 jobs of 50,090 records: 1 Completed, 1 InProgress, 1 not started; 25,740 processed";
    assert_eq!(jobs_line(&batch).as_deref(), Some(line));
}

#[test]
fn a_job_nearly_all_of_whose_records_failed_says_what_becomes_of_them() {
    let mut batch = under_way();
    let mut job = json!({
        "job": 1, "arn": "arn", "status": "Completed", "given": 25_000, "records": {},
        "leftovers": { "processed": 25_000, "failed": 25_000, "left": 25_000, "verdict": "sample" },
    });
    batch.jobs = vec![serde_json::from_value(job.clone()).unwrap()];
    let sampling =
        "job 1: 25000 of 25000 records failed; a sample of them runs on demand".to_owned();
    assert!(drawn(&batch).contains(&format!("  leftovers  {sampling}")), "{:#?}", drawn(&batch));
    assert!(batch.lines().contains(&sampling));
    let mut over = over();
    job["leftovers"]["verdict"] = json!("held");
    job["leftovers"]["sample"] = json!({ "items": 10, "answered": 1, "failed": 9 });
    over.manifest.as_mut().unwrap().bulk = vec![serde_json::from_value(job).unwrap()];
    let held = "  leftovers  job 1: 25000 of 25000 records failed; on demand 1 of a sample of 10";
    assert!(drawn(&over).iter().any(|line| line.starts_with(held)), "{:#?}", drawn(&over));
}

fn jobs_line(batch: &Batch) -> Option<String> {
    drawn(batch).into_iter().find(|line| line.starts_with("  jobs"))
}

#[test]
fn a_line_is_printed_for_each_percent_that_was_seen() {
    let mut batch = under_way();
    assert_eq!(batch.lines().len(), 3, "started, items, mode");
    let over = |succeeded| BatchProgress { succeeded, ..BatchProgress::default() };
    for (succeeded, lines) in [(0, 3), (1, 4), (2, 4), (5, 5), (497, 6), (497, 6)] {
        batch.note_progress(over(succeeded), STARTED + time::Duration::minutes(1));
        assert_eq!(batch.lines().len(), lines, "{succeeded}");
    }
    assert!(batch.lines()[5].starts_with("497 of 497 ended"));
}

#[test]
fn a_packed_batch_shows_the_rate_of_its_calls_and_logs_when_it_changes_much() {
    let mut batch = half_way();
    let rate = |calls, throttled: &[&str]| {
        let throttled = throttled.iter().map(|target| (*target).to_owned()).collect();
        let rate = Some(Rate { calls, most: 20, throttled });
        BatchProgress { rate, ..half_way().progress }
    };
    let shown = |batch: &Batch| drawn(batch).into_iter().find(|line| line.starts_with("  rate"));
    let (before, now) = (batch.lines().len(), STARTED + time::Duration::minutes(4));
    assert_eq!(shown(&batch), None);
    batch.note_progress(rate(20, &[]), now);
    assert_eq!(shown(&batch).as_deref(), Some("  rate       20 of 20 calls at a time"));
    assert_eq!(batch.lines().len(), before, "nothing throttles");
    for calls in [10, 11, 12] {
        batch.note_progress(rate(calls, &["us-east-1 haiku"]), now);
    }
    let line = "12 of 20 calls at a time, us-east-1 haiku throttles";
    assert_eq!(shown(&batch), Some(format!("  rate       {line}")));
    assert_eq!(batch.lines()[before..], [line.replace("12", "10")]);
    batch.record.as_mut().unwrap().status = BatchStatus::Partial;
    assert_eq!(shown(&batch), None, "the batch is over");
}

#[test]
fn a_batch_is_over_when_its_record_is_closed() {
    let mut batch = under_way();
    assert_eq!(batch.status(), Status::UnderWay);
    batch.execution = Some("SUCCEEDED".into());
    assert_eq!(batch.status(), Status::Finalizing("SUCCEEDED".into()));
    batch.note_record(Some(record(1, BatchStatus::Succeeded)));
    assert_eq!(batch.status(), Status::Over(BatchStatus::Succeeded));
    let sent = Batch::new(batch.reference.clone());
    assert_eq!(sent.status(), Status::Unknown);
}

#[test]
fn a_retry_begins_at_nothing() {
    let mut batch = over();
    batch.note_record(Some(record(2, BatchStatus::Running)));
    assert_eq!((batch.progress.over(), batch.manifest.is_none()), (0, true));
    assert_eq!(batch.lines()[0], format!("{} started, attempt 2", batch.reference.batch_id));
    let mut retried = Batch::new(batch.reference.clone());
    retried.note_record(Some(record(1, BatchStatus::Partial)));
    assert_eq!(retried.status(), Status::Unknown, "the record is that of the previous attempt");
}
