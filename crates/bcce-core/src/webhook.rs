//! Verifies a provider's signed call and maps it to requests. The function provides the source, the secrets and the
//! clock.

mod event; // the name, payload and id of a signed body
mod mapping; // the rules that turn an event into requests
mod secret; // the secret of a signature
mod signature; // the check of a signature over the raw body
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

pub use event::Event;
pub use mapping::{Mapped, requests};
pub use secret::Secret;
pub use signature::{Refusal, check_form, verify};

/// A call of the webhook, as it was received.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// The headers, by their names in lower case.
    pub headers: &'a BTreeMap<String, String>,
    /// The raw body. Signatures cover its exact bytes.
    pub body: &'a [u8],
}

impl<'a> Call<'a> {
    fn header(&self, name: &str) -> Option<&'a str> {
        self.headers.get(name).map(|value| value.trim())
    }
}
