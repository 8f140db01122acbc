//! The steps of a wave, and the rounds of each: the router decides, and the step calls, waits or stops. It is what the
//! workflow machine does with `failover-router` and `invoke`.

use std::time::Duration;

use bcce_core::base::error::Fault;
use bcce_core::base::json::parse;
use bcce_core::batch::packed::{OpenStep, PackedRun};
use bcce_core::config::template::Step;
use bcce_core::failover::decision::{Decision, Next};
use bcce_core::io::deciding::{UndecidedStep, decide};
use bcce_core::io::responses::execute_unless_cached;
use bcce_core::io::step::{DecidedStep, StepWork, TakeReports, Walked, prompt_context};
use bcce_core::ports::{CallModel, Clock, GetObject, OpenSource, PutOnce, ReadLatencies};
use bcce_core::run::artifact::{StepArtifact, StepFailure};
use bcce_core::run::ids::{Run, StepRef};
use bcce_core::run::plan::{Plan, Wave};
use futures::future::join_all;
use serde_json::{Map, Value};
use time::OffsetDateTime;

use crate::KeepParts;
use crate::admission::ItemAdmission;
use crate::work::Work;

/// The end of a step in this invocation.
enum StepEnd {
    Answered(Box<StepArtifact>),
    Failed(Box<StepFailure>),
    /// The step goes on in a later invocation.
    Open(OpenStep),
    /// The step goes on in a later invocation, since the budgets cannot pay its call now.
    WaitsForMoney(OpenStep),
}

/// The end of a wave in this invocation.
pub(crate) struct WaveEnd {
    pub has_failed: bool,
    /// True if a step of the wave goes on in a later invocation.
    pub is_open: bool,
    /// True if such a step waits for money of a budget.
    pub waits_for_money: bool,
}

/// A step of an item, as all of its rounds share it.
struct ItemStep<'s> {
    n: u64,
    run: &'s Run,
    plan: &'s Plan,
    step: &'s Step,
    reference: &'s StepRef,
    context: Value,
    /// The time by which the run has to end. The time for which it waits for money does not count.
    deadline: OffsetDateTime,
    waited: Duration,
}

impl<S, R, L, M, C, H, F> Work<'_, '_, S, R, L, M, C, H, F>
where
    S: GetObject + PutOnce,
    R: OpenSource,
    L: KeepParts,
    M: CallModel,
    C: Clock,
    H: TakeReports + ReadLatencies,
{
    /// Executes the steps of a wave, all at a time. `open` has the steps that an earlier invocation left open, of any
    /// wave, and gets those that this one leaves open.
    ///
    /// # Errors
    /// `Bcce.Internal`: a fault that no other target can correct.
    pub async fn wave(
        &self,
        packed: &mut PackedRun,
        plan: &Plan,
        wave: &Wave,
        open: &mut Vec<OpenStep>,
    ) -> Result<WaveEnd, Fault> {
        let is_its = |open: &OpenStep| wave.steps.iter().any(|step| step.step == open.step);
        let (before, others) = std::mem::take(open).into_iter().partition::<Vec<_>, _>(is_its);
        *open = others;
        let (mut has_failed, mut is_open, mut waits_for_money) = (false, false, false);
        let before = |step: &StepRef| before.iter().find(|open| open.step == step.step).cloned();
        let mut due: Vec<&StepRef> = Vec::new();
        for reference in &wave.steps {
            let did_fail = packed.has(&packed.run.failure_key(&reference.step, None));
            has_failed |= did_fail;
            if !did_fail && !packed.has(&packed.run.step_key(&reference.step, None)) {
                due.push(reference);
            }
        }
        let run = &*packed;
        let steps = due.iter().map(|step| self.step(run, plan, step, before(step)));
        let mut waited_s = run.waited_s;
        for (end, reference) in join_all(steps).await.into_iter().zip(&due) {
            let end = end.map(|(end, waited)| {
                waited_s = waited_s.max(waited.as_secs());
                end
            });
            let end = end.unwrap_or_else(|fault| {
                // The answers of the other steps are stored, since they are paid.
                self.fail(fault);
                let step = reference.step.clone();
                let (attempts, decisions) = (Vec::new(), Vec::new());
                StepEnd::Open(before(reference).unwrap_or(OpenStep { step, attempts, decisions }))
            });
            match end {
                StepEnd::Answered(artifact) => {
                    packed
                        .add_at(&packed.run.step_key(&artifact.record.step_id, None), &artifact)?;
                }
                StepEnd::Failed(failure) => {
                    has_failed = true;
                    let key = packed.run.failure_key(&failure.record.step_id, None);
                    packed.add_at(&key, &failure)?;
                }
                StepEnd::Open(step) => {
                    is_open = true;
                    open.push(step);
                }
                StepEnd::WaitsForMoney(step) => {
                    (is_open, waits_for_money) = (true, true);
                    open.push(step);
                }
            }
        }
        packed.waited_s = waited_s;
        Ok(WaveEnd { has_failed, is_open, waits_for_money })
    }

    async fn step(
        &self,
        packed: &PackedRun,
        plan: &Plan,
        reference: &StepRef,
        open: Option<OpenStep>,
    ) -> Result<(StepEnd, Duration), Fault> {
        let id = &reference.step;
        let step =
            plan.step(id).ok_or_else(|| Fault::internal(format!("the plan has no step {id}")))?;
        let mut answers = Map::new();
        for need in &step.needs {
            answers.insert(need.clone(), answer(packed, need)?);
        }
        let waited = Duration::from_secs(packed.waited_s);
        let mut item = ItemStep {
            n: packed.n,
            run: &packed.run,
            plan,
            step,
            reference,
            context: prompt_context(plan, step, None, answers)?,
            deadline: packed.run.started_at + Duration::from_secs(plan.timeout) + waited,
            waited,
        };
        let (step, attempts, decisions) = (id.clone(), Vec::new(), Vec::new());
        let open = open.unwrap_or(OpenStep { step, attempts, decisions });
        let end = self.rounds(&mut item, open).await?;
        Ok((end, item.waited))
    }

    /// Goes through the rounds of a step, until it is over or has to go on later.
    async fn rounds(&self, item: &mut ItemStep<'_>, mut open: OpenStep) -> Result<StepEnd, Fault> {
        let run_id = &item.run.run_id;
        loop {
            if !self.wait_for_decision(run_id, &open).await {
                return Ok(StepEnd::Open(open));
            }
            let decision = self.decide(item, &open).await?;
            let next = decision.next.clone();
            open.decisions.push(decision);
            let targets = match next {
                Next::Targets(targets) => targets,
                Next::WaitS(_) => continue,
                Next::Stop(name) => {
                    let decided = item.decided(&open);
                    let error = decided.stopped(name, &open.attempts);
                    return Ok(failed(decided, open.attempts.clone(), error));
                }
            };
            let admission = ItemAdmission::new(self, item.n, item.waited);
            let work = item.work(&open, self.until);
            let (caller, store, reports) = (&self.ports.caller, &self.ports.store, self.reports);
            let executed =
                execute_unless_cached(caller, store, reports, &admission, work, &targets);
            let (walked, keys) = Box::pin(executed).await?;
            match walked {
                Walked::Answered { attempts, answer } => {
                    let artifact = item.decided(&open).artifact(attempts, answer);
                    self.note_response(item.n, keys.and_then(|k| k.entry(item.run, &artifact)));
                    return Ok(StepEnd::Answered(Box::new(artifact)));
                }
                Walked::Failed { attempts, error } => {
                    return Ok(failed(item.decided(&open), attempts, error));
                }
                Walked::Exhausted { attempts } => open.attempts = attempts,
                Walked::Interrupted { attempts } => {
                    let has_called = attempts.len() > open.attempts.len();
                    open.attempts = attempts;
                    if let Some(until) = admission.waits_until.get() {
                        if !has_called {
                            // The decision led to no call. The next one replaces it.
                            open.decisions.pop();
                        }
                        let since = self.ports.caller.clock.now();
                        let goes_on = self.wait_until(run_id, until).await;
                        let waited = self.ports.caller.clock.now() - since;
                        item.wait(waited.try_into().unwrap_or_default());
                        if !goes_on {
                            return Ok(StepEnd::WaitsForMoney(open));
                        }
                        continue;
                    }
                    let is_outdated = admission.is_outdated.get();
                    let has_time = item.deadline > self.ports.caller.clock.now();
                    if has_time && !(is_outdated && self.may_go_on(run_id)) {
                        return Ok(StepEnd::Open(open));
                    }
                }
            }
        }
    }

    async fn decide(&self, item: &ItemStep<'_>, open: &OpenStep) -> Result<Decision, Fault> {
        let name = &item.reference.route;
        let route = item.plan.routes.get(name);
        let route =
            route.ok_or_else(|| Fault::internal(format!("the plan has no route {name}")))?;
        let step = UndecidedStep {
            environment: &self.config.environment,
            run_id: &item.run.run_id,
            step: item.reference,
            route,
            deadline: item.deadline,
            attempts: &open.attempts,
            decisions: &open.decisions,
        };
        let caller = &self.ports.caller;
        Ok(decide(&caller.health, &step, caller.clock.now()).await)
    }

    /// Waits as long as the last decision says. Returns `false` if the step has to go on later.
    async fn wait_for_decision(&self, run_id: &str, open: &OpenStep) -> bool {
        let last = open.decisions.last();
        let until = last.and_then(|decision| match decision.next {
            Next::WaitS(seconds) => Some(decision.at + Duration::from_secs(seconds)),
            _ => None,
        });
        match until {
            Some(until) => self.wait_until(run_id, until).await,
            None => self.may_go_on(run_id),
        }
    }

    /// Waits until a time. Returns `false` if the step has to go on later.
    async fn wait_until(&self, run_id: &str, until: OffsetDateTime) -> bool {
        if until >= self.until {
            return false;
        }
        self.waits.borrow_mut().push(until);
        let mut may_go_on = self.may_go_on(run_id);
        while may_go_on && self.ports.caller.clock.now() < until {
            let left = until - self.ports.caller.clock.now();
            let left = left.try_into().unwrap_or_default();
            let _ = tokio::time::timeout(left, self.changed.notified()).await;
            may_go_on = self.may_go_on(run_id);
        }
        // The waits of a suspended part say when the next invocation has something to do.
        if !self.is_suspended.get() {
            let mut waits = self.waits.borrow_mut();
            let place = waits.iter().position(|wait| *wait == until);
            place.map(|place| waits.swap_remove(place));
        }
        may_go_on
    }
}

impl<'s> ItemStep<'s> {
    /// Notes that the step has waited for money.
    fn wait(&mut self, waited: Duration) {
        self.waited += waited;
        self.deadline += waited;
    }

    fn decided<'d>(&'d self, open: &'d OpenStep) -> DecidedStep<'d> {
        DecidedStep { run: self.run, reference: self.reference, decisions: &open.decisions }
    }

    fn work<'d>(&'d self, open: &'d OpenStep, until: OffsetDateTime) -> StepWork<'d> {
        StepWork {
            decided: self.decided(open),
            plan: self.plan,
            step: self.step,
            context: &self.context,
            deadline: self.deadline,
            until,
            attempts: open.attempts.clone(),
        }
    }
}

fn failed(
    decided: DecidedStep<'_>,
    attempts: Vec<bcce_core::call::attempt::Attempt>,
    error: Fault,
) -> StepEnd {
    let (run_id, step_id) = (&decided.run.run_id, &decided.reference.step);
    let name = error.name.as_str();
    tracing::warn!(run_id, step_id, error = name, "the step failed: {}", error.message);
    StepEnd::Failed(Box::new(decided.failure(attempts, error)))
}

/// Returns the answer of an earlier step, as prompts read it.
fn answer(packed: &PackedRun, step: &str) -> Result<Value, Fault> {
    let key = packed.run.step_key(step, None);
    let body = packed.object_at(&key);
    let body = body.ok_or_else(|| Fault::internal(format!("{key} is missing")))?;
    Ok(parse::<StepArtifact>(&key, body)?.output.value())
}
