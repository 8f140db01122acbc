//! The metrics of a part: those of its runs, summed up.

use serde_json::json;

use crate::base::emf;
use crate::batch::packed::PartManifest;
use crate::run::manifest::UsageLine;
use crate::run::metrics::{at_fault, calls, usd};

/// Returns a metric line for each set of dimensions. They have the names of the metrics of a run.
pub fn of_part(environment: &str, manifest: &PartManifest) -> Vec<String> {
    let of_environment = [("Environment", environment)];
    let of_workflow = [("Environment", environment), ("Workflow", manifest.workflow.as_str())];
    let properties = [
        ("batch_id", json!(manifest.batch_id)),
        ("part", json!(manifest.part)),
        ("tenant", json!(manifest.tenant)),
    ];
    let document = |dimensions: &[(&str, &str)], metrics: &[(&str, &str, serde_json::Value)]| {
        emf::document(manifest.ended_at, dimensions, metrics, &properties)
    };
    let runs = &manifest.progress;
    let mut documents = vec![document(
        &of_workflow,
        &[
            ("RunsSucceeded", "Count", json!(runs.succeeded)),
            ("RunsFailed", "Count", json!(runs.failed)),
            ("RunsCancelled", "Count", json!(runs.cancelled)),
            ("RunPricedCost", "None", usd(runs.cost_usd)),
        ],
    )];
    let by_model = |line: &UsageLine| {
        let dimensions =
            [of_environment[0], ("Region", line.region.as_str()), ("Model", line.resolved_id())];
        document(&dimensions, &calls(line))
    };
    documents.extend(manifest.usage_by_model.iter().map(by_model));
    let mut metrics = at_fault(&manifest.usage_by_model);
    if manifest.without_budget > 0 {
        metrics.push(("RunsWithoutBudget", "Count", json!(manifest.without_budget)));
    }
    if !metrics.is_empty() {
        documents.push(document(&of_environment, &metrics));
    }
    documents
}
