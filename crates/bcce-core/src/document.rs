//! Texts that people write, as checked values.

pub mod expression; // values and conditions over an event or an item
pub mod inputs; // what a workflow asks of its inputs
mod repair; // one fault reported and repaired
pub mod prompt; // prompt templates, rendered over data that is set apart
pub mod schema; // JSON schemas of authors, and what does not fit them
mod text; // text -> document, with every problem at once
mod tree; // JSON -> tree, duplicate keys refused

pub use text::{Document, Draft, from_json, from_yaml, json};
