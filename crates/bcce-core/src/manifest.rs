//! The manifest: the sealed record of one attempt at a run, read off its artifacts.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use time::{Date, OffsetDateTime};

use crate::artifact::{ArtifactRef, Course, StepFailure, StepStatus};
use crate::attempt::{Attempt, AttemptOutcome, Totals};
use crate::error::{ErrorName, Fault};
use crate::notice::{RunNotice, RunStatus};
use crate::plan::Plan;
use crate::run::{Run, StepRef};

/// `manifest-<attempt>.json`. Its signature is detached, over these exact bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    pub version: u32,
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
    /// Key of the run's answer, when it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<String>,
    pub artifacts: Vec<ArtifactRef>,
    pub steps: Vec<StepSummary>,
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

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepSummary {
    pub id: String,
    pub status: StepStatus,
    /// Calls made for it, over all its items.
    pub attempts: u64,
    #[serde(flatten)]
    pub totals: Totals,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Fault>,
}

/// What the calls to one model in one region used, as far as it is known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UsageLine {
    pub region: String,
    pub model_id: String,
    pub calls: u64,
    pub failed_calls: u64,
    /// Calls that the target can never take: a configuration fault.
    pub rejected_calls: u64,
    /// Calls whose usage is unknown, e.g. a cut stream.
    pub unknown_calls: u64,
    /// Calls whose cost is not known.
    pub unpriced_calls: u64,
    #[serde(flatten)]
    pub totals: Totals,
}

/// A step that ended otherwise than SUCCEEDED, as the state machine saw it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepFault {
    #[serde(flatten)]
    pub step: StepRef,
    pub status: StepStatus,
    pub error: Fault,
}

/// Everything there is to know about a run that is over.
#[derive(Clone, Debug)]
pub struct Evidence<'a> {
    pub run: &'a Run,
    pub plan: Option<&'a Plan>,
    pub artifacts: Vec<ArtifactRef>,
    /// Finished steps, whichever attempt paid for them.
    pub answers: Vec<Course>,
    /// Of this attempt.
    pub failures: Vec<StepFailure>,
    /// What left no artifact: a step that broke on our side.
    pub broken: Vec<StepFault>,
    /// What ended the run outside of any step.
    pub fault: Option<Fault>,
    pub ended_at: OffsetDateTime,
}

impl Manifest {
    pub fn seal(evidence: Evidence<'_>) -> Self {
        let steps = steps(&evidence);
        let error = evidence.fault.clone().or_else(|| first_error(&steps));
        let error = error.or_else(|| unfinished(evidence.plan, &steps));
        let status = if error.is_none() { RunStatus::Succeeded } else { RunStatus::Failed };
        let paid = paid(&evidence);
        let totals = Totals::of(paid.iter().copied());
        let (run, plan) = (evidence.run, evidence.plan);
        let result = plan.map(|plan| run.step_key(&plan.result, None));
        Self {
            version: 1,
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
            result: result
                .filter(|key| evidence.artifacts.iter().any(|artifact| artifact.key == *key)),
            unpriced: totals.unpriced.clone(),
            usage_by_model: usage_by_model(&paid),
            totals,
            prices_date: plan.map(|plan| plan.prices_date),
            policy_sha256: plan.map(|plan| plan.policy_sha256.clone()),
            steps,
            error,
            artifacts: evidence.artifacts,
        }
    }

    pub fn notice(&self, key: &str, sha256: &str) -> RunNotice {
        RunNotice {
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
            error: self.error.clone(),
        }
    }
}

/// The attempts that this execution made.
fn paid<'a>(evidence: &'a Evidence<'_>) -> Vec<&'a Attempt> {
    let failed = evidence.failures.iter().map(|failure| &failure.course);
    let courses = evidence.answers.iter().chain(failed);
    let ours = courses.filter(|course| course.attempt_no == evidence.run.attempt_no);
    ours.flat_map(|course| &course.attempts).collect()
}

fn steps(evidence: &Evidence<'_>) -> Vec<StepSummary> {
    let Some(plan) = evidence.plan else { return Vec::new() };
    plan.steps.iter().map(|step| summary(evidence, plan, &step.id)).collect()
}

fn summary(evidence: &Evidence<'_>, plan: &Plan, id: &str) -> StepSummary {
    let failures: Vec<_> = evidence.failures.iter().filter(|f| f.course.step_id == id).collect();
    let answers: Vec<_> = evidence.answers.iter().filter(|course| course.step_id == id).collect();
    let broken = evidence.broken.iter().find(|fault| fault.step.step == id);
    let failed = failures.first().map(|f| (f.status, f.error.clone()));
    let failed = failed.or_else(|| broken.map(|fault| (fault.status, fault.error.clone())));
    let planned = plan.waves.iter().flat_map(|wave| &wave.steps).filter(|s| s.step == id).count();
    let (status, error) = match failed {
        _ if answers.len() == planned => (StepStatus::Succeeded, None),
        Some((status, error)) => (status, Some(error)),
        None => (StepStatus::Skipped, None),
    };
    let courses = answers.into_iter().chain(failures.iter().map(|f| &f.course));
    let attempts: Vec<&Attempt> = courses.flat_map(|course| &course.attempts).collect();
    let totals = Totals::of(attempts.iter().copied());
    StepSummary { id: id.to_owned(), status, attempts: attempts.len() as u64, totals, error }
}

fn first_error(steps: &[StepSummary]) -> Option<Fault> {
    let (id, error) = steps.iter().find_map(|step| Some((&step.id, step.error.as_ref()?)))?;
    Some(Fault::new(error.name, format!("step {id}: {}", error.message)))
}

/// A run that is over without an error and without all its answers: the machine ended early.
fn unfinished(plan: Option<&Plan>, steps: &[StepSummary]) -> Option<Fault> {
    if plan.is_none() {
        return Some(Fault::internal("the run ended before it had a plan"));
    }
    let skipped = steps.iter().find(|step| step.status != StepStatus::Succeeded)?;
    Some(Fault::internal(format!("the run ended before step {} was done", skipped.id)))
}

fn usage_by_model(paid: &[&Attempt]) -> Vec<UsageLine> {
    let targets: BTreeSet<(&str, &str)> =
        paid.iter().map(|a| (a.target.region.as_str(), a.target.model_id.as_str())).collect();
    targets.into_iter().map(|(region, model_id)| line(paid, region, model_id)).collect()
}

fn line(paid: &[&Attempt], region: &str, model_id: &str) -> UsageLine {
    let of = |a: &&&Attempt| a.target.region == region && a.target.model_id == model_id;
    let attempts: Vec<&Attempt> = paid.iter().filter(of).copied().collect();
    let count = |is: fn(&Attempt) -> bool| attempts.iter().filter(|a| is(a)).count() as u64;
    UsageLine {
        region: region.to_owned(),
        model_id: model_id.to_owned(),
        calls: attempts.len() as u64,
        failed_calls: count(|a| a.outcome == AttemptOutcome::Failed),
        rejected_calls: count(|a| a.error == Some(ErrorName::TargetRejected)),
        unknown_calls: count(|a| a.usage.is_none()),
        unpriced_calls: count(|a| a.cost_usd.is_none()),
        totals: Totals::of(attempts.iter().copied()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attempt::Usage;
    use crate::attempt::tests::failed;
    use crate::policy::Policy;
    use crate::run::RunRef;
    use rust_decimal::Decimal;
    use serde_json::json;
    use time::macros::datetime;

    fn run(attempt_no: u32) -> Run {
        let reference = RunRef { attempt_no, ..RunRef::first("default", "code-review", "m-1") };
        Run { reference, execution_arn: "arn".into(), started_at: datetime!(2026-11-01 12:00 UTC) }
    }

    fn course(step: &str, attempt_no: u32) -> Course {
        let attempts = vec![Attempt {
            outcome: AttemptOutcome::Answered,
            error: None,
            usage: Some(Usage { input_tokens: 100, ..Usage::default() }),
            cost_usd: Some(Decimal::new(11, 5)),
            ..failed("us-east-1", ErrorName::Internal)
        }];
        let totals = Totals::of(&attempts);
        let (step_id, run_id) = (step.to_owned(), "r".to_owned());
        Course {
            version: 1,
            run_id,
            attempt_no,
            step_id,
            item: None,
            decisions: vec![],
            attempts,
            totals,
        }
    }

    fn seal(
        run: &Run,
        answers: Vec<Course>,
        failures: Vec<StepFailure>,
        fault: Option<Fault>,
    ) -> Manifest {
        let plan = crate::plan::tests::plan(
            json!({ "workflow": "code-review", "inputs": { "diff": "+x" } }),
            Policy::default(),
        );
        Manifest::seal(Evidence {
            run,
            plan: Some(&plan.unwrap()),
            artifacts: vec![],
            answers,
            failures,
            broken: vec![],
            fault,
            ended_at: datetime!(2026-11-01 12:01 UTC),
        })
    }

    const STEPS: [&str; 5] = ["summarise", "correctness", "security", "tests", "verdict"];

    #[test]
    fn a_run_with_every_answer_succeeded_and_sums_them() {
        let manifest = seal(&run(1), STEPS.map(|s| course(s, 1)).to_vec(), vec![], None);
        assert_eq!((manifest.status, manifest.error), (RunStatus::Succeeded, None));
        assert_eq!(manifest.totals.cost_usd, Some(Decimal::new(55, 5)));
        assert_eq!(manifest.usage_by_model.len(), 1);
        assert_eq!(manifest.usage_by_model[0].totals.usage.unwrap().input_tokens, 500);
    }

    #[test]
    fn a_retry_counts_only_what_it_paid() {
        let mut answers = STEPS.map(|s| course(s, 1)).to_vec();
        answers[4].attempt_no = 2;
        let manifest = seal(&run(2), answers, vec![], None);
        assert_eq!(manifest.status, RunStatus::Succeeded);
        assert_eq!(manifest.totals.cost_usd, Some(Decimal::new(11, 5)));
    }

    #[test]
    fn a_failed_step_fails_the_run_and_what_it_used_is_counted() {
        let error = Fault::new(ErrorName::NoTarget, "no target is left");
        let failure = StepFailure { course: course("tests", 1), status: StepStatus::Failed, error };
        let manifest = seal(&run(1), vec![course("summarise", 1)], vec![failure], None);
        assert_eq!(manifest.status, RunStatus::Failed);
        assert_eq!(
            manifest.error.unwrap().to_string(),
            "Bcce.NoTarget: step tests: no target is left"
        );
        assert_eq!(manifest.usage_by_model[0].calls, 2);
        let statuses: Vec<StepStatus> = manifest.steps.iter().map(|step| step.status).collect();
        use StepStatus::*;
        assert_eq!(statuses, [Succeeded, Skipped, Skipped, Failed, Skipped]);
    }

    #[test]
    fn a_run_without_a_plan_is_never_a_success() {
        let ended_at = datetime!(2026-11-01 12:01 UTC);
        let manifest = Manifest::seal(Evidence {
            run: &run(1),
            plan: None,
            artifacts: vec![],
            answers: vec![],
            failures: vec![],
            broken: vec![],
            fault: None,
            ended_at,
        });
        assert_eq!(manifest.status, RunStatus::Failed);
    }

    #[test]
    fn a_run_that_ends_early_is_never_a_success() {
        let manifest = seal(&run(1), vec![course("summarise", 1)], vec![], None);
        assert_eq!(manifest.status, RunStatus::Failed);
        assert_eq!(manifest.error.unwrap().name, ErrorName::Internal);
    }
}
