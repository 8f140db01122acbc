//! Estimates the tokens of a prompt before it is rendered.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::base::digest::sha256_hex_of_fields;
use crate::config::template::Step;
use crate::document::prompt::variables;
use crate::failover::route::Cached;

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

/// Returns the cached prefix that routing may count on: the longest one of a step that reads only inputs, with its
/// tokens. The text of a longer one is not known before the run. The key is that of the text: of the templates, and of
/// the inputs that they read.
pub(super) fn cached(
    template_sha256: &str,
    step: &Step,
    inputs: &Map<String, Value>,
) -> Option<Cached> {
    let lasts = step.cache?.ttl;
    let prefixes = step.cached_prefixes().into_iter().rev();
    let known = prefixes.map(|prefix| [prefix.system, prefix.prompt]).find_map(|templates| {
        let read: BTreeSet<String> =
            templates.iter().flat_map(|t| variables(t).ok()).flatten().collect();
        read.iter().all(|name| name.starts_with("inputs")).then_some((templates, read))
    });
    let (templates, read) = known?;
    // Steps and workflows whose rendered prefixes are equal do not share a key.
    let mut fields = vec![template_sha256.to_owned(), step.id.clone()];
    fields.extend(read.iter().map(|name| at(inputs, name).to_string()));
    let key = sha256_hex_of_fields(&fields.iter().map(String::as_str).collect::<Vec<_>>());
    Some(Cached { key, tokens: of(templates, step, inputs), lasts })
}

/// Returns the value of a variable such as `inputs.handbook.text`, or all inputs for `inputs`.
fn at(inputs: &Map<String, Value>, variable: &str) -> Value {
    let mut path = variable.split('.').skip(1);
    let Some(first) = path.next() else { return Value::Object(inputs.clone()) };
    path.try_fold(inputs.get(first), |value, name| Some(value.and_then(|value| value.get(name))))
        .flatten()
        .cloned()
        .unwrap_or_default()
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
