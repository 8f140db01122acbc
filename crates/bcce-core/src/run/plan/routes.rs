//! The routes of a plan: everything that the decisions of its steps depend on.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::base::target::Target;
use crate::config::configuration::Configuration;
use crate::config::models::{Model, RouteTarget};
use crate::config::profiles::Profile;
use crate::config::residency::regions_in_table;
use crate::config::routing::{Routing, Strategy};
use crate::config::template::Step;
use crate::failover::route::{Expected, Route};
use crate::run::history;
use crate::run::plan::{Sources, model, tokens};

/// Returns the name of a step's route. It is the model alias, or `<alias>@<step>` if the step has a route of its own. A
/// step has its own route if it changes the routing or if the strategy is `cost`.
pub(super) fn name(sources: &Sources<'_>, step: &Step) -> String {
    let changed = step.routing != Default::default();
    let by_cost = model(sources, step)
        .is_some_and(|model| routing(sources, step, model).strategy == Strategy::Cost);
    if changed || by_cost { format!("{}@{}", step.model, step.id) } else { step.model.clone() }
}

pub(super) fn of(
    sources: &Sources<'_>,
    steps: &[Step],
    inputs: &Map<String, Value>,
    executions: usize,
) -> BTreeMap<String, Route> {
    let route = |step: &Step, model: &Model| {
        let routing = routing(sources, step, model);
        let by_cost = routing.strategy == Strategy::Cost;
        let called = model.targets().map(|target| (&*target.region, &*target.model_id));
        Route {
            targets: targets(sources, model, by_cost),
            policy: sources.configuration.policy.of_targets(),
            // The state machine passes routes on, so they have no description that says the same as the table.
            profiles: sources.configuration.profiles.of(called).without(is_in_table),
            rounds: history::rounds(executions),
            patience: Some(platform(sources, model).timeouts),
            expected: by_cost.then(|| expected(sources, step, steps, inputs)),
            routing,
        }
    };
    let routes = steps
        .iter()
        .filter_map(|step| Some((name(sources, step), route(step, model(sources, step)?))));
    routes.collect()
}

/// Returns `true` if the built-in table has the regions of the profile.
fn is_in_table(profile: &Profile) -> bool {
    regions_in_table(&profile.id).is_some_and(|regions| profile.regions == regions)
}

/// Returns the routing that the platform team sets for a model, before the workflow and the step change it.
fn platform(sources: &Sources<'_>, model: &Model) -> Routing {
    sources.configuration.routing.retried(sources.retries).with(&model.routing)
}

fn routing(sources: &Sources<'_>, step: &Step, model: &Model) -> Routing {
    platform(sources, model).with(&sources.configuration.template.routing).with(&step.routing)
}

fn targets(sources: &Sources<'_>, model: &Model, priced: bool) -> Vec<RouteTarget> {
    let Configuration { prices, profiles, .. } = sources.configuration;
    let rows = |Target { region, model_id, .. }: &Target| {
        prices.of(profiles.resolve(region, model_id)).filter(|_| priced)
    };
    let targets = model.targets.iter().map(|listed| RouteTarget {
        target: listed.target.clone(),
        priority: listed.priority,
        weight: listed.weight,
        prices: rows(&listed.target),
        context_tokens: model.takes.with(&listed.takes).context_tokens,
    });
    targets.collect()
}

/// Estimates the usage of a call: the tokens of the templates, of the inputs that they name and of the answers that the
/// step needs, and the most output tokens. The cost of this usage is only compared between targets.
fn expected(
    sources: &Sources<'_>,
    step: &Step,
    steps: &[Step],
    inputs: &Map<String, Value>,
) -> Expected {
    let cached = tokens::cached(&sources.configuration.template_sha256, step, inputs);
    let templates = [Some(step.prompt.as_str()), step.system.as_deref()].into_iter().flatten();
    let needed = steps.iter().filter(|other| step.needs.contains(&other.id));
    let answers: u64 = needed.map(|step| u64::from(step.answer_tokens())).sum();
    let of_cached = cached.as_ref().map_or(0, |cached| cached.tokens);
    Expected {
        input_tokens: (tokens::of(templates, step, inputs) + answers).saturating_sub(of_cached),
        output_tokens: u64::from(step.answer_tokens()),
        cached,
    }
}
