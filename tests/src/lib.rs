//! What the tests and the demo talk to.
//!
//! - [`scripted_model`]: a stand-in for Bedrock's Converse and ConverseStream that does what a
//!   script in the prompt says.
//! - [`models`]: aliases that a test can make fail without another's noticing.

pub mod models;
pub mod scripted_model;
