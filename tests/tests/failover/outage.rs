//! A primary target that is down for a long time.

use std::time::{Duration, Instant};

use bcce_tests::harness::stack::{Layout, RunRef, Stack, fresh, model, sized};
use futures::StreamExt;
use time::OffsetDateTime;

use crate::breakers::{COOL_DOWN, EAST, WEST, breaker, calls_of, regions, seen};

const AT_A_TIME: usize = 10;
/// The number of runs within which the recovered primary must be in use again.
const SOON: usize = 3;

/// Returns the most calls that a dead target may get: five failures that open its breaker, the calls in flight by then,
/// and a probe at the end of each cool-down. The cool-downs last 5, 10, and then 20 seconds.
fn most_calls(took: Duration) -> usize {
    let cool_downs = [1, 2].into_iter().chain(std::iter::repeat(4)).map(|times| COOL_DOWN * times);
    let ends = cool_downs.scan(Duration::ZERO, |end, cool_down| {
        *end += cool_down;
        Some(*end)
    });
    5 + AT_A_TIME + ends.take_while(|end| *end <= took).count()
}

/// While the primary is down, every run succeeds in the other region, and the primary gets few calls. It is used again
/// when it has recovered and its cool-down is over. `make large` makes 200 runs.
#[tokio::test]
async fn a_dead_primary_gets_few_calls_and_is_used_again_after_it_recovers() {
    let (stack, runs) = (Stack::connect().await, sized(60, 200));
    let model = model(Layout::Two);
    let name = fresh("outage");
    let sent = futures::stream::iter(0..runs).map(async |n| {
        let script = "@model us-east-1: unavailable";
        stack.explain_by(&model, &format!("{name}-{n}"), script).await
    });
    let started = Instant::now();
    let manifests: Vec<_> = sent.buffer_unordered(AT_A_TIME).collect().await;
    let took = started.elapsed();
    let failed = manifests.iter().find(|manifest| manifest["status"] != "SUCCEEDED");
    assert_eq!(failed, None);
    let calls = calls_of(&model);
    let (east, most) = (seen(&calls, EAST), most_calls(took));
    println!("{runs} runs in {took:.1?}: {east} calls of us-east-1");
    assert!(east <= most, "the dead primary got {east} calls, expected at most {most}");
    assert_eq!(seen(&calls, WEST), runs);

    // From here on the primary answers. The first probe comes after the cool-down.
    let open_until = breaker(&stack, &model, EAST).await.open_until.expect("an open breaker");
    let left = open_until - OffsetDateTime::now_utc();
    tokio::time::sleep(left.try_into().unwrap_or_default()).await;
    let mut answered = Vec::new();
    for n in 0..SOON {
        let id = format!("{name}-after-{n}");
        stack.explain_by(&model, &id, "").await;
        answered.push(regions(&RunRef::first("default", "explain", &id)));
    }
    assert!(answered.contains(&vec![EAST.to_owned()]), "us-east-1 is not used again: {answered:?}");
    let breaker = breaker(&stack, &model, EAST).await;
    assert_eq!((breaker.open_until, breaker.failures, &breaker.probe), (None, 0, &None));
    let id = format!("{name}-last");
    stack.explain_by(&model, &id, "").await;
    assert_eq!(regions(&RunRef::first("default", "explain", &id)), [EAST]);
}
