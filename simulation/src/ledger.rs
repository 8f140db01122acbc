//! The ledger: breakers that everybody sees as they were a moment ago, latencies, and warm caches.

use std::collections::HashMap;
use std::time::Duration;

use bcce_core::config::breakers::BreakerSettings;
use bcce_core::failover::breaker::{Breaker, BreakerStatus, Report};
use bcce_core::failover::latency::{Histogram, bucket, slot, slots};
use bcce_core::failover::router::Health;
use time::OffsetDateTime;

/// How long a prompt stays in a target's cache.
const WARM: Duration = Duration::from_secs(300);

pub struct Ledger {
    settings: BreakerSettings,
    kept: Vec<Kept>,
}

/// Of one target.
struct Kept {
    /// Since when it is like that; the last is how it is.
    breakers: Vec<(OffsetDateTime, Breaker)>,
    latencies: HashMap<i64, Histogram>,
    warm_until: OffsetDateTime,
}

impl Ledger {
    pub fn new(targets: usize, settings: BreakerSettings, now: OffsetDateTime) -> Self {
        let kept = || Kept {
            breakers: vec![(now, Breaker::default())],
            latencies: HashMap::new(),
            warm_until: now,
        };
        Self { settings, kept: (0..targets).map(|_| kept()).collect() }
    }

    pub fn breaker(&self, target: usize) -> &Breaker {
        let (_, breaker) = self.kept[target].breakers.last().expect("the first stays");
        breaker
    }

    /// What a decision knows: the breakers as they were `lag` ago.
    pub fn health(&self, now: OffsetDateTime, lag: Duration) -> Vec<Health> {
        let health = |kept: &Kept| {
            let known = kept.breakers.iter().rev().find(|(since, _)| *since <= now - lag);
            let (_, breaker) = known.unwrap_or(&kept.breakers[0]);
            let mut latency = Histogram::default();
            let counted = slots(now).into_iter().filter_map(|slot| kept.latencies.get(&slot));
            counted.for_each(|histogram| latency.merge(histogram));
            Health { breaker: breaker.clone(), latency, is_warm: kept.warm_until > now }
        };
        self.kept.iter().map(health).collect()
    }

    /// Atomic, as the conditional write makes it.
    pub fn elect(
        &mut self,
        target: usize,
        holder: &str,
        now: OffsetDateTime,
        lease: Duration,
    ) -> bool {
        self.change(target, now, |breaker, _| breaker.elect(holder, now, lease))
    }

    pub fn report(&mut self, target: usize, report: &Report<'_>, now: OffsetDateTime) {
        self.change(target, now, |breaker, settings| breaker.hear(report, now, settings));
    }

    /// An answer says how fast its target is, and leaves the prompt in its cache.
    pub fn answered(&mut self, target: usize, first_token: Duration, now: OffsetDateTime) {
        let kept = &mut self.kept[target];
        let millis = first_token.as_millis() as u64;
        kept.latencies.entry(slot(now)).or_default().add(bucket(millis), 1);
        kept.warm_until = now + WARM;
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
            self.kept[target].breakers.push((now, breaker));
        }
        is_changed
    }

    /// How much of the time between two moments a breaker was not closed.
    pub fn open(&self, target: usize, from: OffsetDateTime, to: OffsetDateTime) -> f64 {
        let kept = &self.kept[target].breakers;
        let ends = kept.iter().skip(1).map(|(since, _)| *since).chain([to]);
        let open = kept.iter().zip(ends).filter_map(|((since, breaker), end)| {
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
    fn a_decision_sees_a_breaker_as_it_was() {
        let mut ledger = Ledger::new(1, BreakerSettings { failures: 3, ..settings() }, EPOCH);
        [10, 20, 30].into_iter().for_each(|millis| failed(&mut ledger, millis));
        let stands = |lag| {
            let health = ledger.health(at(35), Duration::from_millis(lag));
            health[0].breaker.status(at(35)) == BreakerStatus::Closed
        };
        assert_eq!([5, 6, 100].map(stands), [false, true, true]);
        let open = ledger.open(0, at(0), at(60));
        assert!((open - 0.5).abs() < 1e-9, "{open}");
    }

    #[test]
    fn one_is_elected() {
        let mut ledger = Ledger::new(1, BreakerSettings { failures: 3, ..settings() }, EPOCH);
        [10, 20, 30].into_iter().for_each(|millis| failed(&mut ledger, millis));
        let mut elect =
            |holder, millis| ledger.elect(0, holder, at(millis), Duration::from_secs(40));
        assert_eq!([elect("a", 5_000), elect("b", 5_040), elect("c", 5_041)], [false, true, false]);
    }
}
