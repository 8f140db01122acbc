//! The router's answer in words, as it travels through the state machine and stands in the artifacts.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{Course, Question, Ruling, Strategy, Verdict, Why};
use crate::attempt::Target;
use crate::error::ErrorName;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Next {
    /// Try these, in this order.
    Targets(Vec<Target>),
    /// Ask again after this many seconds.
    WaitS(u64),
    /// It is over.
    Stop(ErrorName),
}

/// One answer of the router.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// Why this course was taken.
    pub because: Vec<String>,
    /// Every target of the route, and why it was taken or passed over.
    #[serde(default)]
    pub candidates: Vec<Candidate>,
    /// The token of the election that lets this step probe the first target, whose breaker is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<String>,
    /// Places in `targets` of those with failures on record, whose answers count.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub watched: Vec<usize>,
    #[serde(flatten)]
    pub next: Next,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// `<model id> in <region>`
    pub target: String,
    pub taken: bool,
    pub because: String,
}

impl Decision {
    /// `probe`: the token, where the step was elected.
    pub fn of(question: &Question<'_>, verdict: &Verdict, probe: Option<String>) -> Self {
        let (targets, now) = (&question.route.targets, question.now);
        let is_watched = |at: &usize| {
            question.health.get(*at).is_some_and(|health| health.breaker.is_watched(now))
        };
        let (next, watched) = match &verdict.course {
            Course::Try { order, .. } => (
                Next::Targets(order.iter().map(|at| targets[*at].target.clone()).collect()),
                (0..order.len()).filter(|place| is_watched(&order[*place])).collect(),
            ),
            Course::Wait(wait) => (Next::WaitS(wait.as_secs()), vec![]),
            Course::Stop => (Next::Stop(ErrorName::NoTarget), vec![]),
        };
        let ruled = targets.iter().zip(&verdict.ruled);
        let candidates = ruled.map(|(target, ruling)| Candidate {
            target: target.target.to_string(),
            taken: matches!(ruling, Ruling::Taken(_) | Ruling::TakenToProbe),
            because: ruling.told(question, &target.target),
        });
        Self {
            at: now,
            because: vec![verdict.why.told(question)],
            candidates: candidates.collect(),
            probe,
            watched,
            next,
        }
    }

    /// All of it in one line, for the step's error.
    pub fn told(&self) -> String {
        let passed = self.candidates.iter().filter(|candidate| !candidate.taken);
        let passed = passed.map(|candidate| format!("{}: {}", candidate.target, candidate.because));
        self.because.iter().cloned().chain(passed).collect::<Vec<_>>().join("; ")
    }
}

impl Why {
    fn told(self, question: &Question<'_>) -> String {
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
            Self::AllOpen => "every target is open".to_owned(),
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
    fn told(&self, question: &Question<'_>, target: &Target) -> String {
        match self {
            Self::Forbidden => question.route.policy.forbids(target).unwrap_or_default(),
            Self::LeavesGuardrail => {
                "its guardrail is another one than the first target's".to_owned()
            }
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
            Self::NotProbed => "its breaker is open, and it would not be the first".to_owned(),
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

/// To the second: what is decided about lasts for seconds.
fn clock(at: OffsetDateTime) -> String {
    at.replace_nanosecond(0).unwrap_or(at).format(&Rfc3339).unwrap_or_default()
}
