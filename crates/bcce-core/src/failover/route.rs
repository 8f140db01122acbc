//! A step's routing, frozen by the plan.

use serde::{Deserialize, Serialize};

use crate::base::target::Target;
use crate::call::attempt::{Attempt, Cause};
use crate::config::models::RouteTarget;
use crate::config::models::guardrails::is_same;
use crate::config::policy::Policy;
use crate::config::routing::{Routing, Timeouts};
use crate::config::template::CacheTtl;

/// Everything in the plan that a step's decisions depend on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Route {
    pub targets: Vec<RouteTarget>,
    pub policy: Policy,
    pub routing: Routing,
    /// The most decisions that name targets; decisions to wait are one fewer. The execution's history has no room for
    /// more.
    pub rounds: u32,
    /// The limits of the platform team. `None` in a plan of an earlier version, which had none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patience: Option<Timeouts>,
    /// What a call is expected to use, where the strategy asks for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<Expected>,
}

impl Route {
    /// Returns whether a call that moves to `target` leaves the guardrail of the first target. The check of the models
    /// refuses such a list; this holds whatever a plan has.
    pub fn leaves_guardrail(&self, target: &Target) -> bool {
        let first = self.targets.first().map(|listed| &listed.target);
        first.is_some_and(|first| !is_same(first.guardrail.as_ref(), target.guardrail.as_ref()))
    }

    /// Returns how long a caller waits at least before it learns something about a target.
    pub fn patience(&self) -> Timeouts {
        self.patience.unwrap_or(self.routing.timeouts)
    }

    fn context(&self, target: &Target) -> u64 {
        let listed = self.targets.iter().find(|listed| listed.target == *target);
        listed.map_or(0, |listed| listed.context_tokens)
    }

    /// Returns whether a prompt that was too long for one of `attempts` is too long for `target`.
    pub fn is_too_small(&self, target: &Target, attempts: &[Attempt]) -> bool {
        let too_long = |a: &&Attempt| a.cause == Some(Cause::ContextTooLong);
        let mut refused = attempts.iter().filter(too_long);
        refused.any(|attempt| self.context(target) <= self.context(&attempt.target))
    }

    /// Returns whether there is an allowed target for a prompt that is too long for `target`.
    pub fn has_larger(&self, target: &Target) -> bool {
        let least = self.context(target);
        self.targets
            .iter()
            .any(|listed| listed.context_tokens > least && self.policy.allows(&listed.target))
    }
}

/// What a call is expected to use, in tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expected {
    /// Without those that may come from a cache.
    pub input_tokens: u64,
    pub output_tokens: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached: Option<Cached>,
}

/// The part of a prompt that its step wants cached. It is taken to be the same for every run of the workflow: if
/// `system` names inputs, a cache that holds another prompt may count as warm.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cached {
    /// The key under which the ledger records where the prompt is cached.
    pub key: String,
    pub tokens: u64,
    pub lasts: CacheTtl,
}
