//! Reads and writes the ledger. [`bcce_core::ledger`] describes its keys and items.

mod batches; // batch records
pub(crate) mod calls; // the call log
mod change; // an update of one item
pub(crate) mod conditional; // conditional writes and their outcomes
pub(crate) mod item; // items and their attributes
mod progress; // batch progress and halts
mod records; // the common part of run and batch records
mod runs; // run records and usage counters
mod slots; // slots of tenants

use aws_sdk_dynamodb::Client;
use aws_types::SdkConfig;

/// The ledger's table, for records of runs and batches, batch progress, slots and the call log.
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
}
