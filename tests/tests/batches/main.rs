//! Tests of batches on a deployed stack: sources, the limits of failures, retries, bulk jobs, finalizing and `bcce
//! batch`.
//!
//! `make batches` starts the suite on a local stack of its own, because a hundred runs at a time would delay other
//! tests.

mod batch;
mod budgets;
mod bulk;
mod command;
mod cut;
mod finalized;
mod on_demand;
mod packed;
mod refused;
mod repeated;
