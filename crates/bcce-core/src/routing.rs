//! The pure decision: which targets to try next and in which order, how long to wait, or that it is
//! over; always with the reasons.

mod settings;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::attempt::{Attempt, Target};
use crate::error::ErrorName;
use crate::policy::Policy;

pub use settings::{Routing, RoutingOverride, Strategy, Timeouts, TimeoutsOverride};

/// Everything of the plan that a step's decisions depend on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Route {
    pub targets: Vec<Target>,
    pub policy: Policy,
    pub routing: Routing,
    /// Decisions that name targets, at most: what the execution's history has room for.
    pub rounds: u32,
}

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
    pub because: Vec<String>,
    #[serde(flatten)]
    pub next: Next,
}

/// What the router is asked.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    pub route: &'a Route,
    /// Every attempt of this step so far, oldest first.
    pub attempts: &'a [Attempt],
    pub decisions: &'a [Decision],
    pub now: OffsetDateTime,
    /// The run's.
    pub deadline: OffsetDateTime,
    /// Any number that differs between steps: it spreads the waits of those that failed together.
    pub seed: u64,
}

pub fn decide(question: &Question<'_>) -> Decision {
    let (candidates, mut because) = filter(question);
    let (next, why) = choose(question, candidates);
    because.push(why);
    Decision { at: question.now, because, next }
}

/// A reason to pass a target over. Each later kind (capability, breaker) is one more entry.
type Filter = fn(&Question<'_>, &Target) -> Option<String>;
const FILTERS: &[Filter] = &[
    |question, target| question.route.policy.forbids(target),
    |question, target| {
        let rejected =
            failures(question, target).any(|a| a.error == Some(ErrorName::TargetRejected));
        rejected.then(|| "it rejected this step before".to_owned())
    },
];

fn filter<'a>(question: &Question<'a>) -> (Vec<&'a Target>, Vec<String>) {
    let (mut candidates, mut because) = (Vec::new(), Vec::new());
    for target in &question.route.targets {
        match FILTERS.iter().find_map(|filter| filter(question, target)) {
            Some(reason) => because.push(format!("{target} passed over: {reason}")),
            None => candidates.push(target),
        }
    }
    (candidates, because)
}

fn failures<'a>(question: &Question<'a>, target: &Target) -> impl Iterator<Item = &'a Attempt> {
    let target = target.clone();
    question
        .attempts
        .iter()
        .filter(move |attempt| attempt.target == target && attempt.error.is_some())
}

fn choose(question: &Question<'_>, candidates: Vec<&Target>) -> (Next, String) {
    let stop = |why: &str| (Next::Stop(ErrorName::NoTarget), why.to_owned());
    let budget = (question.route.routing.attempts as usize).saturating_sub(question.attempts.len());
    let rounds = question.decisions.iter().filter(|d| matches!(d.next, Next::Targets(_))).count();
    if candidates.is_empty() {
        return stop("no target is left");
    }
    if budget == 0 {
        return stop("the step's calls are used up");
    }
    if rounds >= question.route.rounds as usize {
        return stop("the step's rounds are used up");
    }
    if question.now >= question.deadline {
        return stop("the run's deadline has passed");
    }
    let untried: Vec<&Target> =
        candidates.iter().copied().filter(|t| failures(question, t).next().is_none()).collect();
    if !untried.is_empty() {
        return targets(untried, budget, "priority order, targets that have not failed");
    }
    let waited = matches!(question.decisions.last(), Some(Decision { next: Next::WaitS(_), .. }));
    let ready = ready(question, &candidates);
    if waited && !ready.is_empty() {
        return targets(ready, budget, "waited after every target failed; fewest failures first");
    }
    let wait = wait(question, &candidates, rounds);
    if question.now + wait >= question.deadline {
        return stop("the run's deadline comes before the next try");
    }
    (Next::WaitS(wait.as_secs()), format!("every target failed; round {rounds} is over"))
}

fn targets(targets: Vec<&Target>, budget: usize, why: &str) -> (Next, String) {
    (Next::Targets(targets.into_iter().take(budget).cloned().collect()), why.to_owned())
}

/// When a target that failed may be asked again: at once, unless it said otherwise.
fn not_before(question: &Question<'_>, target: &Target) -> OffsetDateTime {
    let last = failures(question, target).last();
    last.map_or(question.now, |a| a.ended_at() + Duration::from_secs(a.retry_after_s.unwrap_or(0)))
}

/// The targets whose `Retry-After` is over, those that failed least first.
fn ready<'a>(question: &Question<'_>, candidates: &[&'a Target]) -> Vec<&'a Target> {
    let mut ready: Vec<&Target> =
        candidates.iter().copied().filter(|t| not_before(question, t) <= question.now).collect();
    ready.sort_by_key(|target| failures(question, target).count());
    ready
}

/// Exponential with full jitter, but not before the first target lets us; whole seconds, at least one.
fn wait(question: &Question<'_>, candidates: &[&Target], rounds: usize) -> Duration {
    let routing = &question.route.routing;
    let exponent = u32::try_from(rounds.saturating_sub(1)).unwrap_or(16).min(16);
    let grown = routing.backoff_base_ms.saturating_mul(1 << exponent);
    let most = grown.min(routing.backoff_cap_s.saturating_mul(1_000));
    let jittered = Duration::from_millis(question.seed % most.saturating_add(1));
    let first = candidates.iter().map(|target| not_before(question, target)).min();
    let asked =
        first.map_or(Duration::ZERO, |at| (at - question.now).try_into().unwrap_or_default());
    let wait = jittered.max(asked);
    Duration::from_secs(wait.as_secs() + u64::from(wait.subsec_nanos() > 0))
        .max(Duration::from_secs(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attempt::tests::{failed, target};
    use time::macros::datetime;

    const NOW: OffsetDateTime = datetime!(2026-11-01 12:01 UTC);

    fn route(regions: &[&str]) -> Route {
        Route {
            targets: regions.iter().map(|region| target(region)).collect(),
            policy: Policy::default(),
            routing: Routing::default(),
            rounds: 5,
        }
    }

    fn ask(route: &Route, attempts: &[Attempt], decisions: &[Decision]) -> Decision {
        let deadline = NOW + Duration::from_secs(3_600);
        decide(&Question { route, attempts, decisions, now: NOW, deadline, seed: 1_999 })
    }

    fn regions(decision: &Decision) -> Vec<&str> {
        match &decision.next {
            Next::Targets(targets) => targets.iter().map(|t| t.region.as_str()).collect(),
            other => panic!("{other:?} {:?}", decision.because),
        }
    }

    fn decided(next: Next) -> Decision {
        Decision { at: NOW, because: vec![], next }
    }

    #[test]
    fn the_first_decision_is_every_target_in_order() {
        assert_eq!(
            regions(&ask(&route(&["us-east-1", "us-west-2"]), &[], &[])),
            ["us-east-1", "us-west-2"]
        );
    }

    #[test]
    fn what_residency_forbids_is_never_a_candidate() {
        let mut route = route(&["us-east-1", "eu-west-1"]);
        route.targets[1].model_id = "eu.anthropic.claude-haiku".into();
        route.policy.allowed_regions =
            ["us-east-1", "us-east-2", "us-west-2"].map(String::from).to_vec();
        let decision = ask(&route, &[], &[]);
        assert_eq!(regions(&decision), ["us-east-1"]);
        assert!(
            decision.because[0].contains("eu-west-1 passed over: residency"),
            "{:?}",
            decision.because
        );
        let all_failed = [failed("us-east-1", ErrorName::TargetRejected)];
        assert_eq!(ask(&route, &all_failed, &[]).next, Next::Stop(ErrorName::NoTarget));
    }

    #[test]
    fn an_untried_target_is_used_at_once() {
        let attempts = [failed("us-east-1", ErrorName::TargetThrottled)];
        assert_eq!(
            regions(&ask(&route(&["us-east-1", "us-west-2"]), &attempts, &[])),
            ["us-west-2"]
        );
    }

    #[test]
    fn only_when_all_failed_it_waits_and_then_tries_again() {
        let route = route(&["us-east-1", "us-west-2"]);
        let attempts = [
            failed("us-east-1", ErrorName::TargetThrottled),
            failed("us-west-2", ErrorName::TargetBroken),
        ];
        let first = decided(Next::Targets(route.targets.clone()));
        let waiting = ask(&route, &attempts, std::slice::from_ref(&first));
        assert_eq!(
            waiting.next,
            Next::WaitS(2),
            "full jitter of 2 s with seed 1999 ms, in whole seconds"
        );
        assert_eq!(regions(&ask(&route, &attempts, &[first, waiting])), ["us-east-1", "us-west-2"]);
    }

    #[test]
    fn retry_after_is_honoured() {
        let route = route(&["us-east-1"]);
        let mut attempt = failed("us-east-1", ErrorName::TargetThrottled);
        attempt.retry_after_s = Some(90);
        // The attempt ended 60 s minus 10 ms ago.
        assert_eq!(ask(&route, &[attempt], &[]).next, Next::WaitS(31));
    }

    #[test]
    fn a_target_that_rejects_is_not_asked_again() {
        let route = route(&["us-east-1", "us-west-2"]);
        let attempts = [
            failed("us-east-1", ErrorName::TargetRejected),
            failed("us-west-2", ErrorName::TargetThrottled),
        ];
        let decision = ask(&route, &attempts, &[decided(Next::WaitS(1))]);
        assert_eq!(regions(&decision), ["us-west-2"]);
        assert!(decision.because[0].contains("us-east-1 passed over: it rejected"));
    }

    #[test]
    fn calls_rounds_and_deadline_bound_a_step() {
        let mut route = route(&["us-east-1"]);
        let attempt = failed("us-east-1", ErrorName::TargetThrottled);
        let stop = Next::Stop(ErrorName::NoTarget);
        route.routing.attempts = 2;
        assert_eq!(ask(&route, &[attempt.clone(), attempt.clone()], &[]).next, stop);
        route.routing.attempts = 99;
        let rounds = vec![decided(Next::Targets(vec![])); 5];
        assert_eq!(ask(&route, std::slice::from_ref(&attempt), &rounds).next, stop);
        let late = Question {
            route: &route,
            attempts: &[attempt],
            decisions: &[],
            now: NOW,
            deadline: NOW,
            seed: 0,
        };
        assert_eq!(decide(&late).next, stop);
    }

    #[test]
    fn the_list_is_no_longer_than_the_calls_left() {
        let mut route = route(&["us-east-1", "us-west-2"]);
        route.routing.attempts = 1;
        assert_eq!(regions(&ask(&route, &[], &[])), ["us-east-1"]);
    }

    #[test]
    fn the_wire_form_is_one_of_targets_wait_s_stop() {
        let json = |next| serde_json::to_value(decided(next)).unwrap();
        assert_eq!(json(Next::WaitS(3))["wait_s"], 3);
        assert_eq!(json(Next::Stop(ErrorName::NoTarget))["stop"], "Bcce.NoTarget");
        let targets = json(Next::Targets(vec![target("us-east-1")]));
        assert_eq!(targets["targets"][0]["region"], "us-east-1");
        assert_eq!(
            serde_json::from_value::<Decision>(targets).unwrap().next,
            Next::Targets(vec![target("us-east-1")])
        );
    }
}
