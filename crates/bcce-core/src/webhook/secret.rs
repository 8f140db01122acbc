use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::config::webhook::Provider;

/// What a signature is checked with. It is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// As the provider hands it out. A line end behind it comes from the file it was read from.
    ///
    /// # Errors
    /// Why it is none; not what it is.
    pub fn parse(provider: Provider, text: &str) -> Result<Self, String> {
        let text = text.trim_end_matches(['\r', '\n']);
        let bytes = match provider {
            Provider::StandardWebhooks => {
                let encoded = text.strip_prefix("whsec_").unwrap_or(text);
                STANDARD.decode(encoded).map_err(|_| "must be whsec_ and base64".to_owned())?
            }
            _ => text.as_bytes().to_vec(),
        };
        // Anybody can sign with an empty key.
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
