//! Ports: the traits through which this crate reaches the outside world. Each has one method and uses the types of this
//! crate. `bcce-aws` implements them for AWS, and `fakes` in memory.
//!
//! Every port fails with `Bcce.Internal` after the adapter's own retries. The caller returns that error, and its own
//! caller retries it.
#![allow(async_fn_in_trait)] // only functions of this project call them, on one thread each

mod budgets; // counters of budgets in the ledger
mod executions; // executions of the state machines
mod messages; // queues and the notifications topic
mod models; // calls of models, descriptions of profiles, and bulk jobs
mod objects; // objects of the stack's bucket, and of any other
mod parameters; // SSM parameters
mod parts; // parts of packed batches in the ledger
mod records; // records of runs and batches in the ledger
mod responses; // the response cache in the ledger
mod signing; // the signing key
mod slots; // slots of tenants in the ledger
mod standby; // Bedrock's control plane, and the canary's records
mod targets; // breakers, latencies and caches of targets in the ledger
mod traces; // spans of calls, for X-Ray

use time::OffsetDateTime;

pub use budgets::*;
pub use executions::*;
pub use messages::*;
pub use models::*;
pub use objects::*;
pub use parameters::*;
pub use parts::*;
pub use records::*;
pub use responses::*;
pub use signing::*;
pub use slots::*;
pub use standby::*;
pub use targets::*;
pub use traces::*;

/// A source of the current time.
pub trait Clock {
    /// Returns the current time.
    fn now(&self) -> OffsetDateTime;
}
