use futures::StreamExt;

use crate::breakers::{EAST, breaker, calls_of};
use crate::stack::{Layout, RunRef, Stack, fresh, model};

const RUNS: usize = 6;

/// Every region is down and comes back: the runs wait in the state machine, are let through one by one as
/// probes, and all of them succeed.
#[tokio::test]
async fn when_every_region_is_down_the_runs_wait_and_all_succeed() {
    let stack = Stack::connect().await;
    let model = model(Layout::Two);
    let name = fresh("all-down");
    let runs = futures::stream::iter(0..RUNS).map(async |n| {
        let id = format!("{name}-{n}");
        let manifest = stack.explain_by(&model, &id, "@model *: unavailable, answer").await;
        (RunRef::first("default", "explain", &id), manifest)
    });
    let ended: Vec<_> = runs.buffer_unordered(RUNS).collect().await;
    for (run, manifest) in &ended {
        assert_eq!(manifest["status"], "SUCCEEDED", "{manifest}");
        let artifact = stack.step(run, "answer").await;
        let waits = artifact["decisions"].as_array().unwrap().iter();
        assert!(waits.filter(|decision| decision["wait_s"].is_u64()).count() >= 1, "{artifact}");
    }
    // Each run fails twice, answers once, and whoever came first was let through alone.
    let calls = calls_of(&model);
    assert_eq!(calls.len(), 3 * RUNS, "no call was wasted on an open target");
    assert_eq!(breaker(&stack, &model, EAST).await.open_until, None, "its probe closed it");
}
