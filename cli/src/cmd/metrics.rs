//! The commands for metrics.

pub mod advice;
pub mod cost;
pub mod errors;
pub mod latency;
pub mod reconcile;
pub mod usage;
