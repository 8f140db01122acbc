//! Calls the targets of a list in order, and moves to the next one at once if a target fails.

mod target; // the calls of one target

use crate::base::error::Fault;
use crate::base::target::Target;
use crate::call::attempt::{Attempt, Cause};
use crate::call::parameters::{Parameters, json_output};
use crate::document::prompt::Prompt;
use crate::document::schema::subset::subset;
use crate::ports::{CallModel, Clock};
use target::Outcome;

use super::reports::{Reports, TakeReports};
use super::work::StepWork;
use super::{Admission, Caller, Walked, grammars};

/// A walk along the targets of the router's list.
pub(super) struct Walk<'a, 'r, M, C, L, A> {
    caller: &'a Caller<M, C, L>,
    reports: &'r Reports<'a>,
    admission: &'r A,
    work: StepWork<'r>,
    prompt: Prompt,
    /// True if the service has refused the step's schema before.
    schema_refused: bool,
}

impl<'a, 'r, M, C, L, A> Walk<'a, 'r, M, C, L, A>
where
    M: CallModel,
    C: Clock,
    L: TakeReports,
    A: Admission,
{
    /// Returns a walk with the rendered prompt of the step.
    pub async fn new(
        caller: &'a Caller<M, C, L>,
        reports: &'r Reports<'a>,
        admission: &'r A,
        work: StepWork<'r>,
        prompt: Prompt,
    ) -> Self {
        let schema_refused = is_refused(caller, &work).await;
        Self { caller, reports, admission, work, prompt, schema_refused }
    }

    /// Calls one target after the other until one answers.
    ///
    /// # Errors
    /// `Bcce.Internal`: a fault that another target cannot correct.
    pub async fn along(mut self, targets: &[Target]) -> Result<Walked, Fault> {
        for (n, target) in targets.iter().enumerate() {
            // The router's list is as long as the number of calls that were left. A repair may have used one of them.
            if self.work.calls_left() == 0 {
                break;
            }
            if !self.has_time(n == 0) {
                return Ok(Walked::Interrupted { attempts: self.work.attempts });
            }
            if self.is_too_small(target) || !self.may_call(target).await {
                continue;
            }
            match self.try_target(target).await? {
                Outcome::Answered(answer) => {
                    return Ok(Walked::Answered { attempts: self.work.attempts, answer });
                }
                Outcome::Failed(error) => {
                    return Ok(Walked::Failed { attempts: self.work.attempts, error });
                }
                Outcome::Interrupted => {
                    return Ok(Walked::Interrupted { attempts: self.work.attempts });
                }
                Outcome::NextTarget => {}
            }
        }
        Ok(Walked::Exhausted { attempts: self.work.attempts })
    }

    async fn may_call(&self, target: &Target) -> bool {
        let (health, now) = (&self.caller.health, self.caller.clock.now());
        self.work.may_call(health, target, now).await
    }

    /// Returns whether there is time for the next attempt. The first attempt takes the time that is left, because a
    /// function with a short timeout would otherwise make no attempt.
    fn has_time(&self, is_first: bool) -> bool {
        let now = self.caller.clock.now();
        if is_first { self.work.time_at(now).is_some() } else { self.work.has_whole_time(now) }
    }

    /// Returns true if the prompt was too long for another target with the same or a larger context.
    fn is_too_small(&self, target: &Target) -> bool {
        self.work.route().is_some_and(|route| route.is_too_small(target, &self.work.attempts))
    }

    /// Returns the parameters of a call to `target`, given the attempts so far.
    fn parameters(&self, target: &Target) -> Result<Parameters<'r>, Fault> {
        let (plan, step) = (self.work.plan, self.work.step);
        let takes = self.work.route().and_then(|route| plan.takes(step, route, target));
        let takes = takes.ok_or_else(|| Fault::internal(format!("the plan lacks {target}")))?;
        let mut parameters = Parameters::of(step, takes, self.schema_refused);
        parameters.leave_room(&self.prompt, takes);
        parameters.measure_prefix(step, &self.prompt, takes);
        Ok(parameters)
    }
}

/// Returns true if the service has refused the step's schema, in this run or in another one.
async fn is_refused<M, C: Clock, L: TakeReports>(
    caller: &Caller<M, C, L>,
    work: &StepWork<'_>,
) -> bool {
    let schema = json_output(work.step).and_then(|output| output.schema.as_ref());
    let Some(Ok(part)) = schema.map(subset) else { return false };
    let (refusal, now) = (grammars::refusal(&part), caller.clock.now());
    let refused = |attempt: &Attempt| attempt.cause == Some(Cause::GrammarTooLarge);
    work.attempts.iter().any(refused) || caller.grammars.has(&caller.health, &refusal, now).await
}
