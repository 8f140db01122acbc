//! The metrics of a run: by workflow, by region and model, and the rejected calls that an alarm needs.

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
use serde_json::{Value, json};

use crate::base::emf;
use crate::run::manifest::{Manifest, UsageLine};
use crate::run::notification::RunStatus;

/// Returns a metric line for each set of dimensions.
pub fn of_run(environment: &str, manifest: &Manifest) -> Vec<String> {
    let run = run(environment, manifest);
    let calls = manifest.usage_by_model.iter().map(|line| by_model(environment, manifest, line));
    let others =
        rejected(environment, manifest).into_iter().chain(without_budget(environment, manifest));
    std::iter::once(run).chain(calls).chain(others).collect()
}

/// Returns the metric of rejected calls over all targets. An alarm can be set on it before any target is known.
fn rejected(environment: &str, manifest: &Manifest) -> Option<String> {
    let rejected: u64 = manifest.usage_by_model.iter().map(|line| line.rejected_calls).sum();
    let metrics = [("RejectedCalls", "Count", json!(rejected))];
    (rejected > 0).then(|| document(manifest, &[("Environment", environment)], &metrics))
}

/// Returns the metric of a run that no budget pays, although the environment has budgets.
fn without_budget(environment: &str, manifest: &Manifest) -> Option<String> {
    let metrics = [("RunsWithoutBudget", "Count", json!(1))];
    manifest.without_budget.then(|| document(manifest, &[("Environment", environment)], &metrics))
}

fn run(environment: &str, manifest: &Manifest) -> String {
    let totals = &manifest.totals;
    let is = |status| json!(u8::from(manifest.status == status));
    let seconds = (manifest.ended_at - manifest.started_at).as_seconds_f64();
    // A run without a template was refused before it had a plan. Its workflow is a text of the sender, and each
    // distinct value would create a metric that is billed.
    let workflow =
        manifest.template_sha256.as_ref().map(|_| ("Workflow", manifest.workflow.as_str()));
    let dimensions: Vec<_> =
        std::iter::once(("Environment", environment)).chain(workflow).collect();
    let metrics = [
        ("RunsSucceeded", "Count", is(RunStatus::Succeeded)),
        ("RunsFailed", "Count", is(RunStatus::Failed)),
        ("RunsCancelled", "Count", is(RunStatus::Cancelled)),
        ("RunDuration", "Seconds", json!(seconds)),
        ("RunPricedCost", "None", usd(totals.known_cost())),
    ];
    document(manifest, &dimensions, &metrics)
}

fn by_model(environment: &str, manifest: &Manifest, line: &UsageLine) -> String {
    let dimensions =
        [("Environment", environment), ("Region", &line.region), ("Model", line.resolved_id())];
    document(manifest, &dimensions, &calls(line))
}

/// Returns the metrics of the calls to one model in one region.
pub(crate) fn calls(line: &UsageLine) -> [(&'static str, &'static str, Value); 11] {
    let usage = line.totals.known_usage();
    let cache_write = usage.cache_write_5m_tokens + usage.cache_write_1h_tokens;
    [
        ("Calls", "Count", json!(line.calls)),
        ("FailedCalls", "Count", json!(line.failed_calls)),
        ("RejectedCalls", "Count", json!(line.rejected_calls)),
        ("UnknownUsageCalls", "Count", json!(line.unknown_calls)),
        ("LostCalls", "Count", json!(line.lost_calls)),
        ("UnpricedCalls", "Count", json!(line.unpriced_calls)),
        ("InputTokens", "Count", json!(usage.input_tokens)),
        ("OutputTokens", "Count", json!(usage.output_tokens)),
        ("CacheReadTokens", "Count", json!(usage.cache_read_tokens)),
        ("CacheWriteTokens", "Count", json!(cache_write)),
        ("PricedCost", "None", usd(line.totals.known_cost())),
    ]
}

/// Converts a known cost to a number. CloudWatch accepts only doubles; the ledger has the exact figure. `UnpricedCalls`
/// counts the calls whose cost is missing.
pub(crate) fn usd(amount: Decimal) -> Value {
    json!(amount.to_f64().unwrap_or_default())
}

fn document(
    manifest: &Manifest,
    dimensions: &[(&str, &str)],
    metrics: &[(&str, &str, Value)],
) -> String {
    let properties = [
        ("run_id", json!(manifest.run_id)),
        ("tenant", json!(manifest.tenant)),
        ("status", json!(manifest.status)),
    ];
    emf::document(manifest.ended_at, dimensions, metrics, &properties)
}
