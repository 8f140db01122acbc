//! The objects of a run, and the rule that the first writer wins.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::attempt::{Attempt, Totals};
use crate::digest::sha256_hex;
use crate::error::{ErrorName, Fault};
use crate::ports::{GetObject, Put, PutOnce};
use crate::routing::Decision;

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

/// How a step execution went, whether it answered or not.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Course {
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
    pub course: Course,
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
    pub course: Course,
    /// Cut by `max_tokens`.
    #[serde(default)]
    pub truncated: bool,
}

impl From<StepArtifact> for FinishedStep {
    fn from(artifact: StepArtifact) -> Self {
        Self { course: artifact.course, truncated: artifact.truncated }
    }
}

impl std::ops::Deref for FinishedStep {
    type Target = Course;
    fn deref(&self) -> &Course {
        &self.course
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Output {
    pub text: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub json: Option<Value>,
}

impl Output {
    /// What later prompts see as `steps.<id>`.
    pub fn value(&self) -> Value {
        self.json.clone().unwrap_or_else(|| Value::String(self.text.clone()))
    }
}

/// `failures/<attempt_no>/<step>.failure.json`: a step that gave no answer, with all that was tried and paid.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepFailure {
    #[serde(flatten)]
    pub course: Course,
    pub status: StepStatus,
    pub error: Fault,
}

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

/// Writes `body` unless there is an object already, and returns what is stored now.
pub async fn store_once(
    store: &(impl GetObject + PutOnce),
    key: &str,
    run_id: &str,
    body: Vec<u8>,
) -> Result<Vec<u8>, Fault> {
    match store.put_once(key, run_id, &body).await? {
        Put::Stored => Ok(body),
        Put::Existed => store.get(key).await?.ok_or_else(|| {
            Fault::internal(format!("{key} is there for a write and missing for a read"))
        }),
    }
}

/// # Errors
/// `Bcce.Internal`, naming the object: everything under a run was written by us.
pub fn parse<T: serde::de::DeserializeOwned>(key: &str, body: &[u8]) -> Result<T, Fault> {
    serde_json::from_slice(body).map_err(|error| {
        let place = format!("line {}, column {}", error.line(), error.column());
        Fault::internal(format!("{key} is not what this version writes: {place}"))
    })
}

/// As `parse`, an object on each line.
pub fn parse_lines<T: serde::de::DeserializeOwned>(
    key: &str,
    body: &[u8],
) -> Result<Vec<T>, Fault> {
    let lines = body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| parse(key, line)).collect()
}

/// Adds `value` as a line.
pub fn add_line<T: Serialize>(lines: &mut Vec<u8>, value: &T) -> Result<(), Fault> {
    lines.extend(to_json(value)?);
    lines.push(b'\n');
    Ok(())
}

pub fn to_json<T: Serialize>(value: &T) -> Result<Vec<u8>, Fault> {
    serde_json::to_vec(value)
        .map_err(|error| Fault::internal(format!("cannot be written as JSON: {error}")))
}
