//! The counters of budgets. [`bcce_core::run::budgets`] describes what moves between them.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes, TransactWriteItem};
use bcce_core::base::error::Fault;
use bcce_core::ledger::{COUNTER_SK, budget_pk, budget_shard_pk, calls_pk, calls_sk, counters_pk};
use bcce_core::ports::{MoveMoney, ReadCounter, ReserveCall, SetLimit, SettleCall};
use bcce_core::run::budgets::{CounterState, Limit, MOST_SHARDS, Move, Root, Shard};
use bcce_core::run::call_log::LoggedCall;
use bcce_core::run::ids::{RunRef, StepRef};
use rust_decimal::Decimal;

use super::Ledger;
use super::calls::{CALLS_LAST, LOGGED_CALLS, SETTLED_CALLS, call_id};
use super::change::{Change, Write};
use super::conditional::pause;
use super::item::{Item, key, number, number_of, text, text_of};
use crate::fault::internal;

/// The number of tries of a transaction that conflicts with another one. Many calls may reserve from one item.
const CONFLICT_TRIES: u32 = 14;
/// The value of a counter of the whole environment in the list. DynamoDB accepts no empty key.
const ALL: &str = "(all)";
/// The try from which the pause does not grow any more.
const LONGEST_PAUSE: u32 = 4;

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

impl Ledger {
    /// Lists the values that have a counter of a budget in a window, such as the names of tenants. The value of a budget
    /// of the environment is empty.
    ///
    /// # Errors
    /// `Bcce.Internal`: the ledger cannot be read.
    pub async fn budget_values(&self, budget: &str, window: &str) -> Result<Vec<String>, Fault> {
        let items =
            self.found("dynamodb:Query budgets", &counters_pk(budget, window), false).await?;
        let values = items.iter().filter_map(|item| text_of(item, "sk"));
        Ok(values.map(|value| if value == ALL { String::new() } else { value.clone() }).collect())
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
            if !is("TransactionConflict").contains(&true) || tries == CONFLICT_TRIES {
                return Err(internal(what, &error));
            }
            tokio::time::sleep(pause(tries.min(LONGEST_PAUSE), &format!("{seed} {tries}"))).await;
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

impl ReserveCall for BudgetTable {
    async fn reserve_call(
        &self,
        run: &RunRef,
        step: &StepRef,
        call: &LoggedCall,
        limits: &[Limit],
    ) -> Result<Vec<usize>, Fault> {
        let logged = serde_json::to_string(call);
        let logged = logged.map_err(|error| Fault::internal(error.to_string()))?;
        let until = (call.started_at + CALLS_LAST).unix_timestamp();
        let log = Change {
            key: call_key(run, step),
            update: format!("ADD {LOGGED_CALLS} :call SET expires_at = :until"),
            condition: None,
            names: Default::default(),
            values: [
                (":call".to_owned(), AttributeValue::Ss(vec![logged])),
                (":until".to_owned(), number(until)),
            ]
            .into(),
        };
        let amounts = call.reserved.iter().zip(limits).map(|(reserved, limit)| {
            change(
                budget_shard_pk(&reserved.counter, reserved.shard),
                "ADD #free :minus, #reserved :amount",
                Some("#free >= :amount AND #revision >= :revision"),
                [
                    ("amount", number(reserved.amount)),
                    ("minus", number(-reserved.amount)),
                    ("revision", number(limit.revision)),
                ],
            )
        });
        let writes = amounts.chain([Write::Change(log)]).collect();
        self.write("dynamodb:TransactWriteItems budget", writes, &run.run_id).await
    }
}

impl SettleCall for BudgetTable {
    async fn settle_call(
        &self,
        run: &RunRef,
        step: &StepRef,
        call: &LoggedCall,
        actual: &[Decimal],
    ) -> Result<bool, Fault> {
        let id = call_id(call);
        let settled = Change {
            key: call_key(run, step),
            update: format!("ADD {SETTLED_CALLS} :calls"),
            condition: Some("NOT contains(settled_calls, :call)"),
            names: Default::default(),
            values: [
                (":calls".to_owned(), AttributeValue::Ss(vec![id.clone()])),
                (":call".to_owned(), text(&id)),
            ]
            .into(),
        };
        let amounts = call.reserved.iter().zip(actual).map(|(reserved, actual)| {
            change(
                budget_shard_pk(&reserved.counter, reserved.shard),
                "ADD #reserved :minus, #spent :actual, #free :rest",
                None,
                [
                    ("minus", number(-reserved.amount)),
                    ("actual", number(actual)),
                    ("rest", number(reserved.amount - actual)),
                ],
            )
        });
        let writes = [Write::Change(settled)].into_iter().chain(amounts).collect();
        let what = "dynamodb:TransactWriteItems settlement";
        Ok(self.write(what, writes, &run.run_id).await?.is_empty())
    }
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

impl SetLimit for BudgetTable {
    async fn set_limit(&self, limit: &Limit) -> Result<(), Fault> {
        let until = limit.expires_at.map(|at| ("until", number(at.unix_timestamp())));
        let expires = if until.is_some() { ", #expires_at = :until" } else { "" };
        let update =
            format!("SET #limit = :limit, #revision = :revision{expires} ADD #leased :zero");
        let root = change(
            budget_pk(&limit.counter),
            &update,
            Some("attribute_not_exists(#revision) OR #revision < :revision"),
            [
                ("limit", number(limit.limit)),
                ("revision", number(limit.revision)),
                ("zero", number(0)),
            ]
            .into_iter()
            .chain(until.clone()),
        );
        let (pk, sk) = listed_key(&limit.counter);
        let listed = Change {
            key: (pk, sk),
            update: match until {
                Some(_) => "SET expires_at = :until".to_owned(),
                None => "REMOVE expires_at".to_owned(),
            },
            condition: None,
            names: Default::default(),
            values: until.into_iter().map(|(name, value)| (format!(":{name}"), value)).collect(),
        };
        let what = "dynamodb:TransactWriteItems limit";
        // A refusal means that there is a limit of the same or a later revision.
        self.write(what, vec![root, Write::Change(listed)], &limit.counter).await.map(drop)
    }
}

impl MoveMoney for BudgetTable {
    async fn move_money(&self, limit: &Limit, shard: u8, moved: &Move) -> Result<bool, Fault> {
        let (root_pk, shard_pk) =
            (budget_pk(&limit.counter), budget_shard_pk(&limit.counter, shard));
        let less = |amount: &Decimal| {
            change(root_pk.clone(), "ADD #leased :minus", None, [("minus", number(-amount))])
        };
        let writes = match moved {
            Move::Lease { amount, root } => {
                let until = limit.expires_at.map(|at| ("until", number(at.unix_timestamp())));
                let expires = if until.is_some() { ", #expires_at = :until" } else { "" };
                vec![
                    change(
                        root_pk,
                        "ADD #leased :amount",
                        Some("#leased <= :most AND #revision = :revision"),
                        [
                            ("amount", number(amount)),
                            ("most", number(root.limit - amount)),
                            ("revision", number(root.revision)),
                        ],
                    ),
                    change(
                        shard_pk,
                        &format!("SET #revision = :revision{expires} ADD #free :amount"),
                        Some("attribute_not_exists(#revision) OR #revision = :revision"),
                        [("amount", number(amount)), ("revision", number(root.revision))]
                            .into_iter()
                            .chain(until),
                    ),
                ]
            }
            Move::GiveBack { amount } => vec![
                less(amount),
                change(
                    shard_pk,
                    "ADD #free :minus",
                    Some("#free >= :amount"),
                    [("amount", number(amount)), ("minus", number(-amount))],
                ),
            ],
            Move::Renew { seen, revision } => vec![
                less(&seen.free),
                change(
                    shard_pk,
                    "SET #revision = :revision ADD #free :minus",
                    Some("#free = :seen AND #revision = :old"),
                    [
                        ("revision", number(revision)),
                        ("minus", number(-seen.free)),
                        ("seen", number(seen.free)),
                        ("old", number(seen.revision)),
                    ],
                ),
            ],
        };
        let seed = format!("{} {shard}", limit.counter);
        Ok(self.write("dynamodb:TransactWriteItems lease", writes, &seed).await?.is_empty())
    }
}

impl ReadCounter for Ledger {
    async fn counter(&self, counter: &str) -> Result<CounterState, Fault> {
        self.budgets().counter(counter).await
    }
}

impl SettleCall for Ledger {
    async fn settle_call(
        &self,
        run: &RunRef,
        step: &StepRef,
        call: &LoggedCall,
        actual: &[Decimal],
    ) -> Result<bool, Fault> {
        self.budgets().settle_call(run, step, call, actual).await
    }
}

fn call_key(run: &RunRef, step: &StepRef) -> (String, String) {
    (calls_pk(&run.run_id, run.attempt_no), calls_sk(&step.step, step.item))
}

/// Returns the key under which a counter is listed.
fn listed_key(counter: &str) -> (String, String) {
    // Only the value may contain a `#`.
    let (budget, rest) = counter.split_once('#').unwrap_or((counter, ""));
    let (value, window) = rest.rsplit_once('#').unwrap_or(("", rest));
    let value = if value.is_empty() { ALL } else { value };
    (counters_pk(budget, window), value.to_owned())
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
