//! The shared code of the tests and the demo.
//!
//! - [`scripted_model`]: a stand-in for Bedrock's Converse and ConverseStream that follows a script in the prompt
//! - [`harness`]: the deployed stack, the command and the fault proxy, for the test suites
//! - [`models`]: model aliases that a test can make fail without an effect on other tests
//! - [`progress`]: waits that fail at a standstill and not after a fixed time

pub mod harness;
pub mod models;
pub mod progress;
pub mod scripted_model;
