//! What the tests and the demo talk to.
//!
//! - [`scripted_model`]: a stand-in for Bedrock's Converse and ConverseStream that does what a
//!   script in the prompt says.

pub mod scripted_model;
