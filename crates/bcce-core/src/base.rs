//! The lowest layer: errors, digests, limits, names, targets and tokens. It imports no other layer.

pub mod digest; // SHA-256, lower-case hex
pub mod emf; // metrics as log lines
pub mod error; // the error names and the faults that carry them
pub mod figures; // formatted amounts and counts
pub mod histogram; // times, in a form that adds up
pub mod json; // JSON of objects that this project writes and reads back
pub mod limits; // limits of sizes, counts and times
pub mod names; // checks of names and tags
pub mod platform; // what a run takes of AWS besides models
pub mod target; // the destination of a call
#[cfg(test)]
pub(crate) mod timing; // run time of one piece of test code relative to another
pub mod trace; // the X-Ray trace that an invocation belongs to
pub mod usage; // the tokens of a call
