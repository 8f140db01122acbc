//! The failover router. It decides the targets to try next and their order, the time to wait, or the end of the step,
//! and gives the reasons.
//!
//! The decision is a pure function. [`decide`] borrows its input and returns positions and enums, so that it costs very
//! little. [`Decision::of`] puts the result into words for the record.

mod order; // the order of the targets
mod words; // verdict -> decision

use std::time::Duration;

use time::OffsetDateTime;

use crate::base::error::ErrorName;
use crate::base::limits::MAX_RUN_SECONDS;
use crate::call::attempt::Attempt;
use crate::failover::breaker::{Breaker, BreakerStatus};
use crate::failover::decision::{Decision, Next};
use crate::failover::latency::Histogram;
use crate::failover::route::Route;

/// The time of a short answer. A step waits that long for the probe of another step. A shorter wait could use up the
/// few waits of a step.
const PROBE_TAKES: Duration = Duration::from_secs(5);

/// The factor by which each wait of a step may be longer than the wait before. An outage of every region may last a
/// minute, and a step has four waits for it.
const GROWTH: u64 = 3;

/// The state of a target when the router decides.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Health {
    pub breaker: Breaker,
    /// The recent times to the first token. It is set only under the strategy `latency`.
    pub latency: Histogram,
    /// True if the step's prompt is in this target's cache. It is set only under the strategy `cost`.
    pub is_warm: bool,
}

/// The router's input.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    pub route: &'a Route,
    /// The health of each target, in the order of the route. A missing entry counts as healthy.
    pub health: &'a [Health],
    /// Every attempt of this step so far, the oldest first.
    pub attempts: &'a [Attempt],
    /// Every decision of this step so far, the oldest first.
    pub decisions: &'a [Decision],
    pub now: OffsetDateTime,
    /// The run's deadline.
    pub deadline: OffsetDateTime,
    /// A number that differs between steps. It spreads the load over targets of the same rank, and the waits of steps
    /// that failed at the same time.
    pub seed: u64,
}

/// The router's answer. Targets are positions in the route.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    pub action: Action,
    pub why: Why,
    /// The ruling on each target of the route, in order.
    pub ruled: Vec<Ruling>,
}

/// The next action of a step. See [`Next`] for its recorded form.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Try the targets at these positions, in this order.
    Try {
        order: Vec<usize>,
        /// True if the first target's breaker is open and due. Only the step that is elected to probe it may call it.
        probes: bool,
    },
    /// Wait for this time, in whole seconds.
    Wait(Duration),
    /// End the step.
    Stop,
}

/// The reason why a target was chosen or passed over.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Ruling {
    /// The policy forbids the target. [`Policy::forbids`](crate::config::policy::Policy::forbids) returns the reason.
    Forbidden,
    /// The target's guardrail differs from that of the first target.
    LeavesGuardrail,
    /// The target rejected this step before.
    RejectsStep,
    /// The prompt did not fit into a context that is at least as large as the target's.
    TooSmall,
    /// The target's breaker is open.
    Open { until: OffsetDateTime, cause: Option<ErrorName> },
    /// The target's daily quota is used up.
    UsedUp { until: OffsetDateTime },
    /// Another step probes the target.
    Probed,
    /// The target's cool-down is over, but it would not be the first in the order. It is not probed, because an earlier
    /// target may answer and then no call would probe it.
    NotProbed,
    /// The target failed this step this many times. The step tries it again only after every target has failed and the
    /// step has waited.
    Failed(usize),
    /// The target failed this step and asked for no further call before this time.
    AskedToWait(OffsetDateTime),
    /// The target is allowed and healthy, but the step makes no call now.
    Spare,
    /// The step has fewer calls left than targets.
    BeyondBudget,
    /// The target was chosen. The value is its place in the order, from 0.
    Taken(usize),
    /// The target was chosen to be probed.
    TakenToProbe,
}

/// The reason for an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// There are targets that have not failed this step.
    Untried,
    /// The step has waited after every target failed.
    Waited,
    /// No target can be tried now, and at least one has failed this step.
    AllFailed,
    /// No target can be tried now, because the breaker of each is open.
    AllOpen,
    /// The policy or the targets themselves exclude every target.
    NoTargetLeft,
    /// The step has made its largest number of calls.
    CallsUsedUp,
    /// The step has had its largest number of decisions with targets.
    RoundsUsedUp,
    /// The step has had its largest number of waits.
    WaitsUsedUp,
    /// The run's deadline has passed.
    DeadlinePassed,
    /// The run's deadline is before the end of the wait.
    DeadlineBeforeNext,
}

/// Decides the next action of a step. Allocates the order, the rulings and one list of usable targets.
pub fn decide(question: &Question<'_>) -> Verdict {
    let mut ruled: Vec<Ruling> =
        (0..question.route.targets.len()).map(|at| question.rule(at)).collect();
    let (action, why) = choose(question, &mut ruled);
    Verdict { action, why, ruled }
}

/// Chooses the action. A step first tries the targets that have not failed it. When every target has failed, it waits
/// before it tries the failed ones again.
fn choose(question: &Question<'_>, ruled: &mut [Ruling]) -> (Action, Why) {
    let stop = |why| (Action::Stop, why);
    let rounds = question.rounds();
    if !ruled.iter().any(Ruling::is_allowed) {
        return stop(Why::NoTargetLeft);
    }
    if question.budget() == 0 {
        return stop(Why::CallsUsedUp);
    }
    if rounds >= question.route.rounds as usize {
        return stop(Why::RoundsUsedUp);
    }
    if question.now >= question.deadline {
        return stop(Why::DeadlinePassed);
    }
    if let Some(action) = question.take(ruled, |ruling| matches!(ruling, Ruling::Spare)) {
        return (action, Why::Untried);
    }
    if question.has_waited()
        && let Some(action) = question.take(ruled, |ruling| matches!(ruling, Ruling::Failed(_)))
    {
        return (action, Why::Waited);
    }
    if question.waits() + 1 >= question.route.rounds as usize {
        return stop(Why::WaitsUsedUp);
    }
    let wait = wait(question, ruled);
    if question.now + wait >= question.deadline {
        return stop(Why::DeadlineBeforeNext);
    }
    let has_failed = ruled.iter().any(|r| matches!(r, Ruling::Failed(_) | Ruling::AskedToWait(_)));
    (Action::Wait(wait), if has_failed { Why::AllFailed } else { Why::AllOpen })
}

impl Question<'_> {
    fn breaker(&self, at: usize) -> Option<&Breaker> {
        self.health.get(at).map(|health| &health.breaker)
    }

    fn status(&self, at: usize) -> BreakerStatus {
        self.breaker(at).map_or(BreakerStatus::Closed, |breaker| breaker.status(self.now))
    }

    /// Returns the ruling on a target before any is chosen. The policy comes first, so that a target outside of the
    /// allowed regions is never used, whatever else fails.
    fn rule(&self, at: usize) -> Ruling {
        let target = &self.route.targets[at].target;
        if !self.route.allows(target) {
            return Ruling::Forbidden;
        }
        if self.route.leaves_guardrail(target) {
            return Ruling::LeavesGuardrail;
        }
        let failures = || self.attempts.iter().filter(|a| a.error.is_some() && a.target == *target);
        if failures().any(|attempt| attempt.error == Some(ErrorName::TargetRejected)) {
            return Ruling::RejectsStep;
        }
        if self.route.is_too_small(target, self.attempts) {
            return Ruling::TooSmall;
        }
        match self.status(at) {
            BreakerStatus::Open { until } => {
                let breaker = self.breaker(at);
                if breaker.is_some_and(|breaker| breaker.used_up) {
                    return Ruling::UsedUp { until };
                }
                return Ruling::Open { until, cause: breaker.and_then(|breaker| breaker.cause) };
            }
            BreakerStatus::Probed { .. } => return Ruling::Probed,
            BreakerStatus::Due | BreakerStatus::Closed => {}
        }
        let Some(last) = failures().next_back() else { return Ruling::Spare };
        let not_before = last.ended_at()
            + Duration::from_secs(last.retry_after_s.unwrap_or(0).min(MAX_RUN_SECONDS));
        if not_before > self.now {
            Ruling::AskedToWait(not_before)
        } else {
            Ruling::Failed(failures().count())
        }
    }

    /// Returns the number of calls that the step has left.
    fn budget(&self) -> usize {
        (self.route.routing.attempts as usize).saturating_sub(self.attempts.len())
    }

    fn rounds(&self) -> usize {
        self.decisions.iter().filter(|d| matches!(d.next, Next::Targets(_))).count()
    }

    fn waits(&self) -> usize {
        self.decisions.iter().filter(|d| matches!(d.next, Next::WaitS(_))).count()
    }

    fn has_waited(&self) -> bool {
        matches!(self.decisions.last(), Some(Decision { next: Next::WaitS(_), .. }))
    }

    /// Chooses the targets whose ruling is `which`, in order. Returns `None` if there are none.
    fn take(&self, ruled: &mut [Ruling], which: fn(&Ruling) -> bool) -> Option<Action> {
        let mut order: Vec<usize> = (0..ruled.len()).filter(|at| which(&ruled[*at])).collect();
        order::sort(self, ruled, &mut order);
        let first = *order.first()?;
        let probes = self.status(first) == BreakerStatus::Due;
        let mut place = 0;
        let budget = self.budget();
        order.retain(|at| {
            ruled[*at] = match self.status(*at) {
                BreakerStatus::Due if *at != first => Ruling::NotProbed,
                _ if place >= budget => Ruling::BeyondBudget,
                BreakerStatus::Due => Ruling::TakenToProbe,
                _ => Ruling::Taken(place),
            };
            let taken = matches!(ruled[*at], Ruling::Taken(_) | Ruling::TakenToProbe);
            place += usize::from(taken);
            taken
        });
        Some(Action::Try { order, probes })
    }
}

impl Ruling {
    /// Returns `false` if the policy or the target itself excludes the target for the whole step.
    fn is_allowed(&self) -> bool {
        !matches!(
            self,
            Self::Forbidden | Self::LeavesGuardrail | Self::RejectsStep | Self::TooSmall
        )
    }

    /// Returns the time at which a target that cannot be used now may be called again. Returns `now` if that is
    /// unknown.
    fn usable_at(&self, now: OffsetDateTime) -> OffsetDateTime {
        match self {
            Self::Open { until, .. } | Self::UsedUp { until } | Self::AskedToWait(until) => *until,
            Self::Probed => now + PROBE_TAKES,
            _ => now,
        }
    }
}

/// Returns the time to wait: until the first target is usable, plus exponential backoff with full jitter. The jitter
/// spreads the calls of steps that waited for the same target. The result is in whole seconds, at least one.
fn wait(question: &Question<'_>, ruled: &[Ruling]) -> Duration {
    let routing = &question.route.routing;
    let grown = GROWTH.saturating_pow(u32::try_from(question.waits()).unwrap_or(u32::MAX));
    let grown = routing.backoff_base_ms.saturating_mul(grown);
    let most = grown.min(routing.backoff_cap_s.saturating_mul(1_000));
    let jittered = Duration::from_millis(question.seed % most.saturating_add(1));
    let allowed = ruled.iter().filter(|ruling| ruling.is_allowed());
    let first = allowed.map(|ruling| ruling.usable_at(question.now)).min();
    let usable = first.and_then(|at| Duration::try_from(at - question.now).ok());
    let wait = usable.unwrap_or_default() + jittered;
    Duration::from_secs(wait.as_secs() + u64::from(wait.subsec_nanos() > 0))
        .max(Duration::from_secs(1))
}

#[cfg(test)]
pub mod tests;
