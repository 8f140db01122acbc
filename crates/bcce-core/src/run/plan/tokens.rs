//! Estimates the tokens of a prompt before it is rendered.

use serde_json::{Map, Value};

use crate::config::template::Step;
use crate::document::prompt::variables;

/// The approximate number of bytes in a token of English text. Code has fewer bytes per token.
pub const BYTES_PER_TOKEN: u64 = 4;

/// Estimates the tokens of templates and of the inputs that they name. For a step that fans out, an item of the list
/// counts with the average size.
pub(super) fn of<'a>(
    templates: impl IntoIterator<Item = &'a str>,
    step: &Step,
    inputs: &Map<String, Value>,
) -> u64 {
    let bytes: usize = templates.into_iter().map(|t| t.len() + named(t, step, inputs)).sum();
    bytes as u64 / BYTES_PER_TOKEN
}

/// Returns the bytes of the inputs that a template names.
fn named(source: &str, step: &Step, inputs: &Map<String, Value>) -> usize {
    let size = |value: &Value| value.to_string().len();
    let named = variables(source).unwrap_or_default();
    let sizes = named.iter().map(|variable| match variable.split('.').collect::<Vec<_>>()[..] {
        ["inputs", name, ..] => inputs.get(name).map_or(0, size),
        ["item", ..] => {
            let list = step.list().and_then(|name| inputs.get(name)?.as_array());
            list.map_or(0, |items| items.iter().map(size).sum::<usize>() / items.len().max(1))
        }
        _ => 0,
    });
    sizes.sum()
}
