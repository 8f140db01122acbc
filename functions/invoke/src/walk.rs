//! From target to target: the next at once when one fails.

use std::time::Duration;

use bcce_core::base::error::{ErrorName, Fault};
use bcce_core::base::target::Target;
use bcce_core::call::attempt::{Attempt, AttemptKind, Cause};
use bcce_core::call::model::{ModelAnswer, Repair};
use bcce_core::call::parameters::{Parameters, json_output};
use bcce_core::call::request_building;
use bcce_core::call::request_building::Answer;
use bcce_core::config::routing::Routing;
use bcce_core::config::template::Step;
use bcce_core::document::prompt::Prompt;
use bcce_core::document::schema::subset::subset;
use bcce_core::failover::breaker::{Breaker, Status, target_key};
use bcce_core::failover::route::Route;
use bcce_core::ports::{CallModel, Clock, GetObject};
use bcce_core::run::call_log::LoggedCall;
use bcce_core::run::plan::Plan;
use time::OffsetDateTime;

use crate::ask::{Asked, Asking};
use crate::reports::{Over, Reports, TakeReports, begin, note_grammar, tell};
use crate::{Ports, Request, context, grammars};

/// Kept back of the function's time for storing the answer: an operation on S3 may take 25 s with the
/// client's retries, and there are two, since another writer's answer has to be read.
const MARGIN: Duration = Duration::from_secs(60);
/// How long a decision holds without another look.
const STALE: Duration = Duration::from_secs(5);
/// With less than this left of the run's time, a call is not worth starting.
const SHORTEST: Duration = Duration::from_secs(1);

/// Returns whether the service has refused the step's schema, in this run or in another one.
async fn is_refused<S, M, C: Clock, L: TakeReports>(
    ports: &Ports<S, M, C, L>,
    step: &Step,
    attempts: &[Attempt],
) -> bool {
    let schema = json_output(step).and_then(|output| output.schema.as_ref());
    let Some(Ok(part)) = schema.map(subset) else { return false };
    let (refusal, now) = (grammars::refusal(&part), ports.clock.now());
    attempts.iter().any(|attempt| attempt.cause == Some(Cause::GrammarTooLarge))
        || ports.grammars.has(&ports.health, &refusal, now).await
}

/// What came of a walk, with every attempt of the step.
pub(crate) enum Walked {
    Answered { attempts: Vec<Attempt>, answer: Answer },
    Exhausted { attempts: Vec<Attempt> },
    Failed { attempts: Vec<Attempt>, error: Fault },
}

pub(crate) struct Walk<'a, 'r, S, M, C, L> {
    ports: &'a Ports<S, M, C, L>,
    reports: &'r Reports<'a>,
    request: &'r Request,
    plan: &'r Plan,
    step: &'r Step,
    prompt: Prompt,
    /// The service has refused the step's schema before.
    schema_refused: bool,
    /// When the function has to be done with calls.
    until: OffsetDateTime,
    attempts: Vec<Attempt>,
}

/// What one target came to.
enum Turn {
    Answered(Answer),
    NextTarget,
    Failed(Fault),
}

impl<'a, 'r, S, M, C, L> Walk<'a, 'r, S, M, C, L>
where
    S: GetObject,
    M: CallModel,
    C: Clock,
    L: TakeReports,
{
    /// Renders the prompt. The inner error is the step's: its template cannot be rendered.
    pub async fn prepare(
        ports: &'a Ports<S, M, C, L>,
        reports: &'r Reports<'a>,
        request: &'r Request,
        plan: &'r Plan,
        remaining: Duration,
    ) -> Result<Result<Self, Fault>, Fault> {
        let id = &request.step.step;
        let step =
            plan.step(id).ok_or_else(|| Fault::internal(format!("the plan has no step {id}")))?;
        let context = context::of(&ports.store, request, plan, step).await?;
        let until = ports.clock.now() + remaining.saturating_sub(MARGIN);
        let attempts = request.attempts.clone();
        let schema_refused = is_refused(ports, step, &attempts).await;
        Ok(request_building::prompt(step, &context).map(|prompt| Self {
            ports,
            reports,
            request,
            plan,
            step,
            prompt,
            schema_refused,
            until,
            attempts,
        }))
    }

    /// # Errors
    /// `Bcce.Internal`: a fault of ours that another target cannot mend.
    pub async fn along(&mut self, targets: &[Target]) -> Result<Walked, Fault> {
        for (n, target) in targets.iter().enumerate() {
            // The router's list is as long as the calls that were left; a repair may have taken one.
            if self.calls_left() == 0 {
                break;
            }
            let Some(time) = self.time(n == 0) else { break };
            if self.is_too_small(target) || !self.may_call(target).await {
                continue;
            }
            match self.turn(target, time).await? {
                Turn::Answered(answer) => {
                    return Ok(Walked::Answered { attempts: self.take(), answer });
                }
                Turn::Failed(error) => return Ok(Walked::Failed { attempts: self.take(), error }),
                Turn::NextTarget => {}
            }
        }
        Ok(Walked::Exhausted { attempts: self.take() })
    }

    /// What was decided a while ago is looked at once more: it waited for a free function or for a silent
    /// target, a breaker may have opened since, and an election may be over.
    async fn may_call(&self, target: &Target) -> bool {
        let now = self.ports.clock.now();
        let Some(decision) = self.request.decisions.last() else { return true };
        if now - decision.at < STALE {
            return true;
        }
        let breakers = self.ports.health.breakers(&[target_key(target)], now).await;
        let is_mine = |breaker: &Breaker| {
            decision.probe.as_deref().is_some_and(|token| breaker.is_probed_by(token))
        };
        breakers.iter().all(|breaker| match breaker.status(now) {
            Status::Closed => true,
            Status::Probed { .. } => is_mine(breaker),
            Status::Open { .. } | Status::Due => false,
        })
    }

    fn take(&mut self) -> Vec<Attempt> {
        std::mem::take(&mut self.attempts)
    }

    /// How long the next attempt may take; `None`: the function or the run has no time for one. The
    /// first attempt takes what there is, or a function too short for a whole one would never make any.
    fn time(&self, is_first: bool) -> Option<Duration> {
        let now = self.ports.clock.now();
        let left = |until: OffsetDateTime| Duration::try_from(until - now).unwrap_or_default();
        let (run, function) = (left(self.request.deadline), left(self.until));
        let attempt = Duration::from_secs(self.routing()?.timeouts.attempt_s).min(run);
        let time = attempt.min(function);
        (time >= SHORTEST && (is_first || time == attempt)).then_some(time)
    }

    fn calls_left(&self) -> usize {
        let calls = self.routing().map_or(0, |routing| routing.attempts as usize);
        calls.saturating_sub(self.attempts.len())
    }

    fn routing(&self) -> Option<&Routing> {
        self.route().map(|route| &route.routing)
    }

    fn route(&self) -> Option<&'r Route> {
        self.plan.routes.get(&self.request.step.route)
    }

    /// Returns whether the prompt was too long for another target with as much context.
    fn is_too_small(&self, target: &Target) -> bool {
        self.route().is_some_and(|route| route.is_too_small(target, &self.attempts))
    }

    /// Returns what a call sends to `target` after the attempts so far.
    fn parameters(&self, target: &Target) -> Result<Parameters<'r>, Fault> {
        let takes = self.route().and_then(|route| self.plan.takes(self.step, route, target));
        let takes = takes.ok_or_else(|| Fault::internal(format!("the plan lacks {target}")))?;
        let mut parameters = Parameters::of(self.step, takes, self.schema_refused);
        parameters.leave_room(&self.prompt, takes);
        Ok(parameters)
    }

    async fn turn(&mut self, target: &Target, time: Duration) -> Result<Turn, Fault> {
        let mut parameters = self.parameters(target)?;
        let mut asked = self.ask(target, &parameters, time, None).await?;
        if self.drops_schema(&parameters, &asked)
            && self.calls_left() > 0
            && let Some(time) = self.time(true)
        {
            parameters = self.parameters(target)?;
            asked = self.ask(target, &parameters, time, None).await?;
        }
        let (answer, fault) = match asked {
            Asked::Answered(answer) => match self.read(&parameters, &answer)? {
                Ok(read) => return Ok(Turn::Answered(read)),
                Err(fault) => (answer, fault),
            },
            other => return Ok(self.after(target, other)),
        };
        self.mark_invalid(&fault);
        let Some(time) = self.time_to_repair(&answer) else {
            return Ok(Turn::Failed(Fault::new(ErrorName::OutputInvalid, fault)));
        };
        let repair = Repair { answer: &answer.text, fault: &fault };
        match self.ask(target, &parameters, time, Some(repair)).await? {
            Asked::Answered(answer) => match self.read(&parameters, &answer)? {
                Ok(read) => Ok(Turn::Answered(read)),
                Err(fault) => {
                    self.mark_invalid(&fault);
                    let message = format!("{fault} (asked twice)");
                    Ok(Turn::Failed(Fault::new(ErrorName::OutputInvalid, message)))
                }
            },
            other => Ok(self.after(target, other)),
        }
    }

    /// Returns whether the service has just refused the schema. The same target is asked once more, with it in the
    /// prompt, and nobody sends it again.
    fn drops_schema(&mut self, parameters: &Parameters<'_>, asked: &Asked) -> bool {
        let Asked::Misfit { cause: Cause::GrammarTooLarge, .. } = asked else { return false };
        let Some(schema) = &parameters.schema else { return false };
        self.schema_refused = true;
        self.learn(grammars::refusal(schema));
        true
    }

    /// Notes what was learnt of a schema, for other functions too.
    fn learn(&self, key: grammars::Key) {
        if self.ports.grammars.learn(&key, self.ports.clock.now()) {
            note_grammar(self.reports, self.ports, key);
        }
    }

    /// Decides what a call that was not answered means for the step.
    fn after(&self, target: &Target, asked: Asked) -> Turn {
        match asked {
            Asked::Misfit { cause: Cause::ContextTooLong, .. }
                if self.route().is_some_and(|route| route.has_larger(target)) =>
            {
                Turn::NextTarget
            }
            Asked::Misfit { error, .. } | Asked::Failed(error) => Turn::Failed(error),
            Asked::NextTarget | Asked::Answered(_) => Turn::NextTarget,
        }
    }

    /// A repair is a call like another: it needs one left, time, and something to repair.
    fn time_to_repair(&self, answer: &ModelAnswer) -> Option<Duration> {
        let possible = !answer.text.trim().is_empty() && self.calls_left() > 0;
        self.time(true).filter(|_| possible)
    }

    async fn ask(
        &mut self,
        target: &Target,
        parameters: &Parameters<'_>,
        time: Duration,
        repair: Option<Repair<'_>>,
    ) -> Result<Asked, Fault> {
        let kind = if repair.is_some() { AttemptKind::Repair } else { AttemptKind::First };
        let prompt = request_building::prompt_for(&self.prompt, self.step, parameters);
        let grammar = parameters.schema.as_ref().map(|schema| grammars::key(schema, target));
        let is_compiled = self.is_compiled(grammar.as_ref()).await;
        let asking = Asking {
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
        let call = LoggedCall { started_at: self.ports.clock.now(), target: target.clone() };
        let started_at = call.started_at;
        begin(self.reports, self.ports, self.request, call);
        let (attempt, signal, asked) = asking.ask(&self.ports.model, started_at, kind).await;
        let over = Over { target, signal, attempt: &attempt, before: &self.attempts, is_compiled };
        tell(self.reports, self.ports, self.request, self.plan, &over);
        if let Some(grammar) = grammar.filter(|_| matches!(asked, Ok(Asked::Answered(_)))) {
            self.learn(grammar);
        }
        self.attempts.push(attempt);
        asked
    }

    /// Returns whether the service has the grammar that a call needs.
    async fn is_compiled(&self, grammar: Option<&grammars::Key>) -> bool {
        let Some(grammar) = grammar else { return true };
        let (health, now) = (&self.ports.health, self.ports.clock.now());
        self.ports.grammars.has(health, grammar, now).await
    }

    /// The answer, or what is wrong with it.
    fn read(
        &self,
        parameters: &Parameters<'_>,
        answer: &ModelAnswer,
    ) -> Result<Result<Answer, String>, Fault> {
        let prompt = request_building::prompt_for(&self.prompt, self.step, parameters);
        request_building::read(self.step, &prompt, parameters.max_tokens, answer)
    }

    fn mark_invalid(&mut self, fault: &str) {
        if let Some(attempt) = self.attempts.last_mut() {
            attempt.mark_invalid(fault);
        }
    }
}
