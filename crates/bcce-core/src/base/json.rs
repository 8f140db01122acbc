//! JSON of objects that this project writes and reads back.

use serde::Serialize;

use crate::base::error::Fault;

/// Parses the body of an object that this project wrote. `key` names the object in the error.
///
/// # Errors
/// Returns `Bcce.Internal` if the body does not parse. Only this project writes such objects, so the sender cannot be
/// at fault.
pub fn parse<T: serde::de::DeserializeOwned>(key: &str, body: &[u8]) -> Result<T, Fault> {
    serde_json::from_slice(body).map_err(|error| {
        let place = format!("line {}, column {}", error.line(), error.column());
        Fault::internal(format!("{key} is not what this version writes: {place}"))
    })
}

/// Parses an object with one JSON value on each line. Empty lines are skipped.
///
/// # Errors
/// Returns `Bcce.Internal` if a line does not parse, like [`parse`].
pub fn parse_lines<T: serde::de::DeserializeOwned>(
    key: &str,
    body: &[u8],
) -> Result<Vec<T>, Fault> {
    let lines = body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| parse(key, line)).collect()
}

/// Appends `value` to `lines` as a line of JSON.
///
/// # Errors
/// Returns `Bcce.Internal` if the value cannot be written as JSON.
pub fn add_line<T: Serialize>(lines: &mut Vec<u8>, value: &T) -> Result<(), Fault> {
    lines.extend(to_json(value)?);
    lines.push(b'\n');
    Ok(())
}

/// Returns `value` as JSON.
///
/// # Errors
/// Returns `Bcce.Internal` if the value cannot be written as JSON.
pub fn to_json<T: Serialize>(value: &T) -> Result<Vec<u8>, Fault> {
    serde_json::to_vec(value)
        .map_err(|error| Fault::internal(format!("cannot be written as JSON: {error}")))
}

/// Returns `true` if a flag is not set. Serialization omits such flags.
pub(crate) fn is_false(flag: &bool) -> bool {
    !*flag
}

/// Returns `true` if a count is 0. Serialization omits such counts.
pub(crate) fn is_zero(count: &u64) -> bool {
    *count == 0
}
