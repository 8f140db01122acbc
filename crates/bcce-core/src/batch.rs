//! A batch: a list of items, each of which becomes a run of the same workflow.

pub mod bulk; // bulk jobs, which process the items as records
pub mod inbox; // the message that asks for a batch, from a sender or from S3
pub mod intake; // rows and objects become items, checked like requests
pub mod item; // an item and the run that it becomes
pub mod manifest; // the results, counts and sealed record of a batch
pub mod message; // the request of a sender, and its stored form
pub mod mode; // the choice between on demand and bulk
pub mod notification; // the notification of a batch that ends or is halted
pub mod packed; // parts that one function call works off
pub mod platform; // what a batch takes of AWS besides models
pub mod progress; // the items that are over, and the halt when too many failed
pub mod reader; // the bytes of the input -> rows, valid and invalid ones
pub mod reference; // the ids of a batch and the keys of its objects
pub mod s3_event; // the event of an object under the inbox
pub mod split; // parts at a time, and calls at a time in each
pub mod source; // the location and format of the input
pub mod way; // whether the items are packed or have executions

pub use intake::Intake;
pub use item::{Entry, Item, Mapping};
pub use manifest::{BatchManifest, BatchStatus, Counts, ItemResult, ItemStatus};
pub use message::{BatchRequest, BatchSpec, ItemField, Mode, StoredBatch};
pub use notification::BatchNotification;
pub use progress::{BatchProgress, Halt, Pause, Rate, Tolerance};
pub use reader::{Row, RowReader};
pub use reference::{BatchRef, BatchRun, Place};
pub use source::{Format, Location};
pub use split::Split;
pub use way::Way;
