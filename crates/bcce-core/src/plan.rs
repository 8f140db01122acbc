//! The plan: request, template and configuration resolved and frozen before the first call. What a
//! run will do is decided here once and can be read later.

pub mod admission; // what a sender may decide
pub mod estimate; // what a run of it would use and cost
mod routes; // what the decisions of its steps depend on
pub mod tokens; // how long a prompt is, about
pub mod worst; // what a run may cost at most

use std::collections::{BTreeMap, BTreeSet};

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use time::{Date, OffsetDateTime};

use self::admission::Sender;
use self::worst::WorstCase;
use crate::attempt::{Target, Usage};
use crate::environment::Configuration;
use crate::error::{ErrorName, Fault, Problems};
use crate::inputs;
use crate::limits::MAX_STEPS;
use crate::models::{Model, Takes};
use crate::pricing::{PriceRow, PriceRows};
use crate::request::StoredRequest;
use crate::routing::{Retries, Route};
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
    /// By name: the model alias, or `<alias>@<step>` where a step's route is its own.
    pub routes: BTreeMap<String, Route>,
    /// Settings that the targets of the models take, by alias, in the order of their routes' targets.
    pub takes: BTreeMap<String, Vec<Takes>>,
    /// Prices of each target's model, its profile's factor included. Missing: not in the price file. All rows,
    /// because a run may call on another day than the one it was planned on, and a plan knows no day.
    pub prices: BTreeMap<String, PriceRows>,
    /// What a run may cost at most. A plan of an earlier version has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worst_case: Option<WorstCase>,
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
    pub configuration: &'a Configuration,
    pub retries: Retries,
}

/// Why there is no plan, all of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refused {
    /// Fields of the request or of the configuration that are wrong.
    pub wrong: Problems,
    /// What policy forbids.
    pub forbidden: Problems,
    /// A worst case above its ceiling.
    pub unaffordable: Problems,
}

impl From<Problems> for Refused {
    fn from(wrong: Problems) -> Self {
        Self { wrong, ..Self::default() }
    }
}

/// `Bcce.InvalidRequest` if anything is wrong, or else `Bcce.PolicyViolation`, or else `Bcce.BudgetExceeded`; the message
/// has all.
impl From<Refused> for Fault {
    fn from(refused: Refused) -> Self {
        let name = match (refused.wrong.is_empty(), refused.forbidden.is_empty()) {
            (false, _) => ErrorName::InvalidRequest,
            (_, false) => ErrorName::PolicyViolation,
            _ => ErrorName::BudgetExceeded,
        };
        let mut all = refused.wrong;
        all.extend(refused.forbidden);
        all.extend(refused.unaffordable);
        Fault { name, ..all.into() }
    }
}

impl Plan {
    /// # Errors
    /// Everything that is wrong and everything that is forbidden.
    pub fn resolve(sources: &Sources<'_>) -> Result<Self, Refused> {
        let (request, configuration) = (sources.request, sources.configuration);
        let (inputs, wrong) = checked_inputs(sources);
        let mut refused = Refused::from(wrong);
        let template = with_model(&configuration.template, request.model.as_deref());
        refused.wrong.extend(check_models(sources, &template.steps));
        refused.wrong.extend(check_executions(&template.steps, &inputs));
        let sender = Sender {
            tenant: &request.tenant,
            model: request.model.as_deref(),
            tags: &request.tags,
        };
        refused.forbidden.extend(configuration.check_sender(&sender));
        refused.forbidden.extend(check_policy(sources, &template.steps));
        if refused != Refused::default() {
            return Err(refused);
        }
        let waves = waves(sources, &template, &inputs)?;
        let executions = waves.iter().map(|wave| wave.steps.len()).sum();
        let steps = template.steps;
        let routes = routes::of(sources, &steps, &inputs, executions);
        let targets = routes.values().flat_map(|route: &Route| &route.targets);
        let targets = targets.map(|listed| &listed.target);
        let takes = steps
            .iter()
            .filter_map(|step| Some((step.model.clone(), model(sources, step)?.taken())));
        let prices = targets
            .filter_map(|t| Some((t.model_id.clone(), configuration.prices.of(&t.model_id)?)));
        let mut plan = Self {
            version: 1,
            run_id: request.run().run_id,
            tenant: request.tenant.clone(),
            workflow: request.workflow.clone(),
            template_sha256: configuration.template_sha256.clone(),
            policy_sha256: configuration.policy_sha256.clone(),
            prices_date: configuration.prices.date,
            inputs,
            tags: request.tags.clone(),
            result: configuration.template.result().unwrap_or_default().to_owned(),
            timeout: configuration.template.timeout,
            waves,
            takes: takes.collect(),
            prices: prices.collect(),
            routes,
            steps,
            worst_case: None,
        };
        let worst = plan.compute_worst_case();
        let unaffordable = worst.check_run(&configuration.policy);
        if !unaffordable.is_empty() {
            return Err(Refused { unaffordable, ..Refused::default() });
        }
        plan.worst_case = Some(worst);
        Ok(plan)
    }

    pub fn step(&self, id: &str) -> Option<&Step> {
        self.steps.iter().find(|step| step.id == id)
    }

    /// Returns what a target accepts for `step`, whose calls go by `route`.
    pub fn takes(&self, step: &Step, route: &Route, target: &Target) -> Option<&Takes> {
        let at = route.targets.iter().position(|listed| listed.target == *target)?;
        self.takes.get(&step.model)?.get(at)
    }

    /// Returns the cost of a call that started at `at` and used `usage`, or `None` if its price on that day is
    /// not known. What used nothing costs nothing.
    pub fn cost(&self, model_id: &str, at: OffsetDateTime, usage: &Usage) -> Option<Decimal> {
        self.cost_by(PriceRow::cost, model_id, at, usage)
    }

    /// The same for a record of a job that started at `at`.
    pub fn batch_cost(&self, model_id: &str, at: OffsetDateTime, usage: &Usage) -> Option<Decimal> {
        self.cost_by(PriceRow::batch_cost, model_id, at, usage)
    }

    fn cost_by(
        &self,
        cost: fn(&PriceRow, &Usage) -> Decimal,
        model_id: &str,
        at: OffsetDateTime,
        usage: &Usage,
    ) -> Option<Decimal> {
        if *usage == Usage::default() {
            return Some(Decimal::ZERO);
        }
        Some(cost(self.prices.get(model_id)?.at(at)?, usage))
    }

    /// The list that a step fans out over; `None`: it does not.
    pub fn items(&self, step: &Step) -> Option<&Vec<Value>> {
        items(step, &self.inputs)
    }
}

fn items<'a>(step: &Step, inputs: &'a Map<String, Value>) -> Option<&'a Vec<Value>> {
    static NONE: Vec<Value> = Vec::new();
    // An optional list that is not given has no items.
    step.list().map(|name| inputs.get(name).and_then(Value::as_array).unwrap_or(&NONE))
}

/// The inputs with their defaults, as far as they are right, and what is wrong with them.
fn checked_inputs(sources: &Sources<'_>) -> (Map<String, Value>, Problems) {
    let mut problems = Problems::default();
    let template = &sources.configuration.template;
    let (name, workflow) = (&template.name, &sources.request.workflow);
    let cause = format!("the template of {workflow} is named {name}");
    problems.check(name == workflow, "name", cause);
    match inputs::resolve(&template.inputs, &sources.request.inputs) {
        Ok(inputs) => (inputs, problems),
        Err(more) => {
            problems.extend(more);
            (sources.request.inputs.clone(), problems)
        }
    }
}

/// The template with the request's model in the place of every step's own.
pub fn with_model(template: &Template, model: Option<&str>) -> Template {
    let mut template = template.clone();
    if let Some(model) = model {
        template.steps.iter_mut().for_each(|step| step.model = model.to_owned());
    }
    template
}

/// Models that are not there, or do not take what a step asks for. The request's own is told once and
/// not for every step.
fn check_models(sources: &Sources<'_>, steps: &[Step]) -> Problems {
    let models = &sources.configuration.models;
    match &sources.request.model {
        Some(model) if !models.models.contains_key(model) => {
            Problems::one("model", models.unknown(model))
        }
        _ => models.check_steps(steps),
    }
}

/// A run has so many step executions at most, and the lists of its inputs decide how many it has.
fn check_executions(steps: &[Step], inputs: &Map<String, Value>) -> Problems {
    let mut problems = Problems::default();
    let counts = steps.iter().map(|step| items(step, inputs).map_or(1, Vec::len));
    let total: usize = counts.sum();
    let lists: BTreeSet<&str> = steps.iter().filter_map(Step::list).collect();
    for list in lists.into_iter().filter(|_| total > MAX_STEPS) {
        let items = inputs.get(list).and_then(Value::as_array).map_or(0, Vec::len);
        let cause = format!(
            "has {items} items, with which the run has {total} step executions; the most is {MAX_STEPS}"
        );
        problems.add(format!("inputs.{list}"), cause);
    }
    problems
}

/// A model all of whose targets are forbidden, a tag that is missing.
fn check_policy(sources: &Sources<'_>, steps: &[Step]) -> Problems {
    let policy = &sources.configuration.policy;
    let mut forbidden = Problems::default();
    for tag in policy.missing_tags(&sources.request.tags) {
        forbidden.add(format!("tags.{tag}"), "is required by policy");
    }
    for step in steps {
        let reasons = model(sources, step).and_then(|model| policy.forbids_all(model.targets()));
        if let Some(reasons) = reasons {
            let cause = format!("no target of {} is allowed ({reasons})", step.model);
            forbidden.add(format!("steps.{}.model", step.id), cause);
        }
    }
    forbidden
}

/// A plan that is made has a model for each step: `check_models`.
fn model<'a>(sources: &Sources<'a>, step: &Step) -> Option<&'a Model> {
    sources.configuration.models.models.get(&step.model)
}

/// A step that fans out is there once per item, and one over an empty list not at all.
fn waves(
    sources: &Sources<'_>,
    template: &Template,
    inputs: &Map<String, Value>,
) -> Result<Vec<Wave>, Problems> {
    let execution = |step: &Step, item| StepRef {
        step: step.id.clone(),
        item,
        route: routes::name(sources, step),
    };
    let executions = |step: &&Step| -> Vec<StepRef> {
        match items(step, inputs) {
            None => vec![execution(step, None)],
            Some(items) => (0..items.len() as u32).map(|n| execution(step, Some(n))).collect(),
        }
    };
    let waves = template.waves()?;
    let waves = waves.iter().map(|wave| Wave { steps: wave.iter().flat_map(executions).collect() });
    Ok(waves.filter(|wave| !wave.steps.is_empty()).collect())
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::document::{Document, from_yaml};
    use crate::policy::Policy;
    use crate::request::Request;
    use crate::routing::Routing;
    use serde_json::json;

    const MODELS: &str = include_str!("../../../infra/config/dev/models.yaml");
    const PRICES: &str = include_str!("../../../infra/config/dev/prices.yaml");
    const WORKFLOW: &str = include_str!("../../../infra/config/dev/workflows/code-review.yaml");

    pub fn plan(request: Value, policy: Policy) -> Result<Plan, Fault> {
        of(WORKFLOW, request, policy)
    }

    pub fn of(template: &str, request: Value, policy: Policy) -> Result<Plan, Fault> {
        retried(template, request, policy, Retries::default())
    }

    fn retried(
        template: &str,
        request: Value,
        policy: Policy,
        retries: Retries,
    ) -> Result<Plan, Fault> {
        fn read<T: Document>(yaml: &str) -> T {
            from_yaml(yaml).finished().unwrap()
        }
        let request = Request::parse(&request.to_string()).unwrap();
        let configuration = Configuration {
            template: read(template),
            template_sha256: "t".into(),
            models: read(MODELS),
            routing: Routing::default(),
            policy,
            policy_sha256: "p".into(),
            prices: read(PRICES),
        };
        let request = StoredRequest::new(request, "default", "m-1");
        let sources = Sources { request: &request, configuration: &configuration, retries };
        Plan::resolve(&sources).map_err(Fault::from)
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
            let mut targets = route.targets.iter().map(|listed| &listed.target);
            assert!(targets.all(|target| plan.prices.contains_key(&target.model_id)));
        }
        assert_eq!(plan.result, "verdict");
    }

    #[test]
    fn the_requests_model_takes_the_place_of_all() {
        let mut request = review();
        request["model"] = json!("opus");
        let listed = WORKFLOW.replace("timeout:", "request_models: [opus]\ntimeout:");
        let plan = of(&listed, request, Policy::default()).unwrap();
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

    const HUNT: &str = "version: 1\nname: hunt\ninputs:\n  files: { type: list }\nsteps:\n- { id: each, model: haiku, prompt: \"{{ item }}\", for_each: inputs.files }\n- { id: all, model: haiku, prompt: \"{{ steps.each }}\", needs: [each] }\n";

    fn hunt(files: usize) -> Result<Plan, Fault> {
        let files: Vec<usize> = (0..files).collect();
        of(HUNT, json!({ "workflow": "hunt", "inputs": { "files": files } }), Policy::default())
    }

    #[test]
    fn a_step_fans_out_over_its_list() {
        let plan = hunt(3).unwrap();
        let items: Vec<Option<u32>> = plan.waves[0].steps.iter().map(|step| step.item).collect();
        assert_eq!(items, [Some(0), Some(1), Some(2)]);
        assert_eq!((plan.waves.len(), plan.waves[1].steps[0].item), (2, None));
        assert_eq!(hunt(0).unwrap().waves.len(), 1, "an empty list leaves no wave behind");
        let absent = of(HUNT, json!({ "workflow": "hunt" }), Policy::default()).unwrap();
        assert_eq!(absent.items(&absent.steps[0]).map(Vec::len), Some(0));
    }

    #[test]
    fn the_items_count_as_step_executions() {
        assert_eq!(hunt(199).unwrap().routes["haiku"].rounds, crate::limits::rounds(200));
        let fault = hunt(200).unwrap_err();
        assert_eq!(
            fault.to_string(),
            "Bcce.InvalidRequest: inputs.files: has 200 items, with which the run has 201 step executions; the most is 200"
        );
    }

    #[test]
    fn what_is_wrong_and_what_is_forbidden_are_told_together() {
        let policy = Policy { required_tags: vec!["team".into()], ..Policy::default() };
        let request = json!({ "workflow": "code-review", "model": "gpt", "inputs": { "dif": "" } });
        let told = plan(request, policy).unwrap_err().to_string();
        for part in [
            "Bcce.InvalidRequest: inputs.dif: is not an input",
            "inputs.diff: is required",
            "model: there is no model gpt; there are: haiku, opus, sonnet",
            "tags.team: is required by policy",
        ] {
            assert!(told.contains(part), "{part} is missing in {told}");
        }
    }

    const QUICK: &str = "version: 1\nname: quick\nrouting: { strategy: cost, timeouts: { stall_s: 3 } }\nsteps:\n- { id: a, model: haiku, system: Be brief and to the point., cache: 1h, prompt: Say yes., max_tokens: 50 }\n- { id: b, model: haiku, prompt: \"{{ steps.a }}\", needs: [a], routing: { attempts: 2 } }\n";

    #[test]
    fn what_a_workflow_waits_is_its_own_and_what_is_held_against_a_target_is_not() {
        let plan = of(QUICK, json!({ "workflow": "quick" }), Policy::default()).unwrap();
        let route = &plan.routes["haiku@a"];
        assert_eq!((route.routing.timeouts.stall_s, route.patience().stall_s), (3, 30));
    }

    #[test]
    fn where_the_cost_decides_each_step_has_its_own_route_with_prices_and_what_it_will_use() {
        let plan = of(QUICK, json!({ "workflow": "quick" }), Policy::default()).unwrap();
        assert_eq!(plan.routes.keys().collect::<Vec<_>>(), ["haiku@a", "haiku@b"]);
        let expected = |name: &str| plan.routes[name].expected.clone().unwrap();
        let (a, b) = (expected("haiku@a"), expected("haiku@b"));
        assert_eq!((a.input_tokens, a.output_tokens), (2, 50), "8 bytes without the cached ones");
        assert_eq!(a.cached.unwrap().tokens, 6);
        assert_eq!(b.input_tokens, 3 + 50, "the answer of a, at most");
        assert!(plan.routes["haiku@a"].targets.iter().all(|target| target.prices.is_some()));
        let plain = plan_of_review();
        assert!(plain.routes["haiku"].targets.iter().all(|target| target.prices.is_none()));
    }

    fn plan_of_review() -> Plan {
        plan(review(), Policy::default()).unwrap()
    }

    #[test]
    fn the_operators_retries_take_the_place_of_the_documents_and_a_steps_own_stay() {
        let retries = Retries { attempts: Some(3), base_delay_ms: Some(50) };
        let request = json!({ "workflow": "quick" });
        let plan = retried(QUICK, request, Policy::default(), retries).unwrap();
        let routing = |name: &str| &plan.routes[name].routing;
        assert_eq!((routing("haiku@a").attempts, routing("haiku@b").attempts), (3, 2));
        assert_eq!(routing("haiku@a").backoff_base_ms, 50);
    }
}
