//! The domain of BCCE, free of IO.

pub mod answer; // what a model said: stop reason, JSON by schema
pub mod artifact; // what lies under runs/<tenant>/<run id>/
pub mod asking; // what a step asks of a model, and what it takes for an answer
pub mod attempt; // one call on one target, what it used and what it cost
pub mod batch; // a manifest of items, each a run
pub mod begun; // calls that were begun, and those of them that were lost
pub mod bulk; // records of many runs in one job of the service
pub mod classify; // what the service answered -> one of our error names
pub mod config; // SSM documents: inline or a pointer to S3
pub mod configuration; // a whole directory of those documents, checked across its files
pub mod digest; // SHA-256, lower-case hex
pub mod document; // text -> value, everything wrong with it told at once
pub mod emf; // metrics as lines of a log
pub mod ending; // an execution that was ended from outside, and until when it may be at work
pub mod environment; // the configuration as a stack has it, read and checked as a whole
pub mod error; // the error names and the faults that carry them
pub mod expression; // values and conditions over an event or an item
#[cfg(any(test, feature = "fakes"))]
pub mod fakes; // in-memory ports, one of them failing on request
pub mod figures; // sums and counts as people read them
pub mod grammars; // schemas that the service compiles, before a run waits for that
pub mod health; // circuit breakers and latencies of targets, shared by every run
pub mod inputs; // what a template asks of its inputs
pub mod ledger; // keys of the DynamoDB table
pub mod limits; // history arithmetic and sizes
pub mod manifest; // the sealed record of one attempt at a run
pub mod metadata; // tags as `requestMetadata`, in the characters that it takes
pub mod models; // aliases, targets, what a model takes
pub mod notice; // the message on the notifications topic
pub mod parameters; // what one call sends: a step's wishes as far as its target takes them
pub mod plan; // request + template + configuration, frozen
pub mod policy; // what the platform team allows
pub mod ports; // what touches the world, one method each
pub mod pricing; // price file, cost of a call
pub mod prompt; // templates rendered over data that is set apart
pub mod request; // what a sender asks for
pub mod residency; // where an inference profile may reach
pub mod routing; // the pure decision: targets, wait or stop
pub mod run; // ids of a run and where its objects lie
pub mod schema; // JSON schemas of authors, and what does not fit them
pub mod seal; // a manifest, signed by who made it and stored in one write with its signature
pub mod slot; // what a tenant may have under way
pub mod template; // a workflow definition
#[cfg(test)]
mod timing; // work of a test compared with other work
pub mod webhook; // a provider's signed call -> requests
