//! The notification of a batch: when it ends, and when it is halted.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::base::error::{ErrorName, Fault};
use crate::batch::manifest::{BatchManifest, BatchStatus, Counts};
use crate::batch::progress::{BatchProgress, Halt};
use crate::batch::reference::BatchRef;
use crate::call::attempt::Totals;

/// The notification of a batch: the fields of a run's notification, with `batch_id` and `counts`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BatchNotification {
    pub version: u32,
    pub batch_id: String,
    /// Always `null`, because a batch is not a run.
    pub run_id: Option<String>,
    pub request_id: String,
    pub tenant: String,
    pub workflow: String,
    pub status: BatchStatus,
    #[serde(with = "time::serde::rfc3339")]
    pub ended_at: OffsetDateTime,
    pub manifest: Option<String>,
    pub manifest_sha256: Option<String>,
    pub counts: Counts,
    pub totals: Totals,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Fault>,
}

impl BatchManifest {
    /// Returns the notification of the batch. `key` and `sha256` are those of the manifest.
    pub fn notification(&self, key: &str, sha256: &str) -> BatchNotification {
        BatchNotification {
            version: 1,
            batch_id: self.batch_id.clone(),
            run_id: None,
            request_id: self.request_id.clone(),
            tenant: self.tenant.clone(),
            workflow: self.workflow.clone(),
            status: self.status,
            ended_at: self.ended_at,
            manifest: Some(key.to_owned()),
            manifest_sha256: Some(sha256.to_owned()),
            counts: self.sums.counts,
            totals: self.sums.totals.clone(),
            error: self.error.clone(),
        }
    }
}

impl BatchNotification {
    /// Returns the notification of a batch that is halted and still running. `progress` is the batch progress at the
    /// halt.
    pub fn of_halt(batch: &BatchRef, progress: &BatchProgress, halt: Halt) -> Self {
        let message = format!("{}; no further one is started", halt.because);
        Self {
            version: 1,
            batch_id: batch.batch_id.clone(),
            run_id: None,
            request_id: batch.request_id.clone(),
            tenant: batch.tenant.clone(),
            workflow: batch.workflow.clone(),
            status: BatchStatus::Running,
            ended_at: halt.at,
            manifest: None,
            manifest_sha256: None,
            counts: Counts {
                items: progress.over(),
                succeeded: progress.succeeded,
                failed: progress.failed,
                cancelled: progress.cancelled,
                truncated: progress.truncated,
                ..Counts::default()
            },
            totals: progress.totals(),
            error: Some(Fault::new(ErrorName::TooManyFailures, message)),
        }
    }
}
