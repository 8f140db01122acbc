//! The scenarios: which regions fail, how and when. The module also has the regions and the route.

use std::time::Duration;

use bcce_core::base::target::Target;
use bcce_core::config::breakers::BreakerSettings;
use bcce_core::config::cache::CacheTtl;
use bcce_core::config::models::RouteTarget;
use bcce_core::config::policy::Policy;
use bcce_core::config::pricing::{Price, PriceRows};
use bcce_core::config::profiles::Profiles;
use bcce_core::config::routing::{Routing, Strategy, Timeouts};
use bcce_core::failover::route::{Cached, Expected, Route};
use rust_decimal::Decimal;
use time::OffsetDateTime;
use time::macros::datetime;

use crate::regions::{Condition, FIRST_TOKEN};

pub const EPOCH: OffsetDateTime = datetime!(2026-11-01 00:00 UTC);
/// The average number of requests per second.
pub const RATE: f64 = 50.0;
/// The time from the start of the simulation to the failure window. It is long enough to measure the latencies.
pub const STARTS: Duration = Duration::from_secs(120);
/// The time for which a flapping region is down, and then up.
const FLAP: Duration = Duration::from_secs(20);

/// The regions: name, median time to the first token in milliseconds, and price in percent of the base price. The first
/// region is the one that fails. It is the fastest and the cheapest, so that every strategy but `round-robin` prefers
/// it.
pub const REGIONS: [(&str, u64, i64); 3] =
    [("us-east-1", 500, 100), ("us-east-2", 700, 110), ("us-west-2", 1_000, 110)];

pub const STRATEGIES: [Strategy; 4] =
    [Strategy::Priority, Strategy::Latency, Strategy::RoundRobin, Strategy::Cost];

/// A failure: the condition of the failing regions, and the failure window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scenario {
    pub name: &'static str,
    pub condition: Condition,
    /// The length of the failure window, which begins at [`STARTS`].
    pub lasts: Duration,
    pub shape: Shape,
}

/// The regions that fail in the failure window, and the times at which they do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shape {
    /// The first region fails for the whole window.
    Steady,
    /// The first region alternates between failing and normal.
    Flapping,
    /// All regions fail for the whole window.
    Everywhere,
}

const fn scenario(
    name: &'static str,
    condition: Condition,
    seconds: u64,
    shape: Shape,
) -> Scenario {
    Scenario { name, condition, lasts: Duration::from_secs(seconds), shape }
}

const fn limited(retry_after_s: Option<u64>) -> Condition {
    Condition::Limited { per_second: RATE / 3.0, retry_after_s }
}

pub const NO_FAILURE: Scenario = scenario("no failure", Condition::Normal, 600, Shape::Steady);

pub const SCENARIOS: [Scenario; 9] = [
    NO_FAILURE,
    scenario("1 % errors", Condition::Faulty(0.01), 600, Shape::Steady),
    scenario("brown-out, 30 % errors", Condition::Faulty(0.3), 600, Shape::Steady),
    scenario("outage, fast errors", Condition::Down, 600, Shape::Steady),
    scenario("outage, no response", Condition::Silent, 600, Shape::Steady),
    scenario("quota at one third, no Retry-After", limited(None), 600, Shape::Steady),
    scenario("quota at one third, Retry-After 2 s", limited(Some(2)), 600, Shape::Steady),
    scenario("flapping, 20 s down, 20 s up", Condition::Down, 600, Shape::Flapping),
    scenario("all regions down for one minute", Condition::Down, 60, Shape::Everywhere),
];

impl Scenario {
    /// Returns true if a region, given by its index in [`REGIONS`], is failing at `now`.
    pub fn is_failing(&self, region: usize, now: OffsetDateTime) -> bool {
        let Ok(since) = Duration::try_from(now - EPOCH - STARTS) else { return false };
        let is_hit = region == 0 || self.shape == Shape::Everywhere;
        let is_down =
            self.shape != Shape::Flapping || (since.as_secs() / FLAP.as_secs()).is_multiple_of(2);
        is_hit && is_down && since < self.lasts && self.condition != Condition::Normal
    }

    /// Returns the condition of a region at `now`.
    pub fn condition(&self, region: usize, now: OffsetDateTime) -> Condition {
        if self.is_failing(region, now) { self.condition } else { Condition::Normal }
    }

    /// Returns true if `at` is in the failure window. The window includes the times at which a flapping region is up.
    pub fn has_in_window(&self, at: OffsetDateTime) -> bool {
        (EPOCH + STARTS..EPOCH + STARTS + self.lasts).contains(&at)
    }

    /// Returns the result of `measure` for the start and the end of the failure window.
    pub fn over_window<T>(&self, measure: impl FnOnce(OffsetDateTime, OffsetDateTime) -> T) -> T {
        measure(EPOCH + STARTS, EPOCH + STARTS + self.lasts)
    }

    /// Returns each time at which the first region recovers.
    pub fn recoveries(&self) -> Vec<OffsetDateTime> {
        let starts = EPOCH + STARTS;
        match (self.condition, self.shape) {
            (Condition::Normal, _) => vec![],
            (_, Shape::Flapping) => {
                let flaps = (self.lasts.as_secs() / FLAP.as_secs() / 2) as u32;
                (0..flaps).map(|n| starts + FLAP * (2 * n + 1)).collect()
            }
            _ => vec![starts + self.lasts],
        }
    }
}

/// Returns the route over [`REGIONS`], with the default settings and a cached prompt.
pub fn route(strategy: Strategy) -> Route {
    let cached = Cached { key: "k".to_owned(), tokens: 4_000, lasts: CacheTtl::FiveMinutes };
    let targets = REGIONS.iter().zip(0..).map(|((region, _, percent), priority)| RouteTarget {
        target: Target {
            account: None,
            region: region.to_string(),
            model_id: "us.anthropic.claude-sonnet-5".to_owned(),
            guardrail: None,
        },
        priority: Some(priority),
        weight: 1,
        prices: Some(PriceRows::from(price(*percent))),
        context_tokens: 200_000,
    });
    let timeouts = Timeouts { first_token_s: FIRST_TOKEN.as_secs(), ..Timeouts::default() };
    Route {
        targets: targets.collect(),
        policy: Policy::default(),
        profiles: Profiles::default(),
        routing: Routing { strategy, timeouts, ..Routing::default() },
        rounds: 5,
        patience: Some(timeouts),
        expected: Some(Expected { input_tokens: 1_000, output_tokens: 300, cached: Some(cached) }),
    }
}

/// Returns the default settings of the breakers.
pub fn settings() -> BreakerSettings {
    BreakerSettings::default()
}

fn price(percent: i64) -> Price {
    let usd = |cents: i64| Decimal::new(cents * percent, 4);
    Price {
        input: usd(300),
        output: usd(1_500),
        cache_read: usd(30),
        cache_write_5m: usd(375),
        cache_write_1h: usd(600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> OffsetDateTime {
        EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn the_first_region_fails_as_its_scenario_prescribes() {
        let outage = SCENARIOS[3];
        let failing =
            |scenario: Scenario, seconds: [u64; 4]| seconds.map(|s| scenario.is_failing(0, at(s)));
        assert_eq!(failing(outage, [119, 120, 719, 720]), [false, true, true, false]);
        assert!(!outage.is_failing(1, at(500)));
        assert_eq!(outage.recoveries(), [at(720)]);
        let flapping = SCENARIOS[7];
        assert_eq!(failing(flapping, [120, 139, 140, 160]), [true, true, false, true]);
        assert_eq!(flapping.recoveries()[..2], [at(140), at(180)]);
        assert!(SCENARIOS[8].is_failing(2, at(179)));
        assert!(!NO_FAILURE.is_failing(0, at(500)));
    }
}
