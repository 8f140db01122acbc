use std::time::Instant;

use futures::StreamExt;

use crate::breakers::{COOL_DOWN, EAST, calls_of};
use crate::stack::{Layout, Stack, fresh, model};

const RUNS_OF_A_PHASE: usize = 14;
const PHASES: usize = 4;
const AT_A_TIME: usize = 2;
/// Most failed calls of a phase: those that open the breaker, and those in flight meanwhile.
const MOST_FAILED: usize = 5 + AT_A_TIME;

/// The primary goes down, comes back, goes down again: no run fails, and each time it is given up soon.
#[tokio::test]
async fn a_flapping_primary_fails_no_run_and_few_calls() {
    let stack = Stack::connect().await;
    let model = model(Layout::Two);
    let name = fresh("flapping");
    let is_down = |n: usize| (n / RUNS_OF_A_PHASE).is_multiple_of(2);
    let runs = futures::stream::iter(0..PHASES * RUNS_OF_A_PHASE).map(async |n| {
        let script = if is_down(n) { "@model us-east-1: unavailable" } else { "" };
        stack.explain_by(&model, &format!("{name}-{n}"), script).await
    });
    let started = Instant::now();
    let manifests: Vec<_> = runs.buffer_unordered(AT_A_TIME).collect().await;
    assert!(manifests.iter().all(|manifest| manifest["status"] == "SUCCEEDED"));
    let calls = calls_of(&model);
    let failed = calls.iter().filter(|call| call["action"] == "unavailable").count();
    let answered = calls.iter().filter(|call| call["region"] == EAST).count() - failed;
    println!("us-east-1 failed {failed} calls and answered {answered}");
    // A slower machine has more cool-downs, each with a probe at its end.
    let probes = started.elapsed().div_duration_f64(COOL_DOWN) as usize;
    assert!(failed <= PHASES / 2 * MOST_FAILED + probes, "{failed} calls failed");
    assert!(answered > 0, "it was never used again");
}
