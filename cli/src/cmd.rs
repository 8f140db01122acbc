//! The commands. Each file has `Args` and `run(args, world, out)`, which returns the exit code or a failure.

pub mod batch;
pub mod budgets;
pub mod cancel;
pub mod completions;
pub mod diff;
pub mod dlq;
pub mod doctor;
pub mod explain;
pub mod finalize;
pub mod follow;
pub mod key;
pub mod list;
pub mod logs;
pub mod man;
pub mod metrics;
pub mod models;
pub mod output;
pub mod pause;
pub mod prices;
pub mod push;
pub mod report;
pub mod retry;
pub mod show;
pub mod submit;
pub mod validate;
pub mod verify;
