//! Makes the calls to one target: the first, one without a schema that the service refuses, and a repair.

use std::time::Duration;

use bcce_core::base::error::{ErrorName, Fault};
use bcce_core::base::target::Target;
use bcce_core::call::answer::{self, Answer};
use bcce_core::call::attempt::{AttemptKind, Cause};
use bcce_core::call::model::{ModelAnswer, Repair};
use bcce_core::call::parameters::Parameters;
use bcce_core::call::request_building;
use bcce_core::ports::{CallModel, Clock, GetObject};
use bcce_core::run::call_log::LoggedCall;

use super::Walk;
use crate::call::{Call, CallOutcome};
use crate::grammars;
use crate::reports::{FinishedCall, TakeReports, log_call, note_grammar, report_call};

/// The outcome of the calls to one target.
pub(super) enum Outcome {
    Answered(Answer),
    NextTarget,
    Failed(Fault),
}

impl<S, M, C, L, F> Walk<'_, '_, S, M, C, L, F>
where
    S: GetObject,
    M: CallModel,
    C: Clock,
    L: TakeReports,
{
    /// Calls a target. Calls it again without the schema if the service refuses that, and again to repair an answer
    /// that does not fit the schema.
    ///
    /// # Errors
    /// `Bcce.Internal`: a fault that another target cannot correct.
    pub(super) async fn try_target(
        &mut self,
        target: &Target,
        time: Duration,
    ) -> Result<Outcome, Fault> {
        let mut parameters = self.parameters(target)?;
        let mut called = self.call(target, &parameters, time, None).await?;
        if self.drops_schema(&parameters, &called)
            && self.calls_left() > 0
            && let Some(time) = self.time(true)
        {
            parameters = self.parameters(target)?;
            called = self.call(target, &parameters, time, None).await?;
        }
        let (answer, fault) = match called {
            CallOutcome::Answered(answer) => match self.read(&parameters, &answer)? {
                Ok(read) => return Ok(Outcome::Answered(read)),
                Err(fault) => (answer, fault),
            },
            other => return Ok(self.after(target, other)),
        };
        self.mark_invalid(&fault);
        let Some(time) = self.time_to_repair(&answer) else {
            return Ok(Outcome::Failed(Fault::new(ErrorName::OutputInvalid, fault)));
        };
        let repair = Repair { answer: &answer.text, fault: &fault };
        match self.call(target, &parameters, time, Some(repair)).await? {
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
        if self.ports.grammars.learn(&key, self.ports.clock.now()) {
            note_grammar(self.reports, self.ports, key);
        }
    }

    /// Returns the outcome for the step of a call without an answer.
    fn after(&self, target: &Target, called: CallOutcome) -> Outcome {
        match called {
            CallOutcome::Misfit { cause: Cause::ContextTooLong, .. }
                if self.route().is_some_and(|route| route.has_larger(target)) =>
            {
                Outcome::NextTarget
            }
            CallOutcome::Misfit { error, .. } | CallOutcome::Failed(error) => {
                Outcome::Failed(error)
            }
            CallOutcome::NextTarget | CallOutcome::Answered(_) => Outcome::NextTarget,
        }
    }

    /// Returns the time for a repair, or `None` if none is possible. A repair needs a call that is left, enough time,
    /// and an answer with text.
    fn time_to_repair(&self, answer: &ModelAnswer) -> Option<Duration> {
        let possible = !answer.text.trim().is_empty() && self.calls_left() > 0;
        self.time(true).filter(|_| possible)
    }

    /// Makes one call and records the attempt.
    async fn call(
        &mut self,
        target: &Target,
        parameters: &Parameters<'_>,
        time: Duration,
        repair: Option<Repair<'_>>,
    ) -> Result<CallOutcome, Fault> {
        let kind = if repair.is_some() { AttemptKind::Repair } else { AttemptKind::First };
        let prompt = request_building::prompt_for(&self.prompt, self.step, parameters);
        let grammar = parameters.schema.as_ref().map(|schema| grammars::key(schema, target));
        let is_compiled = self.is_compiled(grammar.as_ref()).await;
        let call = Call {
            run: &self.request.run,
            plan: self.plan,
            step: self.step,
            reference: &self.request.step,
            prompt: &prompt,
            parameters,
            target,
            is_compiled,
            time,
            repair,
        };
        let logged = LoggedCall { started_at: self.ports.clock.now(), target: target.clone() };
        let started_at = logged.started_at;
        log_call(self.reports, self.ports, self.request, logged);
        let (attempt, signal, called) = call.make(&self.ports.model, started_at, kind).await;
        let before = &self.attempts;
        let finished = FinishedCall { target, signal, attempt: &attempt, before, is_compiled };
        report_call(self.reports, self.ports, self.request, self.plan, &finished);
        if let Some(grammar) = grammar.filter(|_| matches!(called, Ok(CallOutcome::Answered(_)))) {
            self.learn(grammar);
        }
        self.attempts.push(attempt);
        called
    }

    /// Returns true if the service has the grammar that a call needs, or if the call needs none.
    async fn is_compiled(&self, grammar: Option<&grammars::Key>) -> bool {
        let Some(grammar) = grammar else { return true };
        let (health, now) = (&self.ports.health, self.ports.clock.now());
        self.ports.grammars.has(health, grammar, now).await
    }

    /// Parses and checks an answer. The inner error is the reason why the answer is invalid.
    fn read(
        &self,
        parameters: &Parameters<'_>,
        answer: &ModelAnswer,
    ) -> Result<Result<Answer, String>, Fault> {
        let prompt = request_building::prompt_for(&self.prompt, self.step, parameters);
        answer::read(self.step, &prompt, parameters.max_tokens, answer)
    }

    fn mark_invalid(&mut self, fault: &str) {
        if let Some(attempt) = self.attempts.last_mut() {
            attempt.mark_invalid(fault);
        }
    }
}
