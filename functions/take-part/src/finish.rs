//! Turns the answer of a bulk job into a run that is over.

use bcce_core::base::error::{ErrorName, Fault};
use bcce_core::base::usage::Usage;
use bcce_core::batch::bulk;
use bcce_core::batch::bulk::{Asking, Fit, Taken, Took};
use bcce_core::batch::packed::{PackedRun, RunState};
use bcce_core::call::answer::Answer;
use bcce_core::call::attempt::{Attempt, Cause, Totals};
use bcce_core::failover::decision::{Decision, Next};
use bcce_core::run::artifact::{StepArtifact, StepFailure, StepRecord, StepStatus};
use bcce_core::run::ids::Run;
use time::OffsetDateTime;

/// A job, as its answers are taken.
pub(crate) struct Taking<'a> {
    /// The ARN of the job.
    pub arn: &'a str,
    /// The time from the submission of the job to its end.
    pub took: Took,
    /// The region of the stack.
    pub region: &'a str,
    pub now: OffsetDateTime,
}

/// The outcome of a record.
#[derive(Debug, PartialEq)]
pub(crate) enum Outcome {
    /// The run is over.
    Over,
    /// The record has no valid answer, for this reason.
    Left(Fault),
}

impl Taking<'_> {
    /// Adds what the job returned to a planned run. The run is over if the answer is valid, or if no call would give a
    /// valid one. If it is not over and the record was charged, the run keeps the failure of the record, so that the
    /// cost is counted however the run ends.
    ///
    /// # Errors
    /// `Bcce.Internal`: the plan of the run does not fit a job, or cannot be parsed.
    pub fn finish(
        &self,
        packed: &mut PackedRun,
        returned: &bulk::Returned,
    ) -> Result<Outcome, Fault> {
        let plan = packed.plan()?.ok_or_else(|| Fault::internal("a planned run has no plan"))?;
        let fit = bulk::fit(&plan, self.region).map_err(Fault::internal)?;
        let parameters = fit.parameters();
        let prompt = bulk::prompt(&plan, fit.step, &parameters)?;
        let (prompt, parameters, run) = (&prompt, &parameters, packed.run.clone());
        let asking = Asking { run: &run, plan: &plan, step: fit.step, prompt, parameters };
        let taken = bulk::take(&asking, fit.target, self.took, returned)?;
        let is_final = is_final(&fit, &taken, returned);
        let record = self.step_record(&run, &fit, taken.attempt);
        let step = &fit.step.id;
        let outcome = match taken.result {
            Ok(answer) => {
                packed.add_at(&run.step_key(step, None), &artifact(record, answer))?;
                Outcome::Over
            }
            Err(error) if is_final => {
                packed.add_at(&run.failure_key(step, None), &failure(record, error))?;
                Outcome::Over
            }
            Err(error) => {
                if record.totals.usage != Some(Usage::default()) {
                    let failure = failure(record, error.clone());
                    packed.add_at(&run.record_failure_key(step), &failure)?;
                }
                Outcome::Left(error)
            }
        };
        if outcome == Outcome::Over {
            packed.run.started_at = self.took.from;
            packed.state = RunState::Over { ended_at: self.now, fault: None, ending: None };
        }
        Ok(outcome)
    }

    /// Makes the step record, with a decision that names the job.
    fn step_record(&self, run: &Run, fit: &Fit<'_>, attempt: Attempt) -> StepRecord {
        let decision = Decision {
            at: self.took.from,
            because: vec![format!("a record of the job {}", self.arn)],
            candidates: Vec::new(),
            probe: None,
            watched: Vec::new(),
            diverted: false,
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
            cached_from: None,
        }
    }
}

/// Returns true if no target would give a valid answer, so that a run on demand would only cost more: the answer was
/// filtered, or the prompt is too long for every target. If the job returned an error for the record, the model was not
/// called, and the result is false.
fn is_final(fit: &Fit<'_>, taken: &Taken, returned: &bulk::Returned) -> bool {
    let is_rejected = taken.attempt.error == Some(ErrorName::RequestRejected);
    let is_too_long = taken.attempt.cause == Some(Cause::ContextTooLong);
    let fits_elsewhere = is_too_long && fit.route.has_larger(fit.target);
    is_rejected && returned.result.is_ok() && !fits_elsewhere
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
