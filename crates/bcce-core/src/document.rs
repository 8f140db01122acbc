//! Parses and checks texts that people write: documents, JSON, schemas, inputs, prompt templates and expressions.

pub mod expression; // values and conditions over an event or an item
pub mod inputs; // the declared inputs of a workflow and their checks
mod repair; // reports one fault and repairs it
pub mod prompt; // prompt templates, rendered over delimited data
pub mod schema; // JSON schemas of authors and values checked against them
mod text; // text -> document, with every problem at once
mod tree; // JSON -> tree, with duplicate keys refused

pub use repair::closest;
pub use text::{Document, Draft, from_json, from_yaml, json};
