//! A simulated ledger with breakers, latencies and warm caches. A decision sees the breakers with a delay.

use std::collections::HashMap;
use std::time::Duration;

use bcce_core::config::breakers::BreakerSettings;
use bcce_core::failover::breaker::{Breaker, BreakerStatus, Report};
use bcce_core::failover::latency::{Histogram, bucket, slot, slots};
use bcce_core::failover::router::Health;
use time::OffsetDateTime;

/// The time that a prompt stays in the cache of a target.
const WARM: Duration = Duration::from_secs(300);

/// The simulated ledger, with one entry for each target of the route.
pub struct Ledger {
    settings: BreakerSettings,
    targets: Vec<TargetState>,
}

/// The state of one target.
struct TargetState {
    /// The successive states of the breaker, each with the time of its write. The last one is current.
    breakers: Vec<(OffsetDateTime, Breaker)>,
    latencies: HashMap<i64, Histogram>,
    warm_until: OffsetDateTime,
}

impl Ledger {
    pub fn new(targets: usize, settings: BreakerSettings, now: OffsetDateTime) -> Self {
        let state = || TargetState {
            breakers: vec![(now, Breaker::default())],
            latencies: HashMap::new(),
            warm_until: now,
        };
        Self { settings, targets: (0..targets).map(|_| state()).collect() }
    }

    /// Returns the current state of a breaker.
    pub fn breaker(&self, target: usize) -> &Breaker {
        let (_, breaker) = self.targets[target].breakers.last().expect("no state is removed");
        breaker
    }

    /// Returns the data for a decision. The breakers are in the state of `lag` ago.
    pub fn health(&self, now: OffsetDateTime, lag: Duration) -> Vec<Health> {
        let health = |state: &TargetState| {
            let seen = state.breakers.iter().rev().find(|(since, _)| *since <= now - lag);
            let (_, breaker) = seen.unwrap_or(&state.breakers[0]);
            let mut latency = Histogram::default();
            let counted = slots(now).into_iter().filter_map(|slot| state.latencies.get(&slot));
            counted.for_each(|histogram| latency.merge(histogram));
            Health { breaker: breaker.clone(), latency, is_warm: state.warm_until > now }
        };
        self.targets.iter().map(health).collect()
    }

    /// Elects `holder` for the probe of a target. Returns `false` if the breaker allows no probe now. The election is
    /// atomic, like the conditional write of the real ledger.
    pub fn elect(
        &mut self,
        target: usize,
        holder: &str,
        now: OffsetDateTime,
        lease: Duration,
    ) -> bool {
        self.change(target, now, |breaker, _| breaker.elect(holder, now, lease))
    }

    /// Updates the breaker of a target with the outcome of a call.
    pub fn report(&mut self, target: usize, report: &Report<'_>, now: OffsetDateTime) {
        self.change(target, now, |breaker, settings| breaker.hear(report, now, settings));
    }

    /// Records an answer: counts its time to the first token, and marks the cache of the target as warm.
    pub fn answered(&mut self, target: usize, first_token: Duration, now: OffsetDateTime) {
        let state = &mut self.targets[target];
        let millis = first_token.as_millis() as u64;
        state.latencies.entry(slot(now)).or_default().add(bucket(millis), 1);
        state.warm_until = now + WARM;
    }

    fn change(
        &mut self,
        target: usize,
        now: OffsetDateTime,
        change: impl FnOnce(&mut Breaker, &BreakerSettings) -> bool,
    ) -> bool {
        let mut breaker = self.breaker(target).clone();
        let is_changed = change(&mut breaker, &self.settings);
        if is_changed {
            self.targets[target].breakers.push((now, breaker));
        }
        is_changed
    }

    /// Returns the share of the time between `from` and `to` in which a breaker was not closed, from 0 to 1.
    pub fn open(&self, target: usize, from: OffsetDateTime, to: OffsetDateTime) -> f64 {
        let breakers = &self.targets[target].breakers;
        let ends = breakers.iter().skip(1).map(|(since, _)| *since).chain([to]);
        let open = breakers.iter().zip(ends).filter_map(|((since, breaker), end)| {
            let is_open = breaker.status(*since) != BreakerStatus::Closed;
            let (since, end) = ((*since).clamp(from, to), end.clamp(from, to));
            is_open.then(|| (end - since).as_seconds_f64())
        });
        open.fold(0.0, |sum, seconds| sum + seconds) / (to - from).as_seconds_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{EPOCH, settings};
    use bcce_core::base::error::ErrorName;
    use bcce_core::failover::breaker::Signal;

    fn at(millis: u64) -> OffsetDateTime {
        EPOCH + Duration::from_millis(millis)
    }

    fn failed(ledger: &mut Ledger, millis: u64) {
        let error = ErrorName::TargetUnavailable;
        let signal = Signal::Failing { error, retry_after_s: None };
        let started_at = at(millis);
        ledger.report(0, &Report { signal, started_at, probe: None }, at(millis));
    }

    #[test]
    fn a_decision_sees_a_breaker_with_a_delay() {
        let mut ledger = Ledger::new(1, BreakerSettings { failures: 3, ..settings() }, EPOCH);
        [10, 20, 30].into_iter().for_each(|millis| failed(&mut ledger, millis));
        let is_closed = |lag| {
            let health = ledger.health(at(35), Duration::from_millis(lag));
            health[0].breaker.status(at(35)) == BreakerStatus::Closed
        };
        assert_eq!([5, 6, 100].map(is_closed), [false, true, true]);
        let open = ledger.open(0, at(0), at(60));
        assert!((open - 0.5).abs() < 1e-9, "{open}");
    }

    #[test]
    fn only_one_holder_is_elected() {
        let mut ledger = Ledger::new(1, BreakerSettings { failures: 3, ..settings() }, EPOCH);
        [10, 20, 30].into_iter().for_each(|millis| failed(&mut ledger, millis));
        let mut elect =
            |holder, millis| ledger.elect(0, holder, at(millis), Duration::from_secs(40));
        assert_eq!([elect("a", 5_000), elect("b", 5_040), elect("c", 5_041)], [false, true, false]);
    }
}
