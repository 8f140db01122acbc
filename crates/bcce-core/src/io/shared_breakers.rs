//! The breakers of the ledger, as the process of one function uses them. They are read through a short cache and
//! written only if no other process has written in between. The last known state is used while the ledger is
//! unreachable.
//!
//! The statistics of targets, the response cache and the call log use the same type, because it records whether the ledger is unreachable.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::time::Duration;

use time::OffsetDateTime;

use serde_json::{Value, json};

use crate::base::emf;
use crate::base::error::Fault;
use crate::call::response_cache::CachedResponse;
use crate::config::breakers::BreakerSettings;
use crate::failover::breaker::{Breaker, Probe, Report};
use crate::failover::latency::{Histogram, slots};
use crate::ports::{
    FindResponse, LogCall, ReadBreakers, ReadCaches, ReadLatencies, StoredBreaker, WriteBreaker,
};
use crate::run::call_log::LoggedCall;
use crate::run::ids::{RunRef, StepRef};

/// The time for which a breaker that was read is used without being read again. It is short, because a busy function
/// makes ten decisions a second and none may use an older state.
const FRESH: Duration = Duration::from_millis(100);
/// The time for which a ledger that did not answer is not called, so that not every decision waits for it.
const BLIND: Duration = Duration::from_secs(2);
/// The number of tries of a write that loses races. When a target fails, the first few reports open its breaker, and
/// the others find nothing left to write.
const RACES: usize = 16;

/// The breakers of a ledger, with the last known state of each.
pub struct SharedBreakers<L> {
    ledger: L,
    /// The last known breakers, by target key.
    remembered: RefCell<HashMap<String, Remembered>>,
    blind_until: Cell<Option<OffsetDateTime>>,
    /// The reason why decisions were made from memory since the last call of `metrics`.
    blind: RefCell<Option<String>>,
    /// The keys of the targets whose breakers reports of this process have opened since the last call of `metrics`.
    opened: RefCell<Vec<String>>,
}

struct Remembered {
    breaker: Breaker,
    read_at: OffsetDateTime,
}

/// The outcome of an election for the probe of an open target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Elected {
    /// The caller probes the target.
    Mine,
    /// Another step probes the target. Holds the breaker as it is now.
    Lost(Breaker),
}

impl<L> SharedBreakers<L> {
    pub fn new(ledger: L) -> Self {
        Self {
            ledger,
            remembered: RefCell::default(),
            blind_until: Cell::default(),
            blind: RefCell::default(),
            opened: RefCell::default(),
        }
    }

    pub fn ledger(&self) -> &L {
        &self.ledger
    }

    /// Returns the metrics documents of what happened since the last call: decisions were made from memory, because the
    /// ledger was unreachable, and breakers opened. `function` is the name of the caller.
    pub fn metrics(&self, environment: &str, function: &str, at: OffsetDateTime) -> Vec<String> {
        let document = |metric: &str, count: usize, why: (&str, Value)| {
            let (dimensions, metrics) =
                ([("Environment", environment)], [(metric, "Count", json!(count))]);
            emf::document(at, &dimensions, &metrics, &[("function", json!(function)), why])
        };
        let blind = self.blind.take();
        let blind = blind.map(|cause| document("LedgerUnreachable", 1, ("cause", json!(cause))));
        let opened = self.opened.take();
        let opened = (!opened.is_empty())
            .then(|| document("BreakersOpened", opened.len(), ("targets", json!(opened))));
        blind.into_iter().chain(opened).collect()
    }

    /// Returns whether the ledger failed a moment ago, so that it is not called now.
    fn is_blind(&self, now: OffsetDateTime) -> bool {
        let is_blind = self.blind_until.get().is_some_and(|until| until > now);
        if is_blind {
            let cause = || "the ledger did not answer a moment ago".to_owned();
            self.blind.borrow_mut().get_or_insert_with(cause);
        }
        is_blind
    }

    fn turn_blind(&self, fault: Fault, now: OffsetDateTime) {
        self.blind_until.set(Some(now + BLIND));
        *self.blind.borrow_mut() = Some(fault.message);
    }

    fn recall(&self, key: &str) -> Breaker {
        let remembered = self.remembered.borrow();
        remembered.get(key).map(|known| known.breaker.clone()).unwrap_or_default()
    }

    fn remember(&self, key: &str, breaker: &Breaker, now: OffsetDateTime) {
        let known = Remembered { breaker: breaker.clone(), read_at: now };
        self.remembered.borrow_mut().insert(key.to_owned(), known);
    }
}

impl<L: ReadBreakers> SharedBreakers<L> {
    /// Returns the breakers of `keys`, in that order.
    pub async fn breakers(&self, keys: &[String], now: OffsetDateTime) -> Vec<Breaker> {
        if !self.is_fresh(keys, now) && !self.is_blind(now) {
            match self.ledger.read(keys).await {
                Ok(stored) => {
                    let pairs = keys.iter().zip(&stored);
                    pairs.for_each(|(key, stored)| self.remember(key, &stored.breaker, now));
                }
                Err(fault) => self.turn_blind(fault, now),
            }
        }
        keys.iter().map(|key| self.recall(key)).collect()
    }

    fn is_fresh(&self, keys: &[String], now: OffsetDateTime) -> bool {
        let remembered = self.remembered.borrow();
        keys.iter().all(|key| remembered.get(key).is_some_and(|known| now - known.read_at < FRESH))
    }

    async fn stored(&self, key: &str) -> Result<StoredBreaker, Fault> {
        let stored = self.ledger.read(std::slice::from_ref(&key.to_owned())).await?;
        stored.into_iter().next().ok_or_else(|| Fault::internal("the ledger returned no breaker"))
    }
}

/// Statistics of targets. Without the ledger, all targets count as equally fast, and no prompt cache as warm.
impl<L> SharedBreakers<L> {
    /// Returns the latencies of `keys` over the last minutes, in that order.
    pub async fn latencies(&self, keys: &[String], now: OffsetDateTime) -> Vec<Histogram>
    where
        L: ReadLatencies,
    {
        if self.is_blind(now) {
            return Vec::new();
        }
        let read = self.ledger.latencies(keys, &slots(now)).await;
        read.map_err(|fault| self.turn_blind(fault, now)).unwrap_or_default()
    }

    /// Returns the keys of targets whose prompt cache is warm.
    pub async fn warm(&self, cache: &str, now: OffsetDateTime) -> Vec<String>
    where
        L: ReadCaches,
    {
        if self.is_blind(now) {
            return Vec::new();
        }
        let read = self.ledger.caches(cache).await;
        let caches = read.map_err(|fault| self.turn_blind(fault, now)).unwrap_or_default();
        caches.into_iter().filter(|(_, until)| *until > now).map(|(key, _)| key).collect()
    }
}

/// The response cache. Without the ledger, it has no answers.
impl<L> SharedBreakers<L> {
    /// Returns the entry with the key `key`.
    pub async fn response(&self, key: &str, now: OffsetDateTime) -> Option<CachedResponse>
    where
        L: FindResponse,
    {
        if self.is_blind(now) {
            return None;
        }
        let found = self.ledger.find_response(key).await;
        found.map_err(|fault| self.turn_blind(fault, now)).unwrap_or_default()
    }
}

impl<L: LogCall> SharedBreakers<L> {
    /// Records that a call starts. The call is made even if this fails.
    pub async fn log_call(&self, run: &RunRef, step: &StepRef, call: &LoggedCall) {
        if let Err(fault) = self.ledger.log_call(run, step, call).await {
            self.blind.borrow_mut().get_or_insert(fault.message);
        }
    }
}

impl<L: ReadBreakers + WriteBreaker> SharedBreakers<L> {
    /// Takes part in the election for the probe of an open target. `lease` is the time for which the elected step may
    /// probe. Without the ledger, the election is among the steps of this process.
    pub async fn elect(
        &self,
        key: &str,
        holder: &str,
        now: OffsetDateTime,
        lease: Duration,
    ) -> Elected {
        let mut is_mine = false;
        let change = |breaker: &mut Breaker| {
            is_mine = breaker.elect(holder, now, lease);
            is_mine
        };
        let (mut breaker, is_decided) = self.change(key, now, change).await;
        if !is_decided {
            // The steps that won the races probe the target, so the caller must not find the probe due.
            breaker.probe = Some(Probe { holder: String::new(), until: now + lease });
            return Elected::Lost(breaker);
        }
        if is_mine { Elected::Mine } else { Elected::Lost(breaker) }
    }

    /// Records a finished call in its target's breaker.
    pub async fn report(
        &self,
        key: &str,
        report: &Report<'_>,
        now: OffsetDateTime,
        settings: &BreakerSettings,
    ) {
        let mut opens = false;
        let change = |breaker: &mut Breaker| {
            let was_open = breaker.open_until.is_some();
            let is_news = breaker.hear(report, now, settings);
            opens = !was_open && breaker.open_until.is_some();
            is_news
        };
        let (_, is_decided) = self.change(key, now, change).await;
        if is_decided && opens {
            self.opened.borrow_mut().push(key.to_owned());
        }
    }

    /// Reads, changes and writes a breaker, again and again until no other process wrote in between. `change` returns
    /// `false` if there is nothing to write. The second value is `false` if all races were lost, so that nothing has
    /// changed.
    async fn change(
        &self,
        key: &str,
        now: OffsetDateTime,
        mut change: impl FnMut(&mut Breaker) -> bool,
    ) -> (Breaker, bool) {
        if !self.is_blind(now) {
            for _ in 0..RACES {
                match self.try_once(key, now, &mut change).await {
                    Ok(Some(changed)) => {
                        self.remember(key, &changed, now);
                        return (changed, true);
                    }
                    Ok(None) => {}
                    Err(fault) => {
                        self.turn_blind(fault, now);
                        break;
                    }
                }
            }
        }
        let mut breaker = self.recall(key);
        let is_decided = self.is_blind(now);
        if is_decided {
            change(&mut breaker);
            self.remember(key, &breaker, now);
        }
        (breaker, is_decided)
    }

    /// Reads, changes and writes a breaker once. Returns `None` if another process wrote in between.
    async fn try_once(
        &self,
        key: &str,
        now: OffsetDateTime,
        change: &mut impl FnMut(&mut Breaker) -> bool,
    ) -> Result<Option<Breaker>, Fault> {
        let mut stored = self.stored(key).await?;
        if !change(&mut stored.breaker) {
            return Ok(Some(stored.breaker));
        }
        let written = self.ledger.write(key, &stored, now).await?;
        Ok(written.then_some(stored.breaker))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::error::ErrorName;
    use crate::failover::breaker::tests::SETTINGS;
    use crate::failover::breaker::{BreakerStatus, Signal};
    use crate::fakes::{MemoryHealth, now};
    use time::macros::datetime;

    const NOW: OffsetDateTime = datetime!(2026-11-01 12:00 UTC);
    const KEY: &str = "us-east-1#us.m";

    fn fails(breakers: &SharedBreakers<impl ReadBreakers + WriteBreaker>, times: u32) {
        let error = ErrorName::TargetUnavailable;
        let signal = Signal::Failing { error, retry_after_s: None };
        let report = Report { signal, started_at: NOW, probe: None };
        for _ in 0..times {
            now(breakers.report(KEY, &report, NOW, &SETTINGS));
        }
    }

    fn status(breakers: &SharedBreakers<impl ReadBreakers>, at: OffsetDateTime) -> BreakerStatus {
        now(breakers.breakers(&[KEY.to_owned()], at))[0].status(at)
    }

    /// Returns the breakers of two processes with one ledger.
    fn two(ledger: &MemoryHealth) -> [SharedBreakers<&MemoryHealth>; 2] {
        [SharedBreakers::new(ledger), SharedBreakers::new(ledger)]
    }

    #[test]
    fn what_one_process_reports_another_reads() {
        let ledger = MemoryHealth::default();
        let [one, other] = two(&ledger);
        fails(&one, 2);
        fails(&other, 1);
        assert!(matches!(status(&one, NOW + FRESH), BreakerStatus::Open { .. }));
    }

    #[test]
    fn a_write_that_lost_a_race_is_made_again_over_what_the_winner_wrote() {
        let ledger = MemoryHealth::default();
        let [one, _] = two(&ledger);
        ledger.races.set(3);
        fails(&one, 1);
        assert_eq!(ledger.kept.borrow()[KEY].breaker.failures, 1);
    }

    #[test]
    fn one_of_all_processes_is_elected() {
        let ledger = MemoryHealth::default();
        let [one, other] = two(&ledger);
        fails(&one, 3);
        let due = NOW + Duration::from_secs(5);
        let lease = Duration::from_secs(25);
        assert_eq!(now(one.elect(KEY, "one", due, lease)), Elected::Mine);
        let Elected::Lost(breaker) = now(other.elect(KEY, "other", due, lease)) else { panic!() };
        assert!(matches!(breaker.status(due), BreakerStatus::Probed { .. }));
    }

    /// A write that was never made must not elect a step.
    #[test]
    fn a_step_that_loses_every_race_is_not_elected() {
        let ledger = MemoryHealth::default();
        let [one, _] = two(&ledger);
        fails(&one, 3);
        ledger.races.set(RACES as u32);
        let due = NOW + Duration::from_secs(5);
        let elected = now(one.elect(KEY, "one", due, Duration::from_secs(25)));
        let Elected::Lost(breaker) = elected else { panic!("{elected:?}") };
        assert!(matches!(breaker.status(due), BreakerStatus::Probed { .. }));
        assert_eq!(ledger.kept.borrow()[KEY].breaker.probe, None);
    }

    #[test]
    fn what_was_just_read_is_not_read_again() {
        let ledger = MemoryHealth::default();
        let [one, _] = two(&ledger);
        for millis in [0, 50, 99] {
            status(&one, NOW + Duration::from_millis(millis));
        }
        assert_eq!(ledger.reads.get(), 1);
        status(&one, NOW + Duration::from_millis(100));
        assert_eq!(ledger.reads.get(), 2);
    }

    #[test]
    fn without_the_ledger_it_uses_memory_and_reports_it() {
        let ledger = MemoryHealth::default();
        let [one, _] = two(&ledger);
        ledger.is_gone.set(true);
        fails(&one, 3);
        let documents = one.metrics("dev", "invoke", NOW);
        let blind: Value = serde_json::from_str(&documents[0]).unwrap();
        assert_eq!(blind["LedgerUnreachable"], 1);
        assert_eq!(blind["cause"], "the ledger is unreachable on request");
        assert!(matches!(status(&one, NOW), BreakerStatus::Open { .. }));
        let due = NOW + Duration::from_secs(6);
        let lease = Duration::from_secs(25);
        assert_eq!(now(one.elect(KEY, "one", due, lease)), Elected::Mine);
        assert!(matches!(now(one.elect(KEY, "other", due, lease)), Elected::Lost(_)));
        one.metrics("dev", "invoke", NOW);
        ledger.is_gone.set(false);
        assert_eq!(
            status(&one, due + BLIND),
            BreakerStatus::Closed,
            "the ledger has no record of it"
        );
        assert_eq!(one.metrics("dev", "invoke", NOW), [""; 0]);
    }

    #[test]
    fn an_opening_is_counted_once_by_the_process_that_reported_it() {
        let ledger = MemoryHealth::default();
        let [one, other] = two(&ledger);
        fails(&one, 5);
        fails(&other, 5);
        let documents = one.metrics("dev", "invoke", NOW);
        let opened: Value = serde_json::from_str(&documents[0]).unwrap();
        assert_eq!((&opened["BreakersOpened"], &opened["targets"]), (&json!(1), &json!([KEY])));
        assert_eq!(opened["Environment"], "dev");
        assert_eq!(one.metrics("dev", "invoke", NOW), [""; 0], "it is written once");
        assert_eq!(other.metrics("dev", "invoke", NOW), [""; 0]);
    }
}
