//! Parses the output of a bulk job: a line for each record, in no particular order.

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

/// The contents of a file of a job's output.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Output {
    /// The returned records, by the number of the item.
    pub records: BTreeMap<u64, Returned>,
    /// The lines that could not be assigned to an item, each with its number and the reason. The text of the line is
    /// not included.
    pub unreadable: Vec<String>,
}

/// A record in the output of a job.
#[derive(Clone, Debug, PartialEq)]
pub struct Returned {
    pub result: Result<ModelAnswer, CallFailure>,
    /// The usage, or `None` if it is unknown. A record that the service refused has no usage: all counts are zero.
    pub usage: Option<Usage>,
}

/// Parses a file of a job's output. A job can be cut off in the middle of a line, and a record can occur twice. An
/// answer takes precedence over an error, and the first answer over a later one.
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
    /// An HTTP status, as documented, or the name of an exception.
    #[serde(default)]
    error_code: Value,
    #[serde(default)]
    error_message: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Response {
    output: ModelOutput,
    stop_reason: String,
    usage: Option<Tokens>,
}

#[derive(Deserialize)]
struct ModelOutput {
    message: Message,
}

#[derive(Deserialize)]
struct Message {
    content: Vec<Block>,
}

/// A block of the answer. A block of reasoning has no `text`.
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
        .map_err(|error| format!("is not a valid record: column {}", error.column()))?;
    let id = line.record_id.ok_or("has no recordId")?;
    let item = item(&id).ok_or("its recordId is not one that BCCE wrote")?;
    let returned = match (line.error, line.model_output) {
        (Some(error), _) => refused(&error),
        (None, Some(response)) => answered(response),
        (None, None) => broken("the record has neither modelOutput nor error"),
    };
    Ok((item, returned))
}

fn answered(response: Value) -> Returned {
    let Ok(response) = serde_json::from_value::<Response>(response) else {
        return broken("modelOutput is not a response of Converse");
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
    // A bare 400 is a validation error. Its message shows whether the request or the target is at fault.
    let known = if status == Some(400) { Some("ValidationException") } else { code };
    let found = find(ServiceError { code: known, status, message });
    let name = match found.name {
        // These errors concern the permissions and signatures of the job, not this request.
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

/// Returns a record without a readable answer. Its usage is unknown, because the service may have charged it.
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
