//! An answer of a job -> a run that is over. Each write is the first one's, so that doing it again finishes it.

use bcce_core::base::error::{ErrorName, Fault};
use bcce_core::base::json::{parse, to_json};
use bcce_core::base::usage::Usage;
use bcce_core::batch::bulk::{Asking, Fit, Taken, Took};
use bcce_core::batch::reference::BatchRun;
use bcce_core::batch::{Item, bulk};
use bcce_core::call::attempt::{Attempt, Cause, Totals};
use bcce_core::call::request_building::Answer;
use bcce_core::failover::decision::{Decision, Next};
use bcce_core::io::objects::store_once;
use bcce_core::io::seal;
use bcce_core::io::seal::{Sealed, Subject};
use bcce_core::ledger::ClosedRun;
use bcce_core::ports::{
    Clock, CloseRun, Closed, GetObject, GetSealed, PutOnce, PutSealed, SignDigest, VerifyDigest,
};
use bcce_core::run::artifact::{
    ArtifactRef, FinishedStep, StepArtifact, StepFailure, StepRecord, StepStatus,
};
use bcce_core::run::ids::Run;
use bcce_core::run::manifest::{Evidence, Manifest};
use bcce_core::run::plan::Plan;

use crate::{Config, Ports};

/// Holds what the runs of a part have in common.
pub(crate) struct Taking<'a, E> {
    pub config: &'a Config,
    pub emit: &'a E,
    pub batch: &'a BatchRun,
    pub took: Took,
}

/// A record that came back.
pub(crate) struct Answered<'a, E> {
    pub taking: &'a Taking<'a, E>,
    pub item: &'a Item,
    pub returned: &'a bulk::Returned,
    /// Of the job.
    pub arn: &'a str,
}

/// Says how a record ended.
pub(crate) enum Outcome {
    /// Its run is over.
    Over,
    /// There is no answer that stands.
    Left(Fault),
}

/// Holds what render-part left of a run.
pub(crate) struct Planned {
    pub plan: Plan,
    /// Its plan and its request.
    pub artifacts: Vec<ArtifactRef>,
}

impl Planned {
    pub async fn read(store: &impl GetObject, run: &Run) -> Result<Self, Fault> {
        let read = async |key: &str| {
            store.get(key).await?.ok_or_else(|| Fault::internal(format!("{key} is missing")))
        };
        let (plan_key, request_key) = (run.plan_key(), run.request_key());
        let (plan_body, request_body) = (read(&plan_key).await?, read(&request_key).await?);
        let plan = parse(&plan_key, &plan_body)?;
        let artifacts = vec![
            ArtifactRef::of(plan_key, &plan_body),
            ArtifactRef::of(request_key, &request_body),
        ];
        Ok(Self { plan, artifacts })
    }
}

impl<E: Fn(&str)> Taking<'_, E> {
    /// Returns the run of an item. It begins with its job, and its execution is the batch's.
    pub fn run(&self, item: &Item) -> Run {
        Run {
            reference: item.run(self.batch, 1),
            execution_arn: self.batch.execution_arn.clone(),
            started_at: self.took.from,
        }
    }

    /// Closes a sealed run in the ledger.
    pub async fn close<S, K, L, C>(
        &self,
        ports: &Ports<S, K, L, C>,
        run: Run,
        sealed: Sealed<Manifest>,
    ) -> Result<(), Fault>
    where
        L: CloseRun,
    {
        let closed = ClosedRun {
            manifest: sealed.manifest,
            manifest_sha256: sealed.reference.sha256,
            manifest_key: sealed.reference.key,
            notification_owner: run.execution_arn.clone(),
            run,
        };
        if ports.ledger.close(&closed).await? == Closed::Now {
            let documents =
                bcce_core::run::metrics::of_run(&self.config.environment, &closed.manifest);
            documents.iter().for_each(|document| (self.emit)(document));
        }
        Ok(())
    }
}

impl<E: Fn(&str)> Answered<'_, E> {
    pub async fn settle<S, K, L, C>(&self, ports: &Ports<S, K, L, C>) -> Result<Outcome, Fault>
    where
        S: GetObject + PutOnce + GetSealed + PutSealed,
        K: SignDigest + VerifyDigest,
        L: CloseRun,
        C: Clock,
    {
        let run = self.taking.run(self.item);
        let (store, key, subject) = (&ports.store, &ports.signing_key, Subject::of_run(&run));
        let sealed = match seal::find(store, key, &subject).await? {
            Some(sealed) => sealed,
            None => match self.seal(ports, &run).await? {
                Ok(manifest) => seal::seal(store, key, &subject, manifest).await?,
                Err(error) => return Ok(Outcome::Left(error)),
            },
        };
        self.taking.close(ports, run, sealed).await.map(|()| Outcome::Over)
    }

    /// Returns the inner error where no manifest is to be made: there is no answer that stands.
    async fn seal<S, K, L, C>(
        &self,
        ports: &Ports<S, K, L, C>,
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
        let step_record = self.step_record(run, &fit, taken.attempt);
        let (key, body) = match taken.result {
            Ok(answer) => {
                (run.step_key(&fit.step.id, None), to_json(&artifact(step_record, answer))?)
            }
            Err(error) if is_final => {
                (run.failure_key(&fit.step.id, None), to_json(&failure(step_record, error))?)
            }
            Err(error) => {
                self.note_failure(&ports.store, run, step_record, error.clone()).await?;
                return Ok(Err(error));
            }
        };
        let body = store_once(&ports.store, &key, &run.run_id, body).await?;
        let (mut answers, mut failures) = (Vec::new(), Vec::new());
        match key.starts_with(&run.failures_prefix()) {
            true => failures.push(parse::<StepFailure>(&key, &body)?),
            false => answers.push(parse::<FinishedStep>(&key, &body)?),
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

    /// Returns whether another target would answer no better, so that asking on demand only costs once more: the answer
    /// was filtered, or the prompt is too long for every target. A record that came back with an error was never asked.
    fn is_final(&self, fit: &Fit<'_>, taken: &Taken) -> bool {
        let is_rejected = taken.attempt.error == Some(ErrorName::RequestRejected);
        let is_too_long = taken.attempt.cause == Some(Cause::ContextTooLong);
        let fits_elsewhere = is_too_long && fit.route.has_larger(fit.target);
        is_rejected && self.returned.result.is_ok() && !fits_elsewhere
    }

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

    /// Stores what was paid for no answer with the run, whose manifest counts it: that of a run on demand, or of one that
    /// is held. What was not even processed leaves nothing.
    async fn note_failure(
        &self,
        store: &(impl GetObject + PutOnce),
        run: &Run,
        step_record: StepRecord,
        error: Fault,
    ) -> Result<(), Fault> {
        if step_record.totals.usage == Some(Usage::default()) {
            return Ok(());
        }
        let key = run.record_failure_key(&step_record.step_id);
        let failure = to_json(&failure(step_record, error))?;
        store_once(store, &key, &run.run_id, failure).await.map(drop)
    }
}

fn failure(step_record: StepRecord, error: Fault) -> StepFailure {
    StepFailure { record: step_record, status: StepStatus::of_error(error.name), error }
}

fn artifact(step_record: StepRecord, answer: Answer) -> StepArtifact {
    StepArtifact {
        record: step_record,
        output: answer.output,
        truncated: answer.truncated,
        stop_reason: answer.stop_reason,
        prompt_sha256: answer.prompt_sha256,
    }
}
