//! Displays a workflow: its inputs, its steps in waves, and its limits.

use std::collections::BTreeMap;

use bcce_core::config::budgets::Budgets;
use bcce_core::config::output::{OutputSpec, OutputType};
use bcce_core::config::routing::RoutingOverride;
use bcce_core::config::template::{Step, Template};
use bcce_core::document::inputs::InputSpec;
use serde_json::Value;

use super::Workflow;
use super::json::{budget, limits, models, reads};
use crate::figures::{self, count};
use crate::graph::Graph;
use crate::page::Page;
use crate::paint::{Ink, Line, MARGIN, field, span};

/// The indent of the lines below a step.
const BELOW: usize = 5;

/// Returns the lines about a workflow, which are broken at `width`.
pub fn lines(
    workflow: &Workflow,
    template: &Template,
    budgets: &Budgets,
    width: usize,
) -> Vec<Line> {
    let mut page = Page::new(width);
    for line in heading(workflow, template, budgets) {
        page.put(MARGIN, line);
    }
    page.blank();
    inputs(template, &mut page);
    page.blank();
    steps(template, &mut page);
    page.lines()
}

fn heading(workflow: &Workflow, template: &Template, budgets: &Budgets) -> Vec<Line> {
    let pushed = workflow.pushed_at.map(|at| format!(", pushed {}", figures::stamp(at)));
    let aliases: Vec<&str> = models(template).into_iter().collect();
    let named = match template.request_models.as_slice() {
        [] => "; a request cannot name another".to_owned(),
        listed => format!("; a request may name {}", listed.join(", ")),
    };
    let mut lines = vec![vec![span(Ink::Bold, &template.name)]];
    lines.extend(template.description.as_ref().map(|text| vec![span(Ink::Plain, text)]));
    lines.extend(
        workflow.sha256.as_ref().map(|sha256| field("version", format!("sha256 {sha256}"))),
    );
    lines.push(field("document", format!("{}{}", workflow.document, pushed.unwrap_or_default())));
    lines.push(field("answer", format!("output of {}", template.result().unwrap_or_default())));
    lines.push(field("models", format!("{}{named}", aliases.join(", "))));
    lines.push(field("timeout", figures::milliseconds(template.timeout * 1_000)));
    lines.extend(routing(&template.routing).map(|routing| field("routing", routing)));
    lines.extend(limits(template, budgets).into_iter().map(|(scope, limit)| {
        let amount = limit.amount(limit.limit);
        field("limit", format!("{amount} for a {scope} at worst (budget {})", budget(&limit)))
    }));
    lines
}

fn inputs(template: &Template, page: &mut Page) {
    page.put(
        0,
        vec![span(Ink::Dim, if template.inputs.is_empty() { "no inputs" } else { "inputs" })],
    );
    let width = template.inputs.keys().map(|name| name.chars().count()).max().unwrap_or_default();
    for (name, spec) in &template.inputs {
        let mut line = vec![
            span(Ink::Bold, format!("  {name:<width$}")),
            span(Ink::Plain, format!("  {}", kind(spec))),
        ];
        line.extend(spec.description.as_ref().map(|text| span(Ink::Dim, format!("  {text}"))));
        page.put(width + 4, line);
    }
}

/// Describes the values of an input: `list, required, minItems 1`.
fn kind(spec: &InputSpec) -> String {
    let mut parts = vec![word(&serde_json::json!(spec.kind))];
    parts.push(match (&spec.default, spec.required) {
        (_, true) => "required".into(),
        (Some(default), false) => format!("default {default}"),
        (None, false) => "optional".into(),
    });
    parts.extend(spec.schema.as_ref().map(bounds).filter(|bounds| !bounds.is_empty()));
    parts.join(", ")
}

/// Lists the bounds of a schema that have one value, such as `minItems 1`, and says what it limits besides.
fn bounds(schema: &Value) -> String {
    let Some(keys) = schema.as_object() else { return String::new() };
    let bound = |(key, value): (&String, &Value)| match value {
        Value::Object(inner) if key == "items" => {
            let of = inner.get("type").map(word).unwrap_or_else(|| "values".into());
            let fields = fields(value);
            Some(format!(
                "each {of}{}",
                if fields.is_empty() { fields } else { format!(" of {fields}") }
            ))
        }
        Value::Object(_) | Value::Null if key != "items" => None,
        Value::Array(_) if key == "required" => None,
        value => Some(format!("{key} {}", word(value))),
    };
    // The order of the keys depends on how serde_json is built.
    let sorted: BTreeMap<&String, &Value> = keys.iter().collect();
    let mut parts: Vec<String> = sorted.into_iter().filter_map(bound).collect();
    let fields = fields(schema);
    if !fields.is_empty() {
        parts.push(format!("with {fields}"));
    }
    parts.join(", ")
}

/// Lists the fields of the objects that a schema describes.
fn fields(schema: &Value) -> String {
    let properties = schema.get("properties").and_then(Value::as_object);
    let names = properties.into_iter().flat_map(|fields| fields.keys().map(String::as_str));
    names.collect::<Vec<_>>().join(", ")
}

/// Returns a value as text, and a string without quotes.
fn word(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn steps(template: &Template, page: &mut Page) {
    page.put(0, vec![span(Ink::Dim, "steps")]);
    let mut steps: Vec<(usize, &Step)> =
        Graph::of_workflow(template).waves().into_iter().zip(&template.steps).collect();
    steps.sort_by_key(|(wave, _)| *wave);
    let width = steps.iter().map(|(_, step)| step.id.chars().count()).max().unwrap_or_default();
    let mut last = None;
    for (wave, step) in steps {
        let number = if last == Some(wave) { String::new() } else { (wave + 1).to_string() };
        last = Some(wave);
        let mut line = vec![
            span(Ink::Dim, format!("{number:>3}  ")),
            span(Ink::Bold, format!("{:<width$}", step.id)),
            span(Ink::Plain, format!("  {}, {}", step.model, output(step))),
        ];
        if template.result() == Some(step.id.as_str()) {
            line.push(span(Ink::Green, "  the answer"));
        }
        page.put(BELOW, line);
        for fact in facts(step) {
            page.put(BELOW + 2, vec![span(Ink::Dim, format!("{:BELOW$}{fact}", ""))]);
        }
    }
}

fn output(step: &Step) -> String {
    let tokens = count(u64::from(step.answer_tokens()));
    match &step.output {
        Some(OutputSpec { kind: OutputType::Json, schema }) => {
            let fields = schema.as_ref().map(fields).filter(|fields| !fields.is_empty());
            let with = fields.map(|fields| format!(" with {fields}"));
            format!("JSON of up to {tokens} tokens{}", with.unwrap_or_default())
        }
        _ => format!("text of up to {tokens} tokens"),
    }
}

/// Lists what a step waits for, what it reads, and its settings.
fn facts(step: &Step) -> Vec<String> {
    let mut facts = Vec::new();
    if !step.needs.is_empty() {
        facts.push(format!("after {}", step.needs.join(", ")));
    }
    facts.extend(step.for_each.as_ref().map(|list| format!("once for each item of {list}")));
    let system =
        step.system.as_ref().map(|text| format!(", system {} bytes", count(text.len() as u64)));
    let reads: Vec<String> = reads(step).into_iter().collect();
    let reads =
        if reads.is_empty() { String::new() } else { format!("; reads {}", reads.join(", ")) };
    let bytes = count(step.prompt.len() as u64);
    facts.push(format!("prompt {bytes} bytes{}{reads}", system.unwrap_or_default()));
    let settings = settings(step);
    if !settings.is_empty() {
        facts.push(settings.join(", "));
    }
    facts.extend(routing(&step.routing).map(|routing| format!("routing: {routing}")));
    facts
}

fn settings(step: &Step) -> Vec<String> {
    let effort = step.effort.as_ref().map(|effort| format!("effort {effort}"));
    let thinking =
        step.thinking.map(|thinking| format!("thinking {}", word(&serde_json::json!(thinking))));
    let temperature = step.temperature.map(|temperature| format!("temperature {temperature}"));
    let ttl =
        step.cache.map(|cache| format!("prompt cache {}", word(&serde_json::json!(cache.ttl))));
    let answers = step.response_cache.as_ref().map(|age| format!("response cache {age}"));
    [effort, thinking, temperature, ttl, answers].into_iter().flatten().collect()
}

/// Lists the settings of a routing: `strategy latency, first_token_s 10`. Returns `None` if there are none.
fn routing(routing: &RoutingOverride) -> Option<String> {
    fn flat(value: &Value, settings: &mut Vec<String>) {
        for (key, value) in value.as_object().into_iter().flatten() {
            match value {
                Value::Object(_) => flat(value, settings),
                value => settings.push(format!("{key} {}", word(value))),
            }
        }
    }
    let mut settings = Vec::new();
    flat(&serde_json::json!(routing), &mut settings);
    (!settings.is_empty()).then(|| settings.join(", "))
}
