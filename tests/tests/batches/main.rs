//! Batches on a deployed stack of their own: a hundred runs at a time would delay other tests.

mod batch;
mod bulk;
mod command;
mod cut;
mod finalized;
mod on_demand;
mod refused;
mod repeated;
