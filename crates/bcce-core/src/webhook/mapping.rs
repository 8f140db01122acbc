use std::collections::BTreeSet;

use serde_json::Map;

use crate::base::error::Problems;
use crate::base::limits::MAX_REQUEST_BYTES;
use crate::config::webhook::{Rule, Source};
use crate::document::expression::Context;
use crate::run::request::Request;
use crate::webhook::Event;

/// A request that a rule has made from an event.
#[derive(Clone, Debug, PartialEq)]
pub struct Mapped {
    pub workflow: String,
    pub id: String,
    /// The message for the inbox.
    pub body: String,
}

/// Returns the requests that an event starts: for none, one or several workflows, each at most once.
///
/// # Errors
/// Returns all problems of the matching rules, by field, and a problem if the requests are too large together. No
/// request is sent then.
pub fn requests(source: &Source, event: &Event) -> Result<Vec<Mapped>, Problems> {
    let context = Context::of_event(&event.name, &event.payload);
    let mut mapped = Vec::new();
    let mut problems = Problems::default();
    let mut started = BTreeSet::new();
    for rule in &source.rules {
        let field = format!("rules.{}", rule.id);
        match rule.when.as_deref().map_or(Ok(true), |when| context.holds(when)) {
            Ok(true) => {}
            Ok(false) => continue,
            Err(cause) => {
                problems.add(format!("{field}.when"), cause);
                continue;
            }
        }
        if started.insert(&rule.workflow) {
            match request(rule, event, &context) {
                Ok(one) => mapped.push(one),
                Err(faults) => problems.extend(faults.below(&field)),
            }
        }
    }
    let bytes: usize = mapped.iter().map(|one| one.body.len()).sum();
    let cause = format!("make {bytes} bytes of messages (limit: {MAX_REQUEST_BYTES})");
    problems.check(bytes <= MAX_REQUEST_BYTES, "rules", cause);
    problems.none_or(mapped)
}

fn request(rule: &Rule, event: &Event, context: &Context) -> Result<Mapped, Problems> {
    let mut problems = Problems::default();
    let mut inputs = Map::new();
    for (name, template) in &rule.inputs {
        let value = context.value(template, &format!("inputs.{name}"), &mut problems);
        inputs.insert(name.clone(), value);
    }
    let mut request = Request {
        workflow: rule.workflow.clone(),
        id: Some(event.id.clone()),
        inputs,
        model: rule.model.clone(),
        ..Request::default()
    };
    for (name, template) in &rule.tags {
        match context.text(template) {
            Ok(text) => drop(request.tags.insert(name.clone(), text)),
            Err(cause) => problems.add(format!("tags.{name}"), cause),
        }
    }
    problems.none_or(())?;
    let body = request.message();
    // dispatch makes the same check, but the sender would never see its refusal.
    Request::parse(&body)?;
    Ok(Mapped { workflow: request.workflow, id: event.id.clone(), body })
}
