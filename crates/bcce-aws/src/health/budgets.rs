//! The counters of budgets. A call is not made without its reservation, so they have the time limits of the other
//! clients, and not the short ones of [`HealthTable`].

use bcce_core::base::error::Fault;
use bcce_core::ports::{CommitCall, MoveMoney, NoteExceeded, ReadCounter, ReserveCall, SetLimit};
use bcce_core::run::budgets::{CounterState, Limit, Move};
use bcce_core::run::call_log::LoggedCall;
use bcce_core::run::ids::{RunRef, StepRef};
use rust_decimal::Decimal;

use super::HealthTable;
use crate::dynamodb::budgets::BudgetTable;

impl HealthTable {
    fn budgets(&self) -> BudgetTable {
        BudgetTable::new(self.patient.get().clone(), &self.table)
    }
}

impl ReserveCall for HealthTable {
    async fn reserve_call(
        &self,
        run: &RunRef,
        step: &StepRef,
        call: &LoggedCall,
        limits: &[Limit],
    ) -> Result<Vec<usize>, Fault> {
        self.budgets().reserve_call(run, step, call, limits).await
    }
}

impl CommitCall for HealthTable {
    async fn commit_call(
        &self,
        run: &RunRef,
        step: &StepRef,
        call: &LoggedCall,
        actual: &[Decimal],
    ) -> Result<bool, Fault> {
        self.budgets().commit_call(run, step, call, actual).await
    }
}

impl ReadCounter for HealthTable {
    async fn counter(&self, counter: &str) -> Result<CounterState, Fault> {
        self.budgets().counter(counter).await
    }
}

impl SetLimit for HealthTable {
    async fn set_limit(&self, limit: &Limit) -> Result<(), Fault> {
        self.budgets().set_limit(limit).await
    }
}

impl NoteExceeded for HealthTable {
    async fn note_exceeded(&self, counter: &str, limit: Decimal) -> Result<(), Fault> {
        self.budgets().note_exceeded(counter, limit).await
    }
}

impl MoveMoney for HealthTable {
    async fn move_money(&self, limit: &Limit, shard: u8, moved: &Move) -> Result<bool, Fault> {
        self.budgets().move_money(limit, shard, moved).await
    }
}
