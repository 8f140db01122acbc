//! Makes what is stored of a step that is over: its artifact or its failure.

use std::collections::BTreeSet;

use crate::base::error::{ErrorName, Fault};
use crate::base::limits::{MAX_MESSAGE_CHARS, MAX_STATE_MESSAGE_BYTES, cut, cut_bytes};
use crate::call::answer::Answer;
use crate::call::attempt::{Attempt, Totals};
use crate::failover::decision::Decision;
use crate::run::artifact::{StepArtifact, StepFailure, StepRecord, StepStatus};
use crate::run::ids::{Run, StepRef};

/// The most pieces of advice in the error of a step.
const ADVISED: usize = 2;

/// A step of a run, with all decisions about it.
#[derive(Clone, Copy, Debug)]
pub struct DecidedStep<'a> {
    pub run: &'a Run,
    pub reference: &'a StepRef,
    /// All decisions of the router about the step, the last one last.
    pub decisions: &'a [Decision],
}

impl DecidedStep<'_> {
    /// Returns the artifact of a step that is answered.
    pub fn artifact(&self, attempts: Vec<Attempt>, answer: Answer) -> StepArtifact {
        let mut record = self.record(attempts);
        if let (Some(from), Some(last)) = (&answer.cached_from, record.decisions.last_mut()) {
            last.because.push(from.describe());
        }
        StepArtifact {
            record: StepRecord { cached_from: answer.cached_from.map(|from| *from), ..record },
            output: answer.output,
            truncated: answer.truncated,
            stop_reason: answer.stop_reason,
            prompt_sha256: answer.prompt_sha256,
        }
    }

    /// Returns the failure of a step that ended with `error`.
    pub fn failure(&self, attempts: Vec<Attempt>, error: Fault) -> StepFailure {
        let status = StepStatus::of_error(error.name);
        StepFailure { record: self.record(attempts), status, error }
    }

    /// Returns the error of a step that the router stopped with `name`. The message has the router's reasons and the
    /// advice, which name targets and limits and quote no input. It is cut, since the failures of a whole wave are in
    /// the state of the execution together. The step's failure has every attempt.
    pub fn stopped(&self, name: ErrorName, attempts: &[Attempt]) -> Fault {
        let because = self.decisions.last().map(Decision::describe);
        let errors: BTreeSet<&str> =
            attempts.iter().filter_map(|a| a.error).map(ErrorName::as_str).collect();
        let errors = errors.into_iter().collect::<Vec<_>>().join(", ");
        // Several targets often have the same advice.
        let advice: BTreeSet<&str> = attempts.iter().filter_map(|a| a.advice.as_deref()).collect();
        let advice: String =
            advice.into_iter().take(ADVISED).map(|a| format!("; to do: {a}")).collect();
        let because = cut(&because.unwrap_or_default(), MAX_MESSAGE_CHARS);
        let message = format!("after {} calls ({errors}): {because}{advice}", attempts.len());
        Fault::new(name, cut_bytes(&message, MAX_STATE_MESSAGE_BYTES))
    }

    fn record(&self, attempts: Vec<Attempt>) -> StepRecord {
        StepRecord {
            version: 1,
            run_id: self.run.run_id.clone(),
            attempt_no: self.run.attempt_no,
            step_id: self.reference.step.clone(),
            item: self.reference.item,
            decisions: self.decisions.to_vec(),
            totals: Totals::of(&attempts),
            attempts,
            cached_from: None,
        }
    }
}

/// Cuts the message of an error. The failures of 200 items are in the state of the execution together, which may have
/// 256 KiB. The whole message is in the step's failure.
pub fn short(error: Fault) -> Fault {
    Fault { message: cut_bytes(&error.message, MAX_STATE_MESSAGE_BYTES), ..error }
}
