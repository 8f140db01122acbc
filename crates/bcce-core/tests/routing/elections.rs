//! Many steps that share one breaker, each of which sees it as it was a while ago.

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
    /// A step without a call asks the router, which knows the breaker of so many events ago.
    Asks { lag: usize },
    /// A step's call is over and reported.
    Ends(Signal),
    /// Its Lambda is gone, and nobody reports.
    Vanishes,
    /// Its Lambda was called again and stands for election once more.
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
    /// With which it was elected, and until when it counts as the one that probes.
    election: Option<(String, OffsetDateTime)>,
}

struct World<'a> {
    route: &'a Route,
    now: OffsetDateTime,
    /// As it was after each event; the last is how it is.
    breaker: Vec<Breaker>,
    calls: [Option<Call>; STEPS],
    /// Those that vanished while they were elected.
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
        // A closed breaker lets everybody pass: who was elected while it was open holds nothing any more. A probe
        // that answers after its lease closes it while another is at it.
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

    /// Steps that hold the election now.
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
