//! A step's routing, as the plan stores it.

use serde::{Deserialize, Serialize};

use crate::base::target::Target;
use crate::call::attempt::{Attempt, Cause};
use crate::config::cache::CacheTtl;
use crate::config::models::RouteTarget;
use crate::config::models::guardrails::is_same;
use crate::config::policy::Policy;
use crate::config::profiles::Profiles;
use crate::config::routing::{Routing, Timeouts};

/// All parts of the plan that the decisions of a step depend on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Route {
    pub targets: Vec<RouteTarget>,
    pub policy: Policy,
    /// The inference profiles of the targets, as far as they are known.
    #[serde(default, skip_serializing_if = "Profiles::is_empty")]
    pub profiles: Profiles,
    pub routing: Routing,
    /// The largest number of decisions that name targets. The largest number of decisions to wait is one less. The
    /// execution's history has no room for more.
    pub rounds: u32,
    /// The timeouts of `routing.yaml` and of the model in `models.yaml`, without the overrides of workflow and step.
    /// `None` in a plan of an earlier version, which did not have this field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patience: Option<Timeouts>,
    /// The expected usage of a call. `None` if the strategy does not need it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<Expected>,
}

impl Route {
    /// Returns `true` if the policy allows `target`.
    pub fn allows(&self, target: &Target) -> bool {
        self.policy.allows(target, &self.profiles)
    }

    /// Returns the reason why the policy forbids `target`, or `None` if it allows it.
    pub fn forbids(&self, target: &Target) -> Option<String> {
        self.policy.forbids(target, &self.profiles)
    }

    /// Returns `true` if the guardrail of `target` differs from that of the first target. The check of `models.yaml`
    /// refuses such a list of targets; this check also covers a plan that was stored without it.
    pub fn leaves_guardrail(&self, target: &Target) -> bool {
        let first = self.targets.first().map(|listed| &listed.target);
        first.is_some_and(|first| !is_same(first.guardrail.as_ref(), target.guardrail.as_ref()))
    }

    /// Returns `true` if the router could choose `target`: it is listed, the policy allows it, and it has the guardrail
    /// of the first target.
    pub fn could_choose(&self, target: &Target) -> bool {
        let is_listed = self.targets.iter().any(|listed| listed.target == *target);
        is_listed && self.allows(target) && !self.leaves_guardrail(target)
    }

    /// Returns the shortest limits at which a timeout counts as evidence about a target. A timeout at a shorter limit,
    /// such as that of a step, does not count.
    pub fn patience(&self) -> Timeouts {
        self.patience.unwrap_or(self.routing.timeouts)
    }

    fn context(&self, target: &Target) -> u64 {
        let listed = self.targets.iter().find(|listed| listed.target == *target);
        listed.map_or(0, |listed| listed.context_tokens)
    }

    /// Returns `true` if the prompt was too long for a target of `attempts` whose context is at least as large as that
    /// of `target`.
    pub fn is_too_small(&self, target: &Target, attempts: &[Attempt]) -> bool {
        let too_long = |a: &&Attempt| a.cause == Some(Cause::ContextTooLong);
        let mut refused = attempts.iter().filter(too_long);
        refused.any(|attempt| self.context(target) <= self.context(&attempt.target))
    }

    /// Returns `true` if there is an allowed target with a larger context than `target`.
    pub fn has_larger(&self, target: &Target) -> bool {
        let least = self.context(target);
        self.targets
            .iter()
            .any(|listed| listed.context_tokens > least && self.allows(&listed.target))
    }
}

/// The expected usage of a call, in tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expected {
    /// The input tokens without those of the cached part.
    pub input_tokens: u64,
    pub output_tokens: u64,
    /// The part of the prompt that the step wants cached, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached: Option<Cached>,
}

/// The prefix of a prompt that its step wants cached, as far as its text is known before the run: it reads only inputs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cached {
    /// The key under which the ledger records where the prefix is cached. It covers the templates and the inputs of the
    /// prefix.
    pub key: String,
    pub tokens: u64,
    /// The lifetime of the cache entry.
    pub lasts: CacheTtl,
}
