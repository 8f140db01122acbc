//! A primary target that fails, recovers, and fails again.

use std::time::Instant;

use bcce_tests::harness::stack::{Layout, Stack, fresh, model};
use futures::StreamExt;

use crate::breakers::{COOL_DOWN, EAST, calls_of};

/// The number of runs while the primary is down.
const RUNS_OF_A_PHASE: usize = 14;
/// The most runs until a recovered primary is used again, which takes its longest cool-down and a probe.
const RUNS_UNTIL_USED: usize = 120;
const OUTAGES: usize = 2;
const AT_A_TIME: usize = 2;
/// The most failed calls of an outage: those that open the breaker, and those that are in flight by then.
const MOST_FAILED: usize = 5 + AT_A_TIME;

/// The primary fails and recovers twice. No run fails, the breaker opens after few failed calls, and the primary is
/// used again each time.
#[tokio::test]
async fn a_flapping_primary_fails_no_run_and_few_calls() {
    let stack = Stack::connect().await;
    let model = model(Layout::Two);
    let name = fresh("flapping");
    let runs = async |phase: &str, script: &str, runs: usize| {
        let runs = futures::stream::iter(0..runs)
            .map(async |n| stack.explain_by(&model, &format!("{name}-{phase}-{n}"), script).await);
        let manifests: Vec<_> = runs.buffer_unordered(AT_A_TIME).collect().await;
        assert!(manifests.iter().all(|manifest| manifest["status"] == "SUCCEEDED"));
    };
    let started = Instant::now();
    for outage in 0..OUTAGES {
        runs(&format!("down-{outage}"), "@model us-east-1: unavailable", RUNS_OF_A_PHASE).await;
        let before = calls_in_the_east(&model).1;
        let mut more = 0;
        while calls_in_the_east(&model).1 == before {
            assert!(more < RUNS_UNTIL_USED, "the primary was not used again in {more} runs");
            runs(&format!("up-{outage}-{more}"), "", AT_A_TIME).await;
            more += AT_A_TIME;
        }
    }
    let (failed, answered) = calls_in_the_east(&model);
    println!("us-east-1 failed {failed} calls and answered {answered}");
    // On a slower machine the outages have more cool-downs, each with a probe at its end.
    let probes = started.elapsed().div_duration_f64(COOL_DOWN) as usize;
    assert!(failed <= OUTAGES * MOST_FAILED + probes, "{failed} calls failed");
}

/// Returns how many calls of the primary failed, and how many it answered.
fn calls_in_the_east(model: &str) -> (usize, usize) {
    let calls = calls_of(model);
    let failed = calls.iter().filter(|call| call["action"] == "unavailable").count();
    (failed, calls.iter().filter(|call| call["region"] == EAST).count() - failed)
}
