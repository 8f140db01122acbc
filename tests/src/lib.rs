//! What the tests and the demo talk to.
//!
//! - [`scripted_model`]: a stand-in for Bedrock's Converse and ConverseStream that does what a
//!   script in the prompt says.
//! - [`harness`]: what the suites share: the deployed stack, the command, the fault proxy.
//! - [`models`]: aliases that a test can make fail without another's noticing.
//! - [`progress`]: waits that fail at a standstill and not at a time.

pub mod harness;
pub mod models;
pub mod progress;
pub mod scripted_model;
