//! What can be done with batches, a file per verb.

pub mod cancel;
pub mod finalize;
pub mod list;
pub mod outputs;
pub mod results;
pub mod retry;
pub mod status;
pub mod submit;
pub mod verify;
