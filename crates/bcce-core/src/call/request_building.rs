//! Builds the prompt of a call. A record of a bulk job has the same prompt.

use std::borrow::Cow;

use serde_json::Value;

use crate::base::error::{ErrorName, Fault};
use crate::call::answer::instruction;
use crate::call::parameters::{Parameters, json_output};
use crate::config::template::Step;
use crate::document::prompt::{Prompt, render};

/// Renders a step's prompt over `context`, an object with all values that the prompt may read. [`prompt_for`] adapts it
/// to a target.
///
/// # Errors
/// Returns `Bcce.InvalidRequest` if the step's template cannot be rendered, or renders to a blank text.
pub fn prompt(step: &Step, context: &Value) -> Result<Prompt, Fault> {
    render(&step.templates(), context).map_err(|problem| {
        Fault::new(ErrorName::InvalidRequest, format!("steps.{}.{problem}", step.id))
    })
}

/// Returns the prompt as one call sends it. If the service does not enforce the step's schema, the schema is added to
/// the system prompt.
pub fn prompt_for<'a>(
    prompt: &'a Prompt,
    step: &Step,
    parameters: &Parameters<'_>,
) -> Cow<'a, Prompt> {
    let Some(output) = json_output(step).filter(|_| parameters.schema.is_none()) else {
        return Cow::Borrowed(prompt);
    };
    let instruction = instruction(output.schema.as_ref());
    let length = prompt.system.as_ref().map(String::len);
    let system =
        prompt.system.iter().cloned().chain([instruction]).collect::<Vec<_>>().join("\n\n");
    let mut prompt = prompt.clone();
    // A system prompt that is cached as a whole is cached with the schema, which is the same in each run.
    if let Some(end) = prompt.system_ends.last_mut().filter(|end| Some(**end) == length) {
        *end = system.len();
    }
    Cow::Owned(Prompt { system: Some(system), ..prompt })
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
    fn a_schema_in_the_prompt_adds_no_cached_prefix() {
        let ends = |extra: &str| {
            let yaml = JSON.replace("prompt: p, system: s,", extra);
            let step = &Template::parse(&yaml).unwrap().steps.remove(0);
            let prompt = prompt(step, &json!({})).unwrap();
            let sent = prompt_for(&prompt, step, &Parameters::default()).into_owned();
            (sent.system.unwrap().len(), sent.system_ends)
        };
        let (whole, cached) = ends("prompt: p, system: s, cache: 1h,");
        assert_eq!(cached, [whole], "the schema is a part of the prefix");
        let (_, marked) = ends("prompt: p, system: \"s{{ '' | cached }} t\", cache: 1h,");
        assert_eq!(marked, [1]);
        let (_, none) = ends("prompt: \"p{{ '' | cached }} q\", cache: 1h,");
        assert_eq!(none, [0; 0], "only the prompt has a prefix");
    }
}
