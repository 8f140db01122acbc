//! Reserves allowances for parts of batches, and commits what their calls have spent.

use std::time::Duration;

use bcce_core::base::error::Fault;
use bcce_core::batch::packed::Allowance;
use bcce_core::ledger::part_calls_pk;
use bcce_core::ports::{CommitAllowance, MoveMoney, PartOf, ReserveAllowance, SetLimit};
use bcce_core::run::budgets::{Limit, Move};
use rust_decimal::Decimal;

use super::calls::reserve;
use crate::dynamodb::Ledger;
use crate::dynamodb::change::{Change, Write};
use crate::dynamodb::item::{json, number};

/// The lifetime of an allowance. A batch may take 30 days.
const LASTS: Duration = Duration::from_secs(40 * 86_400);
/// The attribute with an allowance, a JSON text. Its item lies beside the calls of its part.
pub(in crate::dynamodb) const ALLOWANCE: &str = "allowance";
/// The attribute with what the calls of an allowance have spent, a JSON text. It exists once the allowance is committed.
pub(in crate::dynamodb) const COMMITTED_AMOUNTS: &str = "committed_amounts";

impl ReserveAllowance for Ledger {
    async fn reserve_allowance(
        &self,
        part: &PartOf,
        allowance: &Allowance,
        limits: &[Limit],
    ) -> Result<Vec<usize>, Fault> {
        let until = (allowance.reserved_at + LASTS).unix_timestamp();
        let item =
            [(ALLOWANCE.to_owned(), json(allowance)?), ("expires_at".to_owned(), number(until))];
        let is_new = "attribute_not_exists(#allowance)";
        let record = Change::setting(allowance_key(part, allowance), item.into(), is_new);
        let record = Write::Change(record);
        let amounts = allowance.reserved.iter().zip(limits).map(reserve);
        let writes = amounts.chain([record]).collect();
        let what = "dynamodb:TransactWriteItems allowance";
        let refused = self.budgets().write(what, writes, &allowance.id).await?;
        // An allowance that exists was reserved by a write whose answer was lost.
        if refused.contains(&allowance.reserved.len()) { Ok(Vec::new()) } else { Ok(refused) }
    }
}

impl CommitAllowance for Ledger {
    async fn commit_allowance(
        &self,
        part: &PartOf,
        allowance: &Allowance,
        actual: &[Decimal],
    ) -> Result<bool, Fault> {
        let item = [(COMMITTED_AMOUNTS.to_owned(), json(&actual)?)];
        let is_first = "attribute_not_exists(#committed_amounts)";
        let record = Change::setting(allowance_key(part, allowance), item.into(), is_first);
        let committed = Write::Change(record);
        self.budgets().commit(committed, &allowance.reserved, actual, &allowance.id).await
    }
}

impl SetLimit for Ledger {
    async fn set_limit(&self, limit: &Limit) -> Result<(), Fault> {
        self.budgets().set_limit(limit).await
    }
}

impl MoveMoney for Ledger {
    async fn move_money(&self, limit: &Limit, shard: u8, moved: &Move) -> Result<bool, Fault> {
        self.budgets().move_money(limit, shard, moved).await
    }
}

fn allowance_key(part: &PartOf, allowance: &Allowance) -> (String, String) {
    (part_calls_pk(&part.batch, part.part), format!("allowance#{}", allowance.id))
}
