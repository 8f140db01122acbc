//! The commands for batches, one file for each.

pub mod cancel;
pub mod finalize;
pub mod list;
pub mod outputs;
pub mod report;
pub mod results;
pub mod retry;
pub mod status;
pub mod submit;
pub mod verify;
