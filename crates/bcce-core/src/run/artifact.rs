//! The objects of a run: answers, failures and how a manifest lists them.

use serde::{Deserialize, Serialize};

use crate::base::digest::sha256_hex;
use crate::base::error::{ErrorName, Fault};
use crate::call::answer::Output;
use crate::call::attempt::{Attempt, Totals};
use crate::failover::decision::Decision;

/// An object as a manifest lists it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArtifactRef {
    pub key: String,
    pub sha256: String,
    pub bytes: u64,
}

impl ArtifactRef {
    pub fn of(key: String, body: &[u8]) -> Self {
        Self { key, sha256: sha256_hex(body), bytes: body.len() as u64 }
    }
}

/// The record of a step execution: decisions, attempts and totals, whether it answered or not.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepRecord {
    pub version: u32,
    pub run_id: String,
    /// The execution that paid for the attempts.
    pub attempt_no: u32,
    pub step_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item: Option<u32>,
    pub decisions: Vec<Decision>,
    pub attempts: Vec<Attempt>,
    #[serde(flatten)]
    pub totals: Totals,
}

/// `steps/<step>.answer.json` or `steps/<step>/<n>.answer.json`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepArtifact {
    #[serde(flatten)]
    pub record: StepRecord,
    pub output: Output,
    /// Cut by `max_tokens`.
    pub truncated: bool,
    pub stop_reason: String,
    pub prompt_sha256: String,
}

/// Holds the parts of a step artifact that a manifest needs: all but the answer.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct FinishedStep {
    #[serde(flatten)]
    pub record: StepRecord,
    /// Cut by `max_tokens`.
    #[serde(default)]
    pub truncated: bool,
}

impl From<StepArtifact> for FinishedStep {
    fn from(artifact: StepArtifact) -> Self {
        Self { record: artifact.record, truncated: artifact.truncated }
    }
}

impl std::ops::Deref for FinishedStep {
    type Target = StepRecord;
    fn deref(&self) -> &StepRecord {
        &self.record
    }
}

/// `failures/<attempt_no>/<step>.failure.json`: a step without an answer, with everything that was tried and paid.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepFailure {
    #[serde(flatten)]
    pub record: StepRecord,
    pub status: StepStatus,
    pub error: Fault,
}

/// The status of a step, or of an item of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum StepStatus {
    Succeeded,
    Failed,
    /// Never started, because an earlier wave failed.
    Skipped,
    /// A guardrail intervened.
    Blocked,
}

impl StepStatus {
    pub fn of_error(name: ErrorName) -> Self {
        match name {
            ErrorName::GuardrailIntervened => Self::Blocked,
            _ => Self::Failed,
        }
    }
}
