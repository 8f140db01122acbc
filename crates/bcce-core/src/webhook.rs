//! A provider's signed call, and the requests that it becomes. Source, secrets and clock come from the function.

mod event; // what a signed body says: its name, its payload, its id
mod mapping; // an event by the rules -> requests
mod secret; // what a signature is checked with
mod signature; // who signed the raw body, and when
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

pub use event::Event;
pub use mapping::{Mapped, requests};
pub use secret::Secret;
pub use signature::{Refusal, check_form, verify};

/// A call as it came.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// By their names in lower case.
    pub headers: &'a BTreeMap<String, String>,
    /// The raw body: signatures cover its bytes, not what they mean.
    pub body: &'a [u8],
}

impl<'a> Call<'a> {
    fn header(&self, name: &str) -> Option<&'a str> {
        self.headers.get(name).map(|value| value.trim())
    }
}
