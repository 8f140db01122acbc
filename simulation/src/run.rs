//! Simulates a scenario as a sequence of events on a simulated clock.

use std::collections::BTreeMap;
use std::time::Duration;

use bcce_core::config::breakers::BreakerSettings;
use bcce_core::config::routing::Strategy;
use bcce_core::failover::breaker::{Report, Signal};
use bcce_core::failover::decision::{Decision, Next};
use bcce_core::failover::route::Route;
use bcce_core::failover::router::{Action, Question, decide};
use time::OffsetDateTime;

use crate::dice::Dice;
use crate::figures::Figures;
use crate::ledger::Ledger;
use crate::regions::{Called, FIRST_TOKEN, Region};
use crate::scenario::{EPOCH, RATE, REGIONS, Scenario, route};
use crate::step::Step;

/// The longest time that a process uses a breaker from its cache before it reads the breaker again.
const FRESH: Duration = Duration::from_millis(100);
/// The longest time from the end of a call until its outcome is in the ledger.
const WRITES: Duration = Duration::from_millis(10);
/// The time from the arrival of a request to its deadline.
const DEADLINE: Duration = Duration::from_secs(900);
/// The time that a probe may take in addition to the limit for the first token before another probe is elected.
const PROBE_MARGIN: Duration = Duration::from_secs(10);

/// The input of one simulation.
#[derive(Clone, Copy, Debug)]
pub struct Trial {
    pub scenario: Scenario,
    pub strategy: Strategy,
    /// The settings of the breakers. With `None` no outcome is reported to the breakers, so they never open.
    pub breaker: Option<BreakerSettings>,
}

enum Event {
    /// The request of this number arrives.
    Arrives(u64),
    /// A step asks the router for a decision.
    Asks(Step),
    /// A call of a step ends.
    Ends(Step, Called),
    /// The outcome of a call reaches the ledger.
    Reported(CallOutcome),
}

/// The outcome of a call, to be written to the ledger.
struct CallOutcome {
    target: usize,
    signal: Signal,
    started_at: OffsetDateTime,
    probe: Option<String>,
}

struct Run {
    trial: Trial,
    route: Route,
    dice: Dice,
    requests: u64,
    regions: Vec<Region>,
    ledger: Ledger,
    now: OffsetDateTime,
    queue: BTreeMap<(OffsetDateTime, u64), Event>,
    queued: u64,
    figures: Figures,
}

/// Simulates `requests` requests and returns the results. `seed` determines every random choice.
pub fn run(trial: Trial, requests: u64, seed: u64) -> Figures {
    let region = |ms: u64| Region::new(Duration::from_millis(ms), EPOCH);
    let mut run = Run {
        trial,
        route: route(trial.strategy),
        dice: Dice::new(seed),
        requests,
        regions: REGIONS.iter().map(|(_, first_token_ms, _)| region(*first_token_ms)).collect(),
        ledger: Ledger::new(REGIONS.len(), trial.breaker.unwrap_or_default(), EPOCH),
        now: EPOCH,
        queue: BTreeMap::new(),
        queued: 0,
        figures: Figures::of(trial.scenario),
    };
    run.after(Duration::ZERO, Event::Arrives(0));
    while let Some(((at, _), event)) = run.queue.pop_first() {
        run.now = at;
        run.take(event);
    }
    run.figures.open = trial.scenario.over_window(|from, to| run.ledger.open(0, from, to));
    run.figures
}

impl Run {
    fn after(&mut self, pause: Duration, event: Event) {
        self.queued += 1;
        self.queue.insert((self.now + pause, self.queued), event);
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Arrives(number) => self.arrives(number),
            Event::Asks(step) => self.asks(step),
            Event::Ends(step, called) => self.ends(step, called),
            Event::Reported(outcome) => {
                let CallOutcome { target, signal, started_at, probe } = outcome;
                let report = Report { signal, started_at, probe: probe.as_deref() };
                self.ledger.report(target, &report, self.now);
            }
        }
    }

    fn arrives(&mut self, number: u64) {
        let dice = self.dice.of(number);
        self.figures.requests += u64::from(self.trial.scenario.has_in_window(self.now));
        if number + 1 < self.requests {
            self.after(dice.of(0).pause(RATE), Event::Arrives(number + 1));
        }
        self.asks(Step::new(self.now, dice.of(1)));
    }

    fn asks(&mut self, mut step: Step) {
        let decision = self.decide(&step);
        let next = decision.next.clone();
        step.decided(decision, &self.route);
        let is_in_window = self.trial.scenario.has_in_window(step.arrived_at);
        match next {
            Next::Targets(_) => self.calls(step),
            Next::WaitS(seconds) => {
                self.figures.waits += u64::from(is_in_window);
                self.after(Duration::from_secs(seconds), Event::Asks(step));
            }
            Next::Stop(_) => self.figures.lost += 1,
        }
    }

    /// Decides like the router: first with the breakers as the process last read them. If another step wins the
    /// election for the probe, it decides again with the current breaker.
    fn decide(&mut self, step: &Step) -> Decision {
        let seed = step.seed();
        let mut health = self.ledger.health(self.now, FRESH.mul_f64(Dice::new(seed).uniform()));
        loop {
            let question = Question {
                route: &self.route,
                health: &health,
                attempts: &step.attempts,
                decisions: &step.decisions,
                now: self.now,
                deadline: step.arrived_at + DEADLINE,
                seed,
            };
            let verdict = decide(&question);
            let Action::Try { order, probes: true } = &verdict.action else {
                return Decision::of(&question, &verdict, None);
            };
            let (probed, token) = (order[0], format!("{seed:016x}"));
            if self.ledger.elect(probed, &token, self.now, FIRST_TOKEN + PROBE_MARGIN) {
                return Decision::of(&question, &verdict, Some(token));
            }
            health[probed].breaker = self.ledger.breaker(probed).clone();
        }
    }

    fn calls(&mut self, mut step: Step) {
        let target = step.target();
        step.called_at = self.now;
        self.figures.called(target, step.probe().is_some(), self.now);
        let condition = self.trial.scenario.condition(target, self.now);
        let dice = step.dice.of(step.attempts.len() as u64).of(1);
        let called = self.regions[target].call(condition, self.now, dice);
        self.after(called.takes, Event::Ends(step, called));
    }

    fn ends(&mut self, mut step: Step, called: Called) {
        self.reports(&step, &called);
        let is_in_window = self.trial.scenario.has_in_window(step.arrived_at);
        let Some(first_token) = called.first_token else {
            self.figures.failed_calls += u64::from(is_in_window);
            step.failed(&called, &self.route);
            step.place += 1;
            return match step.place < step.order.len() {
                true => self.calls(step),
                false => self.asks(step),
            };
        };
        let is_answer_of_first =
            step.target() == 0 && self.trial.scenario.has_in_window(step.called_at);
        self.figures.answers_of_first += u64::from(is_answer_of_first);
        self.figures.answered(step.arrived_at, self.now);
        self.ledger.answered(step.target(), first_token, self.now);
    }

    fn reports(&mut self, step: &Step, called: &Called) {
        let signal = step.signal(called).filter(|_| self.trial.breaker.is_some());
        let Some(signal) = signal else { return };
        let outcome = CallOutcome {
            target: step.target(),
            signal,
            started_at: step.called_at,
            probe: step.probe().map(str::to_owned),
        };
        let pause = WRITES.mul_f64(step.dice.of(step.attempts.len() as u64).of(2).uniform());
        self.after(pause, Event::Reported(outcome));
    }
}
