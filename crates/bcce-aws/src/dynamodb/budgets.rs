//! The counters of budgets. [`bcce_core::run::budgets`] describes what moves between them.

mod alerts; // alerts, and calls that were refused
mod allowances; // what parts reserve and spend
mod calls; // what calls reserve and spend
mod leases; // limits, and the money of shards

use std::collections::BTreeMap;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes, TransactWriteItem};
use bcce_core::base::error::Fault;
use bcce_core::ledger::{COUNTER_SK, budget_pk, budget_shard_pk};
use bcce_core::ports::{CommitCall, ReadCounter};
use bcce_core::run::budgets::{CounterState, MOST_SHARDS, Root, Shard};
use bcce_core::run::call_log::LoggedCall;
use bcce_core::run::ids::{RunRef, StepRef};
use rust_decimal::Decimal;

use super::Ledger;
use super::change::{Change, Write};
use super::conditional::pause;
use super::item::{Item, key, number_of, text_of};
use crate::fault::internal;

/// The reasons for which a transaction is tried again: another one wrote the same item, or the item is hot.
const TEMPORARY: [&str; 3] =
    ["TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"];
/// The number of tries of a transaction. Many calls may reserve from one item.
const MOST_TRIES: u32 = 14;
/// The value of a counter of the whole environment in the list. DynamoDB accepts no empty key.
const ALL: &str = "(all)";
/// The try from which the pause does not grow any more.
const LONGEST_PAUSE: u32 = 4;

pub(super) use allowances::{ALLOWANCE, COMMITTED_AMOUNTS};

/// The ledger's table, for counters of budgets and for the calls that reserve from them.
pub(crate) struct BudgetTable {
    client: Client,
    table: String,
}

impl Ledger {
    /// Returns the adapter for the counters of budgets in the same table.
    fn budgets(&self) -> BudgetTable {
        BudgetTable { client: self.client.clone(), table: self.table.clone() }
    }
}

impl BudgetTable {
    /// Creates the adapter for the table named `table`.
    pub(crate) fn new(client: Client, table: &str) -> Self {
        Self { client, table: table.to_owned() }
    }

    /// Makes all writes or none. Returns the positions of the writes whose condition did not hold; then none was made.
    async fn write(&self, what: &str, writes: Vec<Write>, seed: &str) -> Result<Vec<usize>, Fault> {
        let writes: Vec<TransactWriteItem> = writes
            .into_iter()
            .map(|write| write.in_transaction(&self.table))
            .collect::<Result<_, _>>()?;
        let mut tries = 0;
        loop {
            tries += 1;
            let write = self.client.transact_write_items().set_transact_items(Some(writes.clone()));
            let Err(error) = Box::pin(write.send()).await else { return Ok(Vec::new()) };
            let codes = error.as_service_error().map(codes).unwrap_or_default();
            let is = |wanted: &str| codes.iter().map(|code| code == wanted).collect::<Vec<_>>();
            let refused = is("ConditionalCheckFailed");
            if refused.contains(&true) {
                return Ok((0..refused.len()).filter(|at| refused[*at]).collect());
            }
            let is_temporary = TEMPORARY.iter().any(|code| is(code).contains(&true));
            if !is_temporary || tries == MOST_TRIES {
                return Err(internal(what, &error));
            }
            // The time varies the pauses, because many calls write the same items.
            let seed = format!("{seed} {:?}", std::time::SystemTime::now());
            tokio::time::sleep(pause(tries.min(LONGEST_PAUSE), &seed)).await;
        }
    }
}

/// Returns the reason for each write of a transaction that was canceled.
fn codes(error: &TransactWriteItemsError) -> Vec<String> {
    let TransactWriteItemsError::TransactionCanceledException(cancelled) = error else {
        return Vec::new();
    };
    let reasons = cancelled.cancellation_reasons().iter();
    reasons.map(|reason| reason.code().unwrap_or_default().to_owned()).collect()
}

/// Returns a change of the counter or the shard with the partition key `pk`. `values` are the values that `update` and
/// `condition` name. The names of all attributes have a `#` in front.
fn change(
    pk: String,
    update: &str,
    condition: Option<&'static str>,
    values: impl IntoIterator<Item = (&'static str, AttributeValue)>,
) -> Write {
    let condition_text = condition.unwrap_or_default();
    let names = ["free", "reserved", "spent", "leased", "limit", "revision", "expires_at", "unit"];
    let used = names.into_iter().filter(|name| {
        [update, condition_text].iter().any(|text| text.contains(&format!("#{name}")))
    });
    Write::Change(Change {
        key: (pk, COUNTER_SK.to_owned()),
        update: update.to_owned(),
        condition,
        names: used.map(|name| (format!("#{name}"), name.to_owned())).collect(),
        values: values.into_iter().map(|(name, value)| (format!(":{name}"), value)).collect(),
    })
}

impl ReadCounter for BudgetTable {
    async fn counter(&self, counter: &str) -> Result<CounterState, Fault> {
        let mut request = KeysAndAttributes::builder()
            .consistent_read(true)
            .keys(key(&budget_pk(counter), COUNTER_SK));
        for shard in 0..MOST_SHARDS {
            request = request.keys(key(&budget_shard_pk(counter, shard), COUNTER_SK));
        }
        let request = request.build().map_err(|error| Fault::internal(error.to_string()))?;
        let get = self.client.batch_get_item().request_items(&self.table, request);
        let got = Box::pin(get.send()).await;
        let got = got.map_err(|error| internal("dynamodb:BatchGetItem budget", &error))?;
        if got.unprocessed_keys().is_some_and(|left| !left.is_empty()) {
            return Err(Fault::internal("dynamodb:BatchGetItem budget left keys unread"));
        }
        let items = got.responses.unwrap_or_default().remove(&self.table).unwrap_or_default();
        let find =
            |pk: &str| items.iter().find(|item| text_of(item, "pk").is_some_and(|k| k == pk));
        let root = find(&budget_pk(counter)).map(|item| root(counter, item)).transpose()?;
        let mut shards = BTreeMap::new();
        for at in 0..MOST_SHARDS {
            if let Some(item) = find(&budget_shard_pk(counter, at)) {
                shards.insert(at, shard(counter, item)?);
            }
        }
        Ok(CounterState { root, shards })
    }
}

impl ReadCounter for Ledger {
    async fn counter(&self, counter: &str) -> Result<CounterState, Fault> {
        self.budgets().counter(counter).await
    }
}

impl CommitCall for Ledger {
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

fn unreadable(counter: &str) -> Fault {
    Fault::internal(format!("the counter {counter} of a budget is not what this version writes"))
}

fn root(counter: &str, item: &Item) -> Result<Root, Fault> {
    let read = || {
        Some(Root {
            limit: number_of(item, "limit")?,
            revision: number_of(item, "revision")?,
            leased: number_of(item, "leased")?,
            exceeded: number_of(item, alerts::EXCEEDED),
            alerted: alerts::alerted(item),
        })
    };
    read().ok_or_else(|| unreadable(counter))
}

fn shard(counter: &str, item: &Item) -> Result<Shard, Fault> {
    // A shard gets each amount when money first moves there.
    let amount = |name: &str| {
        if item.contains_key(name) { number_of(item, name) } else { Some(Decimal::ZERO) }
    };
    let read = || {
        Some(Shard {
            revision: number_of(item, "revision")?,
            free: amount("free")?,
            reserved: amount("reserved")?,
            spent: amount("spent")?,
        })
    };
    read().ok_or_else(|| unreadable(counter))
}

#[cfg(test)]
mod tests;
