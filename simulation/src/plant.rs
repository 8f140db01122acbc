//! The regions: how long their models take, and what becomes of a call in each weather.

use std::time::Duration;

use bcce_core::base::error::ErrorName;
use bcce_core::call::model::{Blame, CallFailure};
use time::OffsetDateTime;

use crate::dice::Dice;

/// Of `Timeouts`: a silent region is given up after it.
pub const FIRST_TOKEN: Duration = Duration::from_secs(30);
/// From the first token to the last.
const ANSWER: Duration = Duration::from_secs(3);
/// A refused connection, or a 503.
const REFUSAL: Duration = Duration::from_millis(60);
const ERROR: Duration = Duration::from_millis(300);
const THROTTLE: Duration = Duration::from_millis(40);
/// What a quota lets through at once after a pause, in seconds of its rate.
const BURST_S: f64 = 1.0;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Weather {
    Calm,
    /// Every call fails at once.
    Down,
    /// No call says anything.
    Silent,
    /// So many of the calls fail.
    Faulty(f64),
    /// So many calls a second are taken.
    Squeezed {
        per_second: f64,
        retry_after_s: Option<u64>,
    },
}

/// What came of a call.
#[derive(Clone, Debug)]
pub struct Called {
    pub takes: Duration,
    pub first_token: Option<Duration>,
    pub failure: Option<CallFailure>,
}

#[derive(Clone, Debug)]
pub struct Region {
    /// Median time to the first token.
    first_token: Duration,
    quota: Quota,
}

/// A bucket of calls that fills at the rate of the weather.
#[derive(Clone, Debug)]
struct Quota {
    calls: f64,
    at: OffsetDateTime,
}

impl Quota {
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

    pub fn call(&mut self, weather: Weather, now: OffsetDateTime, dice: Dice) -> Called {
        let takes = |median| dice.of(0).time(median, 0.4);
        let unavailable = |takes| failed(ErrorName::TargetUnavailable, None, takes);
        match weather {
            Weather::Down => unavailable(takes(REFUSAL)),
            // The route's limit is the platform team's own, so that it counts as the target's doing.
            Weather::Silent => failed(ErrorName::TargetTimeout, None, FIRST_TOKEN),
            Weather::Faulty(share) if dice.of(1).happens(share) => unavailable(takes(ERROR)),
            Weather::Squeezed { per_second, retry_after_s }
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

    fn answers(weather: Weather, per_second: u64) -> usize {
        let mut region = Region::new(Duration::from_millis(600), NOW);
        let answers = |n: &u64| {
            let now = NOW + Duration::from_secs(1).mul_f64(*n as f64 / per_second as f64);
            region.call(weather, now, Dice::new(*n)).failure.is_none()
        };
        (0..1_000).filter(answers).count()
    }

    #[test]
    fn each_weather_fails_as_much_as_it_says() {
        assert_eq!(answers(Weather::Calm, 50), 1_000);
        assert_eq!(answers(Weather::Down, 50), 0);
        assert_eq!(answers(Weather::Silent, 50), 0);
        assert!(answers(Weather::Faulty(0.3), 50).abs_diff(700) < 40);
    }

    #[test]
    fn a_quota_lets_its_rate_through() {
        let weather = Weather::Squeezed { per_second: 10.0, retry_after_s: None };
        assert!(answers(weather, 50).abs_diff(200) <= 1, "ten of fifty a second");
        assert!(answers(weather, 5).abs_diff(1_000) <= 1, "five of ten");
    }
}
