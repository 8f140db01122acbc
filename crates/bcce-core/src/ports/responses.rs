//! The response cache in the ledger.

use crate::base::error::Fault;
use crate::call::response_cache::CachedResponse;

pub trait FindResponse {
    /// Returns the entry with the key `key`, which may have expired. An entry that cannot be read counts as missing.
    async fn find_response(&self, key: &str) -> Result<Option<CachedResponse>, Fault>;
}

pub trait EnterResponse {
    /// Enters an answer, in place of an older one. Safe to repeat.
    async fn enter_response(&self, key: &str, response: &CachedResponse) -> Result<(), Fault>;
}
