use std::time::{Duration, Instant};

use futures::StreamExt;

use crate::breakers::{EAST, WEST, breaker, calls_of, regions, seen};
use crate::stack::{Layout, RunRef, Stack, fresh, model};

const RUNS: usize = 200;
const AT_A_TIME: usize = 10;
/// First evidence from those in flight, then one probe per cool-down.
const MOST_CALLS: usize = 15;
const BACK_WITHIN: Duration = Duration::from_secs(30);

/// The primary is down for good: every run succeeds elsewhere, the primary sees next to nothing of it, and is
/// used again soon after it recovers.
#[tokio::test]
async fn a_dead_primary_costs_a_handful_of_calls_and_is_back_in_seconds() {
    let stack = Stack::connect().await;
    let model = model(Layout::Two);
    let name = fresh("outage");
    let runs = futures::stream::iter(0..RUNS).map(async |n| {
        let script = "@model us-east-1: unavailable";
        stack.explain_by(&model, &format!("{name}-{n}"), script).await
    });
    let started = Instant::now();
    let manifests: Vec<_> = runs.buffer_unordered(AT_A_TIME).collect().await;
    let took = started.elapsed();
    let failed = manifests.iter().find(|manifest| manifest["status"] != "SUCCEEDED");
    assert_eq!(failed, None);
    let calls = calls_of(&model);
    println!("{RUNS} runs in {took:.1?}: {} calls of us-east-1", seen(&calls, EAST));
    assert!(seen(&calls, EAST) <= MOST_CALLS, "the dead primary saw {} calls", seen(&calls, EAST));
    assert_eq!(seen(&calls, WEST), RUNS);

    // From here on it is well.
    let started = Instant::now();
    for n in 0.. {
        let id = format!("{name}-after-{n}");
        stack.explain_by(&model, &id, "").await;
        if regions(&RunRef::first("default", "explain", &id)) == [EAST] {
            break;
        }
        assert!(started.elapsed() < BACK_WITHIN, "us-east-1 is not used again");
    }
    println!("us-east-1 is back after {:.1?}", started.elapsed());
    let breaker = breaker(&stack, &model, EAST).await;
    assert_eq!((breaker.open_until, breaker.failures, &breaker.probe), (None, 0, &None));
    let id = format!("{name}-last");
    stack.explain_by(&model, &id, "").await;
    assert_eq!(regions(&RunRef::first("default", "explain", &id)), [EAST]);
}
