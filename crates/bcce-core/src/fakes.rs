//! In-memory ports for unit tests; the store fails on request.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use time::OffsetDateTime;

use crate::error::Fault;
use crate::ports::{Clock, GetObject, GetParameters, ListObjects, Put, PutOnce};

/// A bucket.
#[derive(Default)]
pub struct MemoryStore {
    pub objects: RefCell<BTreeMap<String, Vec<u8>>>,
    /// Which of the next calls fails, counted from 1; 0: none.
    pub failing: Cell<u32>,
}

impl MemoryStore {
    pub fn with(objects: impl IntoIterator<Item = (String, Vec<u8>)>) -> Self {
        Self { objects: RefCell::new(objects.into_iter().collect()), failing: Cell::new(0) }
    }

    pub fn json(&self, key: &str) -> serde_json::Value {
        let objects = self.objects.borrow();
        let body =
            objects.get(key).unwrap_or_else(|| panic!("{key} is not among {:?}", objects.keys()));
        serde_json::from_slice(body).unwrap()
    }

    fn fault(&self) -> Result<(), Fault> {
        let left = self.failing.get();
        self.failing.set(left.saturating_sub(1));
        match left {
            1 => Err(Fault::internal("the store was told to fail")),
            _ => Ok(()),
        }
    }
}

impl GetObject for MemoryStore {
    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Fault> {
        self.fault()?;
        Ok(self.objects.borrow().get(key).cloned())
    }
}

impl PutOnce for MemoryStore {
    async fn put_once(&self, key: &str, _run_id: &str, body: &[u8]) -> Result<Put, Fault> {
        self.fault()?;
        let mut objects = self.objects.borrow_mut();
        if objects.contains_key(key) {
            return Ok(Put::Existed);
        }
        objects.insert(key.to_owned(), body.to_vec());
        Ok(Put::Stored)
    }
}

impl ListObjects for MemoryStore {
    async fn list(&self, prefix: &str) -> Result<Vec<String>, Fault> {
        self.fault()?;
        Ok(self.objects.borrow().keys().filter(|key| key.starts_with(prefix)).cloned().collect())
    }
}

/// Parameters by name.
pub struct MemoryParameters(pub BTreeMap<String, String>);

impl GetParameters for MemoryParameters {
    async fn parameters(&self, names: &[String]) -> Result<BTreeMap<String, String>, Fault> {
        let known = names.iter().filter_map(|name| Some((name.clone(), self.0.get(name)?.clone())));
        Ok(known.collect())
    }
}

/// A clock that stands still.
pub struct StoppedClock(pub OffsetDateTime);

impl Clock for StoppedClock {
    fn now(&self) -> OffsetDateTime {
        self.0
    }
}
