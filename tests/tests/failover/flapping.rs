use futures::StreamExt;

use crate::breakers::{EAST, calls_of};
use crate::stack::{Layout, Stack, fresh, model};

const RUNS_OF_A_PHASE: usize = 20;
const PHASES: usize = 4;
const AT_A_TIME: usize = 4;
/// Those that open the breaker, those in flight meanwhile, and a probe per cool-down of a phase of seconds.
const MOST_FAILED: usize = 5 + AT_A_TIME + 2;

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
    let manifests: Vec<_> = runs.buffer_unordered(AT_A_TIME).collect().await;
    assert!(manifests.iter().all(|manifest| manifest["status"] == "SUCCEEDED"));
    let calls = calls_of(&model);
    let failed = calls.iter().filter(|call| call["action"] == "unavailable").count();
    let answered = calls.iter().filter(|call| call["region"] == EAST).count() - failed;
    println!("us-east-1 failed {failed} calls and answered {answered}");
    assert!(failed <= PHASES / 2 * MOST_FAILED, "{failed} calls failed");
    assert!(answered > 0, "it was never used again");
}
