//! Checks the main results of the simulation with fewer requests than the table has, and with one seed.

use std::time::Duration;

use bcce_core::config::routing::Strategy;
use bcce_simulation::figures::Figures;
use bcce_simulation::run::{Trial, run};
use bcce_simulation::scenario::{NO_FAILURE, SCENARIOS, STRATEGIES, Scenario, settings};

/// The requests of four minutes: two before the failure window, one in it and one after it.
const REQUESTS: u64 = 12_000;

fn named(name: &str) -> Scenario {
    let scenario = SCENARIOS.into_iter().find(|scenario| scenario.name.starts_with(name)).unwrap();
    Scenario { lasts: Duration::from_secs(60), ..scenario }
}

fn tried(scenario: Scenario, strategy: Strategy, has_breaker: bool) -> Figures {
    run(Trial { scenario, strategy, breaker: has_breaker.then(settings) }, REQUESTS, 1)
}

#[test]
fn without_a_failure_no_request_is_lost_and_no_breaker_opens() {
    for strategy in STRATEGIES {
        let normal = tried(NO_FAILURE, strategy, true);
        assert_eq!((normal.lost, normal.failed_calls, normal.waits, normal.open), (0, 0, 0, 0.0));
    }
}

#[test]
fn an_outage_causes_few_calls_to_the_failing_region_and_loses_no_request() {
    let outage = named("outage, fast");
    for strategy in STRATEGIES {
        let (with, without) = (tried(outage, strategy, true), tried(outage, strategy, false));
        assert_eq!((with.lost, without.lost), (0, 0));
        assert!(
            with.calls_while_failing < 40,
            "{} calls under {strategy:?}",
            with.calls_while_failing
        );
        assert!(
            without.calls_while_failing > 900,
            "{} calls under {strategy:?}",
            without.calls_while_failing
        );
    }
}

#[test]
fn a_recovered_region_is_called_again_within_half_a_minute() {
    for scenario in ["outage, fast", "quota", "flapping"] {
        for strategy in [Strategy::Priority, Strategy::Latency, Strategy::RoundRobin] {
            let took = tried(named(scenario), strategy, true).recovery().unwrap();
            assert!(took < Duration::from_secs(30), "{took:?} in {scenario} under {strategy:?}");
        }
    }
}

#[test]
fn a_silent_region_delays_only_the_requests_of_the_first_seconds() {
    let silent = named("outage, no response");
    let (with, without) =
        (tried(silent, Strategy::Priority, true), tried(silent, Strategy::Priority, false));
    // Calls start for 30 s before the first one is given up.
    assert!((1_400..1_700).contains(&with.calls_while_failing), "{}", with.calls_while_failing);
    assert!(without.calls_while_failing > 2_800, "{}", without.calls_while_failing);
}

#[test]
fn equal_seeds_give_equal_figures_and_different_seeds_different_ones() {
    let trial = Trial {
        scenario: named("brown-out"),
        strategy: Strategy::RoundRobin,
        breaker: Some(settings()),
    };
    assert_eq!(run(trial, REQUESTS, 1), run(trial, REQUESTS, 1));
    assert_ne!(run(trial, REQUESTS, 1), run(trial, REQUESTS, 2));
}
