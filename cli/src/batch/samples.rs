//! Batches for tests.

use bcce_core::batch::Way;
use bcce_core::batch::manifest::{Opened, SourceRead};
use bcce_core::batch::{BatchManifest, BatchProgress, BatchRef, BatchStatus, Format, Mode};
use bcce_core::ledger::BatchRecord;
use rust_decimal::Decimal;
use serde_json::json;
use time::OffsetDateTime;
use time::macros::datetime;

use super::Batch;

pub const STARTED: OffsetDateTime = datetime!(2026-11-01 12:00 UTC);

pub fn record(attempt_no: u32, status: BatchStatus) -> BatchRecord {
    BatchRecord {
        batch_id: BatchRef::first("default", "explain", "42").batch_id,
        attempt_no,
        tenant: "default".into(),
        workflow: "explain".into(),
        request_id: "42".into(),
        execution_arn: "arn".into(),
        status,
        started_at: STARTED,
        ended_at: None,
        items: 500,
        rejected: 3,
        to_run: 497,
        mode: Mode::OnDemand,
        allowed_failures: 100,
        manifest: None,
        error_name: None,
        error_message: None,
    }
}

pub fn opened() -> Opened {
    Opened {
        version: 1,
        items: 500,
        rejected: 3,
        to_run: 497,
        parts: 1,
        source: SourceRead {
            uri: "s3://b/k.csv".into(),
            format: Format::Csv,
            etag: None,
            bytes: 9,
        },
        mode: Mode::OnDemand,
        because: vec!["it was asked for".into()],
        bulk: None,
        concurrency: 20,
        way: Way::default(),
        split: None,
        allowed_failures: 100,
    }
}

/// Returns a batch that is opened and has no ended run yet.
pub fn under_way() -> Batch {
    let mut batch = Batch::new(BatchRef::first("default", "explain", "42"));
    batch.execution = Some("RUNNING".into());
    batch.note_record(Some(record(1, BatchStatus::Running)));
    batch.opened = Some(opened());
    batch
}

pub fn half_way() -> Batch {
    let mut batch = under_way();
    let progress = BatchProgress {
        succeeded: 236,
        failed: 12,
        cost_usd: Decimal::new(4123, 4),
        unknown_cost: 2,
        errors: [("Bcce.NoTarget".to_owned(), 12)].into(),
        ..BatchProgress::default()
    };
    batch.note_progress(progress, STARTED + time::Duration::minutes(4));
    batch
}

pub fn manifest() -> BatchManifest {
    let object =
        |name: &str| json!({ "key": format!("k/{name}-1.jsonl"), "sha256": "s", "bytes": 1234 });
    let totals = json!({ "usage": null, "cost_usd": "1.5", "unpriced": [] });
    let counts = json!({ "items": 500, "succeeded": 485, "failed": 12, "cancelled": 0, "rejected": 3, "skipped": 0, "running": 0 });
    let manifest = json!({
        "version": 1, "kind": "batch", "batch_id": "b", "attempt_no": 1, "execution_arn": "arn", "tenant": "default",
        "workflow": "explain", "request_id": "42", "status": "PARTIAL", "started_at": "2026-11-01T12:00:00Z",
        "ended_at": "2026-11-01T12:08:00Z", "opened": null, "counts": counts, "totals": totals,
        "errors": { "Bcce.NoTarget": 12, "Bcce.InvalidRequest": 3 },
        "results": object("results"), "outputs": object("outputs"),
    });
    serde_json::from_value(manifest).unwrap()
}
