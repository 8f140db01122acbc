//! A batch: a manifest of items, each of which is a run of one workflow.

pub mod dropped; // an object under the inbox as a message
pub mod earlier; // what earlier attempts left
pub mod intake; // rows and objects, checked as runs of them would be
pub mod item; // one line of a manifest as the run that it becomes
pub mod making; // an item whose turn has come, as a run
pub mod manifest; // what came of a batch
pub mod message; // what a sender asks for
pub mod mode; // at once or in bulk, and why
pub mod reader; // a manifest's bytes -> rows, good and bad ones
pub mod reference; // ids of a batch and where its objects lie
pub mod source; // where a manifest lies and how it is written
pub mod tally; // how far a batch is, and when too much of it failed

pub use intake::Intake;
pub use item::{Entry, Item, Mapping};
pub use manifest::{BatchManifest, BatchStatus, Counts, ItemResult, ItemStatus};
pub use message::{BatchRequest, BatchSpec, ItemField, Mode, StoredBatch};
pub use reader::{Reader, Row};
pub use reference::{BatchRef, BatchRun, Place};
pub use source::{Format, Location};
pub use tally::{Halt, Tally, Tolerance};
