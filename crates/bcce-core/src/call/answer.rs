//! The answer of a model: why it stopped, and whether its JSON fits.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::base::error::ErrorName;
use crate::document::schema;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Output {
    pub text: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub json: Option<Value>,
}

impl Output {
    /// Returns what later prompts see as `steps.<id>`.
    pub fn value(&self) -> Value {
        self.json.clone().unwrap_or_else(|| Value::String(self.text.clone()))
    }
}

/// Returns what a stop reason of Converse means.
///
/// # Errors
/// The name of the failure. `tool_use` is one: no tool was offered.
pub fn judge(stop_reason: &str) -> Result<Stopped, ErrorName> {
    match stop_reason {
        "end_turn" | "stop_sequence" => Ok(Stopped::Whole),
        "max_tokens" => Ok(Stopped::Truncated),
        "guardrail_intervened" => Err(ErrorName::GuardrailIntervened),
        "content_filtered" | "model_context_window_exceeded" => Err(ErrorName::RequestRejected),
        _ => Err(ErrorName::TargetBroken),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    Whole,
    /// Cut by `max_tokens`.
    Truncated,
}

/// Parses the JSON of an answer and checks it against the step's schema.
///
/// # Errors
/// Everything that does not fit, by path in the schema. The answer is not quoted.
pub fn parse_json(text: &str, schema: Option<&Value>) -> Result<Value, String> {
    let value: Value = serde_json::from_str(unfenced(text)).map_err(|error| {
        format!("the answer is not JSON: line {}, column {}", error.line(), error.column())
    })?;
    let Some(schema) = schema else { return Ok(value) };
    // A path in the answer would quote the model's own keys; a path in the schema quotes the author's.
    let faults: Vec<String> =
        schema::faults("", schema, &value)?.into_iter().map(|fault| fault.cause).collect();
    if faults.is_empty() { Ok(value) } else { Err(faults.join("; ")) }
}

/// Instructs a model whose service does not enforce the schema.
pub fn instruction(schema: Option<&Value>) -> String {
    let plain = "Answer with one JSON value and nothing else: no explanation, no Markdown.";
    match schema {
        Some(schema) => format!("{plain} It must fit this JSON schema:\n{schema}"),
        None => plain.to_owned(),
    }
}

/// Models without schema support like to wrap JSON in a Markdown fence.
fn unfenced(text: &str) -> &str {
    let text = text.trim();
    let inner = text.strip_prefix("```json").or_else(|| text.strip_prefix("```"));
    inner.and_then(|inner| inner.strip_suffix("```")).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_stop_reason_of_converse_has_its_meaning() {
        assert_eq!(judge("end_turn"), Ok(Stopped::Whole));
        assert_eq!(judge("stop_sequence"), Ok(Stopped::Whole));
        assert_eq!(judge("max_tokens"), Ok(Stopped::Truncated));
        assert_eq!(judge("guardrail_intervened"), Err(ErrorName::GuardrailIntervened));
        assert_eq!(judge("content_filtered"), Err(ErrorName::RequestRejected));
        assert_eq!(judge("model_context_window_exceeded"), Err(ErrorName::RequestRejected));
        for broken in ["malformed_model_output", "malformed_tool_use", "tool_use", "new_reason"] {
            assert_eq!(judge(broken), Err(ErrorName::TargetBroken));
        }
    }

    #[test]
    fn json_is_checked_and_never_quoted() {
        let schema = json!({ "type": "object", "required": ["ok"], "properties": { "ok": { "type": "boolean" } } });
        assert_eq!(
            parse_json("```json\n{\"ok\":true}\n```", Some(&schema)),
            Ok(json!({ "ok": true }))
        );
        let reported = parse_json(r#"{"ok":"hunter2"}"#, Some(&schema)).unwrap_err();
        assert!(reported.contains("/ok") && !reported.contains("hunter2"), "{reported}");
        let mut closed = schema.clone();
        closed["additionalProperties"] = json!(false);
        let reported = parse_json(r#"{"ok":true,"hunter2":1}"#, Some(&closed)).unwrap_err();
        assert!(
            reported.starts_with("1 properties that") && !reported.contains("hunter2"),
            "{reported}"
        );
        assert!(parse_json("{\"ok\": hunter2", Some(&schema)).unwrap_err().contains("line 1"));
        assert!(
            parse_json("{}", Some(&schema)).unwrap_err().contains("\"ok\" is a required property")
        );
    }
}
