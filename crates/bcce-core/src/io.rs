//! Operations over ports that several functions and the command share.

pub mod budgets; // money is reserved before a call
pub mod deciding; // decisions about steps, by what the ledger knows of targets
pub mod notification; // the execution that sends a notification
pub mod item_run; // an item of a batch becomes a run that can be started
pub mod objects; // objects that are read, parsed, or written once
pub mod packed; // the runs of packed parts: planned, written to segments, and read from them
pub mod previous_results; // the results of earlier batch attempts
pub mod reader; // the configuration of a stack
pub mod responses; // the response cache, as steps use it
pub mod seal; // manifests, signed and stored with their signatures
pub mod shared_breakers; // the breakers of the ledger, with a copy for when it is unreachable
pub mod standby; // what Bedrock says about targets
pub mod step; // the calls of a step
pub mod traced; // a model whose calls are traced
pub mod writer; // writes documents of a stack
