//! The results of a batch: a line for each item, their sums, and the sealed record of the whole.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::base::error::{ErrorName, Fault};
use crate::base::json::is_zero;
use crate::base::platform::PlatformUse;
use crate::base::target::Target;
use crate::batch::bulk::{JobRecord, LONGEST_TIMEOUT};
use crate::batch::item::Item;
use crate::batch::message::Mode;
use crate::batch::platform;
use crate::batch::progress::{Halt, Tolerance};
use crate::batch::reference::BatchRun;
use crate::batch::source::Format;
use crate::batch::split::Split;
use crate::batch::way::Way;
use crate::call::attempt::Totals;
use crate::run::artifact::ArtifactRef;
use crate::run::manifest::{Kind, Manifest};
use crate::run::notification::RunStatus;

/// The status of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ItemStatus {
    Succeeded,
    Failed,
    Cancelled,
    /// The line is not a valid request of the workflow. No run was started.
    Rejected,
    /// The run was not started, because too many other items had failed or the batch was stopped.
    Skipped,
    /// The run is not finalized yet.
    Running,
}

/// The result of an item: a line of `results-<attempt>.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ItemResult {
    /// The number of the item in the batch, from 1.
    pub n: u64,
    /// The line of the source on which the item begins, or the place of the object in the listing.
    pub line: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    pub status: ItemStatus,
    /// The run id. `null` if no run was started.
    pub run_id: Option<String>,
    /// The run attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt_no: Option<u32>,
    /// The key of the run's manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<String>,
    /// The usage and cost of the run. `null` if unknown, as in the run's manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub totals: Option<Totals>,
    /// The number of answers of the run that `max_tokens` cut.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub truncated: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Fault>,
}

impl ItemResult {
    /// Returns the result of an item whose run is over. `key` is the key of the run's manifest.
    pub fn of(item: &Item, manifest: &Manifest, key: String) -> Self {
        let status = match manifest.status {
            RunStatus::Succeeded => ItemStatus::Succeeded,
            RunStatus::Cancelled => ItemStatus::Cancelled,
            RunStatus::Running => ItemStatus::Running,
            RunStatus::Failed | RunStatus::Rejected => ItemStatus::Failed,
        };
        Self {
            n: item.n,
            line: item.line,
            id: Some(item.id.clone()),
            status,
            run_id: Some(manifest.run_id.clone()),
            attempt_no: Some(manifest.attempt_no),
            manifest: Some(key),
            totals: Some(manifest.totals.clone()),
            truncated: manifest.truncated,
            error: manifest.error.clone(),
        }
    }
}

/// The answer of an item that succeeded: a line of `outputs-<attempt>.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ItemOutput {
    pub n: u64,
    pub line: u64,
    pub id: String,
    pub run_id: String,
    /// The answer: a text, or JSON if the workflow asks for it. If the step of the answer fans out, a list of answers.
    pub output: serde_json::Value,
    /// The number of answers of the run that `max_tokens` cut.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub truncated: u64,
}

/// The number of items, in total and by status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    pub items: u64,
    pub succeeded: u64,
    pub failed: u64,
    pub cancelled: u64,
    pub rejected: u64,
    pub skipped: u64,
    pub running: u64,
    /// The number of these items with an answer that `max_tokens` cut. Most of them succeeded.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub truncated: u64,
}

impl Counts {
    /// Counts an item.
    pub fn count(&mut self, status: ItemStatus) {
        self.items += 1;
        match status {
            ItemStatus::Succeeded => self.succeeded += 1,
            ItemStatus::Failed => self.failed += 1,
            ItemStatus::Cancelled => self.cancelled += 1,
            ItemStatus::Rejected => self.rejected += 1,
            ItemStatus::Skipped => self.skipped += 1,
            ItemStatus::Running => self.running += 1,
        }
    }

    /// Adds the counts of other items.
    pub fn add(&mut self, other: &Self) {
        self.items += other.items;
        self.succeeded += other.succeeded;
        self.failed += other.failed;
        self.cancelled += other.cancelled;
        self.rejected += other.rejected;
        self.skipped += other.skipped;
        self.running += other.running;
        self.truncated += other.truncated;
    }
}

/// The sums of the items of a part or of a whole batch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sums {
    pub counts: Counts,
    /// The usage and cost of this batch attempt. Runs that were over before it started are not included.
    pub totals: Totals,
    /// The number of items by error name.
    pub errors: BTreeMap<String, u64>,
    /// The use of AWS besides models by the parts and by the batch itself. The manifests of runs with executions of
    /// their own have that of these runs.
    #[serde(default, skip_serializing_if = "PlatformUse::is_empty")]
    pub platform: PlatformUse,
}

impl Sums {
    /// Returns the sums of no items.
    pub fn none() -> Self {
        Self { totals: Totals::of([]), ..Self::default() }
    }

    /// Returns the sums of a part with `lines` lines that could not be collected: all items count as running, and the
    /// cost is unknown.
    pub fn uncollected(lines: u32) -> Self {
        let items = u64::from(lines);
        let counts = Counts { items, running: items, ..Counts::default() };
        Self { counts, totals: Totals::unknown(), ..Self::default() }
    }

    /// Counts an item. `is_ours` is true if this batch attempt started its run.
    pub fn count(&mut self, result: &ItemResult, is_ours: bool) {
        self.counts.count(result.status);
        self.counts.truncated += u64::from(result.truncated > 0);
        if let Some(totals) = result.totals.as_ref().filter(|_| is_ours) {
            self.totals.add(totals);
        }
        // A run under way may have been paid for already.
        if result.status == ItemStatus::Running {
            self.totals.add(&Totals::unknown());
        }
        if let Some(error) = &result.error {
            *self.errors.entry(error.name.as_str().to_owned()).or_default() += 1;
        }
    }

    /// Adds the sums of other items.
    pub fn add(&mut self, other: &Self) {
        self.counts.add(&other.counts);
        self.totals.add(&other.totals);
        for (name, count) in &other.errors {
            *self.errors.entry(name.clone()).or_default() += count;
        }
        self.platform.add(&other.platform);
    }
}

/// The status of a batch attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum BatchStatus {
    /// The batch is under way. Only the ledger has this status.
    Running,
    /// Every item succeeded.
    Succeeded,
    /// Some items did not succeed, and no more failed than the batch tolerates.
    Partial,
    /// No item succeeded, or too many failed, or the batch was refused.
    Failed,
    /// The batch was stopped by hand.
    Cancelled,
}

impl BatchStatus {
    /// Returns the status as it is written, such as `PARTIAL`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "RUNNING",
            Self::Succeeded => "SUCCEEDED",
            Self::Partial => "PARTIAL",
            Self::Failed => "FAILED",
            Self::Cancelled => "CANCELLED",
        }
    }
}

impl std::fmt::Display for BatchStatus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The source of a batch, as it was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceRead {
    pub uri: String,
    pub format: Format,
    /// The ETag of the object. A prefix has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// The size of the source in bytes.
    pub bytes: u64,
}

/// The result of opening a batch, stored as `opened-<attempt>.json`: what was found, and how the batch is run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Opened {
    pub version: u32,
    /// The number of items in the source, including rejected ones.
    pub items: u64,
    pub rejected: u64,
    /// The number of items that this batch attempt runs.
    pub to_run: u64,
    pub parts: u32,
    pub source: SourceRead,
    pub mode: Mode,
    /// The reasons for the mode.
    pub because: Vec<String>,
    /// The target and cut-off of the bulk jobs, in the mode `bulk`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bulk: Option<BulkMode>,
    pub concurrency: u32,
    /// The way in which the items run.
    #[serde(default)]
    pub way: Way,
    /// The number of parts at a time, and of calls at a time in each of them, if the items are packed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split: Option<Split>,
    /// The number of items that may fail before the batch is halted.
    pub allowed_failures: u64,
}

impl Opened {
    /// Returns the failures that the batch attempt tolerates. The rate of failures counts only in the first one.
    pub fn tolerance(&self, attempt_no: u32) -> Tolerance {
        Tolerance {
            items: self.items,
            failures: self.allowed_failures,
            by_rate: (attempt_no == 1).then_some(self.concurrency),
        }
    }
}

impl BulkMode {
    /// Returns the latest time at which the last of the jobs is over, in whole seconds. No job is started after the
    /// cut-off.
    pub fn over_at(&self) -> OffsetDateTime {
        self.cut_off.truncate_to_second() + LONGEST_TIMEOUT
    }
}

/// The target of a batch's bulk jobs, and their cut-off.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BulkMode {
    pub target: Target,
    /// The time at which jobs that are not over are stopped. Their leftovers run on demand.
    #[serde(with = "time::serde::rfc3339")]
    pub cut_off: OffsetDateTime,
}

/// The manifest of a batch attempt, stored as `manifest-<attempt>.json`. Its signature is detached and covers the line
/// of its kind and the exact bytes of the manifest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BatchManifest {
    pub version: u32,
    /// The kind, which decides the line that the signature covers before the manifest's bytes.
    pub kind: Kind,
    pub batch_id: String,
    pub attempt_no: u32,
    pub execution_arn: String,
    pub tenant: String,
    pub workflow: String,
    pub request_id: String,
    pub status: BatchStatus,
    #[serde(with = "time::serde::rfc3339")]
    pub started_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    pub ended_at: OffsetDateTime,
    /// The result of opening the batch. `null` if the batch was refused before it was read.
    pub opened: Option<Opened>,
    /// The bulk jobs in the mode `bulk`, as they ended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bulk: Vec<JobRecord>,
    #[serde(flatten)]
    pub sums: Sums,
    /// The results: a line for each item, in the order of the source.
    pub results: Option<ArtifactRef>,
    /// The outputs: the answers of the items that succeeded, in the order of the source.
    pub outputs: Option<ArtifactRef>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Fault>,
}

/// All facts about a batch attempt that is over, from which its manifest is made.
#[derive(Clone, Debug)]
pub struct Outcome<'a> {
    pub batch: &'a BatchRun,
    pub opened: Option<Opened>,
    pub bulk: Vec<JobRecord>,
    pub sums: Sums,
    pub results: Option<ArtifactRef>,
    pub outputs: Option<ArtifactRef>,
    /// The error that ended the batch before its items were over.
    pub fault: Option<Fault>,
    /// The halt of the batch, if there was one.
    pub halted: Option<Halt>,
    /// True if the batch was stopped by hand.
    pub is_cancelled: bool,
    pub ended_at: OffsetDateTime,
}

impl BatchManifest {
    /// Makes the manifest of a batch attempt that is over.
    pub fn seal(outcome: Outcome<'_>) -> Self {
        let (status, error) = judge(&outcome);
        let batch = outcome.batch;
        let mut sums = outcome.sums;
        if let Some(opened) = &outcome.opened {
            sums.platform.add(&platform::of_batch(opened.bulk.is_some()));
        }
        Self {
            version: 1,
            kind: Kind::Batch,
            batch_id: batch.batch_id.clone(),
            attempt_no: batch.attempt_no,
            execution_arn: batch.execution_arn.clone(),
            tenant: batch.tenant.clone(),
            workflow: batch.workflow.clone(),
            request_id: batch.request_id.clone(),
            status,
            started_at: batch.started_at,
            ended_at: outcome.ended_at,
            opened: outcome.opened,
            bulk: outcome.bulk,
            sums,
            results: outcome.results,
            outputs: outcome.outputs,
            error,
        }
    }
}

/// Returns the status of a batch that is over, and its error.
fn judge(outcome: &Outcome<'_>) -> (BatchStatus, Option<Fault>) {
    let counts = outcome.sums.counts;
    if outcome.is_cancelled {
        return (BatchStatus::Cancelled, outcome.fault.clone());
    }
    if let Some(fault) = &outcome.fault {
        return (BatchStatus::Failed, Some(fault.clone()));
    }
    let allowed = outcome.opened.as_ref().map_or(0, |opened| opened.allowed_failures);
    if counts.failed > allowed {
        let mut message = format!(
            "{} of {} items failed (limit: {allowed}); {} were not started",
            counts.failed, counts.items, counts.skipped
        );
        for job in outcome.bulk.iter().filter(|job| job.held().is_some()) {
            message += &format!("; {}", job.describe());
        }
        return (BatchStatus::Failed, Some(Fault::new(ErrorName::TooManyFailures, message)));
    }
    if let Some(halted) = &outcome.halted {
        let message = format!("{}; {} were not started", halted.because, counts.skipped);
        return (BatchStatus::Failed, Some(Fault::new(ErrorName::TooManyFailures, message)));
    }
    // The batch was not stopped, so these items could not be started or found again.
    if counts.skipped > 0 {
        let message = format!(
            "{} of {} items could not be started; the batch's next attempt starts them",
            counts.skipped, counts.items
        );
        return (BatchStatus::Failed, Some(Fault::internal(message)));
    }
    match (counts.succeeded == counts.items, counts.succeeded) {
        (true, _) => (BatchStatus::Succeeded, None),
        (false, 0) => {
            let message = format!("none of {} items succeeded", counts.items);
            (BatchStatus::Failed, Some(Fault::new(ErrorName::TooManyFailures, message)))
        }
        (false, _) => (BatchStatus::Partial, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::bulk::{JobStatus, Leftovers, Sampled, Verdict};
    use crate::batch::reference::BatchRef;
    use time::macros::datetime;

    fn sealed(counts: Counts, allowed_failures: u64, fault: Option<Fault>) -> BatchManifest {
        let at = datetime!(2026-11-01 12:00 UTC);
        let reference = BatchRef::first("default", "explain", "42");
        let batch = BatchRun { reference, execution_arn: "arn".into(), started_at: at };
        let source =
            SourceRead { uri: "s3://b/k".into(), format: Format::Jsonl, etag: None, bytes: 1 };
        let opened = Opened {
            version: 1,
            items: counts.items,
            rejected: counts.rejected,
            to_run: counts.items,
            parts: 1,
            source,
            mode: Mode::OnDemand,
            because: vec![],
            bulk: None,
            way: Way::default(),
            split: None,
            concurrency: 20,
            allowed_failures,
        };
        BatchManifest::seal(Outcome {
            batch: &batch,
            opened: Some(opened),
            bulk: Vec::new(),
            sums: Sums { counts, ..Sums::none() },
            results: None,
            outputs: None,
            fault,
            halted: None,
            is_cancelled: false,
            ended_at: at,
        })
    }

    #[test]
    fn a_batch_succeeds_wholly_in_part_or_not() {
        let status = |counts, allowed| {
            let sealed = sealed(counts, allowed, None);
            (sealed.status, sealed.error.map(|error| error.message))
        };
        let all = Counts { items: 5, succeeded: 5, ..Counts::default() };
        assert_eq!(status(all, 0), (BatchStatus::Succeeded, None));
        let some = Counts { items: 5, succeeded: 3, failed: 1, rejected: 1, ..Counts::default() };
        assert_eq!(status(some, 1), (BatchStatus::Partial, None));
        let message = "1 of 5 items failed (limit: 0); 0 were not started".to_owned();
        assert_eq!(status(some, 0), (BatchStatus::Failed, Some(message)));
        let skipped = Counts { items: 5, succeeded: 4, skipped: 1, ..Counts::default() };
        let message =
            "1 of 5 items could not be started; the batch's next attempt starts them".to_owned();
        assert_eq!(status(skipped, 5), (BatchStatus::Failed, Some(message)));
        let none = Counts { items: 5, rejected: 5, ..Counts::default() };
        let message = "none of 5 items succeeded".to_owned();
        assert_eq!(status(none, 5), (BatchStatus::Failed, Some(message)));
    }

    #[test]
    fn a_batch_whose_job_failed_as_its_sample_did_says_so() {
        let counts = Counts { items: 100, succeeded: 1, failed: 99, ..Counts::default() };
        let mut sealed = sealed(counts, 20, None);
        let mut job = JobRecord::started(1, "arn".into(), 100);
        job.status = Some(JobStatus::Completed);
        job.leftovers = Some(Leftovers {
            processed: 100,
            failed: 99,
            left: 99,
            error: None,
            verdict: Verdict::Held,
            sample: Some(Sampled { items: 10, answered: 0, failed: 10 }),
        });
        let batch = BatchRun {
            reference: BatchRef::first("default", "explain", "42"),
            execution_arn: "arn".into(),
            started_at: sealed.started_at,
        };
        sealed = BatchManifest::seal(Outcome {
            batch: &batch,
            opened: sealed.opened,
            bulk: vec![job],
            sums: sealed.sums,
            results: None,
            outputs: None,
            fault: None,
            halted: None,
            is_cancelled: false,
            ended_at: sealed.ended_at,
        });
        let message = "99 of 100 items failed (limit: 20); 0 were not started; job 1 is Completed; 99 of 100 records failed; on demand 0 of a sample of 10 succeeded: the other 89 do not run";
        assert_eq!(sealed.error.unwrap().message, message);
    }

    #[test]
    fn what_ended_a_batch_before_its_items_is_its_error() {
        let fault = Fault::internal("the log has the cause");
        let sealed = sealed(Counts::default(), 0, Some(fault.clone()));
        assert_eq!((sealed.status, sealed.error), (BatchStatus::Failed, Some(fault)));
    }

    #[test]
    fn items_with_a_cut_answer_are_counted_in_addition_to_their_status() {
        let result = |truncated| ItemResult {
            n: 1,
            line: 1,
            id: None,
            status: ItemStatus::Succeeded,
            run_id: None,
            attempt_no: None,
            manifest: None,
            totals: None,
            truncated,
            error: None,
        };
        let mut sums = Sums::none();
        [0, 1, 3].into_iter().for_each(|cut| sums.count(&result(cut), true));
        sums.add(&sums.clone());
        assert_eq!((sums.counts.succeeded, sums.counts.truncated), (6, 4));
        let json = |truncated| serde_json::to_value(result(truncated)).unwrap();
        assert_eq!(json(3)["truncated"], 3);
        assert_eq!(json(0).get("truncated"), None);
    }

    #[test]
    fn what_an_earlier_attempt_paid_is_not_summed_again() {
        let result = |status, cost: Option<i64>| ItemResult {
            n: 1,
            line: 1,
            id: None,
            status,
            run_id: None,
            attempt_no: None,
            manifest: None,
            totals: Some(Totals { cost_usd: cost.map(Into::into), ..Totals::of([]) }),
            truncated: 0,
            error: Some(Fault::internal("x")),
        };
        let mut sums = Sums::none();
        sums.count(&result(ItemStatus::Succeeded, Some(2)), true);
        sums.count(&result(ItemStatus::Failed, Some(3)), false);
        assert_eq!(sums.totals.cost_usd, Some(2.into()));
        assert_eq!((sums.counts.items, sums.errors["Bcce.Internal"]), (2, 2));
        let mut with_running = sums.clone();
        with_running
            .count(&ItemResult { totals: None, ..result(ItemStatus::Running, None) }, false);
        assert_eq!(with_running.totals.cost_usd, None, "a run under way may have been paid");
        sums.count(&result(ItemStatus::Failed, None), true);
        assert_eq!((sums.totals.cost_usd, sums.totals.priced_subtotal_usd), (None, Some(2.into())));
    }
}
