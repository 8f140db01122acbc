//! The response cache in memory.

use crate::base::error::Fault;
use crate::call::response_cache::CachedResponse;
use crate::fakes::MemoryHealth;
use crate::ports::{EnterResponse, FindResponse};

impl FindResponse for &MemoryHealth {
    async fn find_response(&self, key: &str) -> Result<Option<CachedResponse>, Fault> {
        self.answer()?;
        Ok(self.responses.borrow().get(key).cloned())
    }
}

impl EnterResponse for &MemoryHealth {
    async fn enter_response(&self, key: &str, response: &CachedResponse) -> Result<(), Fault> {
        self.answer()?;
        self.responses.borrow_mut().insert(key.to_owned(), response.clone());
        Ok(())
    }
}
