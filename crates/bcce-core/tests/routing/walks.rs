//! Runs one step to its end, in the way of the state machine and `invoke`.

use std::time::Duration;

use bcce_core::base::error::ErrorName;
use bcce_core::call::attempt::Attempt;
use bcce_core::failover::breaker::{Breaker, BreakerStatus, Report, Signal};
use bcce_core::failover::decision::{Decision, Next};
use bcce_core::failover::route::Route;
use bcce_core::failover::router::{Action, Health, Question, decide};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use time::OffsetDateTime;

use crate::cases::{NOW, Place, errors, failed, may_be_used, retry_after, routes};
use crate::config;

const LEASE: Duration = Duration::from_secs(40);

#[derive(Clone, Debug)]
enum Outcome {
    Answers,
    Fails(ErrorName, Option<u64>),
    /// A limit that the caller set ended the call, which shows nothing about the target.
    IsGivenUp,
}

/// The events of a walk: the outcome of each call, and for each election whether another step is faster.
#[derive(Clone, Debug)]
struct Reply {
    outcome: Outcome,
    takes_ms: u64,
    has_rival: bool,
}

prop_compose! {
    fn replies()(
        outcome in prop_oneof![
            1 => Just(Outcome::Answers),
            8 => (errors(), retry_after()).prop_map(|(error, asks)| Outcome::Fails(error, asks)),
            1 => Just(Outcome::IsGivenUp),
        ],
        takes_ms in 1_u64..40_000,
        has_rival in any::<bool>()
    ) -> Reply {
        Reply { outcome, takes_ms, has_rival }
    }
}

struct Walk<'a> {
    places: &'a [&'static Place],
    route: &'a Route,
    breakers: Vec<Breaker>,
    replies: std::iter::Cycle<std::slice::Iter<'a, Reply>>,
    now: OffsetDateTime,
    deadline: OffsetDateTime,
    attempts: Vec<Attempt>,
    decisions: Vec<Decision>,
}

impl Walk<'_> {
    /// Runs the step to its end. Fails if the step takes more rounds than it may.
    fn run(&mut self) -> Result<(), TestCaseError> {
        while self.decisions.len() <= 2 * self.route.rounds as usize + 1 {
            let (decision, order) = self.decide()?;
            let (next, probe) = (decision.next.clone(), decision.probe.clone());
            self.decisions.push(decision);
            match next {
                Next::Stop(_) => return Ok(()),
                Next::WaitS(seconds) => {
                    self.now += Duration::from_secs(seconds);
                    prop_assert!(self.now < self.deadline, "it waits beyond its deadline");
                }
                Next::Targets(_) => {
                    prop_assert!(self.now < self.deadline, "it goes on beyond its deadline");
                    if self.calls(&order, probe.as_deref())? {
                        return Ok(());
                    }
                }
            }
        }
        Err(TestCaseError::fail(format!("{} decisions and no end", self.decisions.len())))
    }

    /// Decides in the way of the router: a step that loses an election decides again.
    fn decide(&mut self) -> Result<(Decision, Vec<usize>), TestCaseError> {
        for _ in 0..=self.route.targets.len() {
            let health =
                |breaker: &Breaker| Health { breaker: breaker.clone(), ..Health::default() };
            let health: Vec<Health> = self.breakers.iter().map(health).collect();
            let token = format!("{:016x}", self.decisions.len());
            let question = Question {
                route: self.route,
                health: &health,
                attempts: &self.attempts,
                decisions: &self.decisions,
                now: self.now,
                deadline: self.deadline,
                seed: self.decisions.len() as u64 * 7_919,
            };
            let verdict = decide(&question);
            let Action::Try { order, probes } = &verdict.action else {
                return Ok((Decision::of(&question, &verdict, None), vec![]));
            };
            if !probes {
                return Ok((Decision::of(&question, &verdict, None), order.clone()));
            }
            let breaker = &mut self.breakers[order[0]];
            if self.replies.next().expect("for ever").has_rival {
                breaker.elect("rival", self.now, LEASE);
            }
            if breaker.elect(&token, self.now, LEASE) {
                return Ok((Decision::of(&question, &verdict, Some(token)), order.clone()));
            }
        }
        Err(TestCaseError::fail("it loses one election after the other"))
    }

    /// Calls one target after the other until one answers. Returns true if one did.
    fn calls(&mut self, order: &[usize], token: Option<&str>) -> Result<bool, TestCaseError> {
        for (place, at) in order.iter().copied().enumerate() {
            let probe = token.filter(|_| place == 0);
            self.may_call(at, probe, place)?;
            let reply = self.replies.next().expect("for ever");
            let started_at = self.now;
            self.now += Duration::from_millis(reply.takes_ms);
            let signal = match reply.outcome {
                Outcome::Answers => Signal::Alive,
                Outcome::Fails(error, retry_after_s) => Signal::Failing { error, retry_after_s },
                Outcome::IsGivenUp => Signal::Silent,
            };
            let settings = &self.route.routing.breaker;
            self.breakers[at].hear(&Report { signal, started_at, probe }, self.now, settings);
            let (error, asks) = match reply.outcome {
                Outcome::Answers => return Ok(true),
                Outcome::Fails(error, asks) => (error, asks),
                Outcome::IsGivenUp => (ErrorName::TargetTimeout, None),
            };
            let target = self.route.targets[at].target.clone();
            self.attempts.push(failed(target, error, asks, started_at, reply.takes_ms));
        }
        Ok(false)
    }

    fn may_call(&self, at: usize, probe: Option<&str>, place: usize) -> Result<(), TestCaseError> {
        let target = &self.route.targets[at].target;
        prop_assert!(may_be_used(self.places[at], &self.route.policy), "{target} is forbidden");
        let calls = self.attempts.len();
        prop_assert!(calls < self.route.routing.attempts as usize, "call {}", calls + 1);
        let rejected = |a: &Attempt| a.error == Some(ErrorName::TargetRejected);
        prop_assert!(!self.attempts.iter().any(|a| a.target == *target && rejected(a)));
        // The decision about the later targets of a list is older by the time that the earlier ones took.
        if place == 0 {
            match self.breakers[at].status(self.now) {
                BreakerStatus::Closed => prop_assert!(probe.is_none()),
                BreakerStatus::Probed { .. } => {
                    let holder =
                        self.breakers[at].probe.as_ref().map(|probe| probe.holder.as_str());
                    prop_assert_eq!(holder, probe, "it probes what another was elected for");
                }
                status => prop_assert!(false, "{status:?} is called"),
            }
        }
        Ok(())
    }
}

fn open(seconds: Option<u64>) -> Breaker {
    let open_until = seconds.map(|seconds| NOW + Duration::from_secs(seconds));
    Breaker { open_until, ..Breaker::default() }
}

proptest! {
    #![proptest_config(config(2_000))]

    #[test]
    fn a_step_ends_within_its_rounds_whatever_comes_of_its_calls(
        (places, route) in routes(),
        replies in vec(replies(), 1..30),
        open_s in vec(option::of(0_u64..60), 6),
        lasts_s in prop_oneof![1_u64..200, 3_000_u64..90_000],
    ) {
        let mut walk = Walk {
            places: &places,
            breakers: open_s[..route.targets.len()].iter().copied().map(open).collect(),
            route: &route,
            replies: replies.iter().cycle(),
            now: NOW,
            deadline: NOW + Duration::from_secs(lasts_s),
            attempts: vec![],
            decisions: vec![],
        };
        walk.run()?;
        let rounds = route.rounds as usize;
        prop_assert!(walk.decisions.len() <= 2 * rounds, "{} decisions", walk.decisions.len());
        let of = |which: fn(&Next) -> bool| walk.decisions.iter().filter(|d| which(&d.next)).count();
        prop_assert!(of(|next| matches!(next, Next::Targets(_))) <= rounds);
        prop_assert!(of(|next| matches!(next, Next::WaitS(_))) < rounds);
    }
}
