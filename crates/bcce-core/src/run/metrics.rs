//! The metrics of a run: by workflow, by region and model, and those of the environment that alarms need.

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
use serde_json::{Value, json};

use crate::base::emf;
use crate::base::error::ErrorName;
use crate::run::manifest::{Kind, Manifest, UsageLine};
use crate::run::notification::RunStatus;

/// A metric: its name, its CloudWatch unit and its value.
type Metric = (&'static str, &'static str, Value);

/// Returns a metric line for each set of dimensions.
pub fn of_run(environment: &str, manifest: &Manifest) -> Vec<String> {
    let run = run(environment, manifest);
    let calls = manifest.usage_by_model.iter().map(|line| by_model(environment, manifest, line));
    let mut metrics = at_fault(&manifest.usage_by_model);
    if manifest.without_budget {
        metrics.push(("RunsWithoutBudget", "Count", json!(1)));
    }
    if manifest.kind == Kind::Run {
        metrics.extend(rates(manifest));
    }
    let alarmed = (!metrics.is_empty())
        .then(|| document(manifest, &[("Environment", environment)], &metrics));
    std::iter::once(run).chain(calls).chain(alarmed).collect()
}

/// Returns the metrics of calls that need a person, over all targets. They are written only if there are such calls. An
/// alarm can be set on them before any target is known.
pub(crate) fn at_fault(lines: &[UsageLine]) -> Vec<Metric> {
    let sum = |count: fn(&UsageLine) -> u64| lines.iter().map(count).sum::<u64>();
    let rejected = ("RejectedCalls", sum(|line| line.rejected_calls));
    // The cost of a call whose usage is unknown is unknown as well. That takes no person: a cut stream is no fault of the
    // price file.
    let unpriced = sum(|line| line.unpriced_calls.saturating_sub(line.unknown_calls));
    let found =
        [rejected, ("CallsWithoutPrice", unpriced)].into_iter().filter(|(_, count)| *count > 0);
    found.map(|(name, count)| (name, "Count", json!(count))).collect()
}

/// Returns the metrics whose averages are rates. Each is 1 if what its name says is true of the run,
/// else 0. A run that a person cancelled neither failed nor succeeded, and one that made no call did not fail over. A
/// request that was refused before it had a plan is the sender's fault, and nobody who operates the stack can mend it.
///
/// `NoSuccess` is 1 when `dispatch` starts a run and 0 when a run succeeds. So its minimum over a time is 1 if runs were
/// started and none succeeded. It finds the mistake of an operator because of which all requests are refused.
fn rates(manifest: &Manifest) -> impl Iterator<Item = Metric> {
    let is_cancelled = manifest.status == RunStatus::Cancelled;
    let has_failed = manifest.status == RunStatus::Failed;
    let rate = |name, value| (name, "None", json!(u8::from(value)));
    let counts = !is_cancelled && !is_refused(manifest);
    let failed = counts.then(|| rate("RunFailed", has_failed));
    let failed_over =
        (!manifest.usage_by_model.is_empty()).then(|| rate("FailedOver", manifest.failed_over > 0));
    let success = (manifest.status == RunStatus::Succeeded).then(|| rate("NoSuccess", false));
    [failed, failed_over, success].into_iter().flatten()
}

/// Returns true if the request was invalid, so that the run never had a plan.
fn is_refused(manifest: &Manifest) -> bool {
    let is_invalid =
        manifest.error.as_ref().is_some_and(|error| error.name == ErrorName::InvalidRequest);
    is_invalid && manifest.template_sha256.is_none()
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
pub(crate) fn calls(line: &UsageLine) -> [Metric; 11] {
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
    let mut properties = vec![
        ("run_id", json!(manifest.run_id)),
        ("tenant", json!(manifest.tenant)),
        ("kind", json!(manifest.kind)),
        ("status", json!(manifest.status)),
    ];
    properties.extend(manifest.error.as_ref().map(|error| ("error", json!(error.name.as_str()))));
    emf::document(manifest.ended_at, dimensions, metrics, &properties)
}
