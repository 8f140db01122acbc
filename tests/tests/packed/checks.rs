//! Reads what a packed batch left, and checks that each item is over once and each call counted.

use std::collections::BTreeMap;

use bcce_core::batch::{BatchProgress, BatchRef};
use bcce_core::ports::ReadBatchProgress;
use bcce_tests::harness::cli::bcce;
use bcce_tests::harness::kills;
use bcce_tests::harness::stack::{Stack, all_calls, output};
use rust_decimal::Decimal;
use serde_json::Value;

use crate::is_broken;

/// The most calls that a function has in flight.
const IN_FLIGHT: u64 = 40;

/// The counts of the stack before the batch.
pub struct Before {
    counted: Decimal,
    kills: BTreeMap<String, usize>,
}

impl Before {
    pub async fn now(stack: &Stack) -> Self {
        Self { counted: counted(stack).await, kills: kills::hits(&kills::emulator_log()) }
    }
}

/// What the batch left.
pub struct Found {
    batch: BatchRef,
    manifest: Value,
    results: Vec<Value>,
    outputs: Vec<Value>,
    /// The manifests of all runs.
    runs: Vec<Value>,
    /// The number of calls that the model received, by run, and of those it answered.
    calls: BTreeMap<String, (u64, u64)>,
    progress: BatchProgress,
    /// The known costs in the usage counters of the ledger.
    counted: Decimal,
    /// The number of times that each function was killed while it worked.
    kills: BTreeMap<String, usize>,
}

impl Found {
    pub async fn of(stack: &Stack, batch: &BatchRef, manifest: Value, before: Before) -> Self {
        let parts = manifest["opened"]["parts"].as_u64().unwrap() as u32;
        let mut runs = Vec::new();
        for part in 1..=parts {
            runs.extend(lines(stack, &batch.part_runs_key(part)).await);
        }
        let mut calls: BTreeMap<String, (u64, u64)> = BTreeMap::new();
        for call in all_calls() {
            let of_run = calls.entry(call["run_id"].as_str().unwrap_or_default().to_owned());
            let (seen, answered) = of_run.or_default();
            *seen += 1;
            *answered += u64::from(call["action"] != "unavailable");
        }
        let mut kills = kills::hits(&kills::emulator_log());
        for (function, hits) in &before.kills {
            kills.entry(function.clone()).and_modify(|all| *all -= hits);
        }
        let config = bcce_aws::chain::sdk_config().await.unwrap();
        let ledger = bcce_aws::dynamodb::Ledger::new(&config, &output("LedgerTable"));
        let now = time::OffsetDateTime::now_utc();
        Self {
            batch: batch.clone(),
            results: lines(stack, &batch.results_key()).await,
            outputs: lines(stack, &batch.outputs_key()).await,
            runs,
            calls,
            progress: ledger.batch_progress(&batch.item_of(), now).await.unwrap(),
            counted: counted(stack).await - before.counted,
            kills,
            manifest,
        }
    }
}

async fn lines(stack: &Stack, key: &str) -> Vec<Value> {
    let body = stack.object(key).await.unwrap_or_else(|| panic!("{key} is missing"));
    let text = String::from_utf8(body).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Returns the sum of the costs in the usage counters.
async fn counted(stack: &Stack) -> Decimal {
    let scan = stack.dynamodb.scan().table_name(output("LedgerTable")).into_paginator().items();
    let items = scan.send().collect::<Result<Vec<_>, _>>().await.unwrap();
    let usage = items.iter().filter(|item| item["pk"].as_s().unwrap().starts_with("usage#"));
    let costs = usage.filter_map(|item| item.get("cost_usd"));
    costs.map(|cost| cost.as_n().unwrap().parse::<Decimal>().unwrap()).sum()
}

fn known_cost(totals: &Value) -> Decimal {
    let known = totals["cost_usd"].as_str().or(totals["priced_subtotal_usd"].as_str());
    known.unwrap_or_else(|| panic!("{totals}")).parse().unwrap()
}

/// Checks everything, and prints what happened. Returns the number of lost calls.
pub fn all(found: &Found, items: usize) -> u64 {
    items_are_over_once(found, items);
    let lost = calls_are_counted(found);
    costs_are_the_same(found);
    let (code, text) = bcce("dev", &["batch", "verify", &found.batch.batch_id]);
    assert_eq!(code, 0, "{text}");
    lost
}

fn items_are_over_once(found: &Found, items: usize) {
    let broken = (1..=items).filter(|n| is_broken(*n)).count();
    let counts = &found.manifest["counts"];
    assert_eq!(counts["items"], items, "{}", found.manifest);
    assert_eq!(counts["rejected"], broken, "{}", found.manifest);
    assert_eq!(counts["succeeded"], items - broken, "{}", found.manifest);
    let numbers: Vec<u64> =
        found.results.iter().map(|result| result["n"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (1..=items as u64).collect::<Vec<_>>());
    assert_eq!(found.outputs.len(), items - broken);
    for output in &found.outputs {
        let number = format!("number {}.", output["n"]);
        assert!(output["output"].as_str().unwrap().contains(&number), "{output}");
    }
    assert_eq!(found.runs.len(), items - broken);
}

/// A call is recorded before it is made, so none is missing. A function that is killed in between leaves a recorded
/// call that was not made. Returns the number of lost calls.
fn calls_are_counted(found: &Found) -> u64 {
    let sum = |run: &Value, of: &str| -> u64 {
        let lines = run["usage_by_model"].as_array().unwrap();
        lines.iter().map(|line| line[of].as_u64().unwrap_or_default()).sum()
    };
    let (mut not_made, mut lost_calls, mut seen_calls) = (0, 0, 0);
    for run in &found.runs {
        let id = run["run_id"].as_str().unwrap();
        let (seen, answered) = found.calls.get(id).copied().unwrap_or_default();
        let (counted, lost) = (sum(run, "calls"), sum(run, "lost_calls"));
        assert!(counted >= seen, "the model received {seen} calls of {run}");
        assert!(answered <= 1 + lost, "{answered} answers were paid for {run}");
        not_made += counted - seen;
        lost_calls += lost;
        seen_calls += seen;
    }
    let kills = found.kills.values().sum::<usize>() as u64;
    eprintln!(
        "{}: {seen_calls} calls, {lost_calls} of them lost by {kills} kills ({:?}), {not_made} recorded and not made",
        found.manifest["opened"]["mode"], found.kills
    );
    assert!(kills > 0, "no function was killed at work");
    assert!(not_made <= kills * IN_FLIGHT, "{not_made} calls were recorded and not made");
    lost_calls
}

fn costs_are_the_same(found: &Found) {
    let of_items: Decimal = found
        .results
        .iter()
        .filter(|result| result["run_id"].is_string())
        .map(|result| known_cost(&result["totals"]))
        .sum();
    let of_items = of_items.normalize();
    assert_eq!(known_cost(&found.manifest["totals"]).normalize(), of_items);
    assert_eq!(found.progress.cost_usd.normalize(), of_items);
    assert_eq!(found.counted.normalize(), of_items);
    let lost = |run: &&Value| run["totals"]["cost_usd"].is_null();
    assert_eq!(found.progress.unknown_cost, found.runs.iter().filter(lost).count() as u64);
}
