//! The manifest: the sealed record of one run attempt, made from its artifacts.

mod lost; // the calls that no artifact records
pub mod platform; // what an execution takes of AWS besides models
mod steps; // each step of the plan: status, items, usage, error
mod tagged; // runs and usage by the tags that split costs
#[cfg(test)]
mod tests;
mod usage; // the usage by step, target, day and price, and by region and model

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use time::{Date, OffsetDateTime};

use crate::base::error::Fault;
use crate::base::json::{is_false, is_zero};
use crate::base::platform::PlatformUse;
use crate::call::attempt::{Attempt, AttemptOutcome, Totals};
use crate::run::artifact::{ArtifactRef, FinishedStep, StepFailure, StepRecord};
use crate::run::call_log::LoggedStep;
use crate::run::ending::{Ending, ExecutionStatus};
use crate::run::ids::Run;
use crate::run::notification::{RunNotification, RunStatus};
use crate::run::plan::Plan;

pub use steps::{ItemFault, ItemsSummary, StepFault, StepSummary};
pub use tagged::{RunCounts, TaggedUsage, add_tagged};
pub use usage::{Detail, Key as UsageKey, StepUsage, UsageLine, add_usage};

/// The kind of a manifest. A manifest names its kind, so that a reader can check what was signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Run,
    /// A run that is an item of a batch.
    Item,
    Batch,
    /// A part of a batch: the runs that one batch attempt worked off in it.
    Part,
}

impl Kind {
    /// Returns the line that is signed before the bytes of the manifest. Its number changes with the format of the
    /// manifest.
    pub fn line(self) -> &'static str {
        match self {
            Self::Run => "bcce run manifest 1\n",
            Self::Item => "bcce item manifest 1\n",
            Self::Batch => "bcce batch manifest 1\n",
            Self::Part => "bcce part manifest 1\n",
        }
    }

    /// Returns the kind in lower case, such as `run`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Item => "item",
            Self::Batch => "batch",
            Self::Part => "part",
        }
    }

    /// Returns the message that is signed: the kind's line, then `bytes`.
    pub fn message(self, bytes: &[u8]) -> Vec<u8> {
        [self.line().as_bytes(), bytes].concat()
    }
}

/// The manifest of a run attempt, stored as `manifest-<attempt>.json`. Its signature is detached and covers the line of
/// its kind and the exact bytes of the manifest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    pub version: u32,
    /// The kind: a run, or a run that is an item of a batch. It decides which line the signature covers.
    pub kind: Kind,
    pub run_id: String,
    pub attempt_no: u32,
    pub execution_arn: String,
    pub tenant: String,
    pub workflow: String,
    pub request_id: String,
    /// The digest of the workflow document. `null` if the run was refused before it had a plan.
    pub template_sha256: Option<String>,
    pub status: RunStatus,
    #[serde(with = "time::serde::rfc3339")]
    pub started_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    pub ended_at: OffsetDateTime,
    pub tags: BTreeMap<String, String>,
    /// The tags that split the run's costs, with values that the policy lists or `other`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub cost_tags: BTreeMap<String, String>,
    /// The key of the run's answer, if it has one. If the step of the answer fans out, the prefix of its items.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<String>,
    pub artifacts: Vec<ArtifactRef>,
    pub steps: Vec<StepSummary>,
    /// The number of answers that `max_tokens` cut, over all steps.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub truncated: u64,
    /// The number of step executions of this run attempt that failed over: a call failed with an error that another
    /// target may not have, or the first choice was passed over because its breaker was open.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub failed_over: u64,
    /// The usage and cost of this run attempt. Steps that an earlier run attempt finished are not included.
    pub totals: Totals,
    /// The models without a known price.
    pub unpriced: Vec<String>,
    /// The same as `totals`, by region and model.
    pub usage_by_model: Vec<UsageLine>,
    /// The same as `totals`, by step, target, day and price. The ledger adds these lines to its counters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub usage_by_step: Vec<StepUsage>,
    pub prices_date: Option<Date>,
    pub policy_sha256: Option<String>,
    /// True if the environment has budgets and none of them pays the run.
    #[serde(default, skip_serializing_if = "is_false")]
    pub without_budget: bool,
    /// The use of AWS besides models by the run's execution. Empty for a run of a packed batch: the manifest of its
    /// part has it.
    #[serde(default, skip_serializing_if = "PlatformUse::is_empty")]
    pub platform: PlatformUse,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Fault>,
}

/// A reference to a manifest: its key and the digest of its bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestRef {
    pub key: String,
    pub sha256: String,
}

/// All facts about a run that is over, from which its manifest is made.
#[derive(Clone, Debug)]
pub struct Evidence<'a> {
    pub run: &'a Run,
    pub plan: Option<&'a Plan>,
    pub artifacts: Vec<ArtifactRef>,
    /// The finished steps. Any run attempt may have paid for them.
    pub answers: Vec<FinishedStep>,
    /// The failed steps of this run attempt.
    pub failures: Vec<StepFailure>,
    /// The steps that ended without an artifact because of an internal fault.
    pub broken: Vec<StepFault>,
    /// The calls that this run attempt started.
    pub logged_calls: Vec<LoggedStep>,
    /// The error that ended the run outside of any step.
    pub fault: Option<Fault>,
    /// The end of the execution, if it was ended from outside and sealed nothing itself.
    pub ending: Option<Ending>,
    pub ended_at: OffsetDateTime,
}

impl Manifest {
    /// Makes the manifest of a run that is over and had an execution of its own.
    pub fn seal_execution(evidence: Evidence<'_>) -> Self {
        let manifest = Self::seal(evidence.clone());
        let usage_lines = manifest.usage_by_step.len() as u64;
        let platform = evidence.platform(usage_lines, manifest.status == RunStatus::Failed);
        Self { platform, ..manifest }
    }

    /// Makes the manifest of a run that is over.
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
        let paid = evidence.paid().map(|call| call.attempt);
        let totals = Totals::of(paid.chain(lost.iter().map(|lost| &lost.attempt)));
        let usage_by_step = usage::by_step(&evidence, &lost);
        let failed_over =
            evidence.own_records().filter(|record| record.failed_over()).count() as u64;
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
            cost_tags: plan.map(|plan| plan.cost_tags.clone()).unwrap_or_default(),
            result,
            unpriced: totals.unpriced.clone(),
            usage_by_model: usage::by_model(&usage_by_step),
            usage_by_step,
            totals,
            prices_date: plan.map(|plan| plan.prices_date),
            without_budget: evidence.plan.is_some_and(Plan::is_without_budget),
            policy_sha256: plan.map(|plan| plan.policy_sha256.clone()),
            platform: PlatformUse::default(),
            truncated: steps.iter().map(|step| step.truncated).sum(),
            failed_over,
            steps,
            error,
            artifacts: evidence.artifacts,
        }
    }

    /// Returns the notification of the run. `key` and `sha256` are those of the manifest.
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
    /// Returns the records of all step executions that artifacts hold: first those of answers, then those of failures.
    fn records(&self) -> impl Iterator<Item = &StepRecord> {
        let failed = self.failures.iter().map(|failure| &failure.record);
        self.answers.iter().map(|step| &step.record).chain(failed)
    }

    /// Returns the records of the step executions that this run attempt paid for.
    fn own_records(&self) -> impl Iterator<Item = &StepRecord> {
        self.records().filter(|record| record.attempt_no == self.run.attempt_no)
    }

    /// Returns the attempts of this run attempt that artifacts record.
    fn paid(&self) -> impl Iterator<Item = PaidCall<'_>> {
        let answered = self.answers.iter().map(|step| (&step.record, step.truncated));
        let failed = self.failures.iter().map(|failure| (&failure.record, false));
        let own = answered.chain(failed);
        let own = own.filter(|(record, _)| record.attempt_no == self.run.attempt_no);
        own.flat_map(|(record, truncated)| {
            record.attempts.iter().map(move |attempt| PaidCall {
                step: &record.step_id,
                attempt,
                // The other attempts of a step that has an answer have failed.
                is_cut: truncated && attempt.outcome == AttemptOutcome::Answered,
            })
        })
    }
}

/// An attempt that an artifact records, with its step.
struct PaidCall<'a> {
    step: &'a str,
    attempt: &'a Attempt,
    /// True if `max_tokens` cut its answer.
    is_cut: bool,
}
