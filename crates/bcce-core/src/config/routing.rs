//! The settings of the routing: those of the environment, and the overrides by a model, a workflow or a step.

use serde::{Deserialize, Serialize};

use crate::base::error::Problems;
use crate::base::limits::{MAX_CALLS, MAX_RUN_SECONDS};
use crate::config::breakers::BreakerSettings;
use crate::document::Document;

/// The document `routing.yaml`, in SSM `/bcce/<env>/routing`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Routing {
    pub version: u32,
    #[serde(default)]
    pub strategy: Strategy,
    /// The largest number of calls of a step, over all targets and rounds.
    #[serde(default = "Routing::default_attempts")]
    pub attempts: u32,
    /// The longest first wait after every target failed, in milliseconds. Each further wait may be three times as long.
    #[serde(default = "Routing::default_backoff_base_ms")]
    pub backoff_base_ms: u64,
    /// The longest backoff of any wait, in seconds.
    #[serde(default = "Routing::default_backoff_cap_s")]
    pub backoff_cap_s: u64,
    #[serde(default)]
    pub timeouts: Timeouts,
    #[serde(default)]
    pub breaker: BreakerSettings,
}

/// The settings of the routing that a model, a workflow or a step overrides.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoutingOverride {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strategy: Option<Strategy>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u32>,
    #[serde(default, skip_serializing_if = "TimeoutsOverride::is_empty")]
    pub timeouts: TimeoutsOverride,
}

/// The values of `BCCE_RETRY_ATTEMPTS` and `BCCE_RETRY_DELAY`. The document's value applies where one is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retries {
    /// Replaces [`Routing::attempts`].
    pub attempts: Option<u32>,
    /// Replaces [`Routing::backoff_base_ms`].
    pub base_delay_ms: Option<u64>,
}

/// The timeouts that are overridden. Each is optional; the others stay as they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TimeoutsOverride {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_token_s: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stall_s: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempt_s: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new_schema_s: Option<u64>,
}

impl TimeoutsOverride {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The order in which targets are tried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// The order of the configuration. It is the default, because each region has a prompt cache of its own.
    #[default]
    Priority,
    /// The target with the shortest median time to the first token over the last minutes comes first.
    Latency,
    /// Each target comes first in proportion to its weight.
    RoundRobin,
    /// The target with the lowest expected cost of the call comes first, including the cost of filling a cold prompt
    /// cache.
    Cost,
}

/// The time limits of a call, in seconds. All of them lie within the function's remaining time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Timeouts {
    /// The time until the first token. A token of reasoning counts as the first token.
    pub first_token_s: u64,
    /// The time between two tokens.
    pub stall_s: u64,
    /// The time of the whole call.
    pub attempt_s: u64,
    /// The time until the first token if the service may have to compile the step's schema first.
    pub new_schema_s: u64,
}

impl Default for Timeouts {
    /// Returns the default limits. A model starts to answer a long prompt within seconds, and 128k tokens of output
    /// take minutes.
    fn default() -> Self {
        Self { first_token_s: 30, stall_s: 30, attempt_s: 600, new_schema_s: 180 }
    }
}

impl Default for Routing {
    fn default() -> Self {
        Self {
            version: 1,
            strategy: Strategy::default(),
            attempts: Self::default_attempts(),
            backoff_base_ms: Self::default_backoff_base_ms(),
            backoff_cap_s: Self::default_backoff_cap_s(),
            timeouts: Timeouts::default(),
            breaker: BreakerSettings::default(),
        }
    }
}

impl Document for Routing {
    fn check(&self) -> Problems {
        let mut problems = Problems::default();
        problems.check(self.version == 1, "version", "must be 1");
        let cause = format!("must be 1 to {MAX_CALLS}");
        problems.check((1..=MAX_CALLS).contains(&self.attempts), "attempts", cause);
        problems.check(self.backoff_base_ms > 0, "backoff_base_ms", "must be above 0");
        let cause = format!("must be at most {MAX_RUN_SECONDS}, the longest run");
        problems.check(self.backoff_cap_s <= MAX_RUN_SECONDS, "backoff_cap_s", cause);
        problems.extend(self.timeouts.check("timeouts"));
        problems.extend(self.breaker.check("breaker"));
        problems
    }
}

impl Routing {
    fn default_attempts() -> u32 {
        8
    }
    fn default_backoff_base_ms() -> u64 {
        2_000
    }
    fn default_backoff_cap_s() -> u64 {
        60
    }

    /// Returns the settings with the values of the stack's parameters, which replace those of the document.
    pub fn retried(&self, retries: Retries) -> Self {
        Self {
            attempts: retries.attempts.unwrap_or(self.attempts),
            backoff_base_ms: retries.base_delay_ms.unwrap_or(self.backoff_base_ms),
            ..self.clone()
        }
    }

    /// Returns the settings with those of `change`.
    pub fn with(&self, change: &RoutingOverride) -> Self {
        Self {
            strategy: change.strategy.unwrap_or(self.strategy),
            attempts: change.attempts.unwrap_or(self.attempts),
            timeouts: self.timeouts.with(&change.timeouts),
            ..self.clone()
        }
    }
}

impl RoutingOverride {
    /// Checks that each setting is within its limits. The problems are below `field`.
    pub fn check(&self, field: &str) -> Problems {
        let mut problems = Problems::default();
        let is_right = self.attempts.is_none_or(|attempts| (1..=MAX_CALLS).contains(&attempts));
        let cause = format!("must be 1 to {MAX_CALLS}");
        problems.check(is_right, format!("{field}.attempts"), cause);
        // The defaults are valid, so they stand in for the timeouts that are not overridden.
        let timeouts = Timeouts::default().with(&self.timeouts);
        problems.extend(timeouts.check(&format!("{field}.timeouts")));
        problems
    }
}

impl Timeouts {
    fn with(self, change: &TimeoutsOverride) -> Self {
        Self {
            first_token_s: change.first_token_s.unwrap_or(self.first_token_s),
            stall_s: change.stall_s.unwrap_or(self.stall_s),
            attempt_s: change.attempt_s.unwrap_or(self.attempt_s),
            new_schema_s: change.new_schema_s.unwrap_or(self.new_schema_s),
        }
    }

    fn check(&self, field: &str) -> Problems {
        let mut problems = Problems::default();
        let all = [
            ("first_token_s", self.first_token_s),
            ("stall_s", self.stall_s),
            ("attempt_s", self.attempt_s),
            ("new_schema_s", self.new_schema_s),
        ];
        for (name, seconds) in all {
            problems.check(seconds > 0, format!("{field}.{name}"), "must be above 0");
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_override_changes_what_it_names_and_nothing_else() {
        let change: RoutingOverride = serde_saphyr::from_str("timeouts: { stall_s: 60 }").unwrap();
        let timeouts =
            Timeouts { first_token_s: 120, stall_s: 5, attempt_s: 300, ..Timeouts::default() };
        let changed = Routing { timeouts, ..Routing::default() }.with(&change);
        assert_eq!(changed.timeouts, Timeouts { stall_s: 60, ..timeouts });
        assert_eq!(changed.attempts, Routing::default().attempts);
    }

    #[test]
    fn a_wait_longer_than_any_run_is_reported() {
        let routing = Routing { backoff_cap_s: u64::MAX, ..Routing::default() };
        assert_eq!(
            routing.check().to_string(),
            "backoff_cap_s: must be at most 86400, the longest run"
        );
    }

    #[test]
    fn a_limit_of_zero_is_reported() {
        let change: RoutingOverride = serde_saphyr::from_str("timeouts: { stall_s: 0 }").unwrap();
        assert_eq!(
            change.check("steps.a.routing").to_string(),
            "steps.a.routing.timeouts.stall_s: must be above 0"
        );
    }
}
