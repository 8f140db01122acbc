//! The ledger's ports of packed batches: who works a part off, the calls that it has started, its runs, and the
//! progress of its batch.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, HashMap};

use rust_decimal::Decimal;
use time::OffsetDateTime;

use crate::base::error::Fault;
use crate::batch::packed::{
    Allowance, PackedPlace, PartCalls, PartProgress, StartedCall, StoredAllowance,
};
use crate::batch::{BatchProgress, Halt};
use crate::fakes::MemoryCounters;
use crate::ledger::{CountedPart, RunRecord};
use crate::ports::{
    CancelPackedRun, Closed, CommitAllowance, CountPart, FindPartOwner, FindPlaces, HaltBatch,
    KeepPart, LogCalls, MoveMoney, NoteExceeded, PartOf, PartTaken, PlaceRuns, ReadAttempts,
    ReadBatchProgress, ReadCounter, ReadPartCalls, ReserveAllowance, SetLimit, StopBatch, TakePart,
};
use crate::run::budgets::{CounterState, Limit, Move};
use crate::run::ids::ItemOf;

/// Calls that were started, by owner and number of the record.
type CallRecords = BTreeMap<(String, u32), Vec<StartedCall>>;

/// The part of a ledger that concerns packed batches, in memory.
#[derive(Default)]
pub struct MemoryLedger {
    /// The parts that a function has taken and that are not counted.
    pub parts: RefCell<HashMap<PartOf, PartRow>>,
    /// The calls that each part has started.
    pub calls: RefCell<HashMap<PartOf, CallRecords>>,
    /// The counters of budgets, and the allowances of each part in the order in which they were reserved.
    pub counters: MemoryCounters,
    pub allowances: RefCell<HashMap<PartOf, Vec<StoredAllowance>>>,
    /// The places of packed runs, by run id and run attempt.
    pub places: RefCell<BTreeMap<(String, u32), PackedPlace>>,
    /// The parts that were counted, in order.
    pub counted: RefCell<Vec<CountedPart>>,
    pub stopped: RefCell<HashMap<ItemOf, OffsetDateTime>>,
    /// The packed runs that a person has cancelled, by batch attempt.
    pub cancelled: RefCell<HashMap<ItemOf, BTreeSet<String>>>,
    /// The halts with their notification owners.
    pub halts: RefCell<HashMap<ItemOf, (String, Halt)>>,
    /// The records of runs with their own executions.
    pub records: RefCell<Vec<RunRecord>>,
    /// The number of times that the records of a run were read.
    pub record_reads: Cell<u32>,
    /// The call that fails, counted from 1 for the next one. 0 if none fails.
    pub failing: Cell<u32>,
}

/// A part that a function has taken.
#[derive(Clone, Debug, PartialEq)]
pub struct PartRow {
    pub owner: String,
    pub until: OffsetDateTime,
    pub progress: PartProgress,
}

impl MemoryLedger {
    fn fault(&self) -> Result<(), Fault> {
        let left = self.failing.get();
        self.failing.set(left.saturating_sub(1));
        match left {
            1 => Err(Fault::internal("the ledger fails on request")),
            _ => Ok(()),
        }
    }

    fn is_counted(&self, part: &PartOf) -> bool {
        self.counted.borrow().iter().any(|counted| part_of(counted) == *part)
    }
}

fn part_of(counted: &CountedPart) -> PartOf {
    PartOf { batch: counted.batch.item_of(), part: counted.manifest.part }
}

impl TakePart for MemoryLedger {
    async fn take_part(
        &self,
        part: &PartOf,
        owner: &str,
        now: OffsetDateTime,
        until: OffsetDateTime,
    ) -> Result<PartTaken, Fault> {
        self.fault()?;
        let mut parts = self.parts.borrow_mut();
        let before = parts.get(part);
        if let Some(other) = before.filter(|known| known.owner != owner && known.until > now) {
            return Ok(PartTaken::Others { until: other.until });
        }
        let is_first = before.is_none();
        let progress = before.map(|known| known.progress.clone()).unwrap_or_default();
        parts.insert(part.clone(), PartRow { owner: owner.to_owned(), until, progress });
        Ok(PartTaken::Mine { is_first })
    }
}

impl KeepPart for MemoryLedger {
    async fn keep_part(
        &self,
        part: &PartOf,
        owner: &str,
        until: OffsetDateTime,
        progress: &PartProgress,
    ) -> Result<bool, Fault> {
        self.fault()?;
        let mut parts = self.parts.borrow_mut();
        let Some(mine) = parts.get_mut(part).filter(|known| known.owner == owner) else {
            return Ok(false);
        };
        (mine.until, mine.progress) = (until, progress.clone());
        Ok(true)
    }
}

impl FindPartOwner for MemoryLedger {
    async fn part_owned_until(&self, part: &PartOf) -> Result<Option<OffsetDateTime>, Fault> {
        self.fault()?;
        Ok(self.parts.borrow().get(part).map(|known| known.until))
    }
}

impl LogCalls for MemoryLedger {
    async fn log_calls(
        &self,
        part: &PartOf,
        owner: &str,
        number: u32,
        calls: &[StartedCall],
    ) -> Result<(), Fault> {
        self.fault()?;
        let mut logged = self.calls.borrow_mut();
        let logged = logged.entry(part.clone()).or_default();
        logged.insert((owner.to_owned(), number), calls.to_vec());
        Ok(())
    }
}

impl ReadPartCalls for MemoryLedger {
    async fn part_calls(&self, part: &PartOf) -> Result<PartCalls, Fault> {
        self.fault()?;
        let calls = self.calls.borrow();
        let records = calls.get(part).into_iter().flat_map(BTreeMap::values);
        let allowances = self.allowances.borrow().get(part).cloned().unwrap_or_default();
        Ok(PartCalls { started: records.flatten().cloned().collect(), allowances })
    }
}

impl ReserveAllowance for MemoryLedger {
    async fn reserve_allowance(
        &self,
        part: &PartOf,
        allowance: &Allowance,
        limits: &[Limit],
    ) -> Result<Vec<usize>, Fault> {
        self.fault()?;
        let is_same = |stored: &StoredAllowance| stored.allowance.id == allowance.id;
        if self.allowances.borrow().get(part).is_some_and(|all| all.iter().any(is_same)) {
            return Ok(Vec::new());
        }
        let short = self.counters.reserve(&allowance.reserved, limits);
        if short.is_empty() {
            let mut allowances = self.allowances.borrow_mut();
            let stored = StoredAllowance { allowance: allowance.clone(), is_committed: false };
            allowances.entry(part.clone()).or_default().push(stored);
        }
        Ok(short)
    }
}

impl CommitAllowance for MemoryLedger {
    async fn commit_allowance(
        &self,
        part: &PartOf,
        allowance: &Allowance,
        actual: &[Decimal],
    ) -> Result<bool, Fault> {
        self.fault()?;
        let mut allowances = self.allowances.borrow_mut();
        let mut stored = allowances.get_mut(part).into_iter().flatten();
        let Some(stored) = stored.find(|stored| stored.allowance == *allowance) else {
            return Ok(false);
        };
        if std::mem::replace(&mut stored.is_committed, true) {
            return Ok(false);
        }
        self.counters.commit(&allowance.reserved, actual);
        Ok(true)
    }
}

impl ReadCounter for MemoryLedger {
    async fn counter(&self, counter: &str) -> Result<CounterState, Fault> {
        self.fault()?;
        Ok(self.counters.get(counter))
    }
}

impl SetLimit for MemoryLedger {
    async fn set_limit(&self, limit: &Limit) -> Result<(), Fault> {
        self.fault()?;
        self.counters.set_limit(limit);
        Ok(())
    }
}

impl MoveMoney for MemoryLedger {
    async fn move_money(&self, limit: &Limit, shard: u8, moved: &Move) -> Result<bool, Fault> {
        self.fault()?;
        Ok(self.counters.apply(limit, shard, moved))
    }
}

impl PlaceRuns for MemoryLedger {
    async fn place_runs(&self, places: &[PackedPlace]) -> Result<(), Fault> {
        self.fault()?;
        let by_run = places.iter().map(|place| {
            let key = (place.run_id.clone(), place.attempt_no);
            (key, place.clone())
        });
        self.places.borrow_mut().extend(by_run);
        Ok(())
    }
}

impl FindPlaces for MemoryLedger {
    async fn places(&self, run_id: &str) -> Result<Vec<PackedPlace>, Fault> {
        self.fault()?;
        let places = self.places.borrow();
        Ok(places.values().filter(|place| place.run_id == run_id).cloned().collect())
    }
}

impl CountPart for MemoryLedger {
    async fn count_part(&self, part: &CountedPart) -> Result<Closed, Fault> {
        self.fault()?;
        if self.is_counted(&part_of(part)) {
            return Ok(Closed::Before { notification_owner: None });
        }
        self.counted.borrow_mut().push(part.clone());
        self.parts.borrow_mut().remove(&part_of(part));
        Ok(Closed::Now)
    }
}

impl StopBatch for MemoryLedger {
    async fn stop_batch(&self, batch: &ItemOf, at: OffsetDateTime) -> Result<(), Fault> {
        self.fault()?;
        self.stopped.borrow_mut().insert(batch.clone(), at);
        Ok(())
    }
}

impl CancelPackedRun for MemoryLedger {
    async fn cancel_packed_run(&self, batch: &ItemOf, run_id: &str) -> Result<(), Fault> {
        self.fault()?;
        self.cancelled.borrow_mut().entry(batch.clone()).or_default().insert(run_id.to_owned());
        Ok(())
    }
}

impl HaltBatch for MemoryLedger {
    async fn halt(&self, batch: &ItemOf, owner: &str, halt: &Halt) -> Result<bool, Fault> {
        self.fault()?;
        let mut halts = self.halts.borrow_mut();
        let known = halts.entry(batch.clone()).or_insert_with(|| (owner.to_owned(), halt.clone()));
        Ok(known.0 == owner)
    }
}

impl ReadBatchProgress for MemoryLedger {
    async fn batch_progress(
        &self,
        batch: &ItemOf,
        now: OffsetDateTime,
    ) -> Result<BatchProgress, Fault> {
        self.fault()?;
        let mut sum = BatchProgress {
            halted: self.halts.borrow().get(batch).map(|(_, halt)| halt.clone()),
            is_stopped: self.stopped.borrow().contains_key(batch),
            cancelled_runs: self.cancelled.borrow().get(batch).cloned().unwrap_or_default(),
            ..BatchProgress::default()
        };
        let counted = self.counted.borrow();
        let counted = counted.iter().filter(|counted| counted.batch.item_of() == *batch);
        counted.for_each(|counted| sum.add(&counted.manifest.progress));
        for (part, known) in self.parts.borrow().iter() {
            // A function that took a part after it was counted does not count it again.
            if part.batch == *batch && !self.is_counted(part) {
                sum.add(&known.progress.at(known.until, now));
            }
        }
        Ok(sum)
    }
}

impl ReadAttempts for MemoryLedger {
    async fn attempts(&self, run_id: &str) -> Result<Vec<RunRecord>, Fault> {
        self.record_reads.set(self.record_reads.get() + 1);
        self.fault()?;
        let records = self.records.borrow();
        Ok(records.iter().filter(|record| record.run_id == run_id).cloned().collect())
    }
}

impl NoteExceeded for MemoryLedger {
    async fn note_exceeded(&self, counter: &str, limit: Decimal) -> Result<(), Fault> {
        self.fault()?;
        self.counters.change(counter, |state| state.exceed(limit));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::Rate;
    use crate::fakes::now;
    use time::macros::datetime;

    const NOON: OffsetDateTime = datetime!(2026-11-01 12:00 UTC);

    fn at(seconds: i64) -> OffsetDateTime {
        NOON + time::Duration::seconds(seconds)
    }

    fn part() -> PartOf {
        PartOf { batch: ItemOf { batch_id: "explain-batch-1".into(), attempt_no: 1 }, part: 1 }
    }

    #[test]
    fn a_part_has_one_owner_until_its_time_is_over() {
        let ledger = MemoryLedger::default();
        let take = |owner, from, until| {
            now(ledger.take_part(&part(), owner, at(from), at(until))).unwrap()
        };
        assert_eq!(take("a", 0, 10), PartTaken::Mine { is_first: true });
        assert_eq!(take("b", 9, 19), PartTaken::Others { until: at(10) });
        assert_eq!(take("b", 10, 20), PartTaken::Mine { is_first: false });
        let keep = |owner| {
            now(ledger.keep_part(&part(), owner, at(30), &PartProgress::default())).unwrap()
        };
        assert!(!keep("a") && keep("b"));
        assert_eq!(now(ledger.part_owned_until(&part())), Ok(Some(at(30))));
    }

    #[test]
    fn a_part_counts_in_the_progress_and_has_a_rate_while_it_is_owned() {
        let ledger = MemoryLedger::default();
        now(ledger.take_part(&part(), "a", NOON, at(10))).unwrap();
        let runs = BatchProgress { succeeded: 3, ..BatchProgress::default() };
        let rate = Rate { calls: 4, most: 8, throttled: vec![] };
        let progress = PartProgress { runs, rate: rate.clone() };
        now(ledger.keep_part(&part(), "a", at(10), &progress)).unwrap();
        now(ledger.stop_batch(&part().batch, NOON)).unwrap();
        now(ledger.cancel_packed_run(&part().batch, "r")).unwrap();
        for (seconds, rate) in [(9, Some(rate)), (10, None)] {
            let progress = now(ledger.batch_progress(&part().batch, at(seconds))).unwrap();
            assert_eq!((progress.succeeded, progress.rate), (3, rate));
            assert!(progress.is_stopped && progress.cancelled_runs.contains("r"));
        }
    }
}
