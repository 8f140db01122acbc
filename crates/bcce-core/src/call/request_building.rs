//! The prompt that a step sends to a model, and how its answer is read: the same for a call and for a record of a job.

use std::borrow::Cow;

use serde_json::Value;

use crate::base::error::{ErrorName, Fault};
use crate::base::target::Target;
use crate::call::answer::{Output, Stopped, instruction, judge, parse_json};
use crate::call::attempt::Cause;
use crate::call::model::{Blame, CallFailure, ModelAnswer};
use crate::call::parameters::{Parameters, json_output};
use crate::config::output::OutputSpec;
use crate::config::template::Step;
use crate::document::prompt::{Prompt, render};

/// Renders a step's prompt over `context`, an object with everything that the prompt may name. [`prompt_for`] adapts it
/// to a target.
///
/// # Errors
/// `Bcce.InvalidRequest`: the step's template cannot be rendered, or renders to a blank text.
pub fn prompt(step: &Step, context: &Value) -> Result<Prompt, Fault> {
    render(step.system.as_deref(), &step.prompt, context).map_err(|problem| {
        Fault::new(ErrorName::InvalidRequest, format!("steps.{}.{problem}", step.id))
    })
}

/// Returns the prompt as one call sends it: if the service does not enforce the step's schema, the prompt carries it.
pub fn prompt_for<'a>(
    prompt: &'a Prompt,
    step: &Step,
    parameters: &Parameters<'_>,
) -> Cow<'a, Prompt> {
    let Some(output) = json_output(step).filter(|_| parameters.schema.is_none()) else {
        return Cow::Borrowed(prompt);
    };
    let instruction = instruction(output.schema.as_ref());
    let system = prompt.system.iter().cloned().chain([instruction]).collect::<Vec<_>>();
    Cow::Owned(Prompt { system: Some(system.join("\n\n")), ..prompt.clone() })
}

/// Returns the answer of a call.
///
/// # Errors
/// The call's failure, or a failure for an answer that stopped for a wrong reason.
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

/// Describes a failure of a target without quoting the request: the service's message may quote the request, its code
/// and the advice do not. The message stays in the attempt.
pub fn describe(target: &Target, failure: &CallFailure) -> String {
    let code = match failure.message.split_once(": ") {
        Some((code, _)) if code != "stopped" => code,
        _ => &failure.message,
    };
    let advice = failure.advice.as_ref().map(|advice| format!(": {advice}"));
    format!("{target}: {code}{}", advice.unwrap_or_default())
}

/// A step's answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    pub output: Output,
    /// Cut by `max_tokens`.
    pub truncated: bool,
    pub stop_reason: String,
    pub prompt_sha256: String,
}

/// Reads the answer of a call. The inner error says what is wrong with it, and becomes `Bcce.OutputInvalid`.
///
/// # Errors
/// `Bcce.Internal`: [`answered`] returns a failure for it.
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
    }))
}

/// Returns the output of an answer, or what is wrong with it. `limit` is the `max_tokens` that cut the answer.
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
    use crate::config::template::Template;
    use serde_json::json;

    const JSON: &str = "version: 1\nname: w\nsteps:\n- { id: a, model: haiku, prompt: p, system: s, output: { type: json, schema: { type: object } } }\n";

    fn step() -> Step {
        Template::parse(JSON).unwrap().steps.remove(0)
    }

    #[test]
    fn a_schema_is_the_services_or_else_the_prompts() {
        let step = &step();
        let prompt = prompt(step, &json!({})).unwrap();
        let enforced = Parameters { schema: Some(json!({})), ..Parameters::default() };
        assert_eq!(*prompt_for(&prompt, step, &enforced), prompt);
        let system = prompt_for(&prompt, step, &Parameters::default()).into_owned().system.unwrap();
        assert!(system.starts_with("s\n\nAnswer with one JSON value"), "{system}");
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

    #[test]
    fn a_services_message_is_not_repeated() {
        let target = crate::base::target::tests::target("us-east-1");
        let failure = |message: &str| CallFailure {
            name: ErrorName::RequestRejected,
            message: message.into(),
            advice: None,
            retry_after_s: None,
            blame: Blame::Request,
        };
        let description = describe(&target, &failure("ValidationException (400): no hunter2 here"));
        assert_eq!(description, format!("{target}: ValidationException (400)"));
        let rejected = CallFailure {
            advice: Some("correct the target".into()),
            ..failure("ValidationException (400): no hunter2 here")
        };
        let description = describe(&target, &rejected);
        assert_eq!(description, format!("{target}: ValidationException (400): correct the target"));
        let stopped = describe(&target, &failure("stopped: content_filtered"));
        assert_eq!(stopped, format!("{target}: stopped: content_filtered"));
    }
}
