//! The settings of breakers.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::base::error::Problems;

/// The settings in `breaker` of the routing document. An environment has one set, because all its workflows share the
/// breakers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BreakerSettings {
    /// The number of failures, less answers, that opens a breaker. Each failure is from another step.
    pub failures: u32,
    /// The time for which a failure counts if no other failure follows, in seconds.
    pub window_s: u64,
    /// The time for which a breaker stays open before its target is probed, in seconds. It doubles each time the probe
    /// fails.
    pub cool_down_s: u64,
    /// The longest cool-down, in seconds.
    pub max_cool_down_s: u64,
    /// The time for which a breaker stays open after its target rejected a call, in seconds.
    pub set_aside_s: u64,
}

impl Default for BreakerSettings {
    fn default() -> Self {
        Self { failures: 5, window_s: 120, cool_down_s: 5, max_cool_down_s: 20, set_aside_s: 300 }
    }
}

impl BreakerSettings {
    /// Checks that each setting is within its limits. The problems are below `field`.
    pub fn check(&self, field: &str) -> Problems {
        let mut problems = Problems::default();
        let longest = 86_400;
        let all = [
            ("failures", u64::from(self.failures)),
            ("window_s", self.window_s),
            ("cool_down_s", self.cool_down_s),
            ("max_cool_down_s", self.max_cool_down_s),
            ("set_aside_s", self.set_aside_s),
        ];
        for (name, value) in all {
            let field = format!("{field}.{name}");
            let cause = format!("must be 1 to {longest}");
            problems.check((1..=longest).contains(&value), field, cause);
        }
        let cause = "must not be below cool_down_s";
        let field = format!("{field}.max_cool_down_s");
        problems.check(self.max_cool_down_s >= self.cool_down_s, field, cause);
        problems
    }

    /// Returns the cool-down of a breaker that has opened `openings` times in a row.
    pub(crate) fn cool_down(&self, openings: u32) -> Duration {
        let doubled = self.cool_down_s.saturating_mul(1 << openings.saturating_sub(1).min(16));
        Duration::from_secs(doubled.min(self.max_cool_down_s))
    }
}
