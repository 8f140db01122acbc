//! The lowest layer: errors, digests, limits, names, targets and tokens. It imports no other layer.

pub mod digest; // SHA-256, lower-case hex
pub mod emf; // metrics as lines of a log
pub mod error; // the error names and the faults that carry them
pub mod figures; // sums and counts as people read them
pub mod json; // JSON of objects that this project writes and reads back
pub mod limits; // limits of sizes, counts and times
pub mod names; // the forms of names and tags
pub mod target; // where a call goes
#[cfg(test)]
pub(crate) mod timing; // work of a test compared with other work
pub mod usage; // the tokens of a call
