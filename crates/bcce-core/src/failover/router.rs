//! The pure decision: which targets to try next and in which order, how long to wait, or that the step is over; always
//! with the reasons.
//!
//! [`decide`] borrows its input and answers in positions and enums, so that it costs next to nothing; [`Decision::of`]
//! puts the answer into words for the record.

mod order; // which target comes first
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

/// How long a short answer takes: it is worth waiting that long for another step's probe. A step has few waits.
const PROBE_TAKES: Duration = Duration::from_secs(5);

/// How much longer each wait of a step may be than the one before. An outage of every region may last a minute, and
/// a step has four waits for it.
const GROWTH: u64 = 3;

/// The state of a target when the router decides.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Health {
    pub breaker: Breaker,
    /// Only under the strategy `latency`.
    pub latency: Histogram,
    /// The step's prompt lies in this target's cache. Only under the strategy `cost`.
    pub is_warm: bool,
}

/// The router's input.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    pub route: &'a Route,
    /// Health of each target, in the route's order. Missing entries count as healthy.
    pub health: &'a [Health],
    /// Every attempt of this step so far, oldest first.
    pub attempts: &'a [Attempt],
    pub decisions: &'a [Decision],
    pub now: OffsetDateTime,
    /// The run's deadline.
    pub deadline: OffsetDateTime,
    /// Any number that differs between steps: it spreads the load over equals, and the waits of those that
    /// failed together.
    pub seed: u64,
}

/// The answer. Targets are positions in the route.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    pub action: Action,
    pub why: Why,
    /// The ruling of each of the route's targets, in order.
    pub ruled: Vec<Ruling>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Try these, in this order.
    Try {
        order: Vec<usize>,
        /// The first is open and due: only the step that is elected to probe it may call it.
        probes: bool,
    },
    Wait(Duration),
    Stop,
}

/// Why a target was taken or passed over.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Ruling {
    /// By policy; `policy.forbids` has the words.
    Forbidden,
    /// Its guardrail is another one than the first target's.
    LeavesGuardrail,
    /// It rejected this step before.
    RejectsStep,
    /// The prompt did not fit a target whose context is as large.
    TooSmall,
    Open {
        until: OffsetDateTime,
        cause: Option<ErrorName>,
    },
    /// Its quota of the day is used up.
    UsedUp {
        until: OffsetDateTime,
    },
    /// Another step probes it.
    Probed,
    /// Its cool-down is over, but it would not be the first, and a probe that may never be made helps nobody.
    NotProbed,
    /// It failed this step this often, and others have not.
    Failed(usize),
    /// It asked this step not to come back before.
    AskedToWait(OffsetDateTime),
    /// It is allowed and healthy, but the step asks nobody now.
    Spare,
    /// More targets than calls left.
    BeyondBudget,
    /// Place in the order, from 0.
    Taken(usize),
    TakenToProbe,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    Untried,
    Waited,
    AllFailed,
    AllOpen,
    NoTargetLeft,
    CallsUsedUp,
    RoundsUsedUp,
    WaitsUsedUp,
    DeadlinePassed,
    DeadlineBeforeNext,
}

/// Decides what a step does next. Allocates the order, the rulings and one list of usable targets.
pub fn decide(question: &Question<'_>) -> Verdict {
    let mut ruled: Vec<Ruling> =
        (0..question.route.targets.len()).map(|at| question.rule(at)).collect();
    let (action, why) = choose(question, &mut ruled);
    Verdict { action, why, ruled }
}

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

    /// Returns what excludes a target before any is chosen. Residency comes first, whatever fails.
    fn rule(&self, at: usize) -> Ruling {
        let target = &self.route.targets[at].target;
        if !self.route.policy.allows(target) {
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

    /// Returns how many calls the step has left.
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

    /// Takes the targets of one ruling, in order. Returns `None` if there are none.
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
    /// Returns whether neither policy nor the target itself excludes it for the whole of this step.
    fn is_allowed(&self) -> bool {
        !matches!(
            self,
            Self::Forbidden | Self::LeavesGuardrail | Self::RejectsStep | Self::TooSmall
        )
    }

    /// Returns when a target that cannot be used now may be called again, as far as that is known.
    fn usable_at(&self, now: OffsetDateTime) -> OffsetDateTime {
        match self {
            Self::Open { until, .. } | Self::UsedUp { until } | Self::AskedToWait(until) => *until,
            Self::Probed => now + PROBE_TAKES,
            _ => now,
        }
    }
}

/// Returns how long to wait: until the first target is usable, plus exponential backoff with full jitter. Steps that
/// waited for the same target do not come back together. Whole seconds, at least one.
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
