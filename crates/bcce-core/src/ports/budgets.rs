//! Counters of budgets in the ledger.

use rust_decimal::Decimal;

use crate::base::error::Fault;
use crate::batch::packed::Allowance;
use crate::ports::PartOf;
use crate::run::budgets::{Alerted, CounterState, Limit, Move};
use crate::run::call_log::LoggedCall;
use crate::run::ids::{RunRef, StepRef};

pub trait ReserveCall {
    /// Moves the amounts of `call` from free to reserved and records the call in the call log, in one transaction.
    /// `limits` has the limit of each amount. Returns the positions of the amounts for which the shard has not enough
    /// money of a limit at least as new; nothing is written then.
    async fn reserve_call(
        &self,
        run: &RunRef,
        step: &StepRef,
        call: &LoggedCall,
        limits: &[Limit],
    ) -> Result<Vec<usize>, Fault>;
}

pub trait CommitCall {
    /// Moves the amounts of `call` from reserved to spent, or to free as far as they are more than `actual`, which has
    /// the amount for each. Safe to repeat: a call is committed once. Returns whether this call committed it.
    async fn commit_call(
        &self,
        run: &RunRef,
        step: &StepRef,
        call: &LoggedCall,
        actual: &[Decimal],
    ) -> Result<bool, Fault>;
}

pub trait ReadCounter {
    /// Reads the root and all shards of a counter. Each item is read consistently, but not all at one moment.
    async fn counter(&self, counter: &str) -> Result<CounterState, Fault>;
}

pub trait SetLimit {
    /// Sets the limit of a counter, unless it has one of the same or a later revision.
    async fn set_limit(&self, limit: &Limit) -> Result<(), Fault>;
}

pub trait MoveMoney {
    /// Moves money between the root of a counter and a shard. Returns `false` if the condition did not hold any more.
    async fn move_money(&self, limit: &Limit, shard: u8, moved: &Move) -> Result<bool, Fault>;
}

pub trait ReserveAllowance {
    /// Moves the amounts of an allowance from free to reserved and records it under its part, in one transaction. See
    /// [`ReserveCall::reserve_call`].
    async fn reserve_allowance(
        &self,
        part: &PartOf,
        allowance: &Allowance,
        limits: &[Limit],
    ) -> Result<Vec<usize>, Fault>;
}

pub trait CommitAllowance {
    /// Moves the amounts of an allowance from reserved to spent, or to free as far as they are more than `actual`. Safe
    /// to repeat. See [`CommitCall::commit_call`].
    async fn commit_allowance(
        &self,
        part: &PartOf,
        allowance: &Allowance,
        actual: &[Decimal],
    ) -> Result<bool, Fault>;
}

pub trait NoteExceeded {
    /// Records that a call was refused, because the rest of this limit could not pay it. Safe to repeat.
    async fn note_exceeded(&self, counter: &str, limit: Decimal) -> Result<(), Fault>;
}

pub trait ListCounters {
    /// Lists the values that have a counter in a window, such as the names of tenants. `series` is the common name of
    /// the counters of a budget. The value of a budget of the environment is empty.
    async fn counter_values(&self, series: &str, window: &str) -> Result<Vec<String>, Fault>;
}

pub trait ClaimAlert {
    /// Records that an alert is sent now, unless the same or a higher one of the same limit was sent. Returns whether it
    /// was recorded.
    async fn claim_alert(&self, counter: &str, alert: &Alerted) -> Result<bool, Fault>;
}

pub trait GiveUpAlert {
    /// Takes back a claim, since the alert could not be sent.
    async fn give_up_alert(&self, counter: &str, alert: &Alerted) -> Result<(), Fault>;
}

/// Counters of budgets, as every reservation needs them.
pub trait Counters: ReadCounter + SetLimit + MoveMoney + NoteExceeded {}

impl<L> Counters for L where L: ReadCounter + SetLimit + MoveMoney + NoteExceeded {}

/// The part of the ledger that reservations of calls need.
pub trait BudgetLedger: ReserveCall + CommitCall + Counters {}

impl<L> BudgetLedger for L where L: ReserveCall + CommitCall + Counters {}

/// The part of the ledger that reservations of parts need.
pub trait AllowanceLedger: ReserveAllowance + CommitAllowance + Counters {}

impl<L> AllowanceLedger for L where L: ReserveAllowance + CommitAllowance + Counters {}
