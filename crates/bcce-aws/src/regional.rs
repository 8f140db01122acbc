//! A client for each region, created on its first use.

use std::cell::RefCell;
use std::collections::BTreeMap;

use aws_types::SdkConfig;

/// The clients of one service in any region.
pub(crate) struct Regional<C> {
    config: SdkConfig,
    endpoint: Option<String>,
    make: fn(&SdkConfig, &str, Option<&str>) -> C,
    clients: RefCell<BTreeMap<String, C>>,
}

impl<C: Clone> Regional<C> {
    /// Returns clients that `make` creates from `config`, a region and its endpoint. `endpoint` replaces AWS's own
    /// endpoint; `{region}` in it stands for the region.
    pub fn new(
        config: &SdkConfig,
        endpoint: Option<String>,
        make: fn(&SdkConfig, &str, Option<&str>) -> C,
    ) -> Self {
        Self { config: config.clone(), endpoint, make, clients: RefCell::default() }
    }

    pub fn client(&self, region: &str) -> C {
        let mut clients = self.clients.borrow_mut();
        let new = || (self.make)(&self.config, region, self.endpoint.as_deref());
        clients.entry(region.to_owned()).or_insert_with(new).clone()
    }

    #[cfg(test)]
    pub fn insert(&self, region: &str, client: C) {
        self.clients.borrow_mut().insert(region.to_owned(), client);
    }
}
