//! Whether targets can take calls, also those that no call needs at present: what Bedrock says about a target, what is
//! wrong with it, and when a canary calls it. `bcce doctor` and the function `canary` use the same checks.

pub mod alert; // the message on the notifications topic, and the metrics
pub mod canary; // when a target is called, and what a call shows
pub mod checks; // compares what Bedrock says with the documents
pub mod facts; // what Bedrock says about a target
pub mod finding; // something that a person has to correct
pub mod quotas; // the quotas of a model, by their names
