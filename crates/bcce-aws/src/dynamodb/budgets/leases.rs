//! Sets the limit of a counter, and moves money between its root and its shards.

use bcce_core::base::error::Fault;
use bcce_core::ledger::{budget_pk, budget_shard_pk, counters_pk};
use bcce_core::ports::{MoveMoney, SetLimit};
use bcce_core::run::budgets::{Limit, Move, Root};
use rust_decimal::Decimal;

use super::{ALL, BudgetTable, change};
use crate::dynamodb::change::{Change, Write};
use crate::dynamodb::item::{Item, number, text};

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
        let mut listed = Item::from([("counter".to_owned(), text(&limit.counter))]);
        listed.extend(until.map(|(_, value)| ("expires_at".to_owned(), value)));
        let listed =
            Change { condition: None, ..Change::setting(listed_key(&limit.counter), listed, "") };
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
            Move::Lease { amount, root } => lease(limit, shard_pk, *amount, root),
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

/// Returns the writes that lease an amount to a shard.
fn lease(limit: &Limit, shard_pk: String, amount: Decimal, root: &Root) -> Vec<Write> {
    let until = limit.expires_at.map(|at| ("until", number(at.unix_timestamp())));
    let expires = if until.is_some() { ", #expires_at = :until" } else { "" };
    vec![
        change(
            budget_pk(&limit.counter),
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

/// Returns the key under which a counter is listed.
pub(super) fn listed_key(counter: &str) -> (String, String) {
    // Only the value may contain a `#`.
    let (budget, rest) = counter.split_once('#').unwrap_or((counter, ""));
    let (value, window) = rest.rsplit_once('#').unwrap_or(("", rest));
    let value = if value.is_empty() { ALL } else { value };
    (counters_pk(budget, window), value.to_owned())
}
