//! Breakers, latencies and prompt caches of targets in the ledger.

use time::OffsetDateTime;

use crate::base::error::Fault;
use crate::failover::breaker::Breaker;
use crate::failover::latency::Histogram;

/// A breaker with its revision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredBreaker {
    pub breaker: Breaker,
    /// The number of times that it was written. 0 if never.
    pub revision: u64,
}

pub trait ReadBreakers {
    /// Reads the breakers of `keys`, in that order. A breaker that does not exist is returned as new.
    async fn read(&self, keys: &[String]) -> Result<Vec<StoredBreaker>, Fault>;
}

pub trait WriteBreaker {
    /// Writes a breaker. Returns `false` if another process has written it since `read`.
    async fn write(
        &self,
        key: &str,
        read: &StoredBreaker,
        now: OffsetDateTime,
    ) -> Result<bool, Fault>;
}

pub trait ReadLatencies {
    /// Reads the latencies of the targets `keys` in the time slots `slots`, in the order of `keys`.
    async fn latencies(&self, keys: &[String], slots: &[i64]) -> Result<Vec<Histogram>, Fault>;
}

pub trait CountLatency {
    /// Counts one call of a target in a latency bucket.
    async fn count(
        &self,
        key: &str,
        slot: i64,
        bucket: usize,
        now: OffsetDateTime,
    ) -> Result<(), Fault>;
}

pub trait ReadCaches {
    /// Lists the targets whose prompt cache holds `cache`, each with the time until which it does.
    async fn caches(&self, cache: &str) -> Result<Vec<(String, OffsetDateTime)>, Fault>;
}

pub trait NoteCache {
    /// Records that a target's prompt cache holds `cache` until `until`.
    async fn note(&self, cache: &str, key: &str, until: OffsetDateTime) -> Result<(), Fault>;
}
