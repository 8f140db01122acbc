//! Creates a client on its first use. Creating a client takes about 0.6 M instructions, a third of the budget for the
//! start of a function. Use this type for clients that most invocations do not need. Create the clients that every
//! invocation needs at the start of the function, which runs with more CPU.

use std::cell::OnceCell;

use aws_types::SdkConfig;

/// A client that is created on its first use.
pub(crate) struct Lazily<C> {
    config: SdkConfig,
    make: fn(&SdkConfig) -> C,
    client: OnceCell<C>,
}

impl<C> Lazily<C> {
    /// Returns a client that `make` creates from `config` on the first use.
    pub fn new(config: &SdkConfig, make: fn(&SdkConfig) -> C) -> Self {
        Self { config: config.clone(), make, client: OnceCell::new() }
    }

    pub fn get(&self) -> &C {
        self.client.get_or_init(|| (self.make)(&self.config))
    }
}

#[cfg(test)]
impl<C> From<C> for Lazily<C> {
    fn from(client: C) -> Self {
        let unused = |_: &SdkConfig| -> C { unreachable!("the client exists") };
        Self { config: SdkConfig::builder().build(), make: unused, client: OnceCell::from(client) }
    }
}
