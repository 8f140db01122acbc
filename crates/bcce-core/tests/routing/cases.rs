//! Generates questions for the router: any route, any policy, breakers of every status, any past of the step.

use std::time::Duration;

use bcce_core::base::error::ErrorName;
use bcce_core::base::target::Target;
use bcce_core::base::usage::Usage;
use bcce_core::call::attempt::{Attempt, AttemptKind, AttemptOutcome};
use bcce_core::config::models::RouteTarget;
use bcce_core::config::policy::Policy;
use bcce_core::config::pricing::{Price, PriceRows};
use bcce_core::config::profiles::{Profile, Profiles};
use bcce_core::config::routing;
use bcce_core::config::routing::{Routing, Timeouts};
use bcce_core::failover::breaker::{Breaker, Probe};
use bcce_core::failover::decision::{Decision, Next};
use bcce_core::failover::route::{Expected, Route};
use bcce_core::failover::router::{Health, Question};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use rust_decimal::Decimal;
use time::OffsetDateTime;
use time::macros::datetime;

pub const NOW: OffsetDateTime = datetime!(2026-11-01 12:00:00.25 UTC);

/// A target of a route, with its properties as the user guide describes them, independent of the code under test.
#[derive(Debug)]
pub struct Place {
    pub region: &'static str,
    pub model_id: &'static str,
    /// Every region that its data may reach. `None` if no list of regions covers them all.
    pub seen_by: Option<&'static [&'static str]>,
    pub model: &'static str,
}

const fn place(
    region: &'static str,
    model_id: &'static str,
    seen_by: Option<&'static [&'static str]>,
    model: &'static str,
) -> Place {
    Place { region, model_id, seen_by, model }
}

const US: &[&str] = &["us-east-1", "us-east-2", "us-west-2"];
const US_FROM_CANADA: &[&str] = &["us-east-1", "us-east-2", "us-west-2", "ca-central-1"];
const EU: &[&str] =
    &["eu-central-1", "eu-north-1", "eu-south-1", "eu-south-2", "eu-west-1", "eu-west-3"];
const HAIKU: &str = "anthropic.claude-haiku-4-5";
const SONNET: &str = "anthropic.claude-sonnet-5";
const APPLICATION: &str = "arn:aws:bedrock:us-east-1:111122223333:application-inference-profile/a";
/// Application inference profiles that Bedrock has described.
const OF_US: &str = "arn:aws:bedrock:us-east-1:111122223333:application-inference-profile/b";
const OF_GLOBAL: &str = "arn:aws:bedrock:eu-west-1:111122223333:application-inference-profile/c";
/// The regions that Bedrock describes for a profile in us-west-2: fewer than the table has.
const FEWER: &[&str] = &["us-east-1", "us-west-2"];

pub const PLACES: &[Place] = &[
    place("us-east-1", "us.anthropic.claude-haiku-4-5", Some(US), HAIKU),
    place("us-west-2", "us.anthropic.claude-haiku-4-5", Some(US), HAIKU),
    place("us-east-1", "us.anthropic.claude-sonnet-5", Some(US), SONNET),
    place("ca-central-1", "us.anthropic.claude-haiku-4-5", Some(US_FROM_CANADA), HAIKU),
    place("eu-west-1", "eu.anthropic.claude-haiku-4-5", Some(EU), HAIKU),
    place("eu-central-1", "eu.anthropic.claude-sonnet-5", Some(EU), SONNET),
    place("us-east-1", "anthropic.claude-haiku-4-5", Some(&["us-east-1"]), HAIKU),
    place("eu-west-1", "anthropic.claude-sonnet-5", Some(&["eu-west-1"]), SONNET),
    place("us-east-1", "global.anthropic.claude-haiku-4-5", None, HAIKU),
    place("eu-west-1", "global.anthropic.claude-sonnet-5", None, SONNET),
    place("us-east-1", APPLICATION, None, APPLICATION),
    place("us-east-1", OF_US, Some(US), HAIKU),
    place("eu-west-1", OF_GLOBAL, None, SONNET),
    place("us-west-2", "us.anthropic.claude-sonnet-5", Some(FEWER), SONNET),
];

const REGIONS: &[&[&str]] = &[
    &[],
    US,
    US_FROM_CANADA,
    EU,
    FEWER,
    &["us-east-1"],
    &["eu-west-1"],
    &["us-east-1", "eu-west-1"],
];

/// The model patterns that a policy may allow, each with the models that it matches.
const MODELS: &[(&str, &[&str])] = &[
    ("anthropic.claude-haiku-4-5", &[HAIKU]),
    ("anthropic.claude-sonnet-*", &[SONNET]),
    ("anthropic.claude-*", &[HAIKU, SONNET]),
    ("anthropic.claude-haiku", &[]),
    ("us.anthropic.claude-haiku-4-5", &[]),
    ("*", &[HAIKU, SONNET, APPLICATION]),
];

/// Looks the answer up in the tables above.
pub fn may_be_used(place: &Place, policy: &Policy) -> bool {
    let regions = &policy.allowed_regions;
    let holds = |seen: &&str| regions.iter().any(|region| region == seen);
    let inside = regions.is_empty() || place.seen_by.is_some_and(|seen| seen.iter().all(holds));
    let admitted = |allowed: &String| {
        let admits = MODELS.iter().find(|(pattern, _)| pattern == allowed);
        admits.is_some_and(|(_, models)| models.contains(&place.model))
    };
    inside && (policy.allowed_models.is_empty() || policy.allowed_models.iter().any(admitted))
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Stands {
    Closed,
    Watched,
    /// The time that the status lasts, in milliseconds.
    Open(u64),
    Due,
    Probed,
}

#[derive(Clone, Debug)]
pub struct Case {
    pub places: Vec<&'static Place>,
    pub route: Route,
    /// The health of the first targets. Nothing is recorded about the others.
    pub stands: Vec<Stands>,
    pub health: Vec<Health>,
    pub attempts: Vec<Attempt>,
    pub decisions: Vec<Decision>,
    pub deadline: OffsetDateTime,
    pub seed: u64,
}

impl Case {
    pub fn question(&self) -> Question<'_> {
        Question {
            route: &self.route,
            health: &self.health,
            attempts: &self.attempts,
            decisions: &self.decisions,
            now: NOW,
            deadline: self.deadline,
            seed: self.seed,
        }
    }

    pub fn stands(&self, at: usize) -> Stands {
        self.stands.get(at).copied().unwrap_or(Stands::Closed)
    }
}

prop_compose! {
    pub fn cases()((places, route) in routes())(
        known in vec((stands(), vec(0_u64..30, 16), any::<bool>()), 0..=places.len()),
        attempts in vec(attempt(places.clone()), 0..10),
        waits in vec(any::<bool>(), 0..10),
        left_s in prop_oneof![-3_i64..4, 1_i64..600],
        seed in any::<u64>(),
        (places, route) in Just((places, route))
    ) -> Case {
        let next = |waits| if waits { Next::WaitS(1) } else { Next::Targets(vec![]) };
        let decided = |waits| Decision {
            at: NOW, because: vec![], candidates: vec![], probe: None, watched: vec![], diverted: false,
            next: next(waits),
        };
        Case {
            places,
            route,
            stands: known.iter().map(|(stands, ..)| *stands).collect(),
            health: known.into_iter().map(health).collect(),
            attempts,
            decisions: waits.into_iter().map(decided).collect(),
            deadline: NOW + time::Duration::seconds(left_s),
            seed,
        }
    }
}

prop_compose! {
    pub fn routes()(
        places in subsequence((0..PLACES.len()).collect::<Vec<_>>(), 1..=6).prop_shuffle(),
        places_of_each in vec((0_u32..3, 1_u32..5, option::of(1_i64..100)), 6),
        regions in select(REGIONS),
        models in subsequence(MODELS.iter().map(|(pattern, _)| *pattern).collect::<Vec<_>>(), 0..3),
        strategy in strategies(),
        attempts in 1_u32..9,
        (backoff_base_ms, backoff_cap_s) in (1_u64..5_000, prop_oneof![Just(0), 0_u64..90]),
        rounds in 1_u32..6
    ) -> (Vec<&'static Place>, Route) {
        let places: Vec<_> = places.into_iter().map(|at| &PLACES[at]).collect();
        let owned = |texts: &[&str]| texts.iter().map(|text| text.to_string()).collect();
        let policy = Policy {
            version: 1,
            allowed_regions: owned(regions),
            allowed_models: owned(&models),
            ..Policy::default()
        };
        let routing = Routing {
            strategy, attempts, backoff_base_ms, backoff_cap_s, ..Routing::default()
        };
        let expected = Some(Expected { input_tokens: 900, output_tokens: 90, cached: None });
        let targets = places.iter().zip(places_of_each).map(|(place, (priority, weight, usd))| {
            RouteTarget {
                target: target(place),
                priority: Some(priority),
                weight,
                prices: usd.map(|usd| PriceRows::from(price(usd))),
                context_tokens: 200_000,
            }
        });
        let targets = targets.collect();
        let patience = Some(Timeouts::default());
        let profiles = described();
        (places, Route { targets, policy, profiles, routing, rounds, patience, expected })
    }
}

/// Returns the profiles that Bedrock has described.
fn described() -> Profiles {
    let profile = |region: &str, id: &str, model: &str, regions: &[&str]| Profile {
        region: region.into(),
        id: id.into(),
        model: model.into(),
        regions: regions.iter().map(|region| region.to_string()).collect(),
    };
    Profiles(vec![
        profile("us-east-1", OF_US, HAIKU, US),
        profile("eu-west-1", OF_GLOBAL, "global.anthropic.claude-sonnet-5", &[]),
        profile("us-west-2", "us.anthropic.claude-sonnet-5", SONNET, FEWER),
    ])
}

fn strategies() -> impl Strategy<Value = routing::Strategy> {
    use routing::Strategy::{Cost, Latency, Priority, RoundRobin};
    select(&[Priority, Latency, RoundRobin, Cost][..])
}

fn price(usd: i64) -> Price {
    let input = Decimal::new(usd, 1);
    Price { input, output: input, cache_read: input, cache_write_5m: input, cache_write_1h: input }
}

fn target(place: &Place) -> Target {
    let (region, model_id) = (place.region.to_owned(), place.model_id.to_owned());
    Target { account: None, region, model_id, guardrail: None }
}

fn stands() -> impl Strategy<Value = Stands> {
    prop_oneof![
        Just(Stands::Closed),
        Just(Stands::Watched),
        (1_u64..700_000).prop_map(Stands::Open),
        Just(Stands::Due),
        Just(Stands::Probed),
    ]
}

fn health((stands, latencies, is_warm): (Stands, Vec<u64>, bool)) -> Health {
    let millis = Duration::from_millis;
    let until = millis(9);
    let (open_until, probe) = match stands {
        Stands::Closed | Stands::Watched => (None, None),
        Stands::Open(left) => (Some(NOW + millis(left)), None),
        Stands::Due => (Some(NOW - until), Some(NOW)),
        Stands::Probed => (Some(NOW), Some(NOW + until)),
    };
    let breaker = Breaker {
        failures: u32::from(stands == Stands::Watched),
        counts_until: Some(NOW + until),
        open_until,
        probe: probe.map(|until| Probe { holder: "another".to_owned(), until }),
        ..Breaker::default()
    };
    let mut health = Health { breaker, is_warm, ..Health::default() };
    latencies.into_iter().enumerate().for_each(|(bucket, calls)| health.latency.add(bucket, calls));
    health
}

pub fn errors() -> impl Strategy<Value = ErrorName> {
    let fails_over = ErrorName::ALL.iter().copied().filter(|error| error.fails_over());
    select(fails_over.collect::<Vec<_>>())
}

/// Generates a `Retry-After`. The longest one that is read is a day.
pub fn retry_after() -> impl Strategy<Value = Option<u64>> {
    option::of(prop_oneof![0_u64..60, 0_u64..86_400])
}

prop_compose! {
    fn attempt(places: Vec<&'static Place>)(
        place in select(places),
        error in errors(),
        retry_after_s in retry_after(),
        (ago_ms, latency_ms) in (0_u64..90_000, 0_u64..90_000)
    ) -> Attempt {
        failed(target(place), error, retry_after_s, NOW - Duration::from_millis(ago_ms), latency_ms)
    }
}

pub fn failed(
    target: Target,
    error: ErrorName,
    retry_after_s: Option<u64>,
    started_at: OffsetDateTime,
    latency_ms: u64,
) -> Attempt {
    Attempt {
        target,
        kind: AttemptKind::First,
        outcome: AttemptOutcome::Failed,
        error: Some(error),
        message: None,
        advice: None,
        cause: None,
        adapted: vec![],
        retry_after_s,
        started_at,
        latency_ms,
        first_token_ms: None,
        service_tier: None,
        guardrail_origin: Vec::new(),
        usage: Some(Usage::default()),
        cost_usd: Some(Decimal::ZERO),
        cache: None,
    }
}
