//! Reserves money before a call, and leases it to shards. [`crate::run::budgets`] describes the counters.

use rust_decimal::Decimal;

use crate::base::error::Fault;
use crate::ports::BudgetLedger;
use crate::run::budgets::{CounterState, Limit, Move, Root, Shard};
use crate::run::call_log::LoggedCall;
use crate::run::ids::{RunRef, StepRef};

/// The most tries of a reservation. Each one fails only because another call was faster.
const TRIES: u32 = 50;

/// The outcome of a reservation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reservation {
    /// The amounts are reserved and the call is in the call log.
    Made,
    /// The limit has room, but calls under way have reserved it. Some of it comes back when they end.
    Busy(Shortage),
    /// The limit has no room for the call, whatever the calls under way cost.
    Exceeded(Shortage),
}

/// The state of a counter that has not enough money.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shortage {
    /// The position of the limit.
    pub at: usize,
    pub limit: Decimal,
    pub spent: Decimal,
    pub reserved: Decimal,
    /// The amount that the call needs.
    pub needed: Decimal,
}

/// Reserves the amounts of `call`, each from the counter of the limit at the same position.
///
/// # Errors
/// `Bcce.Internal`: the ledger failed. Nothing may be called then.
pub async fn reserve(
    ledger: &impl BudgetLedger,
    run: &RunRef,
    step: &StepRef,
    call: &LoggedCall,
    limits: &[Limit],
) -> Result<Reservation, Fault> {
    for _ in 0..TRIES {
        let short = ledger.reserve_call(run, step, call, limits).await?;
        if short.is_empty() {
            return Ok(Reservation::Made);
        }
        for at in short {
            let reserved = &call.reserved[at];
            if let Some(shortage) =
                refill(ledger, &limits[at], reserved.shard, reserved.amount).await?
            {
                return Ok(shortage.at(at));
            }
        }
    }
    Err(Fault::internal(format!("a reservation for {} failed {TRIES} times", run.run_id)))
}

/// A counter that has not enough money.
struct Short {
    root: Root,
    state: CounterState,
    needed: Decimal,
}

impl Short {
    fn at(self, at: usize) -> Reservation {
        let (spent, reserved) = (self.state.spent(), self.state.reserved());
        let (limit, needed) = (self.root.limit, self.needed);
        let shortage = Shortage { at, limit, spent, reserved, needed };
        if spent + needed > limit {
            Reservation::Exceeded(shortage)
        } else {
            Reservation::Busy(shortage)
        }
    }
}

/// Makes sure that a shard has at least `amount` free under the current limit. Returns the state of the counter if that
/// is not possible now.
async fn refill(
    ledger: &impl BudgetLedger,
    limit: &Limit,
    shard: u8,
    amount: Decimal,
) -> Result<Option<Short>, Fault> {
    for _ in 0..TRIES {
        let state = ledger.counter(&limit.counter).await?;
        let Some(root) = state.root.clone().filter(|root| root.revision >= limit.revision) else {
            ledger.set_limit(limit).await?;
            continue;
        };
        if renew(ledger, limit, &root, &state).await? {
            continue;
        }
        let own = state.shards.get(&shard).map_or(Decimal::ZERO, |shard| shard.free);
        if own >= amount {
            return Ok(None);
        }
        let (left, needed) = (root.limit - root.leased, amount - own);
        if left >= needed {
            let amount = Limit { limit: root.limit, ..limit.clone() }.slice(needed, left);
            let lease = Move::Lease { amount, root };
            if ledger.move_money(limit, shard, &lease).await? {
                return Ok(None);
            }
            continue;
        }
        if !gather(ledger, limit, shard, needed - left, &state).await? {
            return Ok(Some(Short { root, state, needed: amount }));
        }
    }
    Err(Fault::internal(format!("the budget {} could not be leased", limit.counter)))
}

/// Gives back what shards have free from before the current limit. Returns whether there was such a shard.
async fn renew(
    ledger: &impl BudgetLedger,
    limit: &Limit,
    root: &Root,
    state: &CounterState,
) -> Result<bool, Fault> {
    let mut found = false;
    for (shard, seen) in &state.shards {
        if seen.revision < root.revision {
            let renew = Move::Renew { seen: seen.clone(), revision: root.revision };
            ledger.move_money(limit, *shard, &renew).await?;
            found = true;
        }
    }
    Ok(found)
}

/// Gives back what other shards have free, if that makes up for `missing`. Returns whether it does.
async fn gather(
    ledger: &impl BudgetLedger,
    limit: &Limit,
    shard: u8,
    missing: Decimal,
    state: &CounterState,
) -> Result<bool, Fault> {
    let is_other = |(other, state): &(&u8, &Shard)| **other != shard && state.free > Decimal::ZERO;
    let others = || state.shards.iter().filter(is_other);
    if others().map(|(_, shard)| shard.free).sum::<Decimal>() < missing {
        return Ok(false);
    }
    for (other, seen) in others() {
        let back = Move::GiveBack { amount: seen.free };
        ledger.move_money(limit, *other, &back).await?;
    }
    Ok(true)
}
