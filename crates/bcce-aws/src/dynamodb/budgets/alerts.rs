//! Reads and writes what the root of a counter records about alerts and refused calls.

use bcce_core::base::error::Fault;
use bcce_core::ledger::{COUNTER_SK, budget_pk, counters_pk};
use bcce_core::ports::{ClaimAlert, GiveUpAlert, ListCounters, NoteExceeded};
use bcce_core::run::budgets::Alerted;
use rust_decimal::Decimal;

use super::{ALL, BudgetTable};
use crate::dynamodb::Ledger;
use crate::dynamodb::change::{Change, Write};
use crate::dynamodb::item::{Item, number, number_of, text_of};

/// The attribute with the limit under which a call was refused.
pub(super) const EXCEEDED: &str = "exceeded_limit";
/// The attributes with the percentage of the last alert, and with the limit at that time.
const ALERTED: &str = "alerted_percent";
const ALERTED_LIMIT: &str = "alerted_limit";

/// Reads the last alert of a root.
pub(super) fn alerted(item: &Item) -> Option<Alerted> {
    Some(Alerted { percent: number_of(item, ALERTED)?, limit: number_of(item, ALERTED_LIMIT)? })
}

fn root_key(counter: &str) -> (String, String) {
    (budget_pk(counter), COUNTER_SK.to_owned())
}

impl NoteExceeded for BudgetTable {
    async fn note_exceeded(&self, counter: &str, limit: Decimal) -> Result<(), Fault> {
        let item = [(EXCEEDED.to_owned(), number(limit))].into();
        let change = Change { condition: None, ..Change::setting(root_key(counter), item, "") };
        let what = "dynamodb:TransactWriteItems exceeded";
        self.write(what, vec![Write::Change(change)], counter).await.map(drop)
    }
}

impl NoteExceeded for Ledger {
    async fn note_exceeded(&self, counter: &str, limit: Decimal) -> Result<(), Fault> {
        self.budgets().note_exceeded(counter, limit).await
    }
}

impl ListCounters for Ledger {
    async fn counter_values(&self, series: &str, window: &str) -> Result<Vec<String>, Fault> {
        let items =
            self.found("dynamodb:Query budgets", &counters_pk(series, window), false).await?;
        let values = items.iter().filter_map(|item| text_of(item, "sk"));
        Ok(values.map(|value| if value == ALL { String::new() } else { value.clone() }).collect())
    }
}

impl ClaimAlert for Ledger {
    async fn claim_alert(&self, counter: &str, alert: &Alerted) -> Result<bool, Fault> {
        let item = [
            (ALERTED.to_owned(), number(alert.percent)),
            (ALERTED_LIMIT.to_owned(), number(alert.limit)),
        ];
        let is_new = "attribute_not_exists(#alerted_percent) OR #alerted_percent < :alerted_percent \
                      OR #alerted_limit <> :alerted_limit";
        let change = Change::setting(root_key(counter), item.into(), is_new);
        Ok(self.change("dynamodb:UpdateItem alert", change).await?.is_done())
    }
}

impl GiveUpAlert for Ledger {
    async fn give_up_alert(&self, counter: &str, alert: &Alerted) -> Result<(), Fault> {
        let names = [ALERTED, ALERTED_LIMIT];
        let values = [
            (format!(":{ALERTED}"), number(alert.percent)),
            (format!(":{ALERTED_LIMIT}"), number(alert.limit)),
        ];
        let change = Change {
            key: root_key(counter),
            update: "REMOVE #alerted_percent, #alerted_limit".to_owned(),
            condition: Some(
                "#alerted_percent = :alerted_percent AND #alerted_limit = :alerted_limit",
            ),
            names: names.map(|name| (format!("#{name}"), name.to_owned())).into(),
            values: values.into(),
        };
        self.change("dynamodb:UpdateItem alert", change).await.map(drop)
    }
}
