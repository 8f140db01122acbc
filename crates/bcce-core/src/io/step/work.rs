//! A step to execute: what its calls consist of, and the limits that they keep.

use std::time::Duration;

use serde_json::{Map, Value, json};
use time::OffsetDateTime;

use super::records::DecidedStep;
use crate::base::error::Fault;
use crate::base::target::Target;
use crate::call::attempt::Attempt;
use crate::config::routing::Routing;
use crate::config::template::Step;
use crate::failover::breaker::{Breaker, BreakerStatus, target_key};
use crate::failover::route::Route;
use crate::io::shared_breakers::SharedBreakers;
use crate::ports::ReadBreakers;
use crate::run::plan::Plan;

/// The age from which a decision is checked against the breakers again before a call.
const STALE: Duration = Duration::from_secs(5);
/// The shortest time for a call. No call is started if the run or the function has less time left.
const SHORTEST: Duration = Duration::from_secs(1);

/// A step to execute.
#[derive(Clone, Debug)]
pub struct StepWork<'a> {
    pub decided: DecidedStep<'a>,
    pub plan: &'a Plan,
    pub step: &'a Step,
    /// The values that the prompt is rendered with, from [`prompt_context`].
    pub context: &'a Value,
    /// The time by which the run has to end.
    pub deadline: OffsetDateTime,
    /// The time by which the function's calls have to end.
    pub until: OffsetDateTime,
    /// All attempts of the step so far.
    pub attempts: Vec<Attempt>,
}

impl<'a> StepWork<'a> {
    /// Returns the routing of the step, or `None` if the plan lacks it.
    pub fn route(&self) -> Option<&'a Route> {
        self.plan.routes.get(&self.decided.reference.route)
    }

    pub(super) fn routing(&self) -> Option<&'a Routing> {
        self.route().map(|route| &route.routing)
    }

    /// Returns the number of calls that the step may still make.
    pub(super) fn calls_left(&self) -> usize {
        let calls = self.routing().map_or(0, |routing| routing.attempts as usize);
        calls.saturating_sub(self.attempts.len())
    }

    /// Returns the time of a call that starts at `now`, or `None` if the function or the run has no time for one.
    pub fn time_at(&self, now: OffsetDateTime) -> Option<Duration> {
        let time = self.attempt_at(now)?.min(left(self.until, now));
        (time >= SHORTEST).then_some(time)
    }

    /// Returns true if a call that starts at `now` has the time that the routing document and the run allow it. The
    /// function does not cut its time.
    pub(super) fn has_whole_time(&self, now: OffsetDateTime) -> bool {
        self.time_at(now).is_some_and(|time| Some(time) == self.attempt_at(now))
    }

    /// Returns the time of a call in a function that has no limit.
    fn attempt_at(&self, now: OffsetDateTime) -> Option<Duration> {
        let attempt = Duration::from_secs(self.routing()?.timeouts.attempt_s);
        Some(attempt.min(left(self.deadline, now)))
    }

    /// Returns true if a target may still be called. An old decision is checked again: while the step waited for a free
    /// function or a silent target, a breaker may have opened, or the lease of an elected step may have ended.
    pub async fn may_call<L: ReadBreakers>(
        &self,
        health: &SharedBreakers<L>,
        target: &Target,
        now: OffsetDateTime,
    ) -> bool {
        let Some(decision) = self.decided.decisions.last() else { return true };
        if now - decision.at < STALE {
            return true;
        }
        let breakers = health.breakers(&[target_key(target)], now).await;
        let is_mine = |breaker: &Breaker| {
            decision.probe.as_deref().is_some_and(|token| breaker.is_probed_by(token))
        };
        breakers.iter().all(|breaker| match breaker.status(now) {
            BreakerStatus::Closed => true,
            BreakerStatus::Probed { .. } => is_mine(breaker),
            BreakerStatus::Open { .. } | BreakerStatus::Due => false,
        })
    }
}

/// Returns the time from `now` until `end`.
fn left(end: OffsetDateTime, now: OffsetDateTime) -> Duration {
    Duration::try_from(end - now).unwrap_or_default()
}

/// Returns the values that the prompt of a step is rendered with: `inputs`, `steps`, and `item` and `index` if the step
/// fans out. `answers` has the answers of earlier steps, by step, and `item` is the position of the item.
///
/// # Errors
/// `Bcce.Internal`: the plan lacks the item.
pub fn prompt_context(
    plan: &Plan,
    step: &Step,
    item: Option<u32>,
    answers: Map<String, Value>,
) -> Result<Value, Fault> {
    let mut context = json!({ "inputs": plan.inputs, "steps": answers });
    if let Some(n) = item {
        let item = plan.items(step).and_then(|items| items.get(n as usize));
        let item = item.ok_or_else(|| {
            Fault::internal(format!("the plan has no item {n} of step {}", step.id))
        })?;
        context["item"] = item.clone();
        context["index"] = json!(n);
    }
    Ok(context)
}
