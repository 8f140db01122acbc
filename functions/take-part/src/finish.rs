//! Turns an answer of a bulk job into a finished run. The first write of each object wins, so this is safe to repeat.

use bcce_core::base::error::{ErrorName, Fault};
use bcce_core::base::json::{parse, to_json};
use bcce_core::base::usage::Usage;
use bcce_core::batch::bulk::{Asking, Fit, Taken, Took};
use bcce_core::batch::reference::BatchRun;
use bcce_core::batch::{Item, bulk};
use bcce_core::call::answer::Answer;
use bcce_core::call::attempt::{Attempt, Cause, Totals};
use bcce_core::failover::decision::{Decision, Next};
use bcce_core::io::objects::{store_once, store_value_once};
use bcce_core::io::seal::{Sealed, Subject};
use bcce_core::io::{objects, seal};
use bcce_core::ledger::ClosedRun;
use bcce_core::ports::{
    Clock, CloseRun, Closed, GetObject, GetSealed, PutOnce, PutSealed, SignDigest, VerifyDigest,
};
use bcce_core::run::artifact::{
    ArtifactRef, FinishedStep, StepArtifact, StepFailure, StepRecord, StepStatus,
};
use bcce_core::run::ids::Run;
use bcce_core::run::manifest::{Evidence, Manifest};
use bcce_core::run::metrics;
use bcce_core::run::plan::Plan;

use crate::{Config, Ports};

/// The values that the runs of a part share.
pub(crate) struct Taking<'a> {
    pub config: &'a Config,
    pub batch: &'a BatchRun,
    /// The time from the submission of the job to its end.
    pub took: Took,
}

/// A record that the job returned.
pub(crate) struct Answered<'a> {
    pub taking: &'a Taking<'a>,
    pub item: &'a Item,
    pub returned: &'a bulk::Returned,
    /// The ARN of the job.
    pub arn: &'a str,
}

/// The outcome of a record.
pub(crate) enum Outcome {
    /// The run is over.
    Over,
    /// The record has no valid answer, for this reason.
    Left(Fault),
}

/// The artifacts that render-part stored for a run.
pub(crate) struct Planned {
    pub plan: Plan,
    /// The references of the plan and the request.
    pub artifacts: Vec<ArtifactRef>,
}

impl Planned {
    /// Reads the plan and the request of a run.
    ///
    /// # Errors
    /// `Bcce.Internal`: S3 failed, or the plan cannot be parsed.
    pub async fn read(store: &impl GetObject, run: &Run) -> Result<Self, Fault> {
        let (plan_key, request_key) = (run.plan_key(), run.request_key());
        let plan_body = objects::bytes(store, &plan_key).await?;
        let request_body = objects::bytes(store, &request_key).await?;
        let plan = parse(&plan_key, &plan_body)?;
        let artifacts = vec![
            ArtifactRef::of(plan_key, &plan_body),
            ArtifactRef::of(request_key, &request_body),
        ];
        Ok(Self { plan, artifacts })
    }
}

impl Taking<'_> {
    /// Returns the run of an item. It starts when the job was submitted, and its execution is that of the batch.
    pub fn run(&self, item: &Item) -> Run {
        Run {
            reference: item.run(self.batch, 1),
            execution_arn: self.batch.execution_arn.clone(),
            started_at: self.took.from,
        }
    }

    /// Closes a sealed run in the ledger, and writes its metrics unless that was done before.
    ///
    /// # Errors
    /// `Bcce.Internal`: the ledger failed.
    pub async fn close<S, K, L, C, M>(
        &self,
        ports: &Ports<S, K, L, C, M>,
        run: Run,
        sealed: Sealed<Manifest>,
    ) -> Result<(), Fault>
    where
        L: CloseRun,
        M: Fn(&str),
    {
        let closed = ClosedRun {
            manifest: sealed.manifest,
            manifest_sha256: sealed.reference.sha256,
            manifest_key: sealed.reference.key,
            notification_owner: run.execution_arn.clone(),
            run,
        };
        if ports.ledger.close(&closed).await? == Closed::Now {
            let documents = metrics::of_run(&self.config.environment, &closed.manifest);
            documents.iter().for_each(|document| (ports.metrics)(document));
        }
        Ok(())
    }
}

impl Answered<'_> {
    /// Seals the run of a valid answer, and closes it in the ledger. Safe to repeat.
    ///
    /// # Errors
    /// `Bcce.Internal`: S3, KMS or the ledger failed.
    pub async fn finish<S, K, L, C, M>(
        &self,
        ports: &Ports<S, K, L, C, M>,
    ) -> Result<Outcome, Fault>
    where
        S: GetObject + PutOnce + GetSealed + PutSealed,
        K: SignDigest + VerifyDigest,
        L: CloseRun,
        C: Clock,
        M: Fn(&str),
    {
        let run = self.taking.run(self.item);
        let subject = Subject::of_run(&run);
        let Ports { store, signing_key: key, .. } = ports;
        let sealed = match seal::find(store, key, &subject).await? {
            Some(sealed) => sealed,
            None => match self.seal(ports, &run).await? {
                Ok(manifest) => seal::seal(store, key, &subject, manifest).await?,
                Err(error) => return Ok(Outcome::Left(error)),
            },
        };
        self.taking.close(ports, run, sealed).await.map(|()| Outcome::Over)
    }

    /// Stores the answer or the failure of the step, and makes the manifest. The inner error is the reason why there is
    /// no valid answer, and so no manifest.
    async fn seal<S, K, L, C, M>(
        &self,
        ports: &Ports<S, K, L, C, M>,
        run: &Run,
    ) -> Result<Result<Manifest, Fault>, Fault>
    where
        S: GetObject + PutOnce,
        C: Clock,
    {
        let Planned { plan, mut artifacts } = Planned::read(&ports.store, run).await?;
        let fit = bulk::fit(&plan, &self.taking.config.region).map_err(Fault::internal)?;
        let parameters = fit.parameters();
        let prompt = bulk::prompt(&plan, fit.step, &parameters)?;
        let (prompt, parameters) = (&prompt, &parameters);
        let asking = Asking { run, plan: &plan, step: fit.step, prompt, parameters };
        let taken = bulk::take(&asking, fit.target, self.taking.took, self.returned)?;
        let is_final = self.is_final(&fit, &taken);
        let record = self.step_record(run, &fit, taken.attempt);
        let (key, body) = match taken.result {
            Ok(answer) => (run.step_key(&fit.step.id, None), to_json(&artifact(record, answer))?),
            Err(error) if is_final => {
                (run.failure_key(&fit.step.id, None), to_json(&failure(record, error))?)
            }
            Err(error) => {
                self.store_failure(&ports.store, run, record, error.clone()).await?;
                return Ok(Err(error));
            }
        };
        let body = store_once(&ports.store, &key, &run.run_id, body).await?;
        let (mut answers, mut failures) = (Vec::new(), Vec::new());
        if key.starts_with(&run.failures_prefix()) {
            failures.push(parse::<StepFailure>(&key, &body)?);
        } else {
            answers.push(parse::<FinishedStep>(&key, &body)?);
        }
        artifacts.push(ArtifactRef::of(key, &body));
        Ok(Ok(Manifest::seal(Evidence {
            run,
            plan: Some(&plan),
            artifacts,
            answers,
            failures,
            broken: Vec::new(),
            logged_calls: Vec::new(),
            fault: None,
            ending: None,
            ended_at: ports.clock.now(),
        })))
    }

    /// Returns true if no target would give a valid answer, so that a run on demand would only cost more: the answer
    /// was filtered, or the prompt is too long for every target. If the job returned an error for the record, the model
    /// was not called, and the result is false.
    fn is_final(&self, fit: &Fit<'_>, taken: &Taken) -> bool {
        let is_rejected = taken.attempt.error == Some(ErrorName::RequestRejected);
        let is_too_long = taken.attempt.cause == Some(Cause::ContextTooLong);
        let fits_elsewhere = is_too_long && fit.route.has_larger(fit.target);
        is_rejected && self.returned.result.is_ok() && !fits_elsewhere
    }

    /// Makes the step record, with a decision that names the job.
    fn step_record(&self, run: &Run, fit: &Fit<'_>, attempt: Attempt) -> StepRecord {
        let decision = Decision {
            at: self.taking.took.from,
            because: vec![format!("a record of the job {}", self.arn)],
            candidates: Vec::new(),
            probe: None,
            watched: Vec::new(),
            next: Next::Targets(vec![fit.target.clone()]),
        };
        StepRecord {
            version: 1,
            run_id: run.run_id.clone(),
            attempt_no: run.attempt_no,
            step_id: fit.step.id.clone(),
            item: None,
            decisions: vec![decision],
            totals: Totals::of([&attempt]),
            attempts: vec![attempt],
        }
    }

    /// Stores the failure of a record that was paid and has no valid answer, so that the manifest of the run counts the
    /// cost, whether the item then runs on demand or is held. Stores nothing if the record used no tokens.
    async fn store_failure(
        &self,
        store: &(impl GetObject + PutOnce),
        run: &Run,
        record: StepRecord,
        error: Fault,
    ) -> Result<(), Fault> {
        if record.totals.usage == Some(Usage::default()) {
            return Ok(());
        }
        let key = run.record_failure_key(&record.step_id);
        store_value_once(store, &key, &run.run_id, failure(record, error)).await.map(drop)
    }
}

fn failure(record: StepRecord, error: Fault) -> StepFailure {
    StepFailure { record, status: StepStatus::of_error(error.name), error }
}

fn artifact(record: StepRecord, answer: Answer) -> StepArtifact {
    StepArtifact {
        record,
        output: answer.output,
        truncated: answer.truncated,
        stop_reason: answer.stop_reason,
        prompt_sha256: answer.prompt_sha256,
    }
}
