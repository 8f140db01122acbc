//! The counters of budgets. A counter has the money of one budget in one window, such as that of the tenant `payments`
//! on one day.
//!
//! The root of a counter has the limit. It leases the money to shards in slices, and calls reserve from the shard of
//! their run. So no item of the table is written by every call. At any time, the sum that is leased is the sum of what
//! the shards have free, reserved and spent, and it is never above the limit.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime, UtcOffset};

use crate::base::digest::sha256;
use crate::base::usage::Usage;
use crate::config::budgets::{AppliedBudget, AppliedBudgets, Unit};

/// The most shards of a counter.
pub const MOST_SHARDS: u8 = 16;
/// The limit from which the money of a counter is split into [`MOST_SHARDS`] shards, in USD.
const SPLIT_FROM_USD: Decimal = Decimal::from_parts(100, 0, 0, false, 0);
/// The limit from which the tokens of a counter are split into [`MOST_SHARDS`] shards.
const SPLIT_FROM_TOKENS: Decimal = Decimal::from_parts(100_000_000, 0, 0, false, 0);
/// The number of slices of a limit that is split. A slice is about 0.4 % of it.
const SLICES: Decimal = Decimal::from_parts(256, 0, 0, false, 0);

/// The limit of a counter, as a plan states it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    /// The counter: `<budget>:<scope>:<unit>#<value>#<window>`.
    pub counter: String,
    pub unit: Unit,
    pub limit: Decimal,
    /// The revision of the document that states the limit. The limit of the latest revision applies.
    pub revision: u64,
    /// The time at which the ledger may forget the counter. `None` if its window has no end.
    pub expires_at: Option<OffsetDateTime>,
}

/// An amount that a call has reserved from a counter. The call log keeps it, so that the reservation can be committed
/// after the function that made the call was killed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reserved {
    pub counter: String,
    pub shard: u8,
    /// The revision of the limit from which the call has reserved, as its plan knows it.
    pub revision: u64,
    pub unit: Unit,
    pub amount: Decimal,
}

/// The root of a counter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Root {
    pub limit: Decimal,
    pub revision: u64,
    /// The sum that the shards have.
    pub leased: Decimal,
    /// The limit under which a call was refused, which may be an earlier one.
    pub exceeded: Option<Decimal>,
    /// The last alert that was sent.
    pub alerted: Option<Alerted>,
}

/// An alert that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alerted {
    /// The percentage that was reached.
    pub percent: u8,
    /// The limit at that time.
    pub limit: Decimal,
}

/// A shard of a counter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shard {
    /// The revision of the limit under which the free money was leased.
    pub revision: u64,
    pub free: Decimal,
    pub reserved: Decimal,
    pub spent: Decimal,
}

/// A counter with all of its shards.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CounterState {
    /// `None` if nothing was reserved from the counter yet.
    pub root: Option<Root>,
    pub shards: BTreeMap<u8, Shard>,
}

/// A move of money between the root of a counter and a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Move {
    /// Leases `amount` to the shard, if the limit of `root` has room for it and nobody has changed the limit.
    Lease { amount: Decimal, root: Root },
    /// Gives `amount` back to the root, if the shard still has it free.
    GiveBack { amount: Decimal },
    /// Gives back all that the shard had free, and makes it a shard of the revision `revision`. Nothing is done if the
    /// shard has changed.
    Renew { seen: Shard, revision: u64 },
}

impl CounterState {
    /// Returns what is spent.
    pub fn spent(&self) -> Decimal {
        self.shards.values().map(|shard| shard.spent).sum()
    }

    /// Returns what calls under way have reserved.
    pub fn reserved(&self) -> Decimal {
        self.shards.values().map(|shard| shard.reserved).sum()
    }
}

/// The changes of a counter, each with its condition. The ledger makes them by conditional writes; fakes use these.
impl CounterState {
    /// Returns `true` if a call may reserve `amount` from a shard, under a limit of at least this revision.
    pub fn has_free(&self, shard: u8, amount: Decimal, revision: u64) -> bool {
        let shard = self.shards.get(&shard);
        shard.is_some_and(|shard| shard.free >= amount && shard.revision >= revision)
    }

    /// Reserves what [`CounterState::has_free`] allows.
    pub fn reserve(&mut self, shard: u8, amount: Decimal) {
        let shard = self.shards.entry(shard).or_default();
        shard.free -= amount;
        shard.reserved += amount;
    }

    /// Commits a reservation.
    pub fn commit(&mut self, reserved: &Reserved, actual: Decimal) {
        let rest = reserved.amount - actual;
        let shard = self.shards.entry(reserved.shard).or_default();
        shard.reserved -= reserved.amount;
        shard.spent += actual;
        // Under a new limit there may be no room for what the call has not spent.
        if shard.revision == reserved.revision {
            shard.free += rest;
        } else if let Some(root) = &mut self.root {
            root.leased -= rest;
        }
    }

    /// Sets the limit, unless there is one of the same or a later revision.
    pub fn set_limit(&mut self, limit: &Limit) {
        let Limit { limit, revision, .. } = limit;
        let root = self.root.get_or_insert_default();
        if root.revision < *revision {
            (root.limit, root.revision) = (*limit, *revision);
        }
    }

    /// Notes that a call was refused under this limit.
    pub fn exceed(&mut self, limit: Decimal) {
        if let Some(root) = &mut self.root {
            root.exceeded = Some(limit);
        }
    }

    /// Notes an alert, unless it was sent before. Returns whether it did.
    pub fn claim(&mut self, alert: &Alerted) -> bool {
        let Some(root) = &mut self.root else { return false };
        let is_new = |known: &Alerted| known.limit != alert.limit || known.percent < alert.percent;
        let is_new = root.alerted.as_ref().is_none_or(is_new);
        if is_new {
            root.alerted = Some(*alert);
        }
        is_new
    }

    /// Makes a move if its condition holds. Returns whether it did.
    pub fn apply(&mut self, shard: u8, moved: &Move) -> bool {
        let Some(root) = &mut self.root else { return false };
        let known = self.shards.get(&shard);
        let (is_possible, leased, revision) = match moved {
            Move::Lease { amount, root: seen } => {
                let has_room = root.leased <= seen.limit - amount && root.revision == seen.revision;
                let is_current = known.is_none_or(|shard| shard.revision == seen.revision);
                (has_room && is_current, *amount, Some(seen.revision))
            }
            Move::GiveBack { amount } => {
                (known.is_some_and(|shard| shard.free >= *amount), -amount, None)
            }
            Move::Renew { seen, revision } => {
                let is_seen =
                    |shard: &Shard| shard.free == seen.free && shard.revision == seen.revision;
                (known.is_some_and(is_seen), -seen.free, Some(*revision))
            }
        };
        if is_possible {
            root.leased += leased;
            let shard = self.shards.entry(shard).or_default();
            shard.free += leased;
            shard.revision = revision.unwrap_or(shard.revision);
        }
        is_possible
    }
}

impl Limit {
    /// Returns the limit of a budget in the window that contains `at`.
    pub fn of(budget: &AppliedBudget, revision: u64, at: OffsetDateTime) -> Self {
        let end = budget.window.end(at.to_offset(UtcOffset::UTC).date());
        Self {
            counter: budget.counter(at),
            unit: budget.unit,
            limit: budget.limit,
            revision,
            expires_at: end.map(|day| day.midnight().assume_utc() + KEPT),
        }
    }

    /// Returns the shard from which a call reserves. `call` is a text that names it.
    pub fn shard(&self, call: &str) -> u8 {
        let first = sha256(call.as_bytes())[0];
        if self.is_split() { first % MOST_SHARDS } else { 0 }
    }

    fn is_split(&self) -> bool {
        self.limit
            >= match self.unit {
                Unit::Usd => SPLIT_FROM_USD,
                Unit::Tokens => SPLIT_FROM_TOKENS,
            }
    }

    /// Returns the amount to lease to a shard that lacks `needed`, out of `left`, which is at least as much.
    pub fn slice(&self, needed: Decimal, left: Decimal) -> Decimal {
        if self.is_split() { (self.limit / SLICES).max(needed).min(left) } else { left }
    }
}

/// The time for which the ledger keeps a counter after the end of its window.
const KEPT: Duration = Duration::days(100);

/// The most that a call may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Most {
    /// The cost in USD. `None` if the price is unknown.
    pub usd: Option<Decimal>,
    pub tokens: u64,
}

/// The amounts that a call has to reserve, each with its limit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ToReserve {
    /// The positions of the budgets among those of the run.
    pub places: Vec<usize>,
    pub limits: Vec<Limit>,
    pub amounts: Vec<Reserved>,
}

impl ToReserve {
    /// Returns what a call at `at` has to reserve from the budgets of its run. `call` is a text that names it.
    ///
    /// # Errors
    /// The price is unknown and a budget needs it. Returns the name of the budget.
    pub fn of(
        budgets: &AppliedBudgets,
        call: &str,
        at: OffsetDateTime,
        most: &Most,
    ) -> Result<Self, String> {
        let mut all = Self::default();
        for (place, budget) in budgets.applied.iter().enumerate() {
            let amount = match budget.unit {
                Unit::Tokens => most.tokens.into(),
                Unit::Usd => most
                    .usd
                    .or(budgets.allow_unpriced.then_some(Decimal::ZERO))
                    .ok_or_else(|| budget.name.clone())?,
            };
            // A call without a price takes nothing from a budget that allows it.
            if amount.is_zero() {
                continue;
            }
            let limit = Limit::of(budget, budgets.revision, at);
            let (counter, unit) = (limit.counter.clone(), budget.unit);
            let (shard, revision) = (limit.shard(call), budgets.revision);
            all.amounts.push(Reserved { counter, shard, revision, unit, amount });
            all.limits.push(limit);
            all.places.push(place);
        }
        Ok(all)
    }
}

/// Returns the part of each reserved amount that a call has spent. An unknown usage or cost may be as high as what was
/// reserved.
pub fn spent(reserved: &[Reserved], usd: Option<Decimal>, usage: Option<&Usage>) -> Vec<Decimal> {
    let tokens = usage.map(|used| Decimal::from(used.prompt_tokens() + used.output_tokens));
    let of = |reserved: &Reserved| match reserved.unit {
        Unit::Usd => usd.unwrap_or(reserved.amount),
        Unit::Tokens => tokens.unwrap_or(reserved.amount),
    };
    reserved.iter().map(of).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use time::macros::datetime;

    use super::*;
    use crate::config::budgets::{Scope, Window};

    /// Returns an amount in USD that is reserved from a counter.
    pub fn reserved(counter: &str, amount: Decimal) -> Reserved {
        Reserved { counter: counter.into(), shard: 0, revision: 1, unit: Unit::Usd, amount }
    }

    fn limit(unit: Unit, limit: u32) -> Limit {
        Limit {
            counter: "b##total".into(),
            unit,
            limit: limit.into(),
            revision: 1,
            expires_at: None,
        }
    }

    #[test]
    fn a_large_limit_is_split_and_a_small_one_is_not() {
        let shards = |limit: &Limit| {
            let shards = (0..500).map(|n| limit.shard(&format!("run-{n}")));
            shards.collect::<std::collections::BTreeSet<_>>().len()
        };
        assert_eq!(shards(&limit(Unit::Usd, 99)), 1);
        assert_eq!(shards(&limit(Unit::Usd, 100)), 16);
        assert_eq!(shards(&limit(Unit::Tokens, 99_999_999)), 1);
        assert_eq!(shards(&limit(Unit::Tokens, 100_000_000)), 16);
    }

    #[test]
    fn a_slice_is_a_part_of_a_large_limit_and_all_of_a_small_one() {
        let (one, hundred) = (Decimal::ONE, Decimal::from(100));
        assert_eq!(limit(Unit::Usd, 256).slice(Decimal::new(1, 2), hundred), one);
        assert_eq!(limit(Unit::Usd, 256).slice(Decimal::from(3), hundred), Decimal::from(3));
        assert_eq!(
            limit(Unit::Usd, 256).slice(Decimal::new(1, 2), Decimal::new(5, 1)),
            Decimal::new(5, 1)
        );
        assert_eq!(
            limit(Unit::Usd, 50).slice(Decimal::new(1, 2), Decimal::from(40)),
            Decimal::from(40)
        );
    }

    #[test]
    fn a_call_reserves_from_each_budget_in_its_unit_and_window() {
        let budget = |name: &str, window, unit| AppliedBudget {
            name: name.into(),
            scope: Scope::Environment,
            value: String::new(),
            window,
            unit,
            limit: 1_000.into(),
        };
        let budgets = AppliedBudgets {
            revision: 7,
            allow_unpriced: false,
            applied: vec![
                budget("day", Window::Day, Unit::Usd),
                budget("all", Window::Total, Unit::Tokens),
            ],
        };
        let at = datetime!(2026-11-30 23:59:59 UTC);
        let most = Most { usd: Some(Decimal::new(2, 3)), tokens: 1_500 };
        let all = ToReserve::of(&budgets, "run-1", at, &most).unwrap();
        let amounts: Vec<_> =
            all.amounts.iter().map(|a| (a.counter.as_str(), a.amount.to_string())).collect();
        let expected = [
            ("day:environment:usd##2026-11-30", "0.002".into()),
            ("all:environment:tokens##total", "1500".into()),
        ];
        assert_eq!(amounts, expected);
        let expire: Vec<_> = all.limits.iter().map(|limit| limit.expires_at).collect();
        assert_eq!(expire, [Some(datetime!(2027-03-11 00:00 UTC)), None]);
        let unpriced = Most { usd: None, ..most };
        assert_eq!(ToReserve::of(&budgets, "run-1", at, &unpriced), Err("day".to_owned()));
        let allowed = AppliedBudgets { allow_unpriced: true, ..budgets };
        let all = ToReserve::of(&allowed, "run-1", at, &unpriced).unwrap();
        assert_eq!((all.places, all.amounts.len()), (vec![1], 1));
        // What is unknown may be as much as was reserved.
        let all = ToReserve::of(&allowed, "run-1", at, &most).unwrap();
        let used = Usage { input_tokens: 10, output_tokens: 5, ..Usage::default() };
        let texts = |spent: Vec<Decimal>| spent.iter().map(Decimal::to_string).collect::<Vec<_>>();
        let cost = Some(Decimal::new(1, 3));
        assert_eq!(texts(spent(&all.amounts, cost, Some(&used))), ["0.001", "15"]);
        assert_eq!(texts(spent(&all.amounts, None, None)), ["0.002", "1500"]);
    }

    #[test]
    fn the_busiest_shard_is_far_from_hot_at_ten_thousand_runs_a_minute() {
        let limit = limit(Unit::Usd, 10_000);
        let mut runs = [0_u32; 16];
        (0..10_000).for_each(|n| runs[usize::from(limit.shard(&format!("run-{n}")))] += 1);
        // Five calls a run, each reserved and committed in a transaction that takes two units.
        let busiest = f64::from(*runs.iter().max().unwrap()) * 5.0 * 2.0 * 2.0 / 60.0;
        assert!(busiest < 300.0, "{busiest} units a second of the 1,000 that a key takes");
    }
}
