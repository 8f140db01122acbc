//! Calls the targets of a list in order, and moves to the next one at once if a target fails.

mod target; // the calls of one target

use std::time::Duration;

use bcce_core::base::error::Fault;
use bcce_core::base::target::Target;
use bcce_core::call::answer::Answer;
use bcce_core::call::attempt::{Attempt, Cause};
use bcce_core::call::parameters::{Parameters, json_output};
use bcce_core::call::request_building;
use bcce_core::config::routing::Routing;
use bcce_core::config::template::Step;
use bcce_core::document::prompt::Prompt;
use bcce_core::document::schema::subset::subset;
use bcce_core::failover::breaker::{Breaker, BreakerStatus, target_key};
use bcce_core::failover::route::Route;
use bcce_core::ports::{CallModel, Clock, GetObject};
use bcce_core::run::plan::Plan;
use target::Outcome;
use time::OffsetDateTime;

use crate::reports::{Reports, TakeReports};
use crate::{Ports, Request, context, grammars};

/// The time of the function that is reserved for storing the answer. An operation on S3 may take 25 s with the client's
/// retries, and there may be two, if the answer of another writer has to be read.
const MARGIN: Duration = Duration::from_secs(60);
/// The age from which a decision is checked against the breakers again before a call.
const STALE: Duration = Duration::from_secs(5);
/// The shortest time for a call. No call is started if the run or the function has less time left.
const SHORTEST: Duration = Duration::from_secs(1);

/// Returns true if the service has refused the step's schema, in this run or in another one.
async fn is_refused<S, M, C: Clock, L: TakeReports, F>(
    ports: &Ports<S, M, C, L, F>,
    step: &Step,
    attempts: &[Attempt],
) -> bool {
    let schema = json_output(step).and_then(|output| output.schema.as_ref());
    let Some(Ok(part)) = schema.map(subset) else { return false };
    let (refusal, now) = (grammars::refusal(&part), ports.clock.now());
    attempts.iter().any(|attempt| attempt.cause == Some(Cause::GrammarTooLarge))
        || ports.grammars.has(&ports.health, &refusal, now).await
}

/// The outcome of a walk, with every attempt of the step.
pub(crate) enum Walked {
    Answered { attempts: Vec<Attempt>, answer: Answer },
    Exhausted { attempts: Vec<Attempt> },
    Failed { attempts: Vec<Attempt>, error: Fault },
}

/// A walk along the targets of the router's list.
pub(crate) struct Walk<'a, 'r, S, M, C, L, F> {
    ports: &'a Ports<S, M, C, L, F>,
    reports: &'r Reports<'a>,
    request: &'r Request,
    plan: &'r Plan,
    step: &'r Step,
    prompt: Prompt,
    /// True if the service has refused the step's schema before.
    schema_refused: bool,
    /// The time by which the function's calls have to end.
    until: OffsetDateTime,
    attempts: Vec<Attempt>,
}

impl<'a, 'r, S, M, C, L, F> Walk<'a, 'r, S, M, C, L, F>
where
    S: GetObject,
    M: CallModel,
    C: Clock,
    L: TakeReports,
{
    /// Renders the prompt. The inner error is the error of the step, if its prompt cannot be rendered.
    ///
    /// # Errors
    /// `Bcce.Internal`: the plan lacks the step or the item, or S3 failed.
    pub async fn prepare(
        ports: &'a Ports<S, M, C, L, F>,
        reports: &'r Reports<'a>,
        request: &'r Request,
        plan: &'r Plan,
    ) -> Result<Result<Self, Fault>, Fault> {
        let id = &request.step.step;
        let step =
            plan.step(id).ok_or_else(|| Fault::internal(format!("the plan has no step {id}")))?;
        let context = context::of(&ports.store, request, plan, step).await?;
        let until = ports.clock.now() + request.remaining.saturating_sub(MARGIN);
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

    /// Calls one target after the other until one answers.
    ///
    /// # Errors
    /// `Bcce.Internal`: a fault that another target cannot correct.
    pub async fn along(&mut self, targets: &[Target]) -> Result<Walked, Fault> {
        for (n, target) in targets.iter().enumerate() {
            // The router's list is as long as the number of calls that were left. A repair may have used one of them.
            if self.calls_left() == 0 {
                break;
            }
            let Some(time) = self.time(n == 0) else { break };
            if self.is_too_small(target) || !self.may_call(target).await {
                continue;
            }
            match self.try_target(target, time).await? {
                Outcome::Answered(answer) => {
                    return Ok(Walked::Answered { attempts: self.take(), answer });
                }
                Outcome::Failed(error) => {
                    return Ok(Walked::Failed { attempts: self.take(), error });
                }
                Outcome::NextTarget => {}
            }
        }
        Ok(Walked::Exhausted { attempts: self.take() })
    }

    /// Returns true if a target may still be called. An old decision is checked again: while the step waited for a free
    /// function or a silent target, a breaker may have opened, or the lease of an elected step may have ended.
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
            BreakerStatus::Closed => true,
            BreakerStatus::Probed { .. } => is_mine(breaker),
            BreakerStatus::Open { .. } | BreakerStatus::Due => false,
        })
    }

    fn take(&mut self) -> Vec<Attempt> {
        std::mem::take(&mut self.attempts)
    }

    /// Returns the time for the next attempt, or `None` if the function or the run has no time for one. The first
    /// attempt takes the time that is left, because a function with a short timeout would otherwise make no attempt.
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

    /// Returns true if the prompt was too long for another target with the same or a larger context.
    fn is_too_small(&self, target: &Target) -> bool {
        self.route().is_some_and(|route| route.is_too_small(target, &self.attempts))
    }

    /// Returns the parameters of a call to `target`, given the attempts so far.
    fn parameters(&self, target: &Target) -> Result<Parameters<'r>, Fault> {
        let takes = self.route().and_then(|route| self.plan.takes(self.step, route, target));
        let takes = takes.ok_or_else(|| Fault::internal(format!("the plan lacks {target}")))?;
        let mut parameters = Parameters::of(self.step, takes, self.schema_refused);
        parameters.leave_room(&self.prompt, takes);
        Ok(parameters)
    }
}
