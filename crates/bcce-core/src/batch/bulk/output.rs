//! A job's output: a line for each record, in no particular order.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use crate::base::error::ErrorName;
use crate::base::limits::{MAX_MESSAGE_CHARS, cut};
use crate::base::usage::Usage;
use crate::batch::bulk::record::item;
use crate::call::classify::{ServiceError, find};
use crate::call::model::{Blame, CallFailure, ModelAnswer};

/// What a file of a job's output says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Output {
    /// By the item's number.
    pub records: BTreeMap<u64, Returned>,
    /// Lines that say nothing of an item: which, and why. Nothing of what is in them.
    pub unreadable: Vec<String>,
}

/// A record as it came back.
#[derive(Clone, Debug, PartialEq)]
pub struct Returned {
    pub result: Result<ModelAnswer, CallFailure>,
    /// `None`: unknown. A record that the service refused used nothing.
    pub usage: Option<Usage>,
}

/// A job can be cut off in the middle of a line, and a record can be there twice: an answer is worth more than none,
/// and the first one more than another.
pub fn read(body: &[u8]) -> Output {
    let mut output = Output::default();
    for (n, line) in body.split(|byte| *byte == b'\n').enumerate() {
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        match record(line) {
            Err(cause) => output.unreadable.push(format!("line {}: {cause}", n + 1)),
            Ok((item, returned)) => {
                let before = output.records.get(&item);
                if before.is_none_or(|before| before.result.is_err() && returned.result.is_ok()) {
                    output.records.insert(item, returned);
                }
            }
        }
    }
    output
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    record_id: Option<String>,
    model_output: Option<Value>,
    error: Option<Error>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Error {
    /// A status as the documentation has it, or the name of an exception.
    #[serde(default)]
    error_code: Value,
    #[serde(default)]
    error_message: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Response {
    output: Said,
    stop_reason: String,
    usage: Option<Tokens>,
}

#[derive(Deserialize)]
struct Said {
    message: Message,
}

#[derive(Deserialize)]
struct Message {
    content: Vec<Block>,
}

/// Reasoning has no text of its own.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Block {
    text: Option<String>,
    reasoning_content: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Tokens {
    input_tokens: u64,
    output_tokens: u64,
    cache_read_input_tokens: Option<u64>,
    cache_write_input_tokens: Option<u64>,
    #[serde(default)]
    cache_details: Vec<CacheDetail>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CacheDetail {
    ttl: String,
    input_tokens: u64,
}

fn record(line: &[u8]) -> Result<(u64, Returned), String> {
    let line: Line = serde_json::from_slice(line)
        .map_err(|error| format!("is no record: column {}", error.column()))?;
    let id = line.record_id.ok_or("has no recordId")?;
    let item = item(&id).ok_or("its recordId is none of ours")?;
    let returned = match (line.error, line.model_output) {
        (Some(error), _) => refused(&error),
        (None, Some(response)) => answered(response),
        (None, None) => broken("neither modelOutput nor error"),
    };
    Ok((item, returned))
}

fn answered(response: Value) -> Returned {
    let Ok(response) = serde_json::from_value::<Response>(response) else {
        return broken("modelOutput is no response of Converse");
    };
    let content = response.output.message.content;
    let thought = content.iter().any(|block| block.reasoning_content.is_some());
    let text = content.into_iter().filter_map(|block| block.text).collect();
    Returned {
        result: Ok(ModelAnswer { text, stop_reason: response.stop_reason, thought }),
        usage: response.usage.map(|tokens| usage(&tokens)),
    }
}

fn refused(error: &Error) -> Returned {
    let message = error.error_message.as_deref().unwrap_or_default();
    let (code, status) = match &error.error_code {
        Value::Number(status) => (None, status.as_u64()),
        Value::String(code) => (Some(code.as_str()), code.parse().ok()),
        _ => (None, None),
    };
    let status = status.and_then(|status| u16::try_from(status).ok());
    // A bare 400 is a validation error, whose message says whose fault it is.
    let known = if status == Some(400) { Some("ValidationException") } else { code };
    let found = find(ServiceError { code: known, status, message });
    let name = match found.name {
        // The job's own rights and signatures: nothing that this request could do about.
        ErrorName::Internal => ErrorName::TargetUnavailable,
        name => name,
    };
    let code = match (code, status) {
        (Some(code), _) => code.to_owned(),
        (None, Some(status)) => status.to_string(),
        (None, None) => "no error code".to_owned(),
    };
    let message = cut(&format!("{code}: {message}"), MAX_MESSAGE_CHARS);
    let failure = CallFailure { advice: found.advice, ..failure(name, message) };
    Returned { result: Err(failure), usage: Some(Usage::default()) }
}

/// The service may have charged it.
fn broken(cause: &str) -> Returned {
    let name = ErrorName::TargetBroken;
    let message = cause.to_owned();
    Returned { result: Err(failure(name, message)), usage: None }
}

fn failure(name: ErrorName, message: String) -> CallFailure {
    CallFailure { name, message, advice: None, retry_after_s: None, blame: Blame::Request }
}

fn usage(tokens: &Tokens) -> Usage {
    let written = tokens.cache_write_input_tokens.unwrap_or(0);
    let hour = tokens.cache_details.iter().filter(|detail| detail.ttl == "1h");
    let hour: u64 = hour.map(|detail| detail.input_tokens).sum();
    Usage {
        input_tokens: tokens.input_tokens,
        output_tokens: tokens.output_tokens,
        cache_read_tokens: tokens.cache_read_input_tokens.unwrap_or(0),
        cache_write_5m_tokens: written.saturating_sub(hour),
        cache_write_1h_tokens: hour,
    }
}
