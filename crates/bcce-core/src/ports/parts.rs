//! Parts of packed batches in the ledger: who works a part off, the calls that it has started, and its runs.

use time::OffsetDateTime;

use crate::base::error::Fault;
use crate::batch::packed::{PackedPlace, PartCalls, PartProgress, StartedCall};
use crate::ledger::CountedPart;
use crate::ports::Closed;
use crate::run::ids::ItemOf;

/// A part of a batch attempt.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PartOf {
    pub batch: ItemOf,
    /// The number of the part, from 1.
    pub part: u32,
}

/// The outcome of taking a part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PartTaken {
    /// The caller owns the part.
    Mine {
        /// True if no function had owned it before. A repeated call of the owner may return false.
        is_first: bool,
    },
    /// Another function owns it until this time.
    Others { until: OffsetDateTime },
}

pub trait TakePart {
    /// Makes `owner` the owner of a part until `until`, unless another function owns it at `now`. What the ledger knows
    /// of its progress stays until the new owner records its own.
    async fn take_part(
        &self,
        part: &PartOf,
        owner: &str,
        now: OffsetDateTime,
        until: OffsetDateTime,
    ) -> Result<PartTaken, Fault>;
}

pub trait KeepPart {
    /// Extends the ownership of a part to `until`, and records its progress in place of the one recorded before.
    /// Returns `false` if another function owns the part, or if it is counted. Safe to repeat.
    async fn keep_part(
        &self,
        part: &PartOf,
        owner: &str,
        until: OffsetDateTime,
        progress: &PartProgress,
    ) -> Result<bool, Fault>;
}

pub trait FindPartOwner {
    /// Returns the time until which a function owns a part. This time may be over. Returns `None` if no function has
    /// taken the part, or if it is counted.
    async fn part_owned_until(&self, part: &PartOf) -> Result<Option<OffsetDateTime>, Fault>;
}

pub trait LogCalls {
    /// Records that the owner of a part starts calls. `number` is different for each record of an owner. Safe to repeat.
    async fn log_calls(
        &self,
        part: &PartOf,
        owner: &str,
        number: u32,
        calls: &[StartedCall],
    ) -> Result<(), Fault>;
}

pub trait ReadPartCalls {
    /// Reads all calls that the owners of a part have started, and the allowances that they have reserved.
    async fn part_calls(&self, part: &PartOf) -> Result<PartCalls, Fault>;
}

pub trait PlaceRuns {
    /// Records the places of packed runs, so that they are found by their ids. Safe to repeat.
    async fn place_runs(&self, places: &[PackedPlace]) -> Result<(), Fault>;
}

pub trait FindPlaces {
    /// Returns the places of all packed attempts of a run, oldest first.
    async fn places(&self, run_id: &str) -> Result<Vec<PackedPlace>, Fault>;
}

pub trait CountPart {
    /// Adds the usage of a part to the counters and its runs to the progress of its batch, and removes its own
    /// progress, in one transaction. Safe to repeat.
    async fn count_part(&self, part: &CountedPart) -> Result<Closed, Fault>;
}

pub trait StopBatch {
    /// Records that the execution of a batch attempt has ended: no further call may start. Safe to repeat.
    async fn stop_batch(&self, batch: &ItemOf, at: OffsetDateTime) -> Result<(), Fault>;
}

pub trait CancelPackedRun {
    /// Records that a person cancels a packed run. Safe to repeat.
    async fn cancel_packed_run(&self, batch: &ItemOf, run_id: &str) -> Result<(), Fault>;
}
