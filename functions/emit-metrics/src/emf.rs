//! Metrics in CloudWatch's embedded metric format: JSON lines on standard output.
//!
//! Each distinct set of dimensions is a metric that is billed, so there are two: the workflow, and the
//! model with its region. Run ids are properties, searchable in the log and free.

use bcce_core::manifest::{Manifest, UsageLine};
use bcce_core::notice::RunStatus;
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
use serde_json::{Map, Value, json};

const NAMESPACE: &str = "BCCE";

pub(crate) fn documents(environment: &str, manifest: &Manifest) -> Vec<String> {
    let run = run(environment, manifest);
    let calls = manifest.usage_by_model.iter().map(|line| calls(environment, manifest, line));
    std::iter::once(run).chain(calls).collect()
}

fn run(environment: &str, manifest: &Manifest) -> String {
    let totals = &manifest.totals;
    let is = |status| json!(u8::from(manifest.status == status));
    let seconds = (manifest.ended_at - manifest.started_at).as_seconds_f64();
    let dimensions = [("Environment", environment), ("Workflow", &manifest.workflow)];
    let metrics = [
        ("RunsSucceeded", "Count", is(RunStatus::Succeeded)),
        ("RunsFailed", "Count", is(RunStatus::Failed)),
        ("RunsCancelled", "Count", is(RunStatus::Cancelled)),
        ("RunDuration", "Seconds", json!(seconds)),
        ("RunPricedCost", "None", usd(totals.known_cost())),
    ];
    document(manifest, &dimensions, &metrics)
}

fn calls(environment: &str, manifest: &Manifest, line: &UsageLine) -> String {
    let dimensions =
        [("Environment", environment), ("Region", &line.region), ("Model", &line.model_id)];
    let usage = line.totals.known_usage();
    let metrics = [
        ("Calls", "Count", json!(line.calls)),
        ("FailedCalls", "Count", json!(line.failed_calls)),
        ("RejectedCalls", "Count", json!(line.rejected_calls)),
        ("UnknownUsageCalls", "Count", json!(line.unknown_calls)),
        ("UnpricedCalls", "Count", json!(line.unpriced_calls)),
        ("InputTokens", "Count", json!(usage.input_tokens)),
        ("OutputTokens", "Count", json!(usage.output_tokens)),
        ("CacheReadTokens", "Count", json!(usage.cache_read_tokens)),
        (
            "CacheWriteTokens",
            "Count",
            json!(usage.cache_write_5m_tokens + usage.cache_write_1h_tokens),
        ),
        ("PricedCost", "None", usd(line.totals.known_cost())),
    ];
    document(manifest, &dimensions, &metrics)
}

/// The cost that is known; `UnpricedCalls` says how many calls are missing in it. CloudWatch takes doubles
/// only, the exact figure is in the ledger.
fn usd(amount: Decimal) -> Value {
    json!(amount.to_f64().unwrap_or_default())
}

fn document(
    manifest: &Manifest,
    dimensions: &[(&str, &str)],
    metrics: &[(&str, &str, Value)],
) -> String {
    let names: Vec<&str> = dimensions.iter().map(|(name, _)| *name).collect();
    let definitions: Vec<Value> =
        metrics.iter().map(|(name, unit, _)| json!({ "Name": name, "Unit": unit })).collect();
    let timestamp = manifest.ended_at.unix_timestamp() * 1_000;
    let directive =
        json!({ "Namespace": NAMESPACE, "Dimensions": [names], "Metrics": definitions });
    let mut document = Map::new();
    document
        .insert("_aws".into(), json!({ "Timestamp": timestamp, "CloudWatchMetrics": [directive] }));
    document.insert("run_id".into(), json!(manifest.run_id));
    document.insert("tenant".into(), json!(manifest.tenant));
    document.insert("status".into(), json!(manifest.status));
    document.extend(dimensions.iter().map(|(name, value)| (name.to_string(), json!(value))));
    document.extend(metrics.iter().map(|(name, _, value)| (name.to_string(), value.clone())));
    Value::Object(document).to_string()
}
