//! Describes workflows as JSON.

use std::collections::BTreeSet;

use bcce_core::config::budgets::{Budgets, Scope, WorstCaseLimit};
use bcce_core::config::template::{Step, Template};
use bcce_core::document::prompt::variables;
use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;

use super::Workflow;
use crate::graph::Graph;
use crate::json::Field;

/// The fields of a workflow in a list.
pub const LISTED: [Field; 6] = [
    ("name, description", "name and description"),
    ("document", "SSM parameter or file that has the workflow"),
    ("sha256", "digest of its text, or null if the text cannot be read"),
    ("pushed_at", "time of the push, or null for a file"),
    ("steps, models", "number of its steps, and the aliases that they name"),
    ("error", "why the workflow cannot be used, or null"),
];

/// The fields of a workflow that is shown.
pub const SHOWN: [Field; 11] = [
    ("name, description, document", "name, description, and the SSM parameter or file"),
    ("sha256, pushed_at", "digest of its text, and time of the push or null"),
    ("timeout", "longest time of a run in seconds"),
    ("result", "step whose output is the answer"),
    ("request_models", "aliases that a request may name"),
    ("routing", "settings of the routing that the workflow changes"),
    (
        "limits",
        "list of the limits for the worst case: scope (run or batch), budget, unit (usd or tokens), limit as a decimal",
    ),
    ("inputs", "list: name, type, required, default, description, schema"),
    (
        "steps",
        "list: the keys of the document without system and prompt, and wave (from 1), max_tokens, system_bytes, \
         prompt_bytes, reads",
    ),
    ("reads", "of a step: the inputs and the answers of steps that its prompts read"),
    ("max_tokens", "of a step: the longest answer, without room for thinking"),
];

/// The fields of a graph.
pub const DRAWN: [Field; 4] = [
    ("name", "name of the workflow"),
    (
        "nodes",
        "list of the steps: id, details, for_each (true or false), result (true or false), wave (from 1)",
    ),
    ("details", "of a node: the lines below the id"),
    ("edges", "list: from and to, ids of steps; the second one needs the first one"),
];

/// Returns the entry of a workflow in a list.
pub fn listed(workflow: &Workflow) -> Value {
    let template = workflow.template.as_ref().ok();
    json!({
        "name": workflow.name,
        "description": template.and_then(|template| template.description.as_ref()),
        "document": workflow.document,
        "sha256": workflow.sha256,
        "pushed_at": pushed_at(workflow),
        "steps": template.map(|template| template.steps.len()),
        "models": template.map(models),
        "error": workflow.template.as_ref().err(),
    })
}

/// Returns the description of a workflow.
pub fn shown(workflow: &Workflow, template: &Template, budgets: &Budgets) -> Value {
    let waves = Graph::of_workflow(template).waves();
    let steps = template.steps.iter().zip(waves).map(|(step, wave)| of_step(step, wave));
    json!({
        "name": workflow.name,
        "description": template.description,
        "document": workflow.document,
        "sha256": workflow.sha256,
        "pushed_at": pushed_at(workflow),
        "timeout": template.timeout,
        "result": template.result(),
        "request_models": template.request_models,
        "routing": template.routing,
        "limits": limits(template, budgets)
            .iter()
            .map(|(scope, limit)| json!({
                "scope": scope, "budget": budget(limit), "unit": limit.unit, "limit": limit.limit.to_string(),
            }))
            .collect::<Vec<_>>(),
        "inputs": template
            .inputs
            .iter()
            .map(|(name, spec)| json!({
                "name": name, "type": spec.kind, "required": spec.required, "default": spec.default,
                "description": spec.description, "schema": spec.schema,
            }))
            .collect::<Vec<_>>(),
        "steps": steps.collect::<Vec<_>>(),
    })
}

fn of_step(step: &Step, wave: usize) -> Value {
    let mut described = json!(step);
    let more = json!({
        "wave": wave + 1,
        "max_tokens": step.answer_tokens(),
        "system_bytes": step.system.as_ref().map(String::len),
        "prompt_bytes": step.prompt.len(),
        "reads": reads(step),
    });
    if let (Some(described), Value::Object(more)) = (described.as_object_mut(), more) {
        described.retain(|key, _| !["system", "prompt"].contains(&key.as_str()));
        described.extend(more);
    }
    described
}

/// Returns a graph as its nodes and edges.
pub fn drawn(graph: &Graph) -> Value {
    let node = |(node, wave): (&crate::graph::Node, usize)| {
        json!({
            "id": node.id, "details": node.details, "for_each": node.is_list, "result": node.is_result,
            "wave": wave + 1,
        })
    };
    let id = |node: usize| &graph.nodes[node].id;
    let nodes = graph.nodes.iter().zip(graph.waves()).map(node);
    let edges = graph.edges.iter().map(|edge| json!({ "from": id(edge.from), "to": id(edge.to) }));
    json!({
        "name": graph.title,
        "nodes": nodes.collect::<Vec<_>>(),
        "edges": edges.collect::<Vec<_>>(),
    })
}

fn pushed_at(workflow: &Workflow) -> Option<String> {
    workflow.pushed_at.and_then(|at| at.format(&Rfc3339).ok())
}

/// Returns the aliases that the steps name, in the order of their names.
pub fn models(template: &Template) -> BTreeSet<&str> {
    template.steps.iter().map(|step| step.model.as_str()).collect()
}

/// Returns what the prompts of a step read: `inputs.<name>`, `steps.<id>`, `item` and `index`.
pub fn reads(step: &Step) -> BTreeSet<String> {
    let sources = step.system.iter().chain([&step.prompt]);
    let read = sources.flat_map(|source| variables(source).unwrap_or_default());
    // A field of an answer or of an item is part of what is read.
    let whole = |path: String| {
        let depth = if path.starts_with("item") { 1 } else { 2 };
        path.split('.').take(depth).collect::<Vec<_>>().join(".")
    };
    read.map(whole).collect()
}

/// Returns the limits for the worst case of a run and of a batch, each with its scope.
pub fn limits(template: &Template, budgets: &Budgets) -> Vec<(&'static str, WorstCaseLimit)> {
    let of = |(name, scope)| {
        let limits = budgets.limits(&scope, &template.name);
        limits.into_iter().map(move |limit| (name, limit))
    };
    [("run", Scope::Run), ("batch", Scope::Batch)].into_iter().flat_map(of).collect()
}

/// Returns the name of the budget that sets a limit.
pub fn budget(limit: &WorstCaseLimit) -> &str {
    limit.field.strip_prefix("budgets.").unwrap_or(&limit.field)
}
