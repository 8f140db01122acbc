//! How far a batch is: runs that are over, counted by those that end them, and when too many of them failed.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::attempt::{Totals, Usage};

/// What of a batch's attempt is over by now.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Tally {
    pub succeeded: u64,
    pub failed: u64,
    pub cancelled: u64,
    /// As far as it is known.
    pub cost_usd: Decimal,
    /// Runs whose cost is not known as a whole.
    pub unknown_cost: u64,
    pub usage: Usage,
    /// Runs by the name of their error.
    pub errors: BTreeMap<String, u64>,
}

impl Tally {
    pub fn over(&self) -> u64 {
        self.succeeded + self.failed + self.cancelled
    }

    /// Why no further item may be started; `None`: it may. Runs that were cancelled were so by hand.
    pub fn too_much(&self, tolerance: Tolerance) -> Option<String> {
        let (failed, over, allowed) = (self.failed, self.over(), tolerance.failures);
        if failed > allowed {
            return Some(format!("{failed} items failed, {allowed} may"));
        }
        let is_at_twice_the_rate = u128::from(failed) * u128::from(tolerance.items)
            > 2 * u128::from(over) * u128::from(allowed);
        (failed >= SIGNIFICANT && is_at_twice_the_rate).then(|| {
            let items = tolerance.items;
            format!("{failed} of the first {over} items failed, more than twice the share that may, {allowed} of {items}")
        })
    }

    /// What is known of usage and cost, as a manifest has it.
    pub fn totals(&self) -> Totals {
        let (is_whole, cost) = (self.unknown_cost == 0, self.cost_usd.normalize());
        Totals {
            usage: is_whole.then_some(self.usage),
            known_usage: (!is_whole).then_some(self.usage),
            cost_usd: is_whole.then_some(cost),
            priced_subtotal_usd: (!is_whole).then_some(cost),
            unpriced: Vec::new(),
        }
    }

    pub fn add(&mut self, other: &Self) {
        self.succeeded += other.succeeded;
        self.failed += other.failed;
        self.cancelled += other.cancelled;
        self.cost_usd += other.cost_usd;
        self.unknown_cost += other.unknown_cost;
        self.usage += other.usage;
        for (name, count) in &other.errors {
            *self.errors.entry(name.clone()).or_default() += count;
        }
    }
}

/// What may fail of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tolerance {
    /// All items of the batch.
    pub items: u64,
    /// So many of them.
    pub failures: u64,
}

/// Failures from which on their rate tells of the whole: half as many would be expected, and that so many are chance is
/// five standard deviations off.
const SIGNIFICANT: u64 = 50;

/// Where nobody says how much may fail: a fifth of the items, and no fewer than ten.
const DEFAULT_PERCENT: u64 = 20;
const DEFAULT_LEAST: u64 = 10;

/// Runs of `items` that may fail before no further one is started.
pub fn allowed_failures(items: u64, percent: Option<u8>) -> u64 {
    let share = |percent: u64| items.saturating_mul(percent) / 100;
    match percent {
        Some(percent) => share(percent.into()),
        None => share(DEFAULT_PERCENT).max(DEFAULT_LEAST),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_all_items_may_fail() {
        assert_eq!(allowed_failures(500, Some(3)), 15);
        assert_eq!(allowed_failures(500, Some(0)), 0);
        assert_eq!(allowed_failures(500, Some(100)), 500);
        assert_eq!(allowed_failures(500, None), 100);
        assert_eq!(allowed_failures(3, None), 10);
        let too_much = |failed| {
            Tally { failed, cancelled: 50, ..Tally::default() }
                .too_much(Tolerance { items: 500, failures: 15 })
        };
        assert_eq!(too_much(15), None);
        assert_eq!(too_much(16).as_deref(), Some("16 items failed, 15 may"));
    }

    #[test]
    fn what_fails_from_the_beginning_is_not_paid_to_its_share() {
        let too_much = |failed, succeeded, failures| {
            Tally { failed, succeeded, ..Tally::default() }
                .too_much(Tolerance { items: 1_000_000, failures })
        };
        assert_eq!(too_much(49, 0, 200_000), None);
        let why = "50 of the first 50 items failed, more than twice the share that may, 200000 of 1000000";
        assert_eq!(too_much(50, 0, 200_000).as_deref(), Some(why));
        assert_eq!(too_much(50, 75, 200_000), None, "twice the share, and not more");
        assert!(too_much(50, 74, 200_000).is_some());
        assert_eq!(
            too_much(100_000, 100_000, 500_000),
            None,
            "half may fail: all of the first may"
        );
    }

    #[test]
    fn shards_add_up() {
        let one = Tally {
            succeeded: 1,
            failed: 2,
            cancelled: 3,
            cost_usd: Decimal::new(5, 1),
            unknown_cost: 1,
            usage: Usage { input_tokens: 7, ..Usage::default() },
            errors: [("Bcce.NoTarget".to_owned(), 2)].into(),
        };
        let mut sum = one.clone();
        sum.add(&one);
        assert_eq!((sum.over(), sum.cost_usd), (12, Decimal::ONE));
        assert_eq!((sum.usage.input_tokens, sum.errors["Bcce.NoTarget"]), (14, 4));
    }
}
