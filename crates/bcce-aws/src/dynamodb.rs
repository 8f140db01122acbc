//! Reads and writes the ledger. [`bcce_core::ledger`] describes its keys and items.

mod attempts; // which attempts are over
mod batches; // batch records
pub(crate) mod budgets; // counters of budgets
pub(crate) mod calls; // the call log
mod canary; // canary calls and reported findings
mod change; // an update of one item
pub(crate) mod conditional; // conditional writes and their outcomes
pub(crate) mod item; // items and their attributes
mod counted; // parts that are counted
pub mod listing; // the index of the records of a day
mod parts; // parts of packed batches: owners, progress, calls
mod places; // places of packed runs
mod progress; // batch progress and halts
mod records; // the common part of run and batch records
mod runs; // run records
mod slots; // slots of tenants
mod usage; // usage counters

use aws_sdk_dynamodb::Client;
use aws_types::SdkConfig;
use bcce_core::base::error::Fault;

use crate::fault::internal;
use item::{Item, text};

/// The ledger's table, for records of runs and batches, batch progress, parts of packed batches, slots and
/// the call log.
/// [`HealthTable`](crate::health::HealthTable) has the rest of the table.
pub struct Ledger {
    client: Client,
    table: String,
}

impl Ledger {
    /// Creates the adapter for the table named `table`.
    pub fn new(config: &SdkConfig, table: &str) -> Self {
        Self { client: Client::new(config), table: table.to_owned() }
    }

    /// Reads all items with the partition key `pk`, page by page. The read is consistent: a missing item has not been
    /// written.
    async fn items(&self, what: &str, pk: &str) -> Result<Vec<Item>, Fault> {
        self.found(what, pk, true).await
    }

    /// Reads all items with the partition key `pk`, page by page.
    async fn found(&self, what: &str, pk: &str, is_consistent: bool) -> Result<Vec<Item>, Fault> {
        let query = self
            .client
            .query()
            .table_name(&self.table)
            .consistent_read(is_consistent)
            .key_condition_expression("pk = :pk")
            .expression_attribute_values(":pk", text(pk));
        let pages = query.into_paginator().items().send();
        let items: Result<Vec<Item>, _> = Box::pin(pages.collect()).await;
        items.map_err(|error| internal(what, &error))
    }
}
