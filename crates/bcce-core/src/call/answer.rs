//! Checks the answer of a model: its stop reason, and its JSON against the step's schema.

use crate::base::error::Fault;
use crate::call::attempt::Cause;
use crate::call::model::Blame;
use crate::call::model::CallFailure;
use crate::call::model::ModelAnswer;
use crate::call::parameters::json_output;
use crate::call::response_cache::CachedFrom;
use crate::config::output::OutputSpec;
use crate::config::template::Step;
use crate::document::prompt::Prompt;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::base::error::ErrorName;
use crate::document::schema;

/// The output of a step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Output {
    /// The text of the answer.
    pub text: String,
    /// The parsed JSON of the answer, for a step with `output: { type: json }`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub json: Option<Value>,
}

impl Output {
    /// Returns the value that later prompts read as `steps.<id>`: the JSON, or else the text.
    pub fn value(&self) -> Value {
        self.json.clone().unwrap_or_else(|| Value::String(self.text.clone()))
    }
}

/// Interprets a stop reason of Converse.
///
/// # Errors
/// Returns the error name if the stop reason means a failure. `tool_use` does, because no tool is offered.
pub fn judge(stop_reason: &str) -> Result<Stopped, ErrorName> {
    match stop_reason {
        "end_turn" | "stop_sequence" => Ok(Stopped::Whole),
        "max_tokens" => Ok(Stopped::Truncated),
        "guardrail_intervened" => Err(ErrorName::GuardrailIntervened),
        "content_filtered" | "model_context_window_exceeded" => Err(ErrorName::RequestRejected),
        _ => Err(ErrorName::TargetBroken),
    }
}

/// The end of an answer that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// The answer is complete.
    Whole,
    /// The answer was cut by `max_tokens`.
    Truncated,
}

/// Parses the JSON of an answer and checks it against the step's schema.
///
/// # Errors
/// Returns a message if the text is not JSON, or one with all faults by their path in the schema. The message never
/// quotes the answer.
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

/// Returns the instruction to answer in JSON, for a call in which the service does not enforce the schema.
pub fn instruction(schema: Option<&Value>) -> String {
    let plain = "Answer with one JSON value and nothing else: no explanation, no Markdown.";
    match schema {
        Some(schema) => format!("{plain} It must fit this JSON schema:\n{schema}"),
        None => plain.to_owned(),
    }
}

/// Removes a Markdown fence. Models often wrap JSON in one if the service does not enforce a schema.
fn unfenced(text: &str) -> &str {
    let text = text.trim();
    let inner = text.strip_prefix("```json").or_else(|| text.strip_prefix("```"));
    inner.and_then(|inner| inner.strip_suffix("```")).unwrap_or(text)
}

/// Returns the answer of a call.
///
/// # Errors
/// Returns the call's failure, or a failure for an answer whose stop reason means one. See [`judge`].
pub fn answered(result: &Result<ModelAnswer, CallFailure>) -> Result<&ModelAnswer, CallFailure> {
    let answer = result.as_ref().map_err(CallFailure::clone)?;
    judge(&answer.stop_reason).map(|_| answer).map_err(|name| CallFailure {
        name,
        message: format!("stopped: {}", answer.stop_reason),
        advice: None,
        retry_after_s: None,
        blame: match answer.stop_reason.as_str() {
            "model_context_window_exceeded" => Blame::Fit(Cause::ContextTooLong),
            _ => Blame::Request,
        },
    })
}

/// The checked answer of a step.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    pub output: Output,
    /// True if the answer was cut by `max_tokens`.
    pub truncated: bool,
    /// The stop reason as Converse spells it.
    pub stop_reason: String,
    /// The digest of the step's prompt as lower-case hex.
    pub prompt_sha256: String,
    /// The first answer to the same call, if it comes from the response cache. No call was made then.
    pub cached_from: Option<Box<CachedFrom>>,
}

/// Checks the answer of a call. The inner error describes an invalid answer; it becomes the message of
/// `Bcce.OutputInvalid`.
///
/// # Errors
/// Returns `Bcce.Internal` if the stop reason means a failure. Callers must use [`answered`] first.
pub fn read(
    step: &Step,
    prompt: &Prompt,
    max_tokens: u32,
    answer: &ModelAnswer,
) -> Result<Result<Answer, String>, Fault> {
    let judged = judge(&answer.stop_reason);
    let stopped = judged.map_err(|_| Fault::internal("a failed answer was read"))?;
    let truncated = stopped == Stopped::Truncated;
    let limit = truncated.then_some(max_tokens);
    Ok(output(step, answer, limit).map(|output| Answer {
        output,
        truncated,
        stop_reason: answer.stop_reason.clone(),
        prompt_sha256: prompt.sha256(),
        cached_from: None,
    }))
}

/// Returns the output of an answer, or a message if the answer is invalid. `limit` is the `max_tokens` that cut the
/// answer.
fn output(step: &Step, answer: &ModelAnswer, limit: Option<u32>) -> Result<Output, String> {
    let cut = limit
        .map(|limit| format!("the answer was cut by max_tokens = {limit}: "))
        .unwrap_or_default();
    if answer.text.trim().is_empty() {
        return Err(format!("{cut}{}", no_text(step, answer, limit)));
    }
    let parse = |spec: &OutputSpec| parse_json(&answer.text, spec.schema.as_ref());
    let parsed = json_output(step).map(parse).transpose();
    let json = parsed.map_err(|fault| format!("{cut}{fault}"))?;
    Ok(Output { text: answer.text.clone(), json })
}

fn no_text(step: &Step, answer: &ModelAnswer, limit: Option<u32>) -> String {
    match limit.filter(|_| answer.thought) {
        Some(_) => format!(
            "thinking used all of them and left none for the answer; raise steps.{id}.max_tokens, lower \
             steps.{id}.effort, or set steps.{id}.thinking to off where the model allows it",
            id = step.id
        ),
        None => "there is no text in it".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::call::model::ModelAnswer;
    use crate::config::template::Step;
    use crate::config::template::Template;
    use crate::document::prompt::Prompt;
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

    const JSON: &str = "version: 1\nname: w\nsteps:\n- { id: a, model: haiku, prompt: p, system: s, output: { type: json, schema: { type: object } } }\n";

    fn step() -> Step {
        Template::parse(JSON).unwrap().steps.remove(0)
    }

    #[test]
    fn the_fault_of_a_cut_answer_names_its_limit() {
        let step = step();
        let asked = Prompt { user: "p".into(), ..Prompt::default() };
        let answer = |text: &str, stop_reason: &str| ModelAnswer {
            text: text.into(),
            stop_reason: stop_reason.into(),
            thought: false,
        };
        let read = |answer: &ModelAnswer| read(&step, &asked, 2_048, answer);
        let whole = read(&answer("{}", "end_turn")).unwrap().unwrap();
        assert_eq!((whole.output.json, whole.truncated), (Some(json!({})), false));
        let cut = read(&answer("{", "max_tokens")).unwrap().unwrap_err();
        assert!(cut.starts_with("the answer was cut by max_tokens = 2048: "), "{cut}");
        assert!(read(&answer("{}", "guardrail_intervened")).is_err());
        let fault = |thought| {
            read(&ModelAnswer { thought, ..answer(" ", "max_tokens") }).unwrap().unwrap_err()
        };
        assert!(fault(false).ends_with("there is no text in it"), "{}", fault(false));
        assert!(fault(true).contains("thinking used all of them"), "{}", fault(true));
        assert!(fault(true).contains("raise steps.a.max_tokens"), "{}", fault(true));
    }
}
