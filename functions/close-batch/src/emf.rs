//! A batch's metrics, by the workflow. What its runs cost is in theirs.

use bcce_core::batch::{BatchManifest, BatchStatus};
use bcce_core::emf;
use serde_json::json;

pub(crate) fn document(environment: &str, manifest: &BatchManifest) -> String {
    let counts = &manifest.sums.counts;
    let is = |status| json!(u8::from(manifest.status == status));
    let seconds = (manifest.ended_at - manifest.started_at).as_seconds_f64();
    let metrics = [
        ("BatchesSucceeded", "Count", is(BatchStatus::Succeeded)),
        ("BatchesPartial", "Count", is(BatchStatus::Partial)),
        ("BatchesFailed", "Count", is(BatchStatus::Failed)),
        ("BatchItems", "Count", json!(counts.items)),
        ("BatchItemsFailed", "Count", json!(counts.failed)),
        ("BatchItemsRejected", "Count", json!(counts.rejected)),
        ("BatchDuration", "Seconds", json!(seconds)),
    ];
    let properties = [
        ("batch_id", json!(manifest.batch_id)),
        ("attempt_no", json!(manifest.attempt_no)),
        ("tenant", json!(manifest.tenant)),
        ("status", json!(manifest.status)),
    ];
    let dimensions = [("Environment", environment), ("Workflow", manifest.workflow.as_str())];
    emf::document(manifest.ended_at, &dimensions, &metrics, &properties)
}
