//! The plan: the resolved request, stored before the first call. It records everything that the run will do, and it
//! does not change.

#[cfg(test)]
mod admission_tests;
pub mod estimate; // an estimate of the usage and cost of a run
mod routes; // the routes of the steps
#[cfg(test)]
pub mod tests;
pub mod tokens; // an estimate of the tokens of a prompt
pub mod worst; // the worst case of a run

use std::collections::{BTreeMap, BTreeSet};

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use time::{Date, OffsetDateTime};

use self::worst::WorstCase;
use crate::base::error::{ErrorName, Fault, Problems};
use crate::base::limits::MAX_STEPS;
use crate::base::target::Target;
use crate::base::usage::Usage;
use crate::config::admission::Sender;
use crate::config::budgets::{
    AppliedBudgets, Budgets, Payer, Scope, Unit, WithoutBudget, WithoutPrice,
};
use crate::config::configuration::Configuration;
use crate::config::models::{Model, Takes};
use crate::config::pricing::{PriceRow, PriceRows, Tier};
use crate::config::routing::Retries;
use crate::config::template::{Step, Template};
use crate::document::inputs;
use crate::failover::route::Route;
use crate::run::ids::StepRef;
use crate::run::request::StoredRequest;

/// The plan of a run, stored as `plan.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    pub version: u32,
    pub run_id: String,
    pub tenant: String,
    pub workflow: String,
    /// The digest of the workflow document.
    pub template_sha256: String,
    /// The digest of the policy document.
    pub policy_sha256: String,
    /// The date on which the prices were checked.
    pub prices_date: Date,
    /// The inputs, with defaults filled in.
    pub inputs: Map<String, Value>,
    pub tags: BTreeMap<String, String>,
    /// The tags that split the run's costs, with values that the policy lists or `other`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub cost_tags: BTreeMap<String, String>,
    /// The id of the step whose output is the run's answer.
    pub result: String,
    /// The longest time that an execution of this plan may take, in seconds.
    pub timeout: u64,
    pub steps: Vec<Step>,
    pub waves: Vec<Wave>,
    /// The routes of the steps, by name. The name is the model alias, or `<alias>@<step>` if a step has a route of its
    /// own.
    pub routes: BTreeMap<String, Route>,
    /// The settings that the targets of each model support, by model alias, in the order of the route's targets.
    pub takes: BTreeMap<String, Vec<Takes>>,
    /// The prices of each target's model, by model id, with the factor of its profile included. A model that is not in
    /// the price file is missing. All rows are kept, because a run may make calls on another day than the one it was
    /// planned on.
    pub prices: BTreeMap<String, PriceRows>,
    /// The budgets that pay the calls, which may be none. `None` if the environment has no budgets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budgets: Option<AppliedBudgets>,
    /// The worst case of the run. `None` in a plan of an earlier version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worst_case: Option<WorstCase>,
}

/// The step executions that run in parallel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Wave {
    pub steps: Vec<StepRef>,
}

/// The inputs of a plan.
#[derive(Clone, Copy, Debug)]
pub struct Sources<'a> {
    pub request: &'a StoredRequest,
    pub configuration: &'a Configuration,
    pub retries: Retries,
}

/// All reasons why a request was refused.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refused {
    /// The fields of the request or of the configuration that are wrong.
    pub wrong: Problems,
    /// The parts of the request that policy forbids.
    pub forbidden: Problems,
    /// The limits that the worst case exceeds.
    pub unaffordable: Problems,
}

impl From<Problems> for Refused {
    fn from(wrong: Problems) -> Self {
        Self { wrong, ..Self::default() }
    }
}

/// Converts the reasons to one fault: `Bcce.InvalidRequest` if anything is wrong, else `Bcce.PolicyViolation` if
/// anything is forbidden, else `Bcce.BudgetExceeded`. The message lists all reasons.
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
    /// Resolves a request into a plan.
    ///
    /// # Errors
    /// Returns everything that is wrong and everything that policy forbids. If there is neither, returns the limits
    /// that the worst case exceeds.
    pub fn resolve(sources: &Sources<'_>) -> Result<Self, Refused> {
        let request = sources.request;
        let configuration = sources.configuration;
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
        let listed = routes.values().flat_map(|route: &Route| &route.targets);
        let targets = listed.map(|listed| &listed.target);
        let takes = steps
            .iter()
            .filter_map(|step| Some((step.model.clone(), model(sources, step)?.taken())));
        let priced = |target: &Target| {
            let Target { region, model_id, .. } = target;
            let rows = configuration.prices.of(configuration.profiles.resolve(region, model_id))?;
            Some((model_id.clone(), rows))
        };
        let prices = targets.filter_map(priced);
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
            cost_tags: configuration.policy.cost_tags_of(&request.tags),
            result: configuration.template.result().unwrap_or_default().to_owned(),
            timeout: configuration.template.timeout,
            waves,
            takes: takes.collect(),
            prices: prices.collect(),
            routes,
            steps,
            budgets: None,
            worst_case: None,
        };
        let worst = plan.compute_worst_case();
        let mut unaffordable = worst.check_run(&configuration.limits(&Scope::Run));
        plan.budgets = budgets(configuration, &plan);
        unaffordable.extend(check_budgets(plan.budgets.as_ref(), &configuration.budgets, &worst));
        if !unaffordable.is_empty() {
            return Err(Refused { unaffordable, ..Refused::default() });
        }
        plan.worst_case = Some(worst);
        Ok(plan)
    }

    /// Returns the step with this id.
    pub fn step(&self, id: &str) -> Option<&Step> {
        self.steps.iter().find(|step| step.id == id)
    }

    /// Returns the settings that `target` supports for `step`, whose route is `route`.
    pub fn takes(&self, step: &Step, route: &Route, target: &Target) -> Option<&Takes> {
        let at = route.targets.iter().position(|listed| listed.target == *target)?;
        self.takes.get(&step.model)?.get(at)
    }

    /// Returns the cost of a call that started at `at`, that `tier` served and that used `usage`, in USD. Returns
    /// `None` if the price on that day, or of that tier, is unknown. The cost of no usage is zero.
    pub fn cost(
        &self,
        model_id: &str,
        at: OffsetDateTime,
        tier: Tier<'_>,
        usage: &Usage,
    ) -> Option<Decimal> {
        if *usage == Usage::default() {
            return Some(Decimal::ZERO);
        }
        self.price(model_id, at)?.cost_in(tier, usage)
    }

    /// Returns the price of a model at `at`. Returns `None` if it is unknown.
    pub fn price(&self, model_id: &str, at: OffsetDateTime) -> Option<&PriceRow> {
        self.prices.get(model_id)?.at(at)
    }

    /// Returns the model behind the ARN of an application inference profile. Returns `None` for every other id.
    pub fn profile_model(&self, region: &str, model_id: &str) -> Option<&str> {
        self.routes.values().find_map(|route| route.profiles.model(region, model_id))
    }

    /// Returns the list that a step fans out over, or `None` if it does not fan out.
    pub fn items(&self, step: &Step) -> Option<&Vec<Value>> {
        items(step, &self.inputs)
    }
}

fn items<'a>(step: &Step, inputs: &'a Map<String, Value>) -> Option<&'a Vec<Value>> {
    static NONE: Vec<Value> = Vec::new();
    // An optional list that is not given has no items.
    step.list().map(|name| inputs.get(name).and_then(Value::as_array).unwrap_or(&NONE))
}

/// Returns the inputs with defaults filled in, and the problems. If an input is wrong, the inputs are returned as they
/// were sent.
fn checked_inputs(sources: &Sources<'_>) -> (Map<String, Value>, Problems) {
    let mut problems = Problems::default();
    let template = &sources.configuration.template;
    let name = &template.name;
    let workflow = &sources.request.workflow;
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

impl Plan {
    /// Returns true if the environment has budgets and none of them pays the calls.
    pub fn is_without_budget(&self) -> bool {
        self.budgets.as_ref().is_some_and(|budgets| budgets.applied.is_empty())
    }
}

/// Returns the budgets that pay the calls of a plan. Returns `None` if the environment has no budgets.
fn budgets(configuration: &Configuration, plan: &Plan) -> Option<AppliedBudgets> {
    let budgets = &configuration.budgets;
    let Plan { tenant, workflow, cost_tags, .. } = plan;
    let applied = || budgets.applied(&Payer { tenant, workflow, cost_tags });
    (budgets.revision > 0).then(|| AppliedBudgets {
        revision: budgets.revision,
        allow_unpriced: budgets.without_price == WithoutPrice::Allow,
        applied: applied(),
    })
}

/// Reports a run that no budget pays, if it needs one, and models without a price, if a budget needs it.
fn check_budgets(
    applied: Option<&AppliedBudgets>,
    budgets: &Budgets,
    worst: &WorstCase,
) -> Problems {
    let mut problems = Problems::default();
    let applied = applied.map(|budgets| budgets.applied.as_slice()).unwrap_or_default();
    let is_paid = budgets.without_budget == WithoutBudget::Allow || !applied.is_empty();
    let cause = "none with a window applies to this run, and budgets.yaml refuses runs without one (`without_budget`)";
    problems.check(is_paid, "budgets", cause);
    let in_usd = applied.iter().find(|budget| budget.unit == Unit::Usd);
    if let (Some(budget), Some(model), WithoutPrice::Refuse) =
        (in_usd, worst.unpriced.first(), budgets.without_price)
    {
        let cause = format!(
            "prices.yaml has no price for {model}, and this budget needs one; add the price, or set `without_price: allow` \
             in budgets.yaml"
        );
        problems.add(format!("budgets.{}", budget.name), cause);
    }
    problems
}

/// Returns the template with every step's model replaced by `model`, if there is one.
pub fn with_model(template: &Template, model: Option<&str>) -> Template {
    let mut template = template.clone();
    if let Some(model) = model {
        template.steps.iter_mut().for_each(|step| step.model = model.to_owned());
    }
    template
}

/// Reports models that do not exist or do not support a setting of a step. An unknown model of the request is reported
/// once instead of once per step.
fn check_models(sources: &Sources<'_>, steps: &[Step]) -> Problems {
    let models = &sources.configuration.models;
    match &sources.request.model {
        Some(model) if !models.models.contains_key(model) => {
            Problems::one("model", models.unknown(model))
        }
        _ => models.check_steps(steps),
    }
}

/// Checks that the run has no more than [`MAX_STEPS`] step executions. The lists among the inputs decide the number.
fn check_executions(steps: &[Step], inputs: &Map<String, Value>) -> Problems {
    let mut problems = Problems::default();
    let counts = steps.iter().map(|step| items(step, inputs).map_or(1, Vec::len));
    let total: usize = counts.sum();
    let lists: BTreeSet<&str> = steps.iter().filter_map(Step::list).collect();
    for list in lists.into_iter().filter(|_| total > MAX_STEPS) {
        let items = inputs.get(list).and_then(Value::as_array).map_or(0, Vec::len);
        let cause = format!(
            "has {items} items, which makes {total} step executions in the run (limit: {MAX_STEPS})"
        );
        problems.add(format!("inputs.{list}"), cause);
    }
    problems
}

/// Reports models without an allowed target, and required tags that are missing.
fn check_policy(sources: &Sources<'_>, steps: &[Step]) -> Problems {
    let policy = &sources.configuration.policy;
    let mut forbidden = Problems::default();
    for tag in policy.missing_tags(&sources.request.tags) {
        forbidden.add(format!("tags.{tag}"), "is required by policy");
    }
    for step in steps {
        let reasons = model(sources, step)
            .and_then(|model| policy.forbids_all(model.targets(), &sources.configuration.profiles));
        if let Some(reasons) = reasons {
            let cause = format!("no target of {} is allowed ({reasons})", step.model);
            forbidden.add(format!("steps.{}.model", step.id), cause);
        }
    }
    forbidden
}

/// Returns the model of a step. It exists for every step that `check_models` has passed.
fn model<'a>(sources: &Sources<'a>, step: &Step) -> Option<&'a Model> {
    sources.configuration.models.models.get(&step.model)
}

/// Lays out the step executions in waves. A step that fans out has one execution per item, and none if its list is
/// empty.
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
    let wave = |steps: &Vec<&Step>| Wave { steps: steps.iter().flat_map(executions).collect() };
    let waves = template.waves()?;
    Ok(waves.iter().map(wave).filter(|wave| !wave.steps.is_empty()).collect())
}
