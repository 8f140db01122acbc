//! Reserves money before a call, and leases it to shards. [`crate::run::budgets`] describes the counters.

use rust_decimal::Decimal;

use crate::base::error::{ErrorName, Fault};
use crate::base::figures::{count, dollars};
use crate::base::target::Target;
use crate::batch::packed::Allowance;
use crate::config::budgets::{AppliedBudget, Unit, Window};
use crate::ports::{AllowanceLedger, BudgetLedger, Counters, NoteExceeded, PartOf};
use crate::run::budgets::{CounterState, Limit, Move, Reserved, Root, Shard};
use crate::run::call_log::LoggedCall;
use crate::run::ids::{RunRef, StepRef};

/// The most tries. Each one fails only because another call was faster.
const TRIES: u32 = 20;

/// The outcome of a reservation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reservation {
    /// The amounts are reserved and the call is in the call log.
    Made,
    /// Other calls were faster each time. The caller tries again after a pause.
    Contended,
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
    /// True if the ledger has a record that a call was refused under this limit.
    pub is_noted: bool,
}

impl Shortage {
    /// Returns the error of a call for which `budget` has not enough left.
    pub fn error(&self, budget: &AppliedBudget) -> Fault {
        let Self { limit, spent, reserved, needed, .. } = self;
        let amount = |amount: &Decimal| match budget.unit {
            Unit::Usd => dollars(*amount),
            Unit::Tokens => {
                let tokens = u64::try_from(amount.trunc()).unwrap_or_default();
                format!("{} tokens", count(tokens))
            }
        };
        let of =
            if budget.value.is_empty() { String::new() } else { format!(" of {}", budget.value) };
        let window = match budget.window {
            Window::Day => " for this day (UTC)",
            Window::Month => " for this month (UTC)",
            Window::Total => "",
        };
        let message = format!(
            "budgets.{}: the call may cost {}; of the {}{of}{window}, {} are spent and {} are reserved by calls under \
             way",
            budget.name,
            amount(needed),
            amount(limit),
            amount(spent),
            amount(reserved),
        );
        Fault::new(ErrorName::BudgetExceeded, message)
    }
}

/// Returns the error of a call whose target has no price, although `budget` needs one.
pub fn without_price(budget: &str, target: &Target) -> Fault {
    let message = format!(
        "budgets.{budget}: prices.yaml has no price for a call of {target} today, and this budget needs one"
    );
    Fault::new(ErrorName::BudgetExceeded, message)
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
    let made = reserve_by(ledger, &call.reserved, limits, async || {
        ledger.reserve_call(run, step, call, limits).await
    });
    let made = made.await?;
    if let Reservation::Exceeded(shortage) = &made {
        note_refusal(ledger, limits, shortage).await?;
    }
    Ok(made)
}

/// Records that a call is refused for lack of money, so that the alert of its budget is sent.
///
/// # Errors
/// `Bcce.Internal`: the ledger failed.
pub async fn note_refusal(
    ledger: &impl NoteExceeded,
    limits: &[Limit],
    shortage: &Shortage,
) -> Result<(), Fault> {
    match shortage.is_noted {
        true => Ok(()),
        false => ledger.note_exceeded(&limits[shortage.at].counter, shortage.limit).await,
    }
}

/// Reserves the amounts of an allowance of a part, each from the counter of the limit at the same position.
///
/// # Errors
/// See [`reserve`].
pub async fn reserve_allowance(
    ledger: &impl AllowanceLedger,
    part: &PartOf,
    allowance: &Allowance,
    limits: &[Limit],
) -> Result<Reservation, Fault> {
    reserve_by(ledger, &allowance.reserved, limits, async || {
        ledger.reserve_allowance(part, allowance, limits).await
    })
    .await
}

/// Reserves amounts by `make`, which returns the positions of those for which the shard has not enough.
async fn reserve_by(
    ledger: &impl Counters,
    amounts: &[Reserved],
    limits: &[Limit],
    make: impl AsyncFn() -> Result<Vec<usize>, Fault>,
) -> Result<Reservation, Fault> {
    for _ in 0..TRIES {
        let short = make().await?;
        if short.is_empty() {
            return Ok(Reservation::Made);
        }
        let (mut busy, mut is_contended) = (None, false);
        for at in short {
            let Reserved { shard, amount, .. } = amounts[at];
            match refill(ledger, &limits[at], shard, amount).await? {
                Refill::Done => {}
                Refill::Contended => is_contended = true,
                Refill::Short(shortage) => {
                    let shortage = Shortage { at, ..shortage };
                    if shortage.spent + shortage.needed > shortage.limit {
                        return Ok(Reservation::Exceeded(shortage));
                    }
                    busy = Some(shortage);
                }
            }
        }
        if let Some(shortage) = busy {
            return Ok(Reservation::Busy(shortage));
        }
        if is_contended {
            break;
        }
    }
    Ok(Reservation::Contended)
}

/// The outcome of a refill.
enum Refill {
    /// The shard had enough when it was last read or written.
    Done,
    Contended,
    /// The counter has not enough now.
    Short(Shortage),
}

/// Makes sure that a shard has at least `amount` free under the current limit.
async fn refill(
    ledger: &impl Counters,
    limit: &Limit,
    shard: u8,
    amount: Decimal,
) -> Result<Refill, Fault> {
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
            return Ok(Refill::Done);
        }
        let (left, needed) = (root.limit - root.leased, amount - own);
        if left >= needed {
            let amount = Limit { limit: root.limit, ..limit.clone() }.slice(needed, left);
            let lease = Move::Lease { amount, root };
            if ledger.move_money(limit, shard, &lease).await? {
                return Ok(Refill::Done);
            }
            continue;
        }
        if !gather(ledger, limit, shard, needed - left, &state).await? {
            let (spent, reserved) = (state.spent(), state.reserved());
            let is_noted = root.exceeded == Some(root.limit);
            let (at, limit, needed) = (0, root.limit, amount);
            let shortage = Shortage { at, limit, spent, reserved, needed, is_noted };
            return Ok(Refill::Short(shortage));
        }
    }
    Ok(Refill::Contended)
}

/// Gives back what shards have free from before the current limit. Returns whether there was such a shard.
async fn renew(
    ledger: &impl Counters,
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

/// Has other shards give back what is missing, if they have it free. Returns whether they do.
async fn gather(
    ledger: &impl Counters,
    limit: &Limit,
    shard: u8,
    missing: Decimal,
    state: &CounterState,
) -> Result<bool, Fault> {
    let is_other = |(other, state): &(&u8, &Shard)| **other != shard && state.free > Decimal::ZERO;
    let mut others: Vec<(&u8, &Shard)> = state.shards.iter().filter(is_other).collect();
    if others.iter().map(|(_, shard)| shard.free).sum::<Decimal>() < missing {
        return Ok(false);
    }
    // The fewest moves, which leave the others as much as possible.
    others.sort_by_key(|(_, shard)| std::cmp::Reverse(shard.free));
    let mut missing = missing;
    for (other, seen) in others {
        let amount = seen.free.min(missing);
        if amount.is_zero() {
            break;
        }
        ledger.move_money(limit, *other, &Move::GiveBack { amount }).await?;
        missing -= amount;
    }
    Ok(true)
}
