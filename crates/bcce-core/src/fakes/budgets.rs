//! The counters of budgets, in memory.

use std::cell::RefCell;
use std::collections::BTreeMap;

use rust_decimal::Decimal;

use crate::run::budgets::{CounterState, Limit, Move, Reserved};

/// Counters by name. Each change is made as a whole.
#[derive(Default)]
pub struct MemoryCounters(RefCell<BTreeMap<String, CounterState>>);

impl MemoryCounters {
    /// Returns all counters.
    pub fn all(&self) -> BTreeMap<String, CounterState> {
        self.0.borrow().clone()
    }

    /// Returns a counter. One that nothing was reserved from is empty.
    pub fn get(&self, counter: &str) -> CounterState {
        self.0.borrow().get(counter).cloned().unwrap_or_default()
    }

    /// Returns the values that have a counter in a window.
    pub fn values(&self, series: &str, window: &str) -> Vec<String> {
        let all = self.0.borrow();
        let value = |counter: &String| {
            let rest = counter.strip_prefix(series)?.strip_prefix('#')?;
            Some(rest.strip_suffix(window)?.strip_suffix('#')?.to_owned())
        };
        all.keys().filter_map(value).collect()
    }

    /// Changes a counter.
    pub fn change<T>(&self, counter: &str, change: impl FnOnce(&mut CounterState) -> T) -> T {
        change(self.0.borrow_mut().entry(counter.to_owned()).or_default())
    }

    /// Reserves all amounts or none. Returns the positions of those for which the shard has not enough.
    pub fn reserve(&self, amounts: &[Reserved], limits: &[Limit]) -> Vec<usize> {
        let lacks = |(at, (reserved, limit)): (usize, (&Reserved, &Limit))| {
            let Reserved { counter, shard, amount, .. } = reserved;
            (!self.get(counter).has_free(*shard, *amount, limit.revision)).then_some(at)
        };
        let short: Vec<usize> = amounts.iter().zip(limits).enumerate().filter_map(lacks).collect();
        for Reserved { counter, shard, amount, .. } in amounts.iter().filter(|_| short.is_empty()) {
            self.change(counter, |state| state.reserve(*shard, *amount));
        }
        short
    }

    /// Commits amounts with what was spent of each.
    pub fn commit(&self, amounts: &[Reserved], actual: &[Decimal]) {
        for (reserved, actual) in amounts.iter().zip(actual) {
            self.change(&reserved.counter, |state| state.commit(reserved, *actual));
        }
    }

    /// Sets the limit of a counter.
    pub fn set_limit(&self, limit: &Limit) {
        self.change(&limit.counter, |state| state.set_limit(limit));
    }

    /// Makes a move if its condition holds. Returns whether it did.
    pub fn apply(&self, limit: &Limit, shard: u8, moved: &Move) -> bool {
        self.change(&limit.counter, |state| state.apply(shard, moved))
    }
}
