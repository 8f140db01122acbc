//! Batches on a deployed stack of their own: a hundred runs at a time are no neighbours for other tests.

mod batch;
mod bulk;
#[allow(dead_code, reason = "these tests need a part of it")]
#[path = "../emulated/cli.rs"]
mod cli;
mod command;
mod cut;
mod finalized;
mod on_demand;
mod refused;
mod repeated;
#[allow(dead_code, reason = "these tests need a part of it")]
#[path = "../emulated/stack.rs"]
mod stack;
