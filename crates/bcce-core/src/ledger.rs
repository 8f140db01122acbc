//! The items of the DynamoDB table and their keys.
//!
//! | item | `pk` | `sk` |
//! |---|---|---|
//! | run record | `run#<run id>` | `attempt#<n>` |
//! | call log | `calls#<run id>#<n>` | `<step>` or `<step>#<item>` |
//! | batch record | `batch#<batch id>` | `attempt#<n>` |
//! | progress of a batch | `progress#<batch id>#<n>` | `progress#<shard>` |
//! | halt of a batch | `progress#<batch id>#<n>` | `halt` |
//! | end of a batch's execution | `progress#<batch id>#<n>` | `stop` |
//! | part that is worked off: its owner and its progress | `progress#<batch id>#<n>` | `part#<part>` |
//! | packed run that a person has cancelled | `progress#<batch id>#<n>` | `cancel#<run id>` |
//! | calls that a part has started | `calls#<batch id>#<n>#<part>` | `<owner>#<number>` |
//! | part that is counted | `counted#<batch id>#<n>` | `<part>` |
//! | place of a packed run | `packed#<run id>` | `attempt#<n>` |
//! | calls of a day ([`usage`]) | `usage#<day>#<shard>` | `calls#<digest>` |
//! | runs of a day ([`usage`]) | `usage#<day>#<shard>` | `runs#<digest>` |
//! | piece of a run's usage that is counted | `pieces#<run id>#<n>` | `usage#<piece>` |
//! | piece of a part's usage that is counted | `counted#<batch id>#<n>` | `<part>#usage#<piece>` |
//! | breaker of a target | `target#<target key>` | `breaker` |
//! | last canary call of a target ([`crate::standby::canary`]) | `canary#<target key>` | `call` |
//! | findings about targets that were reported | `canary` | `findings` |
//! | latencies of a target | `target#<target key>` | `latency#<slot of five minutes>` |
//! | targets that cache a prompt | `cache#<digest of its step>` | `targets` |
//! | entry of the response cache | `response#<key>` | `answer` |
//! | root of a counter ([`crate::run::budgets`]) | `budget#<budget>#<value>#<window>` | `counter` |
//! | shard of a counter | `budget#<budget>#<value>#<window>#<shard>` | `counter` |
//! | counter of a budget in a window | `budgets#<budget>#<window>` | `<value>` |
//! | slot of a tenant ([`crate::run::slots`]) | `slot#<tenant>#runs`, `slot#<tenant>#batches` | `<execution name>` |
//!
//! A part that is worked off counts its own runs. When it is counted, its runs move to a shard of the progress, which
//! also has the numbers of the parts that it counts. So a reader that sees both, the part and the shard, knows that the
//! runs are the same.
//!
//! Usage, the progress of a batch, and the indexes of a day's runs (`runs#<day>#<shard>`) and batches
//! (`batches#<day>#<shard>`) are each split into sixteen shards by id, because an item or an index key accepts only
//! about a thousand writes a second.

pub mod attempts; // records, found by the names of executions
pub mod usage; // usage counters

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde::Serialize;
use time::{Date, OffsetDateTime};

use crate::base::digest::sha256_hex;
use crate::base::json::is_zero;
use crate::base::trace::TraceId;
use crate::batch::manifest::{BatchManifest, BatchStatus, Opened};
use crate::batch::message::Mode;
use crate::batch::packed::PartManifest;
use crate::batch::reference::BatchRun;
use crate::run::ids::{ItemOf, Run, RunRef};
use crate::run::manifest::Manifest;
use crate::run::notification::RunStatus;
use crate::run::slots::Lane;

/// The shards of a counter, each one hex digit.
pub const SHARDS: &str = "0123456789abcdef";

/// A run record to open.
#[derive(Clone, Debug)]
pub struct OpenedRun {
    pub run: Run,
    /// The trace that the execution belongs to.
    pub trace_id: Option<TraceId>,
}

/// A run record to close.
#[derive(Clone, Debug)]
pub struct ClosedRun {
    pub run: Run,
    pub manifest: Manifest,
    pub manifest_key: String,
    pub manifest_sha256: String,
    /// The ARN of the execution that counts the run and sends its notification.
    pub notification_owner: String,
}

/// A part to count: its usage is added to the counters, and its runs to the progress of the batch.
#[derive(Clone, Debug)]
pub struct CountedPart {
    pub batch: BatchRun,
    pub manifest: PartManifest,
}

/// A run record, as it is read from the ledger.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RunRecord {
    pub run_id: String,
    pub attempt_no: u32,
    pub tenant: String,
    pub workflow: String,
    pub request_id: String,
    pub execution_arn: String,
    /// The id of the X-Ray trace that the execution belongs to. A packed run has no execution.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
    pub status: RunStatus,
    #[serde(with = "time::serde::rfc3339")]
    pub started_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339::option")]
    pub ended_at: Option<OffsetDateTime>,
    /// The key of the manifest.
    pub manifest: Option<String>,
    /// The known part of the cost, in USD.
    pub cost_usd: Option<Decimal>,
    pub cost_is_complete: bool,
    /// The number of answers that `max_tokens` cut.
    #[serde(skip_serializing_if = "is_zero")]
    pub truncated: u64,
    /// The tags, as the sender set them. Empty until the run is over.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    pub error_name: Option<String>,
    pub error_message: Option<String>,
}

/// A batch record to open.
#[derive(Clone, Debug)]
pub struct OpenedBatch {
    pub batch: BatchRun,
    pub opened: Opened,
}

/// A batch record to close.
#[derive(Clone, Debug)]
pub struct ClosedBatch {
    pub batch: BatchRun,
    pub manifest: BatchManifest,
    pub manifest_key: String,
    pub manifest_sha256: String,
    /// The ARN of the execution that closes the batch and sends its notification.
    pub notification_owner: String,
}

/// A batch record, as it is read from the ledger.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BatchRecord {
    pub batch_id: String,
    pub attempt_no: u32,
    pub tenant: String,
    pub workflow: String,
    pub request_id: String,
    pub execution_arn: String,
    pub status: BatchStatus,
    #[serde(with = "time::serde::rfc3339")]
    pub started_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339::option")]
    pub ended_at: Option<OffsetDateTime>,
    /// The number of items in the input, including rejected ones.
    pub items: u64,
    pub rejected: u64,
    /// The number of items that this batch attempt runs.
    pub to_run: u64,
    pub mode: Mode,
    pub allowed_failures: u64,
    /// The key of the manifest.
    pub manifest: Option<String>,
    pub error_name: Option<String>,
    pub error_message: Option<String>,
}

pub fn run_pk(run_id: &str) -> String {
    format!("run#{run_id}")
}

pub fn attempt_sk(attempt_no: u32) -> String {
    format!("attempt#{attempt_no}")
}

pub fn batch_pk(batch_id: &str) -> String {
    format!("batch#{batch_id}")
}

/// Returns the partition key of the progress of a batch attempt. It is separate from the records, so that a function
/// can be allowed to write only the progress.
pub fn progress_pk(batch: &ItemOf) -> String {
    format!("progress#{}#{}", batch.batch_id, batch.attempt_no)
}

/// Returns the sort key of a shard of the progress. `id` is the id of the run or part that is counted.
pub fn progress_sk(id: &str) -> String {
    format!("progress#{}", shard(id))
}

/// The sort key of the halt of a batch: who halted it, when, and why. It has the partition key of the progress.
pub const HALT_SK: &str = "halt";

/// The sort key of the end of a batch's execution. It has the partition key of the progress.
pub const STOP_SK: &str = "stop";

/// The prefix of the sort key of a part that is worked off. The number of the part follows.
pub const PART: &str = "part#";

/// Returns the sort key of a part that is worked off. It has the partition key of the progress.
pub fn part_sk(part: u32) -> String {
    format!("{PART}{part:06}")
}

/// The prefix of the sort key of a packed run that a person has cancelled. The id of the run follows.
pub const CANCEL: &str = "cancel#";

/// Returns the partition key of the calls that a part has started.
pub fn part_calls_pk(batch: &ItemOf, part: u32) -> String {
    format!("calls#{}#{}#{part:06}", batch.batch_id, batch.attempt_no)
}

/// Returns the partition key of the parts that are counted. It is separate from the progress, which is read often.
pub fn counted_pk(batch: &ItemOf) -> String {
    format!("counted#{}#{}", batch.batch_id, batch.attempt_no)
}

pub fn counted_sk(part: u32) -> String {
    format!("{part:06}")
}

/// Returns the key of the marker of a piece of a run's usage, which is counted before the run. It is separate from the
/// parts that are counted, so that a function can be allowed to write only one of them.
pub fn run_piece_key(run: &RunRef, piece: usize) -> (String, String) {
    (format!("pieces#{}#{}", run.run_id, run.attempt_no), format!("usage#{piece:06}"))
}

/// Returns the key of the marker of a piece of a part's usage, which is counted before the part.
pub fn part_piece_key(batch: &ItemOf, part: u32, piece: usize) -> (String, String) {
    (counted_pk(batch), format!("{}#usage#{piece:06}", counted_sk(part)))
}

/// Returns the partition key of the places of a packed run. It is separate from the records, so that a function can be
/// allowed to write only the places.
pub fn packed_pk(run_id: &str) -> String {
    format!("packed#{run_id}")
}

pub fn batches_pk(started_at: OffsetDateTime, batch_id: &str) -> String {
    batches_shard(started_at.date(), shard(batch_id))
}

pub fn batches_shard(day: Date, shard: char) -> String {
    format!("batches#{day}#{shard}")
}

/// Returns the partition key of the slots of a tenant.
pub fn slots_pk(lane: Lane, tenant: &str) -> String {
    format!("slot#{tenant}#{}", lane.name())
}

/// Returns the partition key of the call log of a run attempt. It is separate from the records, so that a function can
/// be allowed to write only the call log.
pub fn calls_pk(run_id: &str, attempt_no: u32) -> String {
    format!("calls#{run_id}#{attempt_no}")
}

pub fn calls_sk(step: &str, item: Option<u32>) -> String {
    match item {
        None => step.to_owned(),
        Some(n) => format!("{step}#{n}"),
    }
}

/// Returns the step and item of a sort key that [`calls_sk`] returned.
pub fn step_of_calls(sk: &str) -> (String, Option<u32>) {
    match sk.split_once('#') {
        Some((step, item)) => (step.to_owned(), item.parse().ok()),
        None => (sk.to_owned(), None),
    }
}

pub fn listing_pk(started_at: OffsetDateTime, run_id: &str) -> String {
    listing_shard(started_at.date(), shard(run_id))
}

pub fn listing_shard(day: Date, shard: char) -> String {
    format!("runs#{day}#{shard}")
}

/// Returns the partition key of a target's records. `key` is returned by `failover::breaker::target_key`.
pub fn target_pk(key: &str) -> String {
    format!("target#{key}")
}

pub const BREAKER_SK: &str = "breaker";

/// Returns the partition key of the last canary call of a target. It is separate from the target's other records, so that
/// the canary cannot write a breaker.
pub fn canary_pk(key: &str) -> String {
    format!("canary#{key}")
}

pub const CANARY_SK: &str = "call";

/// The key of the findings about targets that were reported.
pub const FINDINGS_KEY: (&str, &str) = ("canary", "findings");

pub fn latency_sk(slot: i64) -> String {
    format!("latency#{slot}")
}

pub fn cache_pk(cache: &str) -> String {
    format!("cache#{cache}")
}

pub const CACHE_SK: &str = "targets";

/// Returns the partition key of an entry of the response cache. `key` is returned by `call::response_cache`.
pub fn response_pk(key: &str) -> String {
    format!("response#{key}")
}

pub const RESPONSE_SK: &str = "answer";

/// Returns the partition key of the root of a counter of a budget.
pub fn budget_pk(counter: &str) -> String {
    format!("budget#{counter}")
}

/// Returns the partition key of a shard of a counter of a budget. Each shard has its own, because DynamoDB limits the
/// writes to a partition key.
pub fn budget_shard_pk(counter: &str, shard: u8) -> String {
    format!("budget#{counter}#{shard:x}")
}

pub const COUNTER_SK: &str = "counter";

/// Returns the partition key of the list of a budget's counters in a window.
pub fn counters_pk(budget: &str, window: &str) -> String {
    format!("budgets#{budget}#{window}")
}

fn shard(id: &str) -> char {
    sha256_hex(id.as_bytes()).chars().next().unwrap_or('0')
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    #[test]
    fn the_slots_of_a_tenant_lie_under_keys_of_their_own() {
        assert_eq!(slots_pk(Lane::Runs, "default"), "slot#default#runs");
        assert_eq!(slots_pk(Lane::Batches, "payments"), "slot#payments#batches");
    }

    #[test]
    fn runs_spread_over_all_shards() {
        let used: std::collections::BTreeSet<char> =
            (0..500).map(|n| shard(&format!("run-{n}"))).collect();
        assert_eq!(used.into_iter().collect::<String>(), SHARDS);
    }

    /// The busiest key of the day's usage stays below the 1,000 write units a second that a key takes. A run of ten steps
    /// writes a counter for each step and one for itself, and a write in a transaction takes two units.
    #[test]
    fn no_key_is_hot_at_ten_thousand_runs_a_minute() {
        let at = datetime!(2026-11-01 12:00 UTC);
        let mut runs: BTreeMap<String, u32> = BTreeMap::new();
        for n in 0..10_000 {
            let run = crate::run::ids::RunRef::first("default", "explain", &n.to_string());
            *runs.entry(usage::usage_pk(at.date(), &run.run_id)).or_default() += 1;
        }
        let counters = 10.0 + 1.0;
        let busiest = f64::from(*runs.values().max().unwrap()) * counters * 2.0 / 60.0;
        assert!(runs.len() == 16 && busiest < 300.0, "{busiest} units a second: {runs:?}");
    }

    #[test]
    fn keys_read_as_documented() {
        let at = datetime!(2026-11-01 23:59 UTC);
        assert_eq!(usage::usage_shard(at.date(), 'a'), "usage#2026-11-01#a");
        assert!(listing_pk(at, "r").starts_with("runs#2026-11-01#"));
        assert_eq!(calls_pk("explain-1", 2), "calls#explain-1#2");
        let counter = "day#payments#2026-11-29";
        assert_eq!(budget_pk(counter), "budget#day#payments#2026-11-29");
        assert_eq!(budget_shard_pk(counter, 15), "budget#day#payments#2026-11-29#f");
        let batch = ItemOf { batch_id: "b".into(), attempt_no: 2 };
        assert_eq!((batch_pk("b"), progress_pk(&batch)), ("batch#b".into(), "progress#b#2".into()));
        assert!(batches_pk(at, "b").starts_with("batches#2026-11-01#"));
    }

    #[test]
    fn a_key_of_calls_names_its_step() {
        for (step, item) in [("answer", None), ("part", Some(3))] {
            assert_eq!(step_of_calls(&calls_sk(step, item)), (step.to_owned(), item));
        }
    }
}
