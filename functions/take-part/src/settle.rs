//! An answer of a job -> a run that is over. Each write is the first one's, so that doing it again finishes it.

use bcce_core::artifact::{
    ArtifactRef, Course, FinishedStep, StepArtifact, StepFailure, StepStatus, parse, sign_once,
    store_once, to_json,
};
use bcce_core::asking::Answer;
use bcce_core::attempt::{Attempt, Totals, Usage};
use bcce_core::batch::Item;
use bcce_core::batch::reference::BatchRun;
use bcce_core::bulk::{self, Asking, Fit, Took};
use bcce_core::digest::sha256_hex;
use bcce_core::emf;
use bcce_core::error::{ErrorName, Fault};
use bcce_core::ledger::ClosedRun;
use bcce_core::manifest::{Evidence, Manifest};
use bcce_core::plan::Plan;
use bcce_core::ports::{Clock, CloseRun, Closed, GetObject, PutOnce, SignDigest};
use bcce_core::routing::{Decision, Next};
use bcce_core::run::Run;

use crate::{Config, Ports};

/// A record that came back.
pub(crate) struct Answered<'a, E> {
    pub config: &'a Config,
    pub emit: &'a E,
    pub batch: &'a BatchRun,
    pub item: &'a Item,
    pub returned: &'a bulk::Returned,
    /// Of the job.
    pub arn: &'a str,
    pub took: Took,
}

/// What came of it.
pub(crate) enum Outcome {
    /// Its run is over.
    Over,
    /// There is no answer that stands.
    Left {
        error: Fault,
        /// What was charged for it all the same; `None`: nothing.
        totals: Option<Box<Totals>>,
    },
}

impl<E: Fn(&str)> Answered<'_, E> {
    pub async fn settle<S, K, L, C>(&self, ports: &Ports<S, K, L, C>) -> Result<Outcome, Fault>
    where
        S: GetObject + PutOnce,
        K: SignDigest,
        L: CloseRun,
        C: Clock,
    {
        let run = self.run();
        let key = run.manifest_key();
        let bytes = match ports.store.get(&key).await? {
            Some(sealed) => sealed,
            None => match self.seal(ports, &run).await? {
                Ok(manifest) => {
                    store_once(&ports.store, &key, &run.run_id, to_json(&manifest)?).await?
                }
                Err(left) => return Ok(left),
            },
        };
        let signature = run.signature_key();
        sign_once(&ports.store, &ports.signing_key, &signature, &run.run_id, &bytes).await?;
        let closed = ClosedRun {
            manifest: parse(&key, &bytes)?,
            manifest_sha256: sha256_hex(&bytes),
            manifest_key: key,
            teller: run.execution_arn.clone(),
            run,
        };
        if ports.ledger.close(&closed).await? == Closed::Now {
            let documents = emf::of_run(&self.config.environment, &closed.manifest);
            documents.iter().for_each(|document| (self.emit)(document));
        }
        Ok(Outcome::Over)
    }

    /// It begins with its job, and its execution is the batch's.
    fn run(&self) -> Run {
        Run {
            reference: self.item.run(self.batch, 1),
            execution_arn: self.batch.execution_arn.clone(),
            started_at: self.took.from,
        }
    }

    /// What is left where there is no manifest to be made.
    async fn seal<S, K, L, C>(
        &self,
        ports: &Ports<S, K, L, C>,
        run: &Run,
    ) -> Result<Result<Manifest, Outcome>, Fault>
    where
        S: GetObject + PutOnce,
        C: Clock,
    {
        let (plan_key, request_key) = (run.plan_key(), run.request_key());
        let plan_body = ports.store.get(&plan_key).await?;
        let plan_body = plan_body.ok_or_else(|| missing(&plan_key))?;
        let request_body = ports.store.get(&request_key).await?;
        let request_body = request_body.ok_or_else(|| missing(&request_key))?;
        let plan: Plan = parse(&plan_key, &plan_body)?;
        let fit = bulk::fit(&plan, &self.config.region).map_err(Fault::internal)?;
        let parameters = fit.parameters();
        let prompt = bulk::prompt(&plan, fit.step, &parameters)?;
        let (prompt, parameters) = (&prompt, &parameters);
        let asking = Asking { run, plan: &plan, step: fit.step, prompt, parameters };
        let taken = bulk::take(&asking, fit.target, self.took, self.returned)?;
        let course = self.course(run, &fit, taken.attempt);
        let (key, body) = match taken.result {
            Ok(answer) => (run.step_key(&fit.step.id, None), to_json(&artifact(course, answer))?),
            Err(error) if self.is_final(&error) => {
                (run.failure_key(&fit.step.id, None), to_json(&failure(course, error))?)
            }
            Err(error) => {
                let totals = self.note_failure(&ports.store, run, course, error.clone()).await?;
                return Ok(Err(Outcome::Left { error, totals: totals.map(Box::new) }));
            }
        };
        let body = store_once(&ports.store, &key, &run.run_id, body).await?;
        let (mut answers, mut failures) = (Vec::new(), Vec::new());
        match key.starts_with(&run.failures_prefix()) {
            true => failures.push(parse::<StepFailure>(&key, &body)?),
            false => answers.push(parse::<FinishedStep>(&key, &body)?),
        }
        Ok(Ok(Manifest::seal(Evidence {
            run,
            plan: Some(&plan),
            artifacts: vec![
                ArtifactRef::of(plan_key, &plan_body),
                ArtifactRef::of(request_key, &request_body),
                ArtifactRef::of(key, &body),
            ],
            answers,
            failures,
            broken: Vec::new(),
            begun: Vec::new(),
            fault: None,
            ending: None,
            ended_at: ports.clock.now(),
        })))
    }

    /// An answer that every target would give: it was filtered, or the prompt is too long. On demand it would be paid
    /// once more. A record that came back with an error was never asked.
    fn is_final(&self, error: &Fault) -> bool {
        error.name == ErrorName::RequestRejected && self.returned.result.is_ok()
    }

    fn course(&self, run: &Run, fit: &Fit<'_>, attempt: Attempt) -> Course {
        let decision = Decision {
            at: self.took.from,
            because: vec![format!("a record of the job {}", self.arn)],
            candidates: Vec::new(),
            probe: None,
            watched: Vec::new(),
            next: Next::Targets(vec![fit.target.clone()]),
        };
        Course {
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

    /// What was paid for no answer is the run's: where it is asked on demand, its manifest finds it there. What was not
    /// even processed leaves nothing.
    async fn note_failure(
        &self,
        store: &(impl GetObject + PutOnce),
        run: &Run,
        course: Course,
        error: Fault,
    ) -> Result<Option<Totals>, Fault> {
        if course.totals.usage == Some(Usage::default()) {
            return Ok(None);
        }
        let totals = course.totals.clone();
        let key = run.record_failure_key(&course.step_id);
        let failure = to_json(&failure(course, error))?;
        store_once(store, &key, &run.run_id, failure).await.map(|_| Some(totals))
    }
}

fn failure(course: Course, error: Fault) -> StepFailure {
    StepFailure { course, status: StepStatus::of_error(error.name), error }
}

fn artifact(course: Course, answer: Answer) -> StepArtifact {
    StepArtifact {
        course,
        output: answer.output,
        truncated: answer.truncated,
        stop_reason: answer.stop_reason,
        prompt_sha256: answer.prompt_sha256,
    }
}

fn missing(key: &str) -> Fault {
    Fault::internal(format!("{key} is missing"))
}
