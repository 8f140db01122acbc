//! Batches on a deployed stack of their own: a hundred runs at a time are no neighbours for other tests.

mod batch;
#[path = "../emulated/cli.rs"]
mod cli;
mod on_demand;
#[path = "../emulated/stack.rs"]
mod stack;
