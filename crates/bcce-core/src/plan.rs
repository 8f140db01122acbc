//! The plan: request, template and configuration resolved and frozen before the first call. What a
//! run will do is decided here once and can be read later.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use time::Date;

use crate::error::{ErrorName, Fault, Problems};
use crate::inputs;
use crate::limits;
use crate::models::{Model, Models, Takes};
use crate::policy::Policy;
use crate::pricing::{Price, Prices};
use crate::request::StoredRequest;
use crate::routing::{Route, Routing};
use crate::run::StepRef;
use crate::template::{Step, Template};

/// `plan.json`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    pub version: u32,
    pub run_id: String,
    pub tenant: String,
    pub workflow: String,
    pub template_sha256: String,
    pub policy_sha256: String,
    pub prices_date: Date,
    /// With their defaults.
    pub inputs: Map<String, Value>,
    pub tags: BTreeMap<String, String>,
    /// The step whose output is the run's answer.
    pub result: String,
    /// Longest time of an execution of this plan, in seconds.
    pub timeout: u64,
    pub steps: Vec<Step>,
    pub waves: Vec<Wave>,
    /// By name: the model alias, or `<alias>@<step>` where a step changes the routing.
    pub routes: BTreeMap<String, Route>,
    /// What the models of the steps take, by alias.
    pub takes: BTreeMap<String, Takes>,
    /// What each target's model costs, its profile's factor included. Missing: not in the price file.
    pub prices: BTreeMap<String, Price>,
}

/// Step executions that run side by side.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Wave {
    pub steps: Vec<StepRef>,
}

/// What a plan is made of.
#[derive(Clone, Copy, Debug)]
pub struct Sources<'a> {
    pub request: &'a StoredRequest,
    pub template: &'a Template,
    pub template_sha256: &'a str,
    pub models: &'a Models,
    pub routing: &'a Routing,
    pub policy: &'a Policy,
    pub policy_sha256: &'a str,
    pub prices: &'a Prices,
}

impl Plan {
    /// # Errors
    /// `Bcce.InvalidRequest` with every field that is wrong, or else `Bcce.PolicyViolation` with
    /// everything that is forbidden.
    pub fn resolve(sources: &Sources<'_>) -> Result<Self, Fault> {
        let request = sources.request;
        let inputs = checked_inputs(sources)?;
        let template = with_model(sources.template, request.model.as_deref());
        let waves = waves(&template)?;
        let steps = template.steps;
        sources.models.check_steps(&steps).none_or(())?;
        check_policy(sources, &steps)?;
        let routes = routes(sources, &steps);
        let targets = routes.values().flat_map(|route: &Route| &route.targets);
        let takes =
            steps.iter().map(|step| (step.model.clone(), model(sources, step).takes.clone()));
        let prices =
            targets.filter_map(|t| Some((t.model_id.clone(), sources.prices.of(&t.model_id)?)));
        Ok(Self {
            version: 1,
            run_id: request.run().run_id,
            tenant: request.tenant.clone(),
            workflow: request.workflow.clone(),
            template_sha256: sources.template_sha256.to_owned(),
            policy_sha256: sources.policy_sha256.to_owned(),
            prices_date: sources.prices.date,
            inputs,
            tags: request.tags.clone(),
            result: sources.template.result().unwrap_or_default().to_owned(),
            timeout: sources.template.timeout,
            waves,
            takes: takes.collect(),
            prices: prices.collect(),
            routes,
            steps,
        })
    }

    pub fn step(&self, id: &str) -> Option<&Step> {
        self.steps.iter().find(|step| step.id == id)
    }
}

fn checked_inputs(sources: &Sources<'_>) -> Result<Map<String, Value>, Problems> {
    let mut problems = Problems::default();
    let (template, workflow) = (&sources.template.name, &sources.request.workflow);
    let cause = format!("the template of {workflow} is named {template}");
    problems.check(template == workflow, "name", cause);
    match inputs::resolve(&sources.template.inputs, &sources.request.inputs) {
        Ok(inputs) => problems.none_or(inputs),
        Err(more) => {
            problems.extend(more);
            Err(problems)
        }
    }
}

/// The request's model takes the place of every step's own.
fn with_model(template: &Template, model: Option<&str>) -> Template {
    let mut template = template.clone();
    if let Some(model) = model {
        template.steps.iter_mut().for_each(|step| step.model = model.to_owned());
    }
    template
}

/// A model all of whose targets are forbidden, a tag that is missing.
fn check_policy(sources: &Sources<'_>, steps: &[Step]) -> Result<(), Fault> {
    let mut forbidden: Vec<String> = sources
        .policy
        .missing_tags(&sources.request.tags)
        .iter()
        .map(|tag| format!("tags.{tag}: is required by policy"))
        .collect();
    for step in steps {
        if let Some(reasons) = sources.policy.forbids_all(&model(sources, step).targets) {
            let (id, model) = (&step.id, &step.model);
            forbidden
                .push(format!("steps.{id}.model: no target of {model} is allowed ({reasons})"));
        }
    }
    match forbidden.as_slice() {
        [] => Ok(()),
        // Bounded: a workflow may have two hundred steps.
        _ => Err(Fault::new(ErrorName::PolicyViolation, limits::cut(&forbidden.join("; "), 4_000))),
    }
}

/// Checked by `check_steps` to be there.
fn model<'a>(sources: &Sources<'a>, step: &Step) -> &'a Model {
    &sources.models.models[&step.model]
}

fn route_name(step: &Step) -> String {
    match step.routing == Default::default() {
        true => step.model.clone(),
        false => format!("{}@{}", step.model, step.id),
    }
}

fn routes(sources: &Sources<'_>, steps: &[Step]) -> BTreeMap<String, Route> {
    let route = |step: &Step| Route {
        targets: model(sources, step).targets.clone(),
        policy: sources.policy.clone(),
        routing: sources
            .routing
            .with(&model(sources, step).routing)
            .with(&sources.template.routing)
            .with(&step.routing),
        rounds: limits::rounds(steps.len()),
    };
    steps.iter().map(|step| (route_name(step), route(step))).collect()
}

fn waves(template: &Template) -> Result<Vec<Wave>, Problems> {
    let step_ref =
        |step: &&Step| StepRef { step: step.id.clone(), item: None, route: route_name(step) };
    let waves = template.waves()?;
    Ok(waves.iter().map(|wave| Wave { steps: wave.iter().map(step_ref).collect() }).collect())
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::config::parse_yaml;
    use crate::request::Request;
    use serde_json::json;

    const MODELS: &str = include_str!("../../../infra/config/dev/models.yaml");
    const PRICES: &str = include_str!("../../../infra/config/dev/prices.yaml");
    const WORKFLOW: &str = include_str!("../../../infra/config/dev/workflows/code-review.yaml");

    pub fn plan(request: Value, policy: Policy) -> Result<Plan, Fault> {
        let request = Request::parse(&request.to_string()).unwrap();
        let template = Template::parse(WORKFLOW).unwrap();
        Plan::resolve(&Sources {
            request: &StoredRequest::new(request, "default", "m-1"),
            template: &template,
            template_sha256: "t",
            models: &parse_yaml(MODELS).unwrap(),
            routing: &Routing::default(),
            policy: &policy,
            policy_sha256: "p",
            prices: &parse_yaml(PRICES).unwrap(),
        })
    }

    fn review() -> Value {
        json!({ "workflow": "code-review", "inputs": { "diff": "+x" } })
    }

    #[test]
    fn a_code_review_is_three_waves_over_priced_targets() {
        let plan = plan(review(), Policy::default()).unwrap();
        let waves: Vec<usize> = plan.waves.iter().map(|wave| wave.steps.len()).collect();
        assert_eq!(waves, [1, 3, 1]);
        for (name, route) in &plan.routes {
            assert!(route.targets.len() >= 2, "{name} has nowhere to fail over to");
            assert!(route.targets.iter().all(|t| plan.prices.contains_key(&t.model_id)));
        }
        assert_eq!(plan.result, "verdict");
    }

    #[test]
    fn the_requests_model_takes_the_place_of_all() {
        let mut request = review();
        request["model"] = json!("opus");
        let plan = plan(request, Policy::default()).unwrap();
        assert_eq!(plan.routes.keys().collect::<Vec<_>>(), ["opus"]);
        let steps = plan.waves.iter().flat_map(|wave| &wave.steps);
        assert!(steps.map(|step| &step.route).all(|route| route == "opus"));
    }

    #[test]
    fn a_wrong_request_is_told_by_field_before_any_call() {
        let mut request = review();
        request["model"] = json!("gpt");
        let fault = plan(request, Policy::default()).unwrap_err();
        assert_eq!(fault.name, ErrorName::InvalidRequest);
        assert!(fault.message.contains("there is no model gpt; there are:"), "{fault}");
        let fault = plan(json!({ "workflow": "code-review" }), Policy::default()).unwrap_err();
        assert_eq!(fault.to_string(), "Bcce.InvalidRequest: inputs.diff: is required");
    }

    #[test]
    fn what_policy_forbids_is_refused_with_the_reasons() {
        let policy = Policy {
            allowed_regions: vec!["eu-west-1".into()],
            required_tags: vec!["team".into()],
            ..Policy::default()
        };
        let fault = plan(review(), policy).unwrap_err();
        assert_eq!(fault.name, ErrorName::PolicyViolation);
        assert!(
            fault.message.contains("tags.team") && fault.message.contains("residency"),
            "{fault}"
        );
    }
}
