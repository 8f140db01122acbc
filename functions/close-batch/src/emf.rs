//! Makes the metrics documents of a batch. The costs are in the metrics of its runs.

use bcce_core::base::emf;
use bcce_core::batch::bulk::JobRecord;
use bcce_core::batch::{BatchManifest, BatchStatus};
use serde_json::json;

/// Returns the metrics by workflow, and the number of jobs at fault if there are any.
pub fn documents(environment: &str, manifest: &BatchManifest) -> Vec<String> {
    let at_fault = manifest.bulk.iter().filter(|job| job.is_at_fault()).count();
    let mut documents = vec![by_workflow(environment, manifest)];
    // The metric is only written if a job is at fault, so that its alarm can treat missing data as good.
    if at_fault > 0 {
        let metrics = [("BulkJobsAtFault", "Count", json!(at_fault))];
        let because: Vec<_> = manifest.bulk.iter().map(JobRecord::describe).collect();
        let properties = [("batch_id", json!(manifest.batch_id)), ("because", json!(because))];
        let dimensions = [("Environment", environment)];
        documents.push(emf::document(manifest.ended_at, &dimensions, &metrics, &properties));
    }
    documents
}

fn by_workflow(environment: &str, manifest: &BatchManifest) -> String {
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
    // A batch that was not opened may name any workflow, and each distinct one would be a metric that is billed.
    let workflow = manifest.opened.as_ref().map(|_| ("Workflow", manifest.workflow.as_str()));
    let dimensions: Vec<_> =
        std::iter::once(("Environment", environment)).chain(workflow).collect();
    emf::document(manifest.ended_at, &dimensions, &metrics, &properties)
}
