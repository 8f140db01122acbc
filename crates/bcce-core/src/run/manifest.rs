//! The manifest: the sealed record of one attempt at a run, read off its artifacts.

mod lost; // calls that no artifact records
mod steps; // each step of the plan: status, items, what it used, why it failed
#[cfg(test)]
mod tests;
mod usage; // what was paid, by region and model

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use time::{Date, OffsetDateTime};

use crate::base::error::Fault;
use crate::base::json::is_zero;
use crate::call::attempt::{Attempt, Totals};
use crate::run::artifact::{ArtifactRef, FinishedStep, StepFailure, StepRecord};
use crate::run::call_log::LoggedStep;
use crate::run::ending::{Ending, ExecutionStatus};
use crate::run::ids::Run;
use crate::run::notification::{RunNotification, RunStatus};
use crate::run::plan::Plan;

pub use steps::{ItemFault, ItemsSummary, StepFault, StepSummary};
pub use usage::UsageLine;

/// What a manifest describes. The manifest names its kind, so that whoever checks it knows what was signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Run,
    /// A run that is an item of a batch.
    Item,
    Batch,
}

impl Kind {
    /// The line that is signed before the bytes. The number changes with what is signed.
    pub fn line(self) -> &'static str {
        match self {
            Self::Run => "bcce run manifest 1\n",
            Self::Item => "bcce item manifest 1\n",
            Self::Batch => "bcce batch manifest 1\n",
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Item => "item",
            Self::Batch => "batch",
        }
    }

    /// Returns what is signed: the line and the bytes.
    pub fn message(self, bytes: &[u8]) -> Vec<u8> {
        [self.line().as_bytes(), bytes].concat()
    }
}

/// `manifest-<attempt>.json`. Its signature is detached, over the line of its kind and these exact bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    pub version: u32,
    /// What it is of, and so what its signature is over: a run, or an item of a batch.
    pub kind: Kind,
    pub run_id: String,
    pub attempt_no: u32,
    pub execution_arn: String,
    pub tenant: String,
    pub workflow: String,
    pub request_id: String,
    /// `null` when the run was refused before it had a plan.
    pub template_sha256: Option<String>,
    pub status: RunStatus,
    #[serde(with = "time::serde::rfc3339")]
    pub started_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    pub ended_at: OffsetDateTime,
    pub tags: BTreeMap<String, String>,
    /// Key of the run's answer, when it has one; the prefix of its items where that step fans out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<String>,
    pub artifacts: Vec<ArtifactRef>,
    pub steps: Vec<StepSummary>,
    /// Answers that `max_tokens` cut, over all steps.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub truncated: u64,
    /// What this attempt paid; the steps it found finished were paid by an earlier one.
    pub totals: Totals,
    pub unpriced: Vec<String>,
    /// `totals`, by region and model.
    pub usage_by_model: Vec<UsageLine>,
    pub prices_date: Option<Date>,
    pub policy_sha256: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Fault>,
}

/// Which manifest, exactly.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestRef {
    pub key: String,
    pub sha256: String,
}

/// Everything there is to know about a run that is over.
#[derive(Clone, Debug)]
pub struct Evidence<'a> {
    pub run: &'a Run,
    pub plan: Option<&'a Plan>,
    pub artifacts: Vec<ArtifactRef>,
    /// Finished steps, whichever attempt paid for them.
    pub answers: Vec<FinishedStep>,
    /// Of this attempt.
    pub failures: Vec<StepFailure>,
    /// What left no artifact: a step that broke on our side.
    pub broken: Vec<StepFault>,
    /// Every call that this attempt started.
    pub logged_calls: Vec<LoggedStep>,
    /// What ended the run outside of any step.
    pub fault: Option<Fault>,
    /// The execution was ended from outside and sealed nothing itself.
    pub ending: Option<Ending>,
    pub ended_at: OffsetDateTime,
}

impl Manifest {
    pub fn seal(evidence: Evidence<'_>) -> Self {
        let lost = lost::of(&evidence);
        let steps = steps::of(&evidence, &lost);
        let error = evidence.fault.clone().or_else(|| steps::first_error(&steps));
        let unfinished = steps::unfinished(evidence.plan, &steps);
        let (status, error) = match (&evidence.ending, error, unfinished) {
            (_, None, None) => (RunStatus::Succeeded, None),
            (Some(Ending { status: ExecutionStatus::Aborted, .. }), error, _) => {
                (RunStatus::Cancelled, error)
            }
            (Some(ending), None, _) => (RunStatus::Failed, Some(ending.fault())),
            (_, error, unfinished) => (RunStatus::Failed, error.or(unfinished)),
        };
        let paid: Vec<&Attempt> =
            evidence.paid().chain(lost.iter().map(|lost| &lost.attempt)).collect();
        let totals = Totals::of(paid.iter().copied());
        let run = evidence.run;
        let plan = evidence.plan;
        let result = plan.and_then(|plan| steps::result(run, plan, &steps));
        Self {
            version: 1,
            kind: if run.batch.is_some() { Kind::Item } else { Kind::Run },
            run_id: run.run_id.clone(),
            attempt_no: run.attempt_no,
            execution_arn: run.execution_arn.clone(),
            tenant: run.tenant.clone(),
            workflow: run.workflow.clone(),
            request_id: run.request_id.clone(),
            template_sha256: plan.map(|plan| plan.template_sha256.clone()),
            status,
            started_at: run.started_at,
            ended_at: evidence.ended_at,
            tags: plan.map(|plan| plan.tags.clone()).unwrap_or_default(),
            result,
            unpriced: totals.unpriced.clone(),
            usage_by_model: usage::by_model(&paid, &lost),
            totals,
            prices_date: plan.map(|plan| plan.prices_date),
            policy_sha256: plan.map(|plan| plan.policy_sha256.clone()),
            truncated: steps.iter().map(|step| step.truncated).sum(),
            steps,
            error,
            artifacts: evidence.artifacts,
        }
    }

    pub fn notification(&self, key: &str, sha256: &str) -> RunNotification {
        RunNotification {
            version: 1,
            run_id: Some(self.run_id.clone()),
            request_id: self.request_id.clone(),
            tenant: self.tenant.clone(),
            workflow: Some(self.workflow.clone()),
            status: self.status,
            ended_at: self.ended_at,
            manifest: Some(key.to_owned()),
            manifest_sha256: Some(sha256.to_owned()),
            totals: self.totals.clone(),
            truncated: self.truncated,
            error: self.error.clone(),
        }
    }
}

impl Evidence<'_> {
    /// Returns the records of all steps that artifacts hold: of answers, then of failures.
    fn records(&self) -> impl Iterator<Item = &StepRecord> {
        let failed = self.failures.iter().map(|failure| &failure.record);
        self.answers.iter().map(|step| &step.record).chain(failed)
    }

    /// Returns the attempts of this execution, as far as artifacts record them.
    fn paid(&self) -> impl Iterator<Item = &Attempt> {
        let ours = self.records().filter(|record| record.attempt_no == self.run.attempt_no);
        ours.flat_map(|record| &record.attempts)
    }
}
