//! What is known of targets in the ledger.

use time::OffsetDateTime;

use crate::base::error::Fault;
use crate::failover::breaker::Breaker;
use crate::failover::latency::Histogram;

/// A breaker, and how often it was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredBreaker {
    pub breaker: Breaker,
    /// 0: it never was.
    pub revision: u64,
}

pub trait ReadBreakers {
    /// The breakers of targets, by key and in the order of the keys. One that is not there is as new.
    async fn read(&self, keys: &[String]) -> Result<Vec<StoredBreaker>, Fault>;
}

pub trait WriteBreaker {
    /// Writes a breaker. Returns `false` if another process has written since `read`.
    async fn write(
        &self,
        key: &str,
        read: &StoredBreaker,
        now: OffsetDateTime,
    ) -> Result<bool, Fault>;
}

pub trait ReadLatencies {
    /// How long targets took in the slots, by key and in the order of the keys.
    async fn latencies(&self, keys: &[String], slots: &[i64]) -> Result<Vec<Histogram>, Fault>;
}

pub trait CountLatency {
    /// Counts one call of a target.
    async fn count(
        &self,
        key: &str,
        slot: i64,
        bucket: usize,
        now: OffsetDateTime,
    ) -> Result<(), Fault>;
}

pub trait ReadCaches {
    /// The targets, by key, whose prompt cache holds what is known under `cache`, and until when.
    async fn caches(&self, cache: &str) -> Result<Vec<(String, OffsetDateTime)>, Fault>;
}

pub trait NoteCache {
    /// Notes that a target's prompt cache holds what is known under `cache`.
    async fn note(&self, cache: &str, key: &str, until: OffsetDateTime) -> Result<(), Fault>;
}
