//! What the simulation shows at its smallest: an eighth of the requests of the table, and one seed.

use std::time::Duration;

use bcce_core::config::routing::Strategy;
use bcce_simulation::figures::Figures;
use bcce_simulation::run::{Trial, run};
use bcce_simulation::scenario::{CALM, SCENARIOS, STRATEGIES, Scenario, settings};

/// Until a minute after a sick time that is cut to one minute.
const REQUESTS: u64 = 12_000;

fn named(name: &str) -> Scenario {
    let scenario = SCENARIOS.into_iter().find(|scenario| scenario.name.starts_with(name)).unwrap();
    Scenario { lasts: Duration::from_secs(60), ..scenario }
}

fn tried(scenario: Scenario, strategy: Strategy, has_breaker: bool) -> Figures {
    run(Trial { scenario, strategy, breaker: has_breaker.then(settings) }, REQUESTS, 1)
}

#[test]
fn a_calm_time_loses_nothing_and_opens_nothing() {
    for strategy in STRATEGIES {
        let calm = tried(CALM, strategy, true);
        assert_eq!((calm.lost, calm.failed_calls, calm.waits, calm.open), (0, 0, 0, 0.0));
    }
}

#[test]
fn an_outage_costs_the_sick_region_few_calls_and_nobody_an_answer() {
    let outage = named("outage, fast");
    for strategy in STRATEGIES {
        let (with, without) = (tried(outage, strategy, true), tried(outage, strategy, false));
        assert_eq!((with.lost, without.lost), (0, 0));
        assert!(with.sick_calls < 40, "{} calls under {strategy:?}", with.sick_calls);
        assert!(without.sick_calls > 900, "{} calls under {strategy:?}", without.sick_calls);
    }
}

#[test]
fn a_region_that_is_well_again_is_back_within_half_a_minute() {
    for scenario in ["outage, fast", "quota", "flapping"] {
        for strategy in [Strategy::Priority, Strategy::Latency, Strategy::RoundRobin] {
            let took = tried(named(scenario), strategy, true).recovery().unwrap();
            assert!(took < Duration::from_secs(30), "{took:?} in {scenario} under {strategy:?}");
        }
    }
}

#[test]
fn a_silent_region_costs_its_first_callers_and_not_those_after() {
    let silent = named("outage, silent");
    let (with, without) =
        (tried(silent, Strategy::Priority, true), tried(silent, Strategy::Priority, false));
    // 30 s of calls are under way before the first is given up.
    assert!((1_400..1_700).contains(&with.sick_calls), "{}", with.sick_calls);
    assert!(without.sick_calls > 2_800, "{}", without.sick_calls);
}

#[test]
fn the_same_seed_makes_the_same_figures_and_another_others() {
    let trial = Trial {
        scenario: named("brown-out"),
        strategy: Strategy::RoundRobin,
        breaker: Some(settings()),
    };
    assert_eq!(run(trial, REQUESTS, 1), run(trial, REQUESTS, 1));
    assert_ne!(run(trial, REQUESTS, 1), run(trial, REQUESTS, 2));
}
