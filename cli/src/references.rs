//! Builds references of run and batch attempts from the records of the ledger.

use bcce_core::batch::BatchRef;
use bcce_core::batch::packed::PackedPlace;
use bcce_core::ledger::{BatchRecord, RunRecord};
use bcce_core::run::ids::RunRef;

/// Returns the reference of a recorded run attempt.
pub fn run_reference(record: &RunRecord) -> RunRef {
    RunRef {
        version: 1,
        run_id: record.run_id.clone(),
        attempt_no: record.attempt_no,
        tenant: record.tenant.clone(),
        workflow: record.workflow.clone(),
        request_id: record.request_id.clone(),
        batch: None,
    }
}

/// Returns the reference of a packed run attempt. Its request id is a placeholder.
pub fn placed_run(place: &PackedPlace) -> RunRef {
    RunRef {
        version: 1,
        run_id: place.run_id.clone(),
        attempt_no: place.attempt_no,
        tenant: place.batch.tenant.clone(),
        workflow: place.batch.workflow.clone(),
        request_id: String::new(),
        batch: Some(place.batch.item_of()),
    }
}

/// Returns the reference of a recorded batch attempt.
pub fn batch_reference(record: &BatchRecord) -> BatchRef {
    BatchRef {
        version: 1,
        batch_id: record.batch_id.clone(),
        attempt_no: record.attempt_no,
        tenant: record.tenant.clone(),
        workflow: record.workflow.clone(),
        request_id: record.request_id.clone(),
    }
}

/// Returns the reference of the first attempt of a batch whose record does not exist yet. Only the id is known; the
/// other fields are placeholders.
pub fn first_batch(batch_id: &str) -> BatchRef {
    let mut batch = BatchRef::first("default", "", "");
    batch.batch_id = batch_id.to_owned();
    batch
}
