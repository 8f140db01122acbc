//! Items of the table. This module writes and reads their attributes.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use bcce_core::base::error::Fault;
use serde::Serialize;
use serde::de::DeserializeOwned;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

pub(crate) type Item = HashMap<String, AttributeValue>;

pub(crate) fn key(pk: &str, sk: &str) -> Item {
    [("pk".to_owned(), text(pk)), ("sk".to_owned(), text(sk))].into()
}

pub(crate) fn text(value: &str) -> AttributeValue {
    AttributeValue::S(value.to_owned())
}

pub(crate) fn number(value: impl ToString) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

pub(crate) fn text_of<'a>(item: &'a Item, name: &str) -> Option<&'a String> {
    item.get(name)?.as_s().ok()
}

pub(crate) fn number_of<T: std::str::FromStr>(item: &Item, name: &str) -> Option<T> {
    item.get(name)?.as_n().ok()?.parse().ok()
}

/// Reads a time that [`stamp`] wrote.
pub(crate) fn time_of(item: &Item, name: &str) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(text_of(item, name)?, &Rfc3339).ok()
}

/// Returns a time as a number of milliseconds, which conditions can compare. The texts of [`stamp`] differ in length, so
/// their order is not that of the times.
pub(crate) fn milliseconds(at: OffsetDateTime) -> AttributeValue {
    number(at.unix_timestamp_nanos() / 1_000_000)
}

/// Reads a time that [`milliseconds`] wrote.
pub(crate) fn milliseconds_of(item: &Item, name: &str) -> Option<OffsetDateTime> {
    let milliseconds: i128 = number_of(item, name)?;
    OffsetDateTime::from_unix_timestamp_nanos(milliseconds.checked_mul(1_000_000)?).ok()
}

/// Returns a value as JSON text.
pub(crate) fn json(value: &impl Serialize) -> Result<AttributeValue, Fault> {
    let json = serde_json::to_string(value);
    json.map(AttributeValue::S).map_err(|error| Fault::internal(error.to_string()))
}

/// Reads a value that [`json`] wrote. Returns `None` if the attribute is missing.
///
/// # Errors
/// `Bcce.Internal`: the attribute is not what this version writes.
pub(crate) fn json_of<T: DeserializeOwned>(item: &Item, name: &str) -> Result<Option<T>, Fault> {
    let Some(json) = text_of(item, name) else { return Ok(None) };
    serde_json::from_str(json).map(Some).map_err(|_| {
        let key = ["pk", "sk"].map(|part| text_of(item, part).map_or("", String::as_str));
        Fault::internal(format!("the ledger's item {} {}: {name} cannot be read", key[0], key[1]))
    })
}

/// Formats a time in RFC 3339.
pub(crate) fn stamp(at: OffsetDateTime) -> String {
    at.format(&Rfc3339).unwrap_or_default()
}
