//! What a platform team, a workflow or a step sets of the routing.

use serde::{Deserialize, Serialize};

use crate::base::error::Problems;
use crate::base::limits::{MAX_CALLS, MAX_RUN_SECONDS};
use crate::config::breakers::BreakerSettings;
use crate::document::Document;

/// `/bcce/<env>/routing`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Routing {
    pub version: u32,
    #[serde(default)]
    pub strategy: Strategy,
    /// Calls per step in all, over every target and round.
    #[serde(default = "Routing::default_attempts")]
    pub attempts: u32,
    /// First wait after every target failed, in milliseconds, at most; each further one may be three times as long.
    #[serde(default = "Routing::default_backoff_base_ms")]
    pub backoff_base_ms: u64,
    /// Longest wait, in seconds.
    #[serde(default = "Routing::default_backoff_cap_s")]
    pub backoff_cap_s: u64,
    #[serde(default)]
    pub timeouts: Timeouts,
    #[serde(default)]
    pub breaker: BreakerSettings,
}

/// What a workflow or a step changes of the routing.
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

/// What `BCCE_RETRY_ATTEMPTS` and `BCCE_RETRY_DELAY` set; `None`: the document's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retries {
    /// Calls per step in all.
    pub attempts: Option<u32>,
    /// First wait after every target failed, in milliseconds.
    pub base_delay_ms: Option<u64>,
}

/// Each limit on its own: what is not named stays as it is.
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

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// The order of the configuration: the prompt cache is per region.
    #[default]
    Priority,
    /// The least median time to the first token over the last minutes.
    Latency,
    /// In turn, in proportion to the weights.
    RoundRobin,
    /// The least expected cost of the call, with what a cold prompt cache costs.
    Cost,
}

/// How long a call may be silent, in seconds. All lie inside the function's remaining time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Timeouts {
    /// Until the first token, reasoning included.
    pub first_token_s: u64,
    /// Between two tokens.
    pub stall_s: u64,
    /// The whole call.
    pub attempt_s: u64,
    /// Until the first token where the service may have to compile the step's schema first.
    pub new_schema_s: u64,
}

impl Default for Timeouts {
    /// A model with a long prompt starts within seconds; 128k tokens of output take minutes.
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

    /// What the stack's operator sets takes the place of what the document says.
    pub fn retried(&self, retries: Retries) -> Self {
        Self {
            attempts: retries.attempts.unwrap_or(self.attempts),
            backoff_base_ms: retries.base_delay_ms.unwrap_or(self.backoff_base_ms),
            ..self.clone()
        }
    }

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
    pub fn check(&self, field: &str) -> Problems {
        let mut problems = Problems::default();
        let is_right = self.attempts.is_none_or(|attempts| (1..=MAX_CALLS).contains(&attempts));
        let cause = format!("must be 1 to {MAX_CALLS}");
        problems.check(is_right, format!("{field}.attempts"), cause);
        // What is not named passes as the default, which is right.
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
