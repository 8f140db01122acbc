//! Measures the time of a decision of the router. Run it with `make bench`.

use std::hint::black_box;
use std::time::Duration;

use bcce_core::base::error::ErrorName;
use bcce_core::base::target::Target;
use bcce_core::config::cache::CacheTtl;
use bcce_core::config::models::RouteTarget;
use bcce_core::config::policy::Policy;
use bcce_core::config::pricing::{Price, PriceRows};
use bcce_core::config::profiles::Profiles;
use bcce_core::config::routing::{Routing, Strategy};
use bcce_core::failover::breaker::Breaker;
use bcce_core::failover::decision::Decision;
use bcce_core::failover::route::{Cached, Expected, Route};
use bcce_core::failover::router::{Health, Question, decide};
use criterion::{Criterion, criterion_group, criterion_main};
use rust_decimal::Decimal;
use time::OffsetDateTime;
use time::macros::datetime;

const NOW: OffsetDateTime = datetime!(2026-11-01 12:00 UTC);
const REGIONS: [&str; 3] = ["us-east-1", "us-east-2", "us-west-2"];
const STRATEGIES: [(&str, Strategy); 4] = [
    ("priority", Strategy::Priority),
    ("latency", Strategy::Latency),
    ("round-robin", Strategy::RoundRobin),
    ("cost", Strategy::Cost),
];

/// Returns a route to targets in three regions, in as many accounts as necessary.
fn route(targets: usize, strategy: Strategy) -> Route {
    let target = |n: usize| RouteTarget {
        target: Target {
            account: (n >= 3).then(|| format!("arn:aws:iam::111122223333:role/bedrock-{}", n / 3)),
            region: REGIONS[n % 3].to_owned(),
            model_id: "us.anthropic.claude-sonnet-5".to_owned(),
            guardrail: None,
        },
        priority: Some(n as u32 / 2),
        weight: 1 + n as u32 % 3,
        prices: Some(PriceRows::from(price(n as i64))),
        context_tokens: 200_000,
    };
    let cached = Cached { key: "k".to_owned(), tokens: 4_000, lasts: CacheTtl::FiveMinutes };
    Route {
        targets: (0..targets).map(target).collect(),
        policy: Policy {
            version: 1,
            allowed_regions: REGIONS.map(String::from).to_vec(),
            allowed_models: vec!["anthropic.claude-*".to_owned()],
            ..Policy::default()
        },
        profiles: Profiles::default(),
        routing: Routing { strategy, attempts: 100, ..Routing::default() },
        rounds: 5,
        patience: None,
        expected: Some(Expected { input_tokens: 900, output_tokens: 300, cached: Some(cached) }),
    }
}

fn price(n: i64) -> Price {
    let usd = |cents| Decimal::new(cents + n, 2);
    Price {
        input: usd(300),
        output: usd(1_500),
        cache_read: usd(30),
        cache_write_5m: usd(375),
        cache_write_1h: usd(600),
    }
}

/// Returns the health of each target, with the values for all strategies. If `ails` is true, the breaker of every third
/// target is open.
fn health(targets: usize, ails: bool) -> Vec<Health> {
    let health = |n: usize| {
        let open = ails && n % 3 == 1;
        let breaker = Breaker {
            open_until: open.then_some(NOW + Duration::from_secs(5)),
            cause: open.then_some(ErrorName::TargetThrottled),
            ..Breaker::default()
        };
        let mut health = Health { breaker, is_warm: n.is_multiple_of(2), ..Health::default() };
        health.latency.add(n % 16, 100);
        health
    };
    (0..targets).map(health).collect()
}

fn question<'a>(route: &'a Route, health: &'a [Health]) -> Question<'a> {
    let deadline = NOW + Duration::from_secs(600);
    Question { route, health, attempts: &[], decisions: &[], now: NOW, deadline, seed: 1_999 }
}

fn decisions(criterion: &mut Criterion) {
    for (name, strategy) in STRATEGIES {
        let mut group = criterion.benchmark_group(format!("decide, {name}"));
        for targets in [3, 10, 50] {
            for (state, ails) in [("healthy", false), ("a third open", true)] {
                let (route, health) = (route(targets, strategy), health(targets, ails));
                let question = question(&route, &health);
                group.bench_function(format!("{targets} targets, {state}"), |bencher| {
                    bencher.iter(|| decide(black_box(&question)));
                });
            }
        }
    }
}

fn records(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("Decision::of");
    for targets in [3, 10, 50] {
        for (state, ails) in [("healthy", false), ("a third open", true)] {
            let (route, health) = (route(targets, Strategy::Priority), health(targets, ails));
            let question = question(&route, &health);
            let verdict = decide(&question);
            group.bench_function(format!("{targets} targets, {state}"), |bencher| {
                bencher.iter(|| Decision::of(black_box(&question), &verdict, None));
            });
        }
    }
}

/// Returns settings for short measurements. The functions do not wait for anything, and differences of a few percent do
/// not matter.
fn settings() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .without_plots()
}

criterion_group! { name = benches; config = settings(); targets = decisions, records }
criterion_main!(benches);
