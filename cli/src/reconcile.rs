//! Compares the ledger with the bill: the lines of Amazon Bedrock in an AWS Cost and Usage Report 2.0.

pub mod bill; // sums the lines of the report
pub mod counted; // sums the ledger in the same form
pub mod differences; // names what differs
pub mod model; // the name of a model, as ids, products and usage types spell it
pub mod report; // reads the report: CSV, gzip or Parquet
pub mod usage_type; // the usage types of Bedrock

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use time::Date;

use model::ModelName;

/// A kind of token that is billed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Input,
    Output,
    CacheRead,
    CacheWrite5m,
    CacheWrite1h,
}

/// The properties that tokens with the same rate have in common.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    pub day: Date,
    pub region: String,
    pub model: ModelName,
    /// The service tier, such as `default`, or `batch`.
    pub tier: String,
    /// True for the global profile, which costs less than geographic ones.
    pub is_global: bool,
    /// True for the price of long prompts.
    pub is_long: bool,
    pub kind: Kind,
}

/// Tokens and their cost in USD.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    pub tokens: Decimal,
    pub cost: Decimal,
}

impl Amount {
    pub fn add(&mut self, other: Self) {
        self.tokens += other.tokens;
        self.cost += other.cost;
    }
}

/// Amounts by key.
pub type Amounts = BTreeMap<Key, Amount>;
