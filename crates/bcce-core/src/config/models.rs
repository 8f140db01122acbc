//! Model aliases: the ordered targets behind a name, and what the model takes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::base::error::Problems;
use crate::base::limits::MAX_TARGETS;
use crate::base::target::{Guardrail, Target};
use crate::config::residency::not_callable_from;
use crate::config::routing::RoutingOverride;
use crate::config::template::Step;
use crate::document::Document;

pub use route_target::RouteTarget;
pub use takes::{EFFORTS, Takes, TakesOverride, Thinks};

pub mod guardrails; // what stands before a model
mod route_target; // a target with its place in the order
pub(crate) mod takes; // what a target accepts

/// `/bcce/<env>/models`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Models {
    pub version: u32,
    pub models: BTreeMap<String, Model>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// Settings that its targets accept, unless they say otherwise themselves.
    pub takes: Takes,
    /// What this model needs of the routing; workflow and step may change it again.
    #[serde(default)]
    pub routing: RoutingOverride,
    pub targets: Vec<ModelTarget>,
}

/// A target as a model lists it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "Written", into = "Written")]
pub struct ModelTarget {
    pub target: Target,
    /// Lower comes first under the strategy `priority`; by default its place in the list, from 0. Equal ones
    /// share the load.
    pub priority: Option<u32>,
    /// Share of the load among equals.
    pub weight: u32,
    /// Settings in which this target differs from the model's other targets: an alias may mix generations.
    pub takes: TakesOverride,
}

/// A `ModelTarget` on one level.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    account: Option<String>,
    region: String,
    model_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    guardrail: Option<Guardrail>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    priority: Option<u32>,
    #[serde(default = "RouteTarget::default_weight")]
    weight: u32,
    #[serde(default, skip_serializing_if = "TakesOverride::is_empty")]
    takes: TakesOverride,
}

impl From<Written> for ModelTarget {
    fn from(written: Written) -> Self {
        let Written { account, region, model_id, guardrail, priority, weight, takes } = written;
        Self { target: Target { account, region, model_id, guardrail }, priority, weight, takes }
    }
}

impl From<ModelTarget> for Written {
    fn from(listed: ModelTarget) -> Self {
        let ModelTarget { target, priority, weight, takes } = listed;
        let Target { account, region, model_id, guardrail } = target;
        Self { account, region, model_id, guardrail, priority, weight, takes }
    }
}

impl Document for Models {
    fn check(&self) -> Problems {
        let mut problems = Problems::default();
        problems.check(self.version == 1, "version", "must be 1");
        problems.check(!self.models.is_empty(), "models", "names no model");
        for (alias, model) in &self.models {
            let field = format!("models.{alias}.targets");
            problems.check(!model.targets.is_empty(), &field, "needs at least one target");
            let cause = format!("must be at most {MAX_TARGETS}, there are {}", model.targets.len());
            problems.check(model.targets.len() <= MAX_TARGETS, &field, cause);
            problems.extend(model.routing.check(&format!("models.{alias}.routing")));
            problems.extend(model.takes.check(&format!("models.{alias}.takes")));
            problems.extend(model.check_guardrails(&field));
            for (n, listed) in model.targets.iter().enumerate() {
                let target = &listed.target;
                let cause = "must be above 0; a target without a share is one to leave out";
                problems.check(listed.weight > 0, format!("{field}[{n}].weight"), cause);
                let cause = "calls through another account's role are not made yet";
                problems.check(target.account.is_none(), format!("{field}[{n}].account"), cause);
                let twice = model.targets[..n].iter().any(|other| other.target == *target);
                problems.check(!twice, format!("{field}[{n}]"), "is listed before");
                if !listed.takes.is_empty() {
                    let takes = model.takes.with(&listed.takes);
                    problems.extend(takes.check(&format!("{field}[{n}].takes")));
                }
                if let Some(sources) = not_callable_from(&target.region, &target.model_id) {
                    let cause = format!(
                        "{} is not callable from {}, only from {}",
                        target.model_id,
                        target.region,
                        sources.join(", ")
                    );
                    problems.add(format!("{field}[{n}]"), cause);
                }
            }
        }
        problems.extend(self.check_guardrail_names());
        problems
    }
}

/// Names of models that a message has room for.
const NAMED_MODELS: usize = 12;

impl Model {
    pub fn targets(&self) -> impl Iterator<Item = &Target> + Clone {
        self.targets.iter().map(|listed| &listed.target)
    }

    /// Returns what each target accepts, in the order of the targets.
    pub fn taken(&self) -> Vec<Takes> {
        self.targets.iter().map(|listed| self.takes.with(&listed.takes)).collect()
    }
}

impl Models {
    /// Steps whose model is not there, or none of whose targets takes what they ask for.
    pub fn check_steps<'a>(&self, steps: impl IntoIterator<Item = &'a Step>) -> Problems {
        let mut problems = Problems::default();
        for step in steps {
            match self.models.get(&step.model) {
                Some(model) => {
                    let taken = model.taken();
                    problems.extend(takes::check_step(&step.model, taken.iter(), step));
                }
                None => {
                    problems.add(format!("steps.{}.model", step.id), self.unknown(&step.model));
                }
            }
        }
        problems
    }

    pub fn unknown(&self, model: &str) -> String {
        let known: Vec<&str> = self.models.keys().map(String::as_str).collect();
        let shown = known.len().min(NAMED_MODELS);
        let more = match known.len() - shown {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        format!("there is no model {model}; there are: {}{more}", known[..shown].join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_in_a_region_that_cannot_call_it_is_reported() {
        let yaml = "version: 1\nmodels:\n  m:\n    takes: { max_output_tokens: 1 }\n    targets:\n    - { region: eu-west-1, model_id: us.anthropic.c }\n";
        let models: Models = serde_saphyr::from_str(yaml).unwrap();
        assert!(
            models
                .check()
                .to_string()
                .contains("models.m.targets[0]: us.anthropic.c is not callable from eu-west-1")
        );
    }
}
