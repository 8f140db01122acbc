//! The outcome of opening a batch, as far as the state machine needs it.

use bcce_core::base::error::Fault;
use bcce_core::batch::Way;
use bcce_core::batch::manifest::Opened;
use bcce_core::batch::reference::BatchRef;
use bcce_core::batch::{Mode, Tolerance};
use serde::Serialize;

/// The outcome of opening a batch.
#[derive(Debug, PartialEq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Response {
    /// The items are stored.
    Opened {
        bucket: String,
        /// The key of the list of parts.
        parts: String,
        /// The prefix of the objects that say where each item is, for items with executions of their own.
        places: String,
        /// The prefix below which Step Functions stores the results of the child executions.
        children: String,
        /// The number of items that this attempt runs.
        to_run: u64,
        mode: Mode,
        /// The time by which every bulk job has timed out, in milliseconds since 1970, since a state machine can
        /// compare numbers but not parse dates.
        #[serde(skip_serializing_if = "Option::is_none")]
        jobs_over_ms: Option<i64>,
        /// The way in which the items run.
        way: Way,
        /// The number of parts that are worked off at a time, if the items are packed.
        #[serde(skip_serializing_if = "Option::is_none")]
        parts_at_a_time: Option<u32>,
        /// The most model calls of a part at a time, if the items are packed.
        #[serde(skip_serializing_if = "Option::is_none")]
        calls: Option<u32>,
        /// The number of items that run at a time.
        concurrency: u32,
        tolerance: Tolerance,
    },
    /// The batch may not run.
    Refused { error: Fault },
}

impl Response {
    /// Returns the outcome for a batch whose items are stored in `bucket`.
    pub(crate) fn opened(bucket: &str, batch: &BatchRef, opened: &Opened) -> Self {
        let jobs_over = opened.bulk.as_ref().map(|bulk| bulk.over_at().unix_timestamp());
        Self::Opened {
            bucket: bucket.to_owned(),
            parts: batch.parts_key(),
            places: batch.places_prefix(),
            children: batch.children_prefix(),
            to_run: opened.to_run,
            mode: opened.mode,
            jobs_over_ms: jobs_over.map(|seconds| seconds * 1_000),
            way: opened.way,
            parts_at_a_time: opened.split.map(|split| split.parts),
            calls: opened.split.map(|split| split.calls),
            concurrency: opened.concurrency,
            tolerance: opened.tolerance(batch.attempt_no),
        }
    }
}
