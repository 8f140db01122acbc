//! Moves a job through its statuses.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::job::{Counts, Job};
use super::records::{self, Record};
use super::store::Store;
use crate::scripted_model::model::Model;
use crate::scripted_model::outcome::Outcome;

/// The time in each status, long enough for a test to see it. On AWS it takes hours.
const STATE: Duration = Duration::from_millis(300);
/// The time between two checks whether the job is stopping.
const LOOK: Duration = Duration::from_millis(50);

/// Processes a job from `Submitted` to its end.
pub async fn live(job: Arc<Job>, model: Arc<Model>, store: Arc<Store>) {
    tokio::time::sleep(STATE).await;
    if !job.enter("Validating") {
        return stop(&job).await;
    }
    let records = match records::read(&store, job.order.input()).await {
        Ok(records) => records,
        Err(message) => return job.end("Failed", Some(message)),
    };
    job.count(Counts { total: records.len(), ..Counts::default() });
    tokio::time::sleep(STATE).await;
    if let Some(message) = fault(&records) {
        return job.end("Failed", Some(message));
    }
    if !job.enter("Scheduled") {
        return stop(&job).await;
    }
    tokio::time::sleep(STATE).await;
    if any(&records, |outcome| matches!(outcome, Outcome::Expired)) {
        return job.end("Expired", None);
    }
    if !job.enter("InProgress") {
        return stop(&job).await;
    }
    tokio::time::sleep(STATE).await;
    let work = work(&job, &model, &records).await;
    let status = match work.ending {
        Ending::Done => "Completed",
        Ending::TimeIsUp => "PartiallyCompleted",
        Ending::Stopped => "Stopped",
    };
    let stored = put(&job, &store, &records, work).await;
    // Leave time for a test to see `Stopping`.
    tokio::time::sleep(STATE).await;
    match stored {
        Ok(()) => job.end(status, None),
        Err(message) => job.end("Failed", Some(message)),
    }
}

async fn stop(job: &Job) {
    tokio::time::sleep(STATE).await;
    job.end("Stopped", None);
}

fn fault(records: &[Record]) -> Option<String> {
    let invalid = any(records, |outcome| matches!(outcome, Outcome::Invalid));
    let invalid = invalid.then(|| "The script declares that the input is not valid.".to_owned());
    invalid.or_else(|| records::too_few(records.len()))
}

fn any(records: &[Record], which: fn(&Outcome) -> bool) -> bool {
    records.iter().flat_map(|record| &record.outcomes).any(which)
}

enum Ending {
    Done,
    TimeIsUp,
    Stopped,
}

struct Work {
    ending: Ending,
    counts: Counts,
    /// The output lines of each file, in the order of processing.
    lines: BTreeMap<String, Vec<Value>>,
}

/// Processes the records, the last one first, so that no caller can depend on the order of the input.
async fn work(job: &Job, model: &Model, records: &[Record]) -> Work {
    let left =
        records.iter().flat_map(|record| &record.outcomes).filter_map(|outcome| match outcome {
            Outcome::Partial(left) => Some(*left),
            _ => None,
        });
    let left = left.max();
    let most = records.len().saturating_sub(left.unwrap_or(0));
    let total = records.len();
    let mut work = Work {
        ending: if left.is_some() { Ending::TimeIsUp } else { Ending::Done },
        counts: Counts { total, ..Counts::default() },
        lines: BTreeMap::new(),
    };
    for record in records.iter().rev().take(most).filter(|record| !record.is_never_done()) {
        if job.is_stopping() {
            work.ending = Ending::Stopped;
            return work;
        }
        work.counts.processed += 1;
        if !record.is_lost() {
            let done = record.answer(model, &job.region, &job.order.model_id);
            tokio::time::sleep(done.pause).await;
            work.counts.failed += usize::from(done.is_error);
            work.counts.succeeded += usize::from(!done.is_error);
            work.lines.entry(record.file.clone()).or_default().push(done.line);
        }
        job.count(work.counts);
        // Let the server answer other requests in the meantime.
        tokio::task::yield_now().await;
    }
    if records.iter().any(Record::is_never_done) {
        while !job.is_stopping() {
            tokio::time::sleep(LOOK).await;
        }
        work.ending = Ending::Stopped;
    }
    work
}

/// Writes an output file for each input file, and the summary.
async fn put(job: &Job, store: &Store, records: &[Record], work: Work) -> Result<(), String> {
    let below = format!("{}/{}", job.order.output().trim_end_matches('/'), job.id());
    let mut files: BTreeMap<&str, String> =
        records.iter().map(|record| (record.file.as_str(), String::new())).collect();
    for (file, lines) in &work.lines {
        let text = lines.iter().map(|line| format!("{line}\n")).collect();
        files.insert(file, text);
    }
    for (file, text) in files {
        store.put(&format!("{below}/{file}.out"), job.order.key(), text.into_bytes()).await?;
    }
    let tokens = |name: &str| -> u64 {
        let place = format!("/modelOutput/usage/{name}");
        let all = work.lines.values().flatten();
        all.filter_map(|line| line.pointer(&place).and_then(Value::as_u64)).sum()
    };
    let summary = json!({
        "totalRecordCount": work.counts.total,
        "processedRecordCount": work.counts.processed,
        "successRecordCount": work.counts.succeeded,
        "errorRecordCount": work.counts.failed,
        "inputTokenCount": tokens("inputTokens"),
        "outputTokenCount": tokens("outputTokens"),
    });
    let uri = format!("{below}/manifest.json.out");
    store.put(&uri, job.order.key(), summary.to_string().into_bytes()).await
}
