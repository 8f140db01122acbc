//! References of attempts at runs and batches, as the ledger knows them.

use bcce_core::batch::BatchRef;
use bcce_core::ledger::{BatchRecord, RunRecord};
use bcce_core::run::ids::RunRef;

/// Returns the reference of a recorded attempt at a run.
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

/// Returns the reference of a recorded attempt at a batch.
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

/// Returns the first attempt at a batch of which only the id is known, until the ledger has the rest.
pub fn first_batch(batch_id: &str) -> BatchRef {
    let mut batch = BatchRef::first("default", "", "");
    batch.batch_id = batch_id.to_owned();
    batch
}
