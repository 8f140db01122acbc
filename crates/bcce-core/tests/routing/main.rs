//! Checks properties of the router with generated routes, breakers, attempts and outcomes: of every decision, of every
//! step from its start to its end, and of steps that share a breaker.

mod cases; // what the router may be asked
mod decisions; // one decision
mod elections; // many steps, one breaker
mod walks; // one step to its end

use proptest::test_runner::{Config, FileFailurePersistence};

/// Keeps each case that failed next to its test, and tries it first from then on.
fn config(cases: u32) -> Config {
    let kept = FileFailurePersistence::WithSource("regressions");
    Config { cases, failure_persistence: Some(Box::new(kept)), ..Config::default() }
}
