//! Model aliases: the ordered targets of a name, and the settings that its model accepts.

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

pub mod guardrails; // the guardrails of targets and their comparison
pub mod prefixes; // cached prefixes that are too short
mod route_target; // a target with its place in the order
pub(crate) mod takes; // the settings that a target accepts

/// The document `models.yaml`, in SSM `/bcce/<env>/models`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Models {
    pub version: u32,
    /// The models by their alias.
    pub models: BTreeMap<String, Model>,
}

/// The model of an alias.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// The settings that its targets accept. A target may override them.
    pub takes: Takes,
    /// The settings of the routing for this model. A workflow or a step may override them.
    #[serde(default)]
    pub routing: RoutingOverride,
    /// The targets. The strategy `priority` tries them in this order unless they have priorities of their own.
    pub targets: Vec<ModelTarget>,
}

/// A target in the list of a model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "Written", into = "Written")]
pub struct ModelTarget {
    pub target: Target,
    /// The priority under the strategy `priority`; the lowest comes first. The default is the place in the list, from
    /// 0. Targets of the same priority share the load.
    pub priority: Option<u32>,
    /// The share of the load among targets of the same rank.
    pub weight: u32,
    /// The settings in which this target differs from those of the model. An alias may mix generations of a model.
    pub takes: TakesOverride,
}

/// A [`ModelTarget`] as it is written, with all fields on one level.
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
                let cause = "must be above 0; to send no calls to a target, remove it";
                problems.check(listed.weight > 0, format!("{field}[{n}].weight"), cause);
                let cause = "is not supported yet: no calls are made under another account's role";
                problems.check(target.account.is_none(), format!("{field}[{n}].account"), cause);
                let twice = model.targets[..n].iter().any(|other| other.target == *target);
                problems.check(!twice, format!("{field}[{n}]"), "is listed twice");
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

/// The largest number of model aliases in a message.
const NAMED_MODELS: usize = 12;

impl Model {
    /// Returns the targets in order.
    pub fn targets(&self) -> impl Iterator<Item = &Target> + Clone {
        self.targets.iter().map(|listed| &listed.target)
    }

    /// Returns the settings that each target accepts, in the order of the targets.
    pub fn taken(&self) -> Vec<Takes> {
        self.targets.iter().map(|listed| self.takes.with(&listed.takes)).collect()
    }
}

impl Models {
    /// Returns a problem for each step whose model does not exist, and for each setting of a step that no target of its
    /// model accepts.
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

    /// Returns the message for an alias that does not exist.
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
