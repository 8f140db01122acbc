//! JSON of objects that this project writes and reads back.

use serde::Serialize;

use crate::base::error::Fault;

/// Parses an object that this project wrote.
///
/// # Errors
/// `Bcce.Internal`, naming the object: only this project writes it, so the sender cannot be at fault.
pub fn parse<T: serde::de::DeserializeOwned>(key: &str, body: &[u8]) -> Result<T, Fault> {
    serde_json::from_slice(body).map_err(|error| {
        let place = format!("line {}, column {}", error.line(), error.column());
        Fault::internal(format!("{key} is not what this version writes: {place}"))
    })
}

/// Parses an object with a value on each line, like [`parse`].
pub fn parse_lines<T: serde::de::DeserializeOwned>(
    key: &str,
    body: &[u8],
) -> Result<Vec<T>, Fault> {
    let lines = body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| parse(key, line)).collect()
}

/// Adds `value` to `lines`, as a line of JSON.
pub fn add_line<T: Serialize>(lines: &mut Vec<u8>, value: &T) -> Result<(), Fault> {
    lines.extend(to_json(value)?);
    lines.push(b'\n');
    Ok(())
}

/// Writes `value` as JSON.
pub fn to_json<T: Serialize>(value: &T) -> Result<Vec<u8>, Fault> {
    serde_json::to_vec(value)
        .map_err(|error| Fault::internal(format!("cannot be written as JSON: {error}")))
}

/// Returns whether a count is 0. Such counts are left out of JSON.
pub(crate) fn is_zero(count: &u64) -> bool {
    *count == 0
}
