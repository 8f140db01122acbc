//! A batch: a manifest of items, each of which is a run of one workflow.

pub mod bulk; // records of many runs in one job of the service
pub mod inbox; // a message that asks for a batch, a sender's or S3's
pub mod intake; // rows and objects, checked as runs of them would be
pub mod item; // one line of a manifest as the run that it becomes
pub mod manifest; // results, counts and the sealed record of a batch
pub mod message; // what a sender asks for
pub mod mode; // on demand or in bulk, and why
pub mod progress; // how many items are over, and when too many failed
pub mod reader; // a manifest's bytes -> rows, good and bad ones
pub mod reference; // ids of a batch and where its objects lie
pub mod s3_event; // the event of an object under the inbox
pub mod source; // where a manifest lies and how it is written

pub use intake::Intake;
pub use item::{Entry, Item, Mapping};
pub use manifest::{BatchManifest, BatchStatus, Counts, ItemResult, ItemStatus};
pub use message::{BatchRequest, BatchSpec, ItemField, Mode, StoredBatch};
pub use progress::{BatchProgress, Halt, Tolerance};
pub use reader::{Reader, Row};
pub use reference::{BatchRef, BatchRun, Place};
pub use source::{Format, Location};
