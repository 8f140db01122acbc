//! The message on the notifications topic. It has one shape for runs and for messages that were rejected.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::base::error::Fault;
use crate::base::json::is_zero;
use crate::call::attempt::Totals;

/// The status of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum RunStatus {
    /// The run is under way. Only the ledger has this status.
    Running,
    Succeeded,
    Failed,
    /// The message was rejected and no run was started.
    Rejected,
    Cancelled,
}

impl RunStatus {
    /// Returns the status as it is written, such as `SUCCEEDED`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "RUNNING",
            Self::Succeeded => "SUCCEEDED",
            Self::Failed => "FAILED",
            Self::Rejected => "REJECTED",
            Self::Cancelled => "CANCELLED",
        }
    }
}

impl std::fmt::Display for RunStatus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The notification of a run that is over, or of a rejected message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunNotification {
    pub version: u32,
    /// The run id. `null` for a message that is not a request.
    pub run_id: Option<String>,
    pub request_id: String,
    pub tenant: String,
    /// The workflow. `null` if the message does not name one.
    pub workflow: Option<String>,
    pub status: RunStatus,
    #[serde(with = "time::serde::rfc3339")]
    pub ended_at: OffsetDateTime,
    /// The key of the manifest in the artifact bucket.
    pub manifest: Option<String>,
    pub manifest_sha256: Option<String>,
    pub totals: Totals,
    /// The number of answers that `max_tokens` cut, over all steps.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub truncated: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Fault>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wire_name_and_as_str_are_one() {
        use RunStatus::*;
        for status in [Running, Succeeded, Failed, Rejected, Cancelled] {
            assert_eq!(serde_json::to_value(status).unwrap(), status.as_str());
        }
    }
}
