//! What touches the world, one method each, in our own types. `bcce-aws` has the adapters, `fakes` the in-memory ones.
//!
//! Every port fails with `Bcce.Internal` after the adapter's own retries: the caller gives up, and its own caller
//! retries it.
#![allow(async_fn_in_trait)] // the callers are our own functions, on one thread each

mod executions; // executions of the state machines
mod messages; // queues and the notifications topic
mod models; // calls of models and jobs of batch inference
mod objects; // objects of the stack's bucket, and of any other
mod parameters; // SSM parameters
mod records; // records of runs and batches in the ledger
mod signing; // the signing key
mod slots; // slots of tenants in the ledger
mod targets; // what is known of targets in the ledger

use time::OffsetDateTime;

pub use executions::*;
pub use messages::*;
pub use models::*;
pub use objects::*;
pub use parameters::*;
pub use records::*;
pub use signing::*;
pub use slots::*;
pub use targets::*;

pub trait Clock {
    /// Returns the current time.
    fn now(&self) -> OffsetDateTime;
}
