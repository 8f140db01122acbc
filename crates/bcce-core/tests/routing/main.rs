//! What holds of every decision, of every step that is driven to its end, and of steps that share a breaker,
//! over generated routes, breakers, attempts and outcomes.

mod cases; // what the router may be asked
mod decisions; // one decision
mod elections; // many steps, one breaker
mod walks; // one step to its end

use proptest::test_runner::{Config, FileFailurePersistence};

/// A case that failed is kept beside the test that it failed, and tried first from then on.
fn config(cases: u32) -> Config {
    let kept = FileFailurePersistence::WithSource("regressions");
    Config { cases, failure_persistence: Some(Box::new(kept)), ..Config::default() }
}
