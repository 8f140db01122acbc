//! The ledger. Keys and items are described in `bcce_core::ledger`.

mod batches; // records of batches
pub(crate) mod calls; // calls that were logged before they were made
mod change; // an update of one item
pub(crate) mod conditional; // writes with a condition, and what it means that it did not hold
pub(crate) mod item; // attributes, written and read
mod progress; // what of a batch is over, and who halted it
mod records; // what records of runs and of batches have in common
mod runs; // records of runs, and counters of usage
mod slots; // what a tenant has under way

use aws_sdk_dynamodb::Client;
use aws_types::SdkConfig;

pub struct Ledger {
    client: Client,
    table: String,
}

impl Ledger {
    pub fn new(config: &SdkConfig, table: &str) -> Self {
        Self { client: Client::new(config), table: table.to_owned() }
    }
}
