//! A ledger in memory. Each operation is atomic, and gives way to others before it.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::task::Poll;

use bcce_core::base::error::Fault;
use bcce_core::ports::{CommitCall, MoveMoney, NoteExceeded, ReadCounter, ReserveCall, SetLimit};
use bcce_core::run::budgets::{CounterState, Limit, Move, Reserved};
use bcce_core::run::call_log::LoggedCall;
use bcce_core::run::ids::{RunRef, StepRef};
use rust_decimal::Decimal;

#[derive(Default)]
pub struct Memory {
    counters: RefCell<BTreeMap<String, CounterState>>,
    committed: RefCell<BTreeSet<String>>,
    refused: RefCell<BTreeMap<String, Vec<Decimal>>>,
}

/// Lets other calls go first.
pub async fn give_way() {
    let mut has_waited = false;
    poll_fn(|_| {
        if has_waited {
            return Poll::Ready(());
        }
        has_waited = true;
        Poll::Pending
    })
    .await;
}

fn id(run: &RunRef, step: &StepRef, call: &LoggedCall) -> String {
    format!("{} {} {}", run.run_id, step.step, call.started_at)
}

impl Memory {
    pub fn states(&self) -> BTreeMap<String, CounterState> {
        self.counters.borrow().clone()
    }

    /// Notes that a call was refused for lack of this amount.
    pub fn refuse(&self, counter: &str, amount: Decimal) {
        self.refused.borrow_mut().entry(counter.to_owned()).or_default().push(amount);
    }

    pub fn refused(&self, counter: &str) -> Vec<Decimal> {
        self.refused.borrow().get(counter).cloned().unwrap_or_default()
    }

    fn change<T>(&self, counter: &str, change: impl FnOnce(&mut CounterState) -> T) -> T {
        let before = self.states()[counter].clone();
        let changed = change(self.counters.borrow_mut().get_mut(counter).unwrap());
        self.check(counter, &before);
        changed
    }

    /// Checks that no more is leased than the limit, unless the limit was lowered below what was leased before.
    fn check(&self, counter: &str, before: &CounterState) {
        let counters = self.counters.borrow();
        let after = &counters[counter];
        let sum = |state: &CounterState| {
            let free: Decimal = state.shards.values().map(|shard| shard.free).sum();
            free + state.spent() + state.reserved()
        };
        let Some(root) = &after.root else { panic!("{counter} has no root") };
        assert_eq!(root.leased, sum(after), "{counter}: {after:?}");
        let leased_before = before.root.as_ref().map_or(Decimal::ZERO, |root| root.leased);
        assert!(
            root.leased <= root.limit.max(leased_before),
            "{counter} is above its limit: {after:?}"
        );
    }
}

impl ReserveCall for Memory {
    async fn reserve_call(
        &self,
        _: &RunRef,
        _: &StepRef,
        call: &LoggedCall,
        limits: &[Limit],
    ) -> Result<Vec<usize>, Fault> {
        give_way().await;
        let mut counters = self.counters.borrow_mut();
        let lacks = |(reserved, limit): (&Reserved, &Limit)| {
            let counter = counters.get(&reserved.counter);
            let Reserved { shard, amount, .. } = reserved;
            !counter.is_some_and(|counter| counter.has_free(*shard, *amount, limit.revision))
        };
        let short = call.reserved.iter().zip(limits).map(lacks).enumerate();
        let short: Vec<usize> = short.filter(|(_, lacks)| *lacks).map(|(at, _)| at).collect();
        for Reserved { counter, shard, amount, .. } in
            call.reserved.iter().filter(|_| short.is_empty())
        {
            let counter = counters.get_mut(counter).unwrap();
            counter.reserve(*shard, *amount);
            // Money of an earlier limit may be used until it is given back.
            let root = counter.root.as_ref().unwrap();
            let is_current = counter.shards[shard].revision == root.revision;
            let used = counter.spent() + counter.reserved();
            assert!(!is_current || used <= root.limit, "reserved above the limit: {counter:?}");
        }
        Ok(short)
    }
}

impl CommitCall for Memory {
    async fn commit_call(
        &self,
        run: &RunRef,
        step: &StepRef,
        call: &LoggedCall,
        actual: &[Decimal],
    ) -> Result<bool, Fault> {
        give_way().await;
        if !self.committed.borrow_mut().insert(id(run, step, call)) {
            return Ok(false);
        }
        for (reserved, actual) in call.reserved.iter().zip(actual) {
            self.change(&reserved.counter, |counter| counter.commit(reserved, *actual));
        }
        Ok(true)
    }
}

impl ReadCounter for Memory {
    /// Reads the items one after the other, as DynamoDB does, so the sums may not fit together.
    async fn counter(&self, counter: &str) -> Result<CounterState, Fault> {
        give_way().await;
        let root = self.counters.borrow().get(counter).and_then(|counter| counter.root.clone());
        give_way().await;
        let shards = self.counters.borrow().get(counter).map(|counter| counter.shards.clone());
        Ok(CounterState { root, shards: shards.unwrap_or_default() })
    }
}

impl SetLimit for Memory {
    async fn set_limit(&self, limit: &Limit) -> Result<(), Fault> {
        give_way().await;
        self.counters.borrow_mut().entry(limit.counter.clone()).or_default().set_limit(limit);
        Ok(())
    }
}

impl NoteExceeded for Memory {
    async fn note_exceeded(&self, counter: &str, limit: Decimal) -> Result<(), Fault> {
        give_way().await;
        self.change(counter, |counter| counter.exceed(limit));
        Ok(())
    }
}

impl MoveMoney for Memory {
    async fn move_money(&self, limit: &Limit, shard: u8, moved: &Move) -> Result<bool, Fault> {
        give_way().await;
        Ok(self.change(&limit.counter, |counter| counter.apply(shard, moved)))
    }
}
