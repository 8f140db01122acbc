//! The objects of a run: answers, failures, and their entries in a manifest.

use serde::{Deserialize, Serialize};

use crate::base::digest::sha256_hex;
use crate::base::error::{ErrorName, Fault};
use crate::call::answer::Output;
use crate::call::attempt::{Attempt, AttemptKind, Totals};
use crate::call::response_cache::CachedFrom;
use crate::failover::decision::Decision;

/// An artifact, as a manifest lists it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArtifactRef {
    /// The key in the artifact bucket.
    pub key: String,
    /// The SHA-256 digest of the artifact's bytes, in lower-case hex.
    pub sha256: String,
    /// The size in bytes.
    pub bytes: u64,
}

impl ArtifactRef {
    /// Describes an artifact with the given key and bytes.
    pub fn of(key: String, body: &[u8]) -> Self {
        Self { key, sha256: sha256_hex(body), bytes: body.len() as u64 }
    }
}

/// The record of a step execution: decisions, attempts and totals, whether the step answered or not.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepRecord {
    pub version: u32,
    pub run_id: String,
    /// The run attempt that paid for the attempts.
    pub attempt_no: u32,
    pub step_id: String,
    /// The position in the list that the step fans out over, from 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item: Option<u32>,
    pub decisions: Vec<Decision>,
    pub attempts: Vec<Attempt>,
    /// The first answer to the same call, if the step was answered from the response cache. There are no attempts then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached_from: Option<CachedFrom>,
    #[serde(flatten)]
    pub totals: Totals,
}

impl StepRecord {
    /// Returns true if another target than the first choice was tried because of a failure: one of this step's calls, or
    /// earlier ones that opened a breaker. The records of bulk jobs choose no target.
    pub fn failed_over(&self) -> bool {
        let has_failed = |attempt: &Attempt| {
            attempt.kind != AttemptKind::Bulk && attempt.error.is_some_and(ErrorName::fails_over)
        };
        self.attempts.iter().any(has_failed) || self.decisions.iter().any(|it| it.diverted)
    }
}

/// The answer of a step, stored as `steps/<step>.answer.json` or `steps/<step>/<n>.answer.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepArtifact {
    #[serde(flatten)]
    pub record: StepRecord,
    pub output: Output,
    /// True if `max_tokens` cut the answer.
    pub truncated: bool,
    pub stop_reason: String,
    pub prompt_sha256: String,
}

/// A [`StepArtifact`] without its answer: the parts that a manifest needs.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct FinishedStep {
    #[serde(flatten)]
    pub record: StepRecord,
    /// True if `max_tokens` cut the answer.
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

/// A step without an answer, with everything that was tried and paid. Stored as
/// `failures/<attempt_no>/<step>.failure.json`.
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
    /// The step was not started because an earlier wave failed.
    Skipped,
    /// A guardrail intervened.
    Blocked,
}

impl StepStatus {
    /// Returns the status of a step that ended with the error `name`: `Blocked` if a guardrail intervened, else
    /// `Failed`.
    pub fn of_error(name: ErrorName) -> Self {
        match name {
            ErrorName::GuardrailIntervened => Self::Blocked,
            _ => Self::Failed,
        }
    }
}
