use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::config::webhook::Provider;

/// The secret of a signature. It is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// Parses a secret in the form that the provider issues. A line end after it is ignored, because it comes from the
    /// file that the secret was read from.
    ///
    /// # Errors
    /// Returns the reason if `text` is not a valid secret. The reason does not quote it.
    pub fn parse(provider: Provider, text: &str) -> Result<Self, String> {
        let text = text.trim_end_matches(['\r', '\n']);
        let bytes = match provider {
            Provider::StandardWebhooks => {
                let encoded = text.strip_prefix("whsec_").unwrap_or(text);
                STANDARD.decode(encoded).map_err(|_| "must be whsec_ and base64".to_owned())?
            }
            _ => text.as_bytes().to_vec(),
        };
        // Anyone could sign with an empty key.
        if bytes.is_empty() { Err("is empty".to_owned()) } else { Ok(Self(bytes)) }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}
