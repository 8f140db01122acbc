//! Simulated regions: the times of their models, and the outcome of a call under each condition.

use std::time::Duration;

use bcce_core::base::error::ErrorName;
use bcce_core::call::model::{Blame, CallFailure};
use time::OffsetDateTime;

use crate::dice::Dice;

/// The limit for the first token, as in `Timeouts`. A call to a silent region is given up after this time.
pub const FIRST_TOKEN: Duration = Duration::from_secs(30);
/// The median time from the first token to the last.
const ANSWER: Duration = Duration::from_secs(3);
/// The median time of a refused connection or a 503.
const REFUSAL: Duration = Duration::from_millis(60);
/// The median time of a call that fails in a brown-out.
const ERROR: Duration = Duration::from_millis(300);
/// The median time of a 429.
const THROTTLE: Duration = Duration::from_millis(40);
/// The largest burst that a quota allows after a pause, in seconds of its rate.
const BURST_S: f64 = 1.0;

/// The condition of a region.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Condition {
    /// Every call is answered.
    Normal,
    /// Every call fails at once.
    Down,
    /// No call gets a response.
    Silent,
    /// This share of the calls fails, from 0 to 1.
    Faulty(f64),
    /// A quota lets this number of calls through per second. The region throttles the others.
    Limited { per_second: f64, retry_after_s: Option<u64> },
}

/// The outcome of a call.
#[derive(Clone, Debug)]
pub struct Called {
    /// The time from the start to the end of the call.
    pub takes: Duration,
    /// The time to the first token. `None` if the call failed.
    pub first_token: Option<Duration>,
    /// `None` if the call was answered.
    pub failure: Option<CallFailure>,
}

/// A simulated region.
#[derive(Clone, Debug)]
pub struct Region {
    /// The median time to the first token.
    first_token: Duration,
    quota: Quota,
}

/// A token bucket that fills at the rate of the quota.
#[derive(Clone, Debug)]
struct Quota {
    calls: f64,
    at: OffsetDateTime,
}

impl Quota {
    /// Takes one call from the bucket. Returns `false` if there is none.
    fn takes_one(&mut self, per_second: f64, now: OffsetDateTime) -> bool {
        let passed = (now - self.at).as_seconds_f64();
        let calls = (self.calls + passed * per_second).min(BURST_S * per_second);
        let is_taken = calls >= 1.0;
        *self = Self { calls: calls - f64::from(u8::from(is_taken)), at: now };
        is_taken
    }
}

impl Region {
    pub fn new(first_token: Duration, now: OffsetDateTime) -> Self {
        Self { first_token, quota: Quota { calls: 0.0, at: now } }
    }

    /// Calls the region under `condition`. `dice` determines the random choices.
    pub fn call(&mut self, condition: Condition, now: OffsetDateTime, dice: Dice) -> Called {
        let takes = |median| dice.of(0).time(median, 0.4);
        let unavailable = |takes| failed(ErrorName::TargetUnavailable, None, takes);
        match condition {
            Condition::Down => unavailable(takes(REFUSAL)),
            // The default limit of the route was exceeded, so the failure counts against the target.
            Condition::Silent => failed(ErrorName::TargetTimeout, None, FIRST_TOKEN),
            Condition::Faulty(share) if dice.of(1).happens(share) => unavailable(takes(ERROR)),
            Condition::Limited { per_second, retry_after_s }
                if !self.quota.takes_one(per_second, now) =>
            {
                failed(ErrorName::TargetThrottled, retry_after_s, takes(THROTTLE))
            }
            _ => self.answer(dice),
        }
    }

    fn answer(&self, dice: Dice) -> Called {
        let first_token = dice.of(2).time(self.first_token, 0.4);
        let takes = first_token + dice.of(3).time(ANSWER, 0.6);
        Called { takes, first_token: Some(first_token), failure: None }
    }
}

fn failed(name: ErrorName, retry_after_s: Option<u64>, takes: Duration) -> Called {
    let blame = Blame::Target;
    let failure = CallFailure { name, message: String::new(), advice: None, retry_after_s, blame };
    Called { takes, first_token: None, failure: Some(failure) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: OffsetDateTime = time::macros::datetime!(2026-11-01 12:00 UTC);

    fn answers(condition: Condition, per_second: u64) -> usize {
        let mut region = Region::new(Duration::from_millis(600), NOW);
        let answers = |n: &u64| {
            let now = NOW + Duration::from_secs(1).mul_f64(*n as f64 / per_second as f64);
            region.call(condition, now, Dice::new(*n)).failure.is_none()
        };
        (0..1_000).filter(answers).count()
    }

    #[test]
    fn each_condition_fails_at_its_rate() {
        assert_eq!(answers(Condition::Normal, 50), 1_000);
        assert_eq!(answers(Condition::Down, 50), 0);
        assert_eq!(answers(Condition::Silent, 50), 0);
        assert!(answers(Condition::Faulty(0.3), 50).abs_diff(700) < 40);
    }

    #[test]
    fn a_quota_lets_its_rate_through() {
        let condition = Condition::Limited { per_second: 10.0, retry_after_s: None };
        assert!(answers(condition, 50).abs_diff(200) <= 1, "ten of fifty per second are answered");
        assert!(answers(condition, 5).abs_diff(1_000) <= 1, "five per second are all answered");
    }
}
