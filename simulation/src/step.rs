//! The state of one request: its attempts, the decisions of the router, and the next call.

use bcce_core::base::target::Target;
use bcce_core::base::usage::Usage;
use bcce_core::call::attempt::{Attempt, AttemptKind, AttemptOutcome};
use bcce_core::failover::breaker::Signal;
use bcce_core::failover::decision::{Decision, Next};
use bcce_core::failover::route::Route;
use rust_decimal::Decimal;
use time::OffsetDateTime;

use crate::dice::Dice;
use crate::regions::Called;

/// A request with one step.
#[derive(Clone, Debug)]
pub struct Step {
    pub arrived_at: OffsetDateTime,
    pub attempts: Vec<Attempt>,
    pub decisions: Vec<Decision>,
    /// The targets of the last decision, as indexes into the route.
    pub order: Vec<usize>,
    /// The index in `order` of the target that is called.
    pub place: usize,
    pub called_at: OffsetDateTime,
    /// The random choices of this request.
    pub dice: Dice,
}

impl Step {
    pub fn new(arrived_at: OffsetDateTime, dice: Dice) -> Self {
        let (attempts, decisions, order) = (vec![], vec![], vec![]);
        Self { arrived_at, attempts, decisions, order, place: 0, called_at: arrived_at, dice }
    }

    /// Returns the seed of the next decision. It differs between decisions, so that requests that failed together are
    /// not retried together.
    pub fn seed(&self) -> u64 {
        self.dice.of(self.decisions.len() as u64).number()
    }

    /// Returns the target of the current or next call, as an index into the route.
    pub fn target(&self) -> usize {
        self.order[self.place]
    }

    /// Returns the token of the election if the call is the probe.
    pub fn probe(&self) -> Option<&str> {
        self.decisions.last()?.probe.as_deref().filter(|_| self.place == 0)
    }

    /// Returns the signal to report to the ledger. Returns `None` for an answer of a target without failures on record,
    /// which is not worth a write.
    pub fn signal(&self, called: &Called) -> Option<Signal> {
        let outcome = if called.failure.is_none() {
            AttemptOutcome::Answered
        } else {
            AttemptOutcome::Failed
        };
        let is_watched = self.decisions.last().is_some_and(|d| d.watched.contains(&self.place));
        let signal = Signal::of(outcome, called.failure.as_ref());
        (signal != Signal::Alive || is_watched || self.probe().is_some()).then_some(signal)
    }

    /// Records a decision and its targets.
    pub fn decided(&mut self, decision: Decision, route: &Route) {
        self.place = 0;
        self.order = match &decision.next {
            Next::Targets(targets) => {
                let at = |target: &Target| {
                    route.targets.iter().position(|listed| listed.target == *target)
                };
                targets.iter().filter_map(at).collect()
            }
            _ => vec![],
        };
        self.decisions.push(decision);
    }

    /// Records the attempt of a failed call.
    pub fn failed(&mut self, called: &Called, route: &Route) {
        let failure = called.failure.as_ref();
        self.attempts.push(Attempt {
            target: route.targets[self.target()].target.clone(),
            kind: AttemptKind::First,
            outcome: AttemptOutcome::Failed,
            error: failure.map(|failure| failure.name),
            message: None,
            advice: None,
            cause: None,
            adapted: vec![],
            retry_after_s: failure.and_then(|failure| failure.retry_after_s),
            started_at: self.called_at,
            latency_ms: called.takes.as_millis() as u64,
            first_token_ms: None,
            service_tier: None,
            guardrail_origin: Vec::new(),
            usage: Some(Usage::default()),
            cost_usd: Some(Decimal::ZERO),
            cache: None,
        });
    }
}
