//! A workflow and its checks.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::base::error::Problems;
use crate::base::limits::{MAX_RUN_SECONDS, MAX_STEPS};
use crate::base::names::check_name;
use crate::config::answer_age;
use crate::config::cache::{Cache, CachedPrefix};
use crate::config::output::OutputSpec;
use crate::config::routing::RoutingOverride;
use crate::document::inputs::{InputSpecs, InputType, check_specs};
use crate::document::prompt::marks::marked;
use crate::document::prompt::{BLANK, Templates, variables};
use crate::document::{self, Document};

/// The document `workflows/<name>.yaml`. SSM `/bcce/<env>/workflows/<name>` holds it or a pointer to it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Template {
    pub version: u32,
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(default)]
    pub inputs: InputSpecs,
    /// The longest time of a run in seconds, including waits.
    #[serde(default = "default_timeout")]
    pub timeout: u64,
    /// The id of the step whose output is the run's answer. The default is the last step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<String>,
    /// The aliases that the `model` of a request may name. That alias replaces the model of every step. A trailing `*`
    /// matches the rest. With an empty list a request must not name a model.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub request_models: Vec<String>,
    #[serde(default)]
    pub routing: RoutingOverride,
    pub steps: Vec<Step>,
}

/// One step of a workflow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    pub id: String,
    /// The ids of the steps whose answers this step reads.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<String>,
    /// An input of type list, as `inputs.<name>`. The step executes once per item; the prompt reads the item as `item`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub for_each: Option<String>,
    /// The model alias.
    pub model: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
    pub prompt: String,
    /// The longest answer in tokens, including thinking. The default is [`ANSWER_TOKENS`], plus room for thinking if
    /// the target thinks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effort: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thinking: Option<Thinking>,
    /// The prefixes that the service keeps in its prompt cache, and the time for which it keeps them after each use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<Cache>,
    /// The time for which an answer of the step may answer the same call again, such as `7d`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_cache: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<OutputSpec>,
    #[serde(default)]
    pub routing: RoutingOverride,
}

/// Switches the thinking of a step's model on or off. Without this setting the model's default applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Thinking {
    On,
    Off,
}

/// Accepts booleans too, because a plain `on` or `off` is a boolean in YAML.
impl<'de> Deserialize<'de> for Thinking {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::Bool(true) => Ok(Self::On),
            Value::Bool(false) => Ok(Self::Off),
            Value::String(word) if word == "on" => Ok(Self::On),
            Value::String(word) if word == "off" => Ok(Self::Off),
            other => Err(Error::unknown_variant(&other.to_string(), &["on", "off"])),
        }
    }
}

impl Thinking {
    /// Returns the value of `thinking.type` in a call.
    pub fn kind(self) -> &'static str {
        match self {
            Self::On => "adaptive",
            Self::Off => "disabled",
        }
    }
}

/// Returns one hour. It is enough for several long answers and a wait for a quota.
fn default_timeout() -> u64 {
    3_600
}

/// The longest answer of a step without `max_tokens`, in tokens. The default is small, because the service charges
/// input + `max_tokens` against the account's quota when a call starts. A large default would throttle all calls of the
/// account.
pub const ANSWER_TOKENS: u32 = 2_048;

/// The levels of effort that the service accepts only if the model thinks.
pub const THINKING_EFFORTS: [&str; 2] = ["xhigh", "max"];

impl Step {
    /// Returns the longest text of an answer, in tokens.
    pub fn answer_tokens(&self) -> u32 {
        self.max_tokens.unwrap_or(ANSWER_TOKENS)
    }

    /// Returns the time for which an answer may answer the same call again. Returns `None` if the step makes every call.
    pub fn answers_last(&self) -> Option<Duration> {
        answer_age::parse(self.response_cache.as_deref()?).ok()
    }

    /// Returns the templates of the step.
    pub fn templates(&self) -> Templates<'_> {
        Templates {
            system: self.system.as_deref(),
            user: &self.prompt,
            is_cached: self.cache.is_some(),
            caches_static_text: self.cache.is_some_and(|cache| cache.prefix.is_some()),
        }
    }

    /// Returns the prefixes that the step wants cached, from the shortest to the longest.
    pub fn cached_prefixes(&self) -> Vec<CachedPrefix<'_>> {
        let cache = self.cache.as_ref();
        cache.map(|cache| cache.prefixes(self.system.as_deref(), &self.prompt)).unwrap_or_default()
    }

    /// Returns the name of the input of `for_each`.
    pub fn list(&self) -> Option<&str> {
        self.for_each.as_deref()?.strip_prefix("inputs.")
    }
}

impl Document for Template {
    fn check(&self) -> Problems {
        let mut problems = Problems::default();
        problems.check(self.version == 1, "version", "must be 1");
        check_name(&mut problems, "name", &self.name);
        let cause = format!("must be 1 to {MAX_RUN_SECONDS} seconds");
        problems.check((1..=MAX_RUN_SECONDS).contains(&self.timeout), "timeout", cause);
        let cause = format!("must be 1 to {MAX_STEPS}, there are {}", self.steps.len());
        problems.check((1..=MAX_STEPS).contains(&self.steps.len()), "steps", cause);
        problems.extend(check_specs(&self.inputs));
        problems.extend(self.routing.check("routing"));
        problems.extend(self.check_order());
        self.steps.iter().for_each(|step| problems.extend(self.check_step(step)));
        if let Some(result) = &self.result {
            let known = self.steps.iter().any(|step| step.id == *result);
            problems.check(known, "result", format!("there is no step {result}"));
        }
        problems
    }
}

impl Template {
    /// Parses and checks a workflow.
    ///
    /// # Errors
    /// Returns a syntax error with its place, or all problems of the workflow.
    pub fn parse(yaml: &str) -> Result<Self, Problems> {
        document::from_yaml(yaml).finished()
    }

    /// Returns the id of the step whose output is the run's answer.
    pub fn result(&self) -> Option<&str> {
        self.result.as_deref().or_else(|| self.steps.last().map(|step| step.id.as_str()))
    }

    /// Returns the steps in waves. Each step is in the first wave that its needs allow.
    ///
    /// # Errors
    /// Returns a problem with the ids of the steps that need each other.
    pub fn waves(&self) -> Result<Vec<Vec<&Step>>, Problems> {
        let mut waves = Vec::new();
        let mut done = BTreeSet::new();
        let mut left: Vec<&Step> = self.steps.iter().collect();
        while !left.is_empty() {
            let ready = |step: &&Step| step.needs.iter().all(|need| done.contains(need.as_str()));
            let (wave, rest): (Vec<_>, Vec<_>) = left.into_iter().partition(ready);
            if wave.is_empty() {
                let ids: Vec<&str> = rest.iter().map(|step| step.id.as_str()).collect();
                return Err(Problems::one("steps", format!("need each other: {}", ids.join(", "))));
            }
            done.extend(wave.iter().map(|step| step.id.as_str()));
            waves.push(wave);
            left = rest;
        }
        Ok(waves)
    }

    /// Checks for ids that are used twice, needs that do not exist, and steps that need each other.
    fn check_order(&self) -> Problems {
        let mut problems = Problems::default();
        let ids: BTreeMap<&str, usize> =
            self.steps.iter().enumerate().map(|(n, s)| (s.id.as_str(), n)).collect();
        for (n, step) in self.steps.iter().enumerate() {
            let field = |name: &str| format!("steps.{}.{name}", step.id);
            problems.check(ids[step.id.as_str()] == n, field("id"), "is used twice");
            for need in step.needs.iter().filter(|need| !ids.contains_key(need.as_str())) {
                problems.add(field("needs"), format!("there is no step {need}"));
            }
        }
        // A step with a missing need would look like a cycle.
        if problems.is_empty()
            && let Err(cycle) = self.waves()
        {
            problems.extend(cycle);
        }
        problems
    }

    fn check_step(&self, step: &Step) -> Problems {
        let mut problems = Problems::default();
        let field = |name: &str| format!("steps.{}.{name}", step.id);
        check_name(&mut problems, &field("id"), &step.id);
        problems.check(step.max_tokens != Some(0), field("max_tokens"), "must be above 0");
        let effort = step.effort.as_deref().filter(|level| THINKING_EFFORTS.contains(level));
        if let Some(effort) = effort.filter(|_| step.thinking == Some(Thinking::Off)) {
            let cause = format!(
                "{effort} needs thinking, which `thinking: off` switches off; use high at most"
            );
            problems.add(field("effort"), cause);
        }
        let warm = step.temperature.is_none_or(|t| (0.0..=1.0).contains(&t));
        problems.check(warm, field("temperature"), "must be 0 to 1");
        if let Some(cache) = &step.cache {
            problems.extend(cache.check(&field("cache"), step.system.as_deref(), &step.prompt));
        }
        if let Some(Err(cause)) = step.response_cache.as_deref().map(answer_age::parse) {
            problems.add(field("response_cache"), cause);
        }
        if let Some(output) = &step.output {
            problems.extend(crate::config::output::check_spec(&field("output"), output));
        }
        problems.extend(step.routing.check(&field("routing")));
        if let Some(list) = &step.for_each {
            let input = step.list().and_then(|name| self.inputs.get(name));
            let is_list = input.is_some_and(|spec| spec.kind == InputType::List);
            let cause = format!("must be inputs.<name> of an input of type list, is {list}");
            problems.check(is_list, field("for_each"), cause);
        }
        for (name, source) in [("prompt", Some(&step.prompt)), ("system", step.system.as_ref())] {
            if let Some(source) = source {
                problems.extend(self.check_prompt(step, &field(name), source));
            }
        }
        problems
    }

    /// Checks that every variable is an input or a step in `needs`, so that no variable is undefined later.
    fn check_prompt(&self, step: &Step, field: &str, source: &str) -> Problems {
        let variables = match variables(source) {
            Ok(variables) => variables,
            Err(cause) => return Problems::one(field, cause),
        };
        let mut problems = Problems::default();
        problems.check(!source.trim().is_empty(), field, BLANK);
        let cause = "marks a prefix by `| cached`, but the step has no `cache`; set `cache: 5m` or `cache: 1h`";
        problems.check(step.cache.is_some() || marked(source).is_empty(), field, cause);
        for variable in variables {
            let mut path = variable.split('.');
            let known = match (path.next(), path.next()) {
                (Some("inputs"), Some(name)) => self.inputs.contains_key(name),
                (Some("steps"), Some(id)) => step.needs.iter().any(|need| need == id),
                (Some("inputs" | "steps"), None) => true,
                (Some("item" | "index"), _) => step.for_each.is_some(),
                _ => false,
            };
            let kinds = match step.for_each {
                Some(_) => "neither an input, a step in `needs`, `item` nor `index`",
                None => "neither an input nor a step in `needs`",
            };
            problems.check(known, field, format!("reads {variable}, which is {kinds}"));
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reported(steps: &str) -> String {
        let yaml =
            format!("version: 1\nname: w\ninputs:\n  text: {{ type: string }}\nsteps:\n{steps}");
        Template::parse(&yaml)
            .map(|_| String::new())
            .unwrap_or_else(|problems| problems.to_string())
    }

    #[test]
    fn the_sample_of_the_documentation_parses() {
        let yaml = "version: 1\nname: explain\ndescription: Explains a text to a newcomer.\ninputs:\n  text: { type: string, required: true }\n  audience: { type: string, default: newcomer }\nsteps:\n  - id: answer\n    model: haiku\n    max_tokens: 400\n    prompt: \"Explain to a {{ inputs.audience }}: {{ inputs.text }}\"\n";
        let template = Template::parse(yaml).unwrap();
        assert_eq!(template.result(), Some("answer"));
        assert_eq!(template.steps[0].max_tokens, Some(400));
    }

    #[test]
    fn waves_are_as_early_as_the_needs_allow() {
        let yaml = "version: 1\nname: w\nsteps:\n- { id: d, model: m, prompt: p, needs: [b, c] }\n- { id: b, model: m, prompt: p, needs: [a] }\n- { id: c, model: m, prompt: p }\n- { id: a, model: m, prompt: p }\n";
        let template = Template::parse(yaml).unwrap();
        let waves: Vec<Vec<&str>> = template
            .waves()
            .unwrap()
            .iter()
            .map(|wave| wave.iter().map(|s| s.id.as_str()).collect())
            .collect();
        assert_eq!(waves, [vec!["c", "a"], vec!["b"], vec!["d"]]);
    }

    #[test]
    fn what_is_wrong_is_reported_by_field() {
        #[rustfmt::skip]
        let table = [
            ("- { id: a, model: m, prompt: p, needs: [b] }\n- { id: b, model: m, prompt: p, needs: [a] }", "steps: need each other: a, b"),
            ("- { id: a, model: m, prompt: p, needs: [z] }", "steps.a.needs: there is no step z"),
            ("- { id: a, model: m, prompt: p }\n- { id: a, model: m, prompt: p }", "steps.a.id: is used twice"),
            ("- { id: a, model: m, prompt: \"{{ inputs.txt }}\" }", "steps.a.prompt: reads inputs.txt"),
            ("- { id: a, model: m, prompt: \"{{ steps.b }}\" }\n- { id: b, model: m, prompt: p }", "steps.a.prompt: reads steps.b"),
            ("- { id: a, model: m, prompt: \"{{ oops\" }", "steps.a.prompt: syntax error"),
            ("- { id: a, model: m, prompt: \" \", system: \"\" }", "steps.a.prompt: is blank; steps.a.system: is blank"),
            ("- { id: a/b, model: m, prompt: p }", "steps.a/b.id: must be"),
            ("- { id: a, model: m, prompt: p, max_token: 7 }", "steps.a.max_token: is unknown; there are: id, needs, for_each, model, system, prompt, max_tokens, temperature, effort, thinking, cache, response_cache, output, routing; did you mean max_tokens?"),
            ("- { id: a, prompt: 7, max_tokens: many }", "steps.a.max_tokens: must be a whole number, 0 or more; steps.a.prompt: must be a string; steps.a.model: is missing"),
            ("- { id: a, model: m, prompt: p, temperature: 3, needs: b }\n- 7\n- { model: m, prompt: \"{{ x }}\" }", "steps.a.needs: must be a list; steps[1]: must be an object; steps[2].id: is missing; steps.a.temperature: must be 0 to 1"),
            ("- { id: a, model: m, prompt: p, cache: 1h }", "steps.a.cache: caches nothing: give the step a `system`"),
            ("- { id: a, model: m, prompt: p, cache: 2h }", "steps.a.cache: must be one of: 5m, 1h"),
            ("- { id: a, model: m, prompt: p, system: s, cache: { prefix: auto, tll: 1h } }", "steps.a.cache.tll: is unknown; there are: ttl, prefix; did you mean ttl?; steps.a.cache.ttl: is missing"),
            ("- { id: a, model: m, prompt: p, system: s, cache: { ttl: 1h, prefix: all } }", "steps.a.cache.prefix: must be one of: auto"),
            ("- { id: a, model: m, prompt: \"{{ inputs.text | cached }}\" }", "steps.a.prompt: marks a prefix by `| cached`, but the step has no `cache`"),
            ("- { id: a, model: m, prompt: \"{% if 1 %}{{ inputs.text | cached }}{% endif %}\", cache: 5m }", "steps.a.prompt: `cached` on line 1 is not available: it is the last filter"),
            ("- { id: a, model: m, prompt: p, output: { type: jsn } }", "steps.a.output.type: must be one of: text, json"),
            ("- { id: a, model: m, prompt: \"{{ item }}\" }", "steps.a.prompt: reads item, which is neither an input nor"),
            ("- { id: a, model: m, prompt: p, for_each: inputs.text }", "steps.a.for_each: must be inputs.<name> of an input of type list"),
            ("- { id: a, model: m, prompt: p, temperature: 3 }", "steps.a.temperature: must be 0 to 1"),
            ("- { id: a, model: m, prompt: p, thinking: off, effort: max }", "steps.a.effort: max needs thinking, which `thinking: off` switches off"),
            ("- { id: a, model: m, prompt: p, thinking: maybe }", "steps.a.thinking: must be one of: on, off"),
            ("- { id: a, model: m, prompt: p, response_cache: 31d }", "steps.a.response_cache: must be a time from 1m to 30d, such as 30m, 12h or 7d, is 31d"),
            ("- { id: a, model: m, prompt: p, response_cache: 7 }", "steps.a.response_cache: must be a string"),
            ("- { id: a, model: m, prompt: p, output: { type: json, schema: { type: 7 } } }", "steps.a.output.schema"),
        ];
        for (steps, expected) in table {
            for part in expected.split("; ") {
                assert!(reported(steps).contains(part), "{part} is missing in {}", reported(steps));
            }
        }
    }
}
