//! Makes the calls to one target: the first, one without a schema that the service refuses, and a repair.

use crate::base::error::{ErrorName, Fault};
use crate::base::target::Target;
use crate::call::answer::{self, Answer};
use crate::call::attempt::{AttemptKind, Cause};
use crate::call::model::{ModelAnswer, Repair};
use crate::call::parameters::Parameters;
use crate::call::request_building;
use crate::ports::{CallModel, Clock};

use super::super::call::{Call, CallOutcome};
use super::super::reports::{FinishedCall, TakeReports};
use super::super::{Admission, Admitted, CallSize, grammars};
use super::Walk;

/// The outcome of the calls to one target.
pub(super) enum Outcome {
    Answered(Answer),
    NextTarget,
    /// A call was not admitted, or has no time.
    Interrupted,
    Failed(Fault),
}

impl<M, C, L, A> Walk<'_, '_, M, C, L, A>
where
    M: CallModel,
    C: Clock,
    L: TakeReports,
    A: Admission,
{
    /// Calls a target. Calls it again without the schema if the service refuses that, and again to repair an answer
    /// that does not fit the schema.
    ///
    /// # Errors
    /// `Bcce.Internal`: a fault that another target cannot correct.
    pub(super) async fn try_target(&mut self, target: &Target) -> Result<Outcome, Fault> {
        let mut parameters = self.parameters(target)?;
        let mut called = self.call(target, &parameters, None).await?;
        if self.drops_schema(&parameters, &called)
            && self.work.calls_left() > 0
            && self.has_time(true)
        {
            parameters = self.parameters(target)?;
            called = self.call(target, &parameters, None).await?;
        }
        let (answer, fault) = match called {
            CallOutcome::Answered(answer) => match self.read(&parameters, &answer)? {
                Ok(read) => return Ok(Outcome::Answered(read)),
                Err(fault) => (answer, fault),
            },
            other => return Ok(self.after(target, other)),
        };
        self.mark_invalid(&fault);
        if !self.can_repair(&answer) {
            return Ok(Outcome::Failed(Fault::new(ErrorName::OutputInvalid, fault)));
        }
        let repair = Repair { answer: &answer.text, fault: &fault };
        match self.call(target, &parameters, Some(repair)).await? {
            CallOutcome::Answered(answer) => match self.read(&parameters, &answer)? {
                Ok(read) => Ok(Outcome::Answered(read)),
                Err(fault) => {
                    self.mark_invalid(&fault);
                    let message = format!("{fault} (asked twice)");
                    Ok(Outcome::Failed(Fault::new(ErrorName::OutputInvalid, message)))
                }
            },
            other => Ok(self.after(target, other)),
        }
    }

    /// Returns true if the service has just refused the schema. The same target is then called with the schema in the
    /// prompt, and the refusal is recorded, so that no instance sends the schema again.
    fn drops_schema(&mut self, parameters: &Parameters<'_>, called: &CallOutcome) -> bool {
        let CallOutcome::Misfit { cause: Cause::GrammarTooLarge, .. } = called else {
            return false;
        };
        let Some(schema) = &parameters.schema else { return false };
        self.schema_refused = true;
        self.learn(grammars::refusal(schema));
        true
    }

    /// Records in this instance and in the ledger that a schema was compiled or refused.
    fn learn(&self, key: grammars::Key) {
        let now = self.caller.clock.now();
        if self.caller.grammars.learn(&key, now) {
            self.reports.note_grammar(&self.caller.health, key, now);
        }
    }

    /// Returns the outcome for the step of a call without an answer.
    fn after(&self, target: &Target, called: CallOutcome) -> Outcome {
        match called {
            CallOutcome::Misfit { cause: Cause::ContextTooLong, .. }
                if self.work.route().is_some_and(|route| route.has_larger(target)) =>
            {
                Outcome::NextTarget
            }
            CallOutcome::Misfit { error, .. } | CallOutcome::Failed(error) => {
                Outcome::Failed(error)
            }
            CallOutcome::NextTarget | CallOutcome::Answered(_) => Outcome::NextTarget,
            CallOutcome::NotMade => Outcome::Interrupted,
        }
    }

    /// Returns whether a repair is possible. It needs a call that is left, enough time, and an answer with text.
    fn can_repair(&self, answer: &ModelAnswer) -> bool {
        !answer.text.trim().is_empty() && self.work.calls_left() > 0 && self.has_time(true)
    }

    /// Makes one call and records the attempt, if the call is admitted.
    async fn call(
        &mut self,
        target: &Target,
        parameters: &Parameters<'_>,
        repair: Option<Repair<'_>>,
    ) -> Result<CallOutcome, Fault> {
        let kind = if repair.is_some() { AttemptKind::Repair } else { AttemptKind::First };
        let prompt = request_building::prompt_for(&self.prompt, self.work.step, parameters);
        let grammar = parameters.schema.as_ref().map(|schema| grammars::key(schema, target));
        let is_compiled = self.is_compiled(grammar.as_ref()).await;
        let work = &self.work;
        let size = CallSize::of(&prompt, parameters, repair);
        let started_at = match self.admission.admit(work, target, size).await? {
            Admitted::At(started_at) => started_at,
            Admitted::NotNow => return Ok(CallOutcome::NotMade),
            Admitted::Refused(fault) => return Ok(CallOutcome::Failed(fault)),
        };
        // The admission may have waited before the call and while it was recorded.
        let now = self.caller.clock.now().max(started_at);
        let Some(time) = work.time_at(now) else {
            self.admission.not_made(work, target);
            return Ok(CallOutcome::NotMade);
        };
        let (prompt, bytes) = (&*prompt, size.bytes);
        let call = Call { work, prompt, parameters, target, bytes, is_compiled, time, repair };
        let (attempt, signal, called) = call.make(&self.caller.model, started_at, kind).await;
        self.report(&FinishedCall { signal, attempt: &attempt, is_compiled });
        if let Some(grammar) = grammar.filter(|_| matches!(called, Ok(CallOutcome::Answered(_)))) {
            self.learn(grammar);
        }
        self.work.attempts.push(attempt);
        called
    }

    /// Reports a call that is over to the admission and to the ledger.
    fn report(&self, call: &FinishedCall<'_>) {
        let is_heard = self.admission.ended(&self.work, call);
        let (health, now) = (&self.caller.health, self.caller.clock.now());
        self.reports.report_call(health, &self.work, call, is_heard, now);
    }

    /// Returns true if the service has the grammar that a call needs, or if the call needs none.
    async fn is_compiled(&self, grammar: Option<&grammars::Key>) -> bool {
        let Some(grammar) = grammar else { return true };
        let (health, now) = (&self.caller.health, self.caller.clock.now());
        self.caller.grammars.has(health, grammar, now).await
    }

    /// Parses and checks an answer. The inner error is the reason why the answer is invalid.
    fn read(
        &self,
        parameters: &Parameters<'_>,
        answer: &ModelAnswer,
    ) -> Result<Result<Answer, String>, Fault> {
        let prompt = request_building::prompt_for(&self.prompt, self.work.step, parameters);
        answer::read(self.work.step, &prompt, parameters.max_tokens, answer)
    }

    fn mark_invalid(&mut self, fault: &str) {
        if let Some(attempt) = self.work.attempts.last_mut() {
            attempt.mark_invalid(fault);
        }
    }
}
