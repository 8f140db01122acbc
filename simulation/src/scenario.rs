//! What goes wrong and when, and the route that it goes wrong with.

use std::time::Duration;

use bcce_core::base::target::Target;
use bcce_core::config::breakers::BreakerSettings;
use bcce_core::config::models::RouteTarget;
use bcce_core::config::policy::Policy;
use bcce_core::config::pricing::{Price, PriceRows};
use bcce_core::config::routing::{Routing, Strategy, Timeouts};
use bcce_core::config::template::CacheTtl;
use bcce_core::failover::route::{Cached, Expected, Route};
use rust_decimal::Decimal;
use time::OffsetDateTime;
use time::macros::datetime;

use crate::plant::{FIRST_TOKEN, Weather};

pub const EPOCH: OffsetDateTime = datetime!(2026-11-01 00:00 UTC);
/// Requests, a second.
pub const RATE: f64 = 50.0;
/// From when the sick time lasts: the latencies are known by then.
pub const STARTS: Duration = Duration::from_secs(120);
/// How long a flapping region is down, and then up.
const FLAP: Duration = Duration::from_secs(20);

/// The first is the one that falls sick; it is the fastest and the cheapest, so that every strategy but
/// `round-robin` prefers it. Median time to the first token in milliseconds, and the price's factor.
pub const REGIONS: [(&str, u64, i64); 3] =
    [("us-east-1", 500, 100), ("us-east-2", 700, 110), ("us-west-2", 1_000, 110)];

pub const STRATEGIES: [Strategy; 4] =
    [Strategy::Priority, Strategy::Latency, Strategy::RoundRobin, Strategy::Cost];

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scenario {
    pub name: &'static str,
    pub weather: Weather,
    pub lasts: Duration,
    pub shape: Shape,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shape {
    /// All the time, in the first region.
    Steady,
    /// In turns, in the first region.
    Flapping,
    /// All the time, everywhere.
    Everywhere,
}

const fn scenario(name: &'static str, weather: Weather, seconds: u64, shape: Shape) -> Scenario {
    Scenario { name, weather, lasts: Duration::from_secs(seconds), shape }
}

const fn squeezed(retry_after_s: Option<u64>) -> Weather {
    Weather::Squeezed { per_second: RATE / 3.0, retry_after_s }
}

pub const CALM: Scenario = scenario("calm", Weather::Calm, 600, Shape::Steady);

pub const SCENARIOS: [Scenario; 9] = [
    CALM,
    scenario("1 % errors", Weather::Faulty(0.01), 600, Shape::Steady),
    scenario("brown-out, 30 % errors", Weather::Faulty(0.3), 600, Shape::Steady),
    scenario("outage, fast errors", Weather::Down, 600, Shape::Steady),
    scenario("outage, silent", Weather::Silent, 600, Shape::Steady),
    scenario("quota of a third, no Retry-After", squeezed(None), 600, Shape::Steady),
    scenario("quota of a third, Retry-After 2 s", squeezed(Some(2)), 600, Shape::Steady),
    scenario("flapping, 20 s down, 20 s up", Weather::Down, 600, Shape::Flapping),
    scenario("all regions out for a minute", Weather::Down, 60, Shape::Everywhere),
];

impl Scenario {
    pub fn is_sick(&self, region: usize, now: OffsetDateTime) -> bool {
        let Ok(since) = Duration::try_from(now - EPOCH - STARTS) else { return false };
        let is_hit = region == 0 || self.shape == Shape::Everywhere;
        let is_down =
            self.shape != Shape::Flapping || (since.as_secs() / FLAP.as_secs()).is_multiple_of(2);
        is_hit && is_down && since < self.lasts && self.weather != Weather::Calm
    }

    pub fn weather(&self, region: usize, now: OffsetDateTime) -> Weather {
        if self.is_sick(region, now) { self.weather } else { Weather::Calm }
    }

    /// The sick time as a whole.
    pub fn holds(&self, at: OffsetDateTime) -> bool {
        (EPOCH + STARTS..EPOCH + STARTS + self.lasts).contains(&at)
    }

    /// Of `measure` over it.
    pub fn sick_time<T>(&self, measure: impl FnOnce(OffsetDateTime, OffsetDateTime) -> T) -> T {
        measure(EPOCH + STARTS, EPOCH + STARTS + self.lasts)
    }

    /// When the first region is well again, each time.
    pub fn recoveries(&self) -> Vec<OffsetDateTime> {
        let starts = EPOCH + STARTS;
        match (self.weather, self.shape) {
            (Weather::Calm, _) => vec![],
            (_, Shape::Flapping) => {
                let flaps = (self.lasts.as_secs() / FLAP.as_secs() / 2) as u32;
                (0..flaps).map(|n| starts + FLAP * (2 * n + 1)).collect()
            }
            _ => vec![starts + self.lasts],
        }
    }
}

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
        routing: Routing { strategy, timeouts, ..Routing::default() },
        rounds: 5,
        patience: Some(timeouts),
        expected: Some(Expected { input_tokens: 1_000, output_tokens: 300, cached: Some(cached) }),
    }
}

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
    fn the_first_region_is_sick_when_it_is_said_to_be() {
        let outage = SCENARIOS[3];
        let sick =
            |scenario: Scenario, seconds: [u64; 4]| seconds.map(|s| scenario.is_sick(0, at(s)));
        assert_eq!(sick(outage, [119, 120, 719, 720]), [false, true, true, false]);
        assert!(!outage.is_sick(1, at(500)));
        assert_eq!(outage.recoveries(), [at(720)]);
        let flapping = SCENARIOS[7];
        assert_eq!(sick(flapping, [120, 139, 140, 160]), [true, true, false, true]);
        assert_eq!(flapping.recoveries()[..2], [at(140), at(180)]);
        assert!(SCENARIOS[8].is_sick(2, at(179)));
        assert!(!CALM.is_sick(0, at(500)));
    }
}
