//! The use of AWS besides models: the kinds that AWS charges for, with a count of each.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A kind of use that AWS charges for. The names are those of manifests, of the ledger's counters and of
/// `platform_prices.yaml`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Charge {
    /// State transitions of Step Functions.
    Transitions,
    /// Function calls of Lambda.
    FunctionCalls,
    /// The time of functions in milliseconds, times their memory in GB.
    GbMilliseconds,
    /// Objects written to S3, and listings.
    S3Writes,
    /// Objects read from S3.
    S3Reads,
    /// The requests of S3 to KMS for the objects that it encrypts and decrypts.
    KmsRequests,
    /// Signatures that KMS makes or checks.
    Signatures,
    /// Write units of DynamoDB.
    WriteUnits,
    /// Read units of DynamoDB, in halves: an eventually consistent read takes one.
    HalfReadUnits,
    /// The events that S3 sends to EventBridge: when an object is created, and when it expires.
    ObjectEvents,
    /// Requests to SQS.
    SqsRequests,
    /// Messages to SNS.
    SnsMessages,
}

impl Charge {
    pub const ALL: [Self; 12] = [
        Self::Transitions,
        Self::FunctionCalls,
        Self::GbMilliseconds,
        Self::S3Writes,
        Self::S3Reads,
        Self::KmsRequests,
        Self::Signatures,
        Self::WriteUnits,
        Self::HalfReadUnits,
        Self::ObjectEvents,
        Self::SqsRequests,
        Self::SnsMessages,
    ];

    /// Returns the name, such as `transitions`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Transitions => "transitions",
            Self::FunctionCalls => "function_calls",
            Self::GbMilliseconds => "gb_milliseconds",
            Self::S3Writes => "s3_writes",
            Self::S3Reads => "s3_reads",
            Self::KmsRequests => "kms_requests",
            Self::Signatures => "signatures",
            Self::WriteUnits => "write_units",
            Self::HalfReadUnits => "half_read_units",
            Self::ObjectEvents => "object_events",
            Self::SqsRequests => "sqs_requests",
            Self::SnsMessages => "sns_messages",
        }
    }
}

/// The use that a run or a part of a batch makes of AWS besides models. A kind that is not taken is missing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "BTreeMap<String, u64>")]
pub struct PlatformUse(BTreeMap<Charge, u64>);

/// Reads the kinds that this version knows. A manifest of a later version may have further ones.
impl From<BTreeMap<String, u64>> for PlatformUse {
    fn from(counts: BTreeMap<String, u64>) -> Self {
        let count = |charge: Charge| Some((charge, *counts.get(charge.name())?));
        Charge::ALL.into_iter().filter_map(count).collect()
    }
}

impl PlatformUse {
    /// Adds `count` of a kind.
    pub fn take(&mut self, charge: Charge, count: u64) {
        if count > 0 {
            *self.0.entry(charge).or_default() += count;
        }
    }

    /// Adds another use.
    pub fn add(&mut self, other: &Self) {
        other.iter().for_each(|(charge, count)| self.take(charge, count));
    }

    /// Returns the share that the runs from `first` on have, up to but without `end`, of a use by `all` runs. The
    /// shares of all runs add up to the use.
    pub fn share(&self, first: u64, end: u64, all: u64) -> Self {
        let until = |count: u64, run: u64| count * run / all.max(1);
        self.iter()
            .map(|(charge, count)| (charge, until(count, end) - until(count, first)))
            .collect()
    }

    /// Returns the count of a kind.
    pub fn count(&self, charge: Charge) -> u64 {
        self.0.get(&charge).copied().unwrap_or_default()
    }

    /// Returns the kinds that are taken, with their counts.
    pub fn iter(&self) -> impl Iterator<Item = (Charge, u64)> {
        self.0.iter().map(|(charge, count)| (*charge, *count))
    }

    /// Returns true if nothing is taken.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<(Charge, u64)> for PlatformUse {
    fn from_iter<T: IntoIterator<Item = (Charge, u64)>>(charges: T) -> Self {
        let mut used = Self::default();
        charges.into_iter().for_each(|(charge, count)| used.take(charge, count));
        used
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_use_is_written_by_the_names_of_its_kinds() {
        let used: PlatformUse = Charge::ALL.map(|charge| (charge, 2)).into_iter().collect();
        let json = serde_json::to_value(&used).unwrap();
        let names = Charge::ALL.map(|charge| (charge.name().to_owned(), 2.into()));
        assert_eq!(json, serde_json::Value::Object(names.into_iter().collect()));
        assert_eq!(serde_json::from_value::<PlatformUse>(json).unwrap(), used);
    }

    #[test]
    fn the_shares_of_all_runs_add_up_to_the_use() {
        let used: PlatformUse =
            [(Charge::Transitions, 7), (Charge::Signatures, 1)].into_iter().collect();
        let shares = [(0, 1), (1, 2), (2, 3)].map(|(first, end)| used.share(first, end, 3));
        assert_eq!(shares.each_ref().map(|share| share.count(Charge::Transitions)), [2, 2, 3]);
        let mut sum = PlatformUse::default();
        shares.iter().for_each(|share| sum.add(share));
        assert_eq!(sum, used);
        assert!(used.share(0, 0, 0).is_empty());
    }

    #[test]
    fn uses_add_up_and_nothing_is_not_written() {
        let mut used: PlatformUse =
            [(Charge::S3Reads, 2), (Charge::Signatures, 0)].into_iter().collect();
        used.add(&[(Charge::S3Reads, 3), (Charge::S3Writes, 1)].into_iter().collect());
        assert_eq!((used.count(Charge::S3Reads), used.count(Charge::Signatures)), (5, 0));
        assert_eq!(serde_json::to_string(&used).unwrap(), r#"{"s3_writes":1,"s3_reads":5}"#);
        let later = r#"{"s3_writes":1,"s3_reads":5,"moon_shots":1}"#;
        assert_eq!(serde_json::from_str::<PlatformUse>(later).unwrap(), used);
    }
}
