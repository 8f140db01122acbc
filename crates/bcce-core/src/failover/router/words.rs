//! Puts a verdict into words: [`Decision::of`].

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::base::error::ErrorName;
use crate::base::target::Target;
use crate::config::routing::Strategy;
use crate::failover::decision::{Candidate, Decision, Next};
use crate::failover::router::order::sort;
use crate::failover::router::{Action, Question, Ruling, Verdict, Why};

impl Decision {
    /// Returns the recorded form of `verdict`. `probe` is the token of the election if the step was elected to probe.
    pub fn of(question: &Question<'_>, verdict: &Verdict, probe: Option<String>) -> Self {
        let targets = &question.route.targets;
        let now = question.now;
        let is_watched = |at: &usize| {
            question.health.get(*at).is_some_and(|health| health.breaker.is_watched(now))
        };
        let (next, watched) = match &verdict.action {
            Action::Try { order, .. } => (
                Next::Targets(order.iter().map(|at| targets[*at].target.clone()).collect()),
                (0..order.len()).filter(|place| is_watched(&order[*place])).collect(),
            ),
            Action::Wait(wait) => (Next::WaitS(wait.as_secs()), vec![]),
            Action::Stop => (Next::Stop(ErrorName::NoTarget), vec![]),
        };
        let ruled = targets.iter().zip(&verdict.ruled);
        let candidates = ruled.map(|(target, ruling)| Candidate {
            target: target.target.to_string(),
            taken: matches!(ruling, Ruling::Taken(_) | Ruling::TakenToProbe),
            because: ruling.describe(question, &target.target),
        });
        Self {
            at: now,
            because: vec![verdict.why.describe(question)],
            candidates: candidates.collect(),
            probe,
            watched,
            diverted: is_diverted(question, verdict),
            next,
        }
    }
}

/// Returns true if the step makes its first call to another target than its first choice, whose breaker is open.
fn is_diverted(question: &Question<'_>, verdict: &Verdict) -> bool {
    let Action::Try { order, .. } = &verdict.action else { return false };
    let is_open = |ruling: &Ruling| {
        matches!(ruling, Ruling::Open { .. } | Ruling::UsedUp { .. } | Ruling::Probed)
    };
    if !question.attempts.is_empty() || !verdict.ruled.iter().any(is_open) {
        return false;
    }
    let allowed = (0..verdict.ruled.len()).filter(|at| verdict.ruled[*at].is_allowed());
    let mut preferred: Vec<usize> = allowed.collect();
    sort(question, &verdict.ruled, &mut preferred);
    preferred.first() != order.first()
}

impl Why {
    fn describe(self, question: &Question<'_>) -> String {
        let order = match question.route.routing.strategy {
            Strategy::Priority => "in the order of their priority",
            Strategy::Latency => "the fastest first",
            Strategy::RoundRobin => "in turn",
            Strategy::Cost => "the cheapest first",
        };
        match self {
            Self::Untried => format!("targets that have not failed this step, {order}"),
            Self::Waited => {
                format!("waited after every target failed; fewest failures first, {order}")
            }
            Self::AllFailed => format!("every target failed; round {} is over", question.rounds()),
            Self::AllOpen => "every target's breaker is open".to_owned(),
            Self::NoTargetLeft => "no target is left".to_owned(),
            Self::CallsUsedUp => "the step's calls are used up".to_owned(),
            Self::RoundsUsedUp => "the step's rounds are used up".to_owned(),
            Self::WaitsUsedUp => "the step's waits are used up".to_owned(),
            Self::DeadlinePassed => "the run's deadline has passed".to_owned(),
            Self::DeadlineBeforeNext => "the run's deadline comes before the next try".to_owned(),
        }
    }
}

impl Ruling {
    fn describe(&self, question: &Question<'_>, target: &Target) -> String {
        match self {
            Self::Forbidden => question.route.forbids(target).unwrap_or_default(),
            Self::LeavesGuardrail => "its guardrail differs from the first target's".to_owned(),
            Self::RejectsStep => "it rejected this step before".to_owned(),
            Self::TooSmall => {
                "the prompt did not fit a target whose context is as large".to_owned()
            }
            Self::Open { until, cause } => {
                let cause = cause.map(|cause| format!(" after {cause}")).unwrap_or_default();
                format!("its breaker is open until {}{cause}", clock(*until))
            }
            Self::UsedUp { until } => {
                format!("its quota of tokens per day is used up until {}", clock(*until))
            }
            Self::Probed => "its breaker is open, and another step probes it".to_owned(),
            Self::NotProbed => {
                "its breaker is open, and only the first target of the order is probed".to_owned()
            }
            Self::Failed(1) => "it failed this step".to_owned(),
            Self::Failed(times) => format!("it failed this step {times} times"),
            Self::AskedToWait(until) => {
                format!("it failed this step and asked to wait until {}", clock(*until))
            }
            Self::Spare => "it is healthy".to_owned(),
            Self::BeyondBudget => "the step has no more calls".to_owned(),
            Self::Taken(0) => "first".to_owned(),
            Self::Taken(place) => format!("number {}", place + 1),
            Self::TakenToProbe => "its cool-down is over, and this step probes it".to_owned(),
        }
    }
}

/// Formats a time to the second. Waits and cool-downs last for seconds, so fractions do not matter.
fn clock(at: OffsetDateTime) -> String {
    at.replace_nanosecond(0).unwrap_or(at).format(&Rfc3339).unwrap_or_default()
}
