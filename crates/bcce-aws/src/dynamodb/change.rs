//! Updates of one item, and writes of a transaction.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::{
    AttributeValue, Delete, ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update,
};
use aws_smithy_types::error::operation::BuildError;
use bcce_core::base::error::Fault;

use super::item::{Item, key};

/// An update of one item of the ledger. If the condition does not hold, DynamoDB returns the existing item.
#[derive(Clone)]
pub(super) struct Change {
    pub key: (String, String),
    pub update: String,
    pub condition: Option<&'static str>,
    pub names: HashMap<String, String>,
    pub values: Item,
}

impl Change {
    /// Returns a change that sets the attributes of `item` and replaces existing values.
    pub fn setting(key: (String, String), item: Item, condition: &'static str) -> Self {
        let set: Vec<String> = item.keys().map(|name| format!("#{name} = :{name}")).collect();
        Self {
            key,
            update: format!("SET {}", set.join(", ")),
            condition: Some(condition),
            names: item.keys().map(|name| (format!("#{name}"), name.clone())).collect(),
            values: item.into_iter().map(|(name, value)| (format!(":{name}"), value)).collect(),
        }
    }

    /// Returns a change that adds to counters. The names of the counters are arbitrary, so the expression refers to
    /// them by number. The numbers are in hex, because an expression has at most 4 KB.
    pub fn adding(key: (String, String), counters: Vec<(String, AttributeValue)>) -> Self {
        let add: Vec<String> = (0..counters.len()).map(|n| format!("#c{n:x} :c{n:x}")).collect();
        let (mut names, mut values) = (HashMap::new(), Item::new());
        for (n, (name, value)) in counters.into_iter().enumerate() {
            names.insert(format!("#c{n:x}"), name);
            values.insert(format!(":c{n:x}"), value);
        }
        Self { key, update: format!("ADD {}", add.join(", ")), condition: None, names, values }
    }

    /// Returns a change that adds to counters and sets the attributes of `item`, which are the same in every change of
    /// the counters.
    pub fn adding_to(
        key: (String, String),
        item: Item,
        counters: Vec<(String, AttributeValue)>,
    ) -> Self {
        let set = Self::setting(key.clone(), item, "");
        let mut add = Self::adding(key, counters);
        add.update = format!("{} {}", set.update, add.update);
        add.names.extend(set.names);
        add.values.extend(set.values);
        add
    }

    fn update(self, table: &str) -> Result<Update, BuildError> {
        Update::builder()
            .table_name(table)
            .set_key(Some(key(&self.key.0, &self.key.1)))
            .update_expression(self.update)
            .set_condition_expression(self.condition.map(str::to_owned))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .set_expression_attribute_names(unless_empty(self.names))
            .set_expression_attribute_values(unless_empty(self.values))
            .build()
    }
}

/// Returns `None` for an empty map, which DynamoDB refuses.
pub(super) fn unless_empty<V>(map: HashMap<String, V>) -> Option<HashMap<String, V>> {
    (!map.is_empty()).then_some(map)
}

/// A write of a transaction.
#[derive(Clone)]
pub(super) enum Write {
    Change(Change),
    /// Deletes the item with this key, if it exists.
    Delete((String, String)),
}

impl Write {
    /// Returns the write as an element of a transaction on `table`.
    pub fn in_transaction(self, table: &str) -> Result<TransactWriteItem, Fault> {
        let item = TransactWriteItem::builder();
        let item = match self {
            Self::Change(change) => change.update(table).map(|update| item.update(update)),
            Self::Delete((pk, sk)) => {
                let delete = Delete::builder().table_name(table).set_key(Some(key(&pk, &sk)));
                delete.build().map(|delete| item.delete(delete))
            }
        };
        let item = item.map_err(|error| Fault::internal(error.to_string()))?;
        Ok(item.build())
    }
}
