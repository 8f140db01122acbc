//! One call of a model: what is sent, what comes back, and what is recorded of it.

pub mod answer; // the answer of a call, read by the rules of its step
pub mod attempt; // one call on one target, what it used and what it cost
pub mod classify; // what the service answered -> one of our error names
pub mod grammars; // schemas that the service compiles before a run waits for that
pub mod request_metadata; // tags as `requestMetadata`, in the characters that it takes
pub mod model; // a call of a model, and what comes of it
pub mod parameters; // a step's settings as far as a target takes them
pub mod request_building; // a step's prompt as one call sends it
