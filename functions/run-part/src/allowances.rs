//! The allowances of the part: money of budgets that is reserved for many calls at a time.
//!
//! A call takes its worst case from an allowance and gives back what it has not spent, for the calls after it. An
//! allowance that can pay no further call is committed when its calls are over, and so are all of them at the end of the
//! invocation.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use bcce_core::base::error::Fault;
use bcce_core::batch::packed::{Allowance, calls_of_allowance};
use bcce_core::io::budgets::{Reservation, Shortage, note_refusal, reserve_allowance};
use bcce_core::ports::AllowanceLedger;
use bcce_core::run::budgets::{Limit, Reserved, ToReserve};
use rust_decimal::Decimal;
use time::OffsetDateTime;
use tokio::sync::Mutex;

use crate::owner::Ownership;

/// The time after a shortage before the ledger is asked again. Other calls wait too, and would ask the same.
const ASK_AGAIN: Duration = Duration::from_secs(2);

/// The part of an allowance that a call has taken.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Share {
    pub allowance: String,
    pub reserved: Vec<Reserved>,
}

/// The outcome of taking a share.
pub(crate) enum Taken {
    Share(Share),
    /// The budgets have not enough now. Some of it comes back when calls under way end.
    Busy(Shortage),
    /// The budget has no room for the call, whatever the calls under way cost.
    Exceeded(Shortage),
    /// Other functions were faster each time.
    Contended,
}

/// An allowance that is not committed.
struct Open {
    allowance: Allowance,
    limits: Vec<Limit>,
    free: Vec<Decimal>,
    spent: Vec<Decimal>,
    /// The number of calls under way that have taken a share.
    calls: u32,
}

/// A shortage that the ledger has reported a moment ago.
struct Known {
    need: ToReserve,
    at: OffsetDateTime,
    shortage: Shortage,
    is_busy: bool,
}

/// The allowances of the part that this invocation has reserved.
#[derive(Default)]
pub(crate) struct Allowances {
    open: RefCell<Vec<Open>>,
    known: RefCell<Option<Known>>,
    number: Cell<u32>,
    /// Held by the call that reserves. The others wait, since the new allowance pays them as well.
    turn: Mutex<()>,
}

impl Allowances {
    /// Takes what a call needs, from an allowance that has it or from a new one. `calls` is the number of calls that
    /// may be under way at a time.
    ///
    /// # Errors
    /// `Bcce.Internal`: the ledger failed. Nothing may be called then.
    pub async fn take(
        &self,
        ledger: &impl AllowanceLedger,
        ownership: &Ownership,
        need: &ToReserve,
        calls: u32,
        at: OffsetDateTime,
    ) -> Result<Taken, Fault> {
        if let Some(taken) = self.taken(need, at) {
            return Ok(taken);
        }
        let _turn = self.turn.lock().await;
        if let Some(taken) = self.taken(need, at) {
            return Ok(taken);
        }
        // This returns the unused money of idle allowances.
        let is_idle = |open: &Open| open.calls == 0 && open.shares_counter(need);
        self.commit(ledger, ownership, is_idle).await?;
        let amounts: Vec<(Decimal, Decimal)> = need
            .amounts
            .iter()
            .zip(&need.limits)
            .map(|(reserved, limit)| (reserved.amount, limit.limit))
            .collect();
        let many = calls_of_allowance(calls, &amounts);
        let reservation = self.reserve(ledger, ownership, need, many, at).await?;
        let reservation = match reservation {
            Reservation::Busy(_) | Reservation::Exceeded(_) if many > 1 => {
                self.reserve(ledger, ownership, need, 1, at).await?
            }
            other => other,
        };
        let (shortage, is_busy) = match reservation {
            Reservation::Made => {
                return Ok(self.share(need).map_or(Taken::Contended, Taken::Share));
            }
            Reservation::Contended => return Ok(Taken::Contended),
            Reservation::Busy(shortage) => (shortage, true),
            Reservation::Exceeded(shortage) => {
                note_refusal(ledger, &need.limits, &shortage).await?;
                (shortage, false)
            }
        };
        let known = Known { need: need.clone(), at, shortage, is_busy };
        let taken = known.taken();
        self.known.replace(Some(known));
        Ok(taken)
    }

    /// Gives back what a call has not spent of its share.
    pub fn give_back(&self, share: &Share, spent: &[Decimal]) {
        let mut open = self.open.borrow_mut();
        let Some(open) = open.iter_mut().find(|open| open.allowance.id == share.allowance) else {
            return;
        };
        open.calls -= 1;
        for (at, reserved) in share.reserved.iter().enumerate() {
            open.free[at] += reserved.amount - spent[at];
            open.spent[at] += spent[at];
        }
        // There may be enough now for a call that lacked something.
        self.known.take();
    }

    /// Returns whether the part holds money of a counter itself, which comes back when its calls end and its allowances
    /// are committed.
    pub fn hold(&self, counter: &str) -> bool {
        let open = self.open.borrow();
        open.iter().any(|open| open.limits.iter().any(|limit| limit.counter == counter))
    }

    /// Commits all allowances. No call may be under way.
    ///
    /// # Errors
    /// `Bcce.Internal`: the ledger failed. The next owner of the part commits the rest.
    pub async fn finish(
        &self,
        ledger: &impl AllowanceLedger,
        ownership: &Ownership,
    ) -> Result<(), Fault> {
        self.commit(ledger, ownership, |_| true).await
    }

    /// Returns the outcome if it is known without the ledger.
    fn taken(&self, need: &ToReserve, at: OffsetDateTime) -> Option<Taken> {
        if let Some(share) = self.share(need) {
            return Some(Taken::Share(share));
        }
        let known = self.known.borrow();
        let is_true = |known: &&Known| known.concerns(need) && at - known.at < ASK_AGAIN;
        known.as_ref().filter(is_true).map(Known::taken)
    }

    /// Takes a share of the first allowance that has enough.
    fn share(&self, need: &ToReserve) -> Option<Share> {
        let mut all = self.open.borrow_mut();
        let has_enough = |open: &&mut Open| {
            let mut amounts = need.amounts.iter().zip(&open.free);
            open.limits == need.limits && amounts.all(|(need, free)| need.amount <= *free)
        };
        let open = all.iter_mut().find(has_enough)?;
        open.calls += 1;
        let mut reserved = open.allowance.reserved.clone();
        for (at, need) in need.amounts.iter().enumerate() {
            open.free[at] -= need.amount;
            reserved[at].amount = need.amount;
        }
        Some(Share { allowance: open.allowance.id.clone(), reserved })
    }

    /// Reserves an allowance for this number of calls.
    async fn reserve(
        &self,
        ledger: &impl AllowanceLedger,
        ownership: &Ownership,
        need: &ToReserve,
        calls: u32,
        at: OffsetDateTime,
    ) -> Result<Reservation, Fault> {
        self.number.set(self.number.get() + 1);
        let id = format!("{}#{}", ownership.owner, self.number.get());
        let mut reserved = need.amounts.clone();
        for (reserved, limit) in reserved.iter_mut().zip(&need.limits) {
            // Each allowance may be of another shard, so that a part finds what any of them has.
            reserved.shard = limit.shard(&id);
            reserved.amount *= Decimal::from(calls);
        }
        let allowance = Allowance { id, reserved_at: at, records: 0, reserved };
        let made = reserve_allowance(ledger, &ownership.part, &allowance, &need.limits).await?;
        if made == Reservation::Made {
            let free: Vec<Decimal> = allowance.reserved.iter().map(|all| all.amount).collect();
            let (spent, limits) = (vec![Decimal::ZERO; free.len()], need.limits.clone());
            self.open.borrow_mut().push(Open { allowance, limits, free, spent, calls: 0 });
        }
        Ok(made)
    }

    /// Commits the allowances for which `which` returns true.
    async fn commit(
        &self,
        ledger: &impl AllowanceLedger,
        ownership: &Ownership,
        which: impl Fn(&Open) -> bool,
    ) -> Result<(), Fault> {
        let all = self.open.take();
        let (over, open) = all.into_iter().partition::<Vec<_>, _>(which);
        self.open.replace(open);
        for Open { allowance, spent, .. } in over {
            ledger.commit_allowance(&ownership.part, &allowance, &spent).await?;
        }
        Ok(())
    }
}

impl Open {
    /// Returns whether the allowance has money of a counter from which a call needs some.
    fn shares_counter(&self, need: &ToReserve) -> bool {
        let mut counters = self.limits.iter().map(|limit| &limit.counter);
        counters.any(|counter| need.limits.iter().any(|limit| limit.counter == *counter))
    }
}

impl Known {
    /// Returns whether a call that needs this lacks at least as much.
    fn concerns(&self, need: &ToReserve) -> bool {
        let mut amounts = self.need.amounts.iter().zip(&need.amounts);
        self.need.limits == need.limits && amounts.all(|(known, need)| known.amount <= need.amount)
    }

    fn taken(&self) -> Taken {
        let shortage = self.shortage.clone();
        if self.is_busy { Taken::Busy(shortage) } else { Taken::Exceeded(shortage) }
    }
}
