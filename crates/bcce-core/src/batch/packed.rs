//! Packed batches: one function call works off a part of a batch. What it stores of the runs of a part is packed into
//! segments, and one signature over the root of a digest tree covers the manifests of all of them.

mod allowance; // what a part has reserved from budgets
mod calls; // the record of calls that were started
mod find; // one object of a segment
mod manifest; // the sealed record of a part
pub mod metrics; // the metrics of a part
mod pace; // how many calls of a target are under way at a time
mod progress; // the progress of a part while it is worked off
mod segment; // what is stored of a run, as a line of a segment
pub mod tree; // the digest tree over the manifests of a part

pub use allowance::{Allowance, PartCalls, StoredAllowance, calls_of_allowance};
pub use calls::StartedCall;
pub use find::find_object;
pub use manifest::{PartManifest, PartOutcome};
pub use pace::{Pace, Wait};
pub use progress::PartProgress;
pub use segment::{OpenStep, PLAN, PackedRun, REQUEST, RunState, Stage, fence_line, parse_segment};

use serde::{Deserialize, Serialize};

use crate::batch::reference::BatchRef;

/// The place of a packed run: the part of a batch attempt that contains it. The ledger finds it by the id of the run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackedPlace {
    pub run_id: String,
    /// The run attempt.
    pub attempt_no: u32,
    /// The batch attempt that ran it.
    pub batch: BatchRef,
    pub part: u32,
    /// The number of the item in the batch, from 1.
    pub n: u64,
}
