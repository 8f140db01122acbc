//! Reserves amounts for a call, and commits what it has spent of them.

use std::collections::BTreeSet;

use aws_sdk_dynamodb::types::AttributeValue;
use bcce_core::base::error::Fault;
use bcce_core::ledger::{budget_pk, budget_shard_pk, calls_pk, calls_sk};
use bcce_core::ports::{CommitCall, ReserveCall};
use bcce_core::run::budgets::{Limit, Reserved};
use bcce_core::run::call_log::LoggedCall;
use bcce_core::run::ids::{RunRef, StepRef};
use rust_decimal::Decimal;

use super::{BudgetTable, change};
use crate::dynamodb::calls::{CALLS_LAST, COMMITTED_CALLS, LOGGED_CALLS, call_id};
use crate::dynamodb::change::{Change, Write};
use crate::dynamodb::item::{number, text};

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
        let amounts = call.reserved.iter().zip(limits).map(reserve);
        let writes = amounts.chain([Write::Change(log)]).collect();
        self.write("dynamodb:TransactWriteItems budget", writes, &run.run_id).await
    }
}

impl CommitCall for BudgetTable {
    async fn commit_call(
        &self,
        run: &RunRef,
        step: &StepRef,
        call: &LoggedCall,
        actual: &[Decimal],
    ) -> Result<bool, Fault> {
        let committed = committed(run, step, call);
        self.commit(committed, &call.reserved, actual, &run.run_id).await
    }
}

impl BudgetTable {
    /// Commits amounts together with `committed`, a write whose condition holds once. `seed` varies the pauses between
    /// tries. Returns `false` if the condition did not hold.
    pub(super) async fn commit(
        &self,
        committed: Write,
        reserved: &[Reserved],
        actual: &[Decimal],
        seed: &str,
    ) -> Result<bool, Fault> {
        let what = "dynamodb:TransactWriteItems commit";
        let mut changed = BTreeSet::new();
        // Each try finds the shards whose limit has changed, and there are no more of them than amounts.
        for _ in 0..=reserved.len() {
            let mut writes = vec![committed.clone()];
            // The position of the amount to which each write belongs.
            let mut places = vec![None];
            for (place, (reserved, actual)) in reserved.iter().zip(actual).enumerate() {
                let of_amount = spend(reserved, actual, changed.contains(&place));
                places.extend(of_amount.iter().map(|_| Some(place)));
                writes.extend(of_amount);
            }
            let refused = self.write(what, writes, seed).await?;
            let places: Vec<_> = refused.iter().map(|at| places[*at]).collect();
            if places.contains(&None) {
                return Ok(false);
            }
            if places.is_empty() {
                return Ok(true);
            }
            changed.extend(places.into_iter().flatten());
        }
        Err(Fault::internal(format!("{what}: the limits of the budgets are not known")))
    }
}

/// Returns the write that moves an amount from free to reserved, if the shard has it free under a limit at least as new.
pub(super) fn reserve((reserved, limit): (&Reserved, &Limit)) -> Write {
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
}

/// Returns the write that records in the call log that a call is committed.
fn committed(run: &RunRef, step: &StepRef, call: &LoggedCall) -> Write {
    let id = call_id(call);
    Write::Change(Change {
        key: call_key(run, step),
        update: format!("ADD {COMMITTED_CALLS} :calls"),
        condition: Some("NOT contains(committed_calls, :call)"),
        names: Default::default(),
        values: [
            (":calls".to_owned(), AttributeValue::Ss(vec![id.clone()])),
            (":call".to_owned(), text(&id)),
        ]
        .into(),
    })
}

/// Returns the writes that move an amount from reserved to spent. The rest is free again, unless the limit has changed.
/// Then it goes back to the root, which has the new limit.
fn spend(reserved: &Reserved, actual: &Decimal, has_changed: bool) -> Vec<Write> {
    let shard = budget_shard_pk(&reserved.counter, reserved.shard);
    let rest = reserved.amount - actual;
    let mut values = vec![("minus", number(-reserved.amount)), ("actual", number(actual))];
    if has_changed {
        let root = budget_pk(&reserved.counter);
        return vec![
            change(shard, "ADD #reserved :minus, #spent :actual", None, values),
            change(root, "ADD #leased :minus", None, [("minus", number(-rest))]),
        ];
    }
    values.extend([("rest", number(rest)), ("revision", number(reserved.revision))]);
    let update = "ADD #reserved :minus, #spent :actual, #free :rest";
    vec![change(shard, update, Some("#revision = :revision"), values)]
}

fn call_key(run: &RunRef, step: &StepRef) -> (String, String) {
    (calls_pk(&run.run_id, run.attempt_no), calls_sk(&step.step, step.item))
}
