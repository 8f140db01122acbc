//! Tests steps that share one breaker. Each step sees the breaker as it was some events ago.

use std::time::Duration;

use bcce_core::base::error::ErrorName;
use bcce_core::config::breakers::BreakerSettings;
use bcce_core::failover::breaker::{Breaker, BreakerStatus, Report, Signal};
use bcce_core::failover::route::Route;
use bcce_core::failover::router::{Action, Health, Question, decide};
use proptest::collection::vec;
use proptest::prelude::*;
use time::OffsetDateTime;

use crate::cases::{NOW, routes};
use crate::config;

const STEPS: usize = 6;
const LEASE: Duration = Duration::from_secs(8);

#[derive(Clone, Copy, Debug)]
enum Event {
    /// A step without a call asks the router, which sees the breaker as it was this number of events ago.
    Asks { lag: usize },
    /// The call of a step ends and is reported.
    Ends(Signal),
    /// The Lambda of a step is killed, so its call is never reported.
    Vanishes,
    /// The Lambda of a step is invoked again and asks for the election again.
    Returns,
}

fn events() -> impl Strategy<Value = Event> {
    let failing = prop_oneof![Just(None), Just(Some(1)), Just(Some(9))]
        .prop_map(|retry_after_s| (ErrorName::TargetUnavailable, retry_after_s))
        .prop_map(|(error, retry_after_s)| Signal::Failing { error, retry_after_s });
    let signal = prop_oneof![3 => failing, 1 => Just(Signal::Alive), 1 => Just(Signal::Silent)];
    prop_oneof![
        6 => (0_usize..4).prop_map(|lag| Event::Asks { lag }),
        5 => signal.prop_map(Event::Ends),
        1 => Just(Event::Vanishes),
        1 => Just(Event::Returns),
    ]
}

/// A call under way.
#[derive(Clone, Debug)]
struct Call {
    started_at: OffsetDateTime,
    /// The token of its election, and the end of its lease as the probe.
    election: Option<(String, OffsetDateTime)>,
}

struct World<'a> {
    route: &'a Route,
    now: OffsetDateTime,
    /// The breaker after each event. The last one is the present.
    breaker: Vec<Breaker>,
    calls: [Option<Call>; STEPS],
    /// The steps that were killed while they were elected.
    gone: Vec<OffsetDateTime>,
    elections: usize,
}

impl World<'_> {
    fn take(&mut self, step: usize, event: Event, settings: &BreakerSettings) {
        let mut breaker = self.breaker.last().expect("there is one").clone();
        match (event, self.calls[step].take()) {
            (Event::Asks { lag }, None) => self.calls[step] = self.asks(lag, &mut breaker),
            (Event::Ends(signal), Some(call)) => {
                let probe = call.election.as_ref().map(|(token, _)| token.as_str());
                let report = Report { signal, started_at: call.started_at, probe };
                breaker.hear(&report, self.now, settings);
            }
            (Event::Vanishes, Some(call)) => {
                self.gone.extend(call.election.map(|(_, until)| until))
            }
            (Event::Returns, Some(mut call)) => {
                if let Some((token, until)) = &mut call.election
                    && breaker.elect(token, self.now, LEASE)
                {
                    *until = self.now + LEASE;
                }
                self.calls[step] = Some(call);
            }
            (_, call) => self.calls[step] = call,
        }
        // A closed breaker lets every call pass, so an election from the time when it was open has no effect. A probe
        // that answers after its lease closes the breaker while another step probes.
        if breaker.status(self.now) == BreakerStatus::Closed {
            self.calls.iter_mut().flatten().for_each(|call| call.election = None);
            self.gone.clear();
        }
        self.breaker.push(breaker);
    }

    fn asks(&mut self, lag: usize, breaker: &mut Breaker) -> Option<Call> {
        let known = &self.breaker[self.breaker.len().saturating_sub(1 + lag)];
        let health = [Health { breaker: known.clone(), ..Health::default() }];
        let question = Question {
            route: self.route,
            health: &health,
            attempts: &[],
            decisions: &[],
            now: self.now,
            deadline: self.now + Duration::from_secs(60),
            seed: 0,
        };
        match decide(&question).action {
            Action::Try { probes: false, .. } => {
                Some(Call { started_at: self.now, election: None })
            }
            Action::Try { probes: true, .. } => {
                self.elections += 1;
                let token = self.elections.to_string();
                let is_mine = breaker.elect(&token, self.now, LEASE);
                let election = is_mine.then_some((token, self.now + LEASE))?;
                Some(Call { started_at: self.now, election: Some(election) })
            }
            _ => None,
        }
    }

    /// The steps that hold the election now.
    fn holders(&self) -> usize {
        let calls = self.calls.iter().flatten().filter_map(|call| call.election.as_ref());
        let until = calls.map(|(_, until)| until).chain(&self.gone);
        until.filter(|until| **until > self.now).count()
    }
}

proptest! {
    #![proptest_config(config(200))]

    #[test]
    fn at_most_one_step_holds_the_election_at_any_moment(
        (_, mut route) in routes(),
        events in vec((0_usize..STEPS, prop_oneof![4 => 0_u64..400, 1 => 0_u64..12_000], events()), 200),
    ) {
        route.policy = Default::default();
        route.targets.truncate(1);
        let settings = BreakerSettings { failures: 2, cool_down_s: 1, ..Default::default() };
        let mut world = World {
            route: &route,
            now: NOW,
            breaker: vec![Breaker::default()],
            calls: Default::default(),
            gone: vec![],
            elections: 0,
        };
        for (step, after_ms, event) in events {
            world.now += Duration::from_millis(after_ms);
            world.take(step, event, &settings);
            prop_assert!(world.holders() <= 1, "{} after {event:?}", world.holders());
        }
    }
}
