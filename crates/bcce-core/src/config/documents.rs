//! The documents in SSM: the text itself, or a pointer to a body in S3.

use serde::{Deserialize, Serialize};

use crate::base::digest::sha256_hex;

/// A standard SSM parameter ends at 4 KiB.
const MAX_PARAMETER_BYTES: usize = 4_096;

/// `{ "uri": "s3://bucket/key", "sha256": "…" }`: where SSM refuses the body itself, because it is
/// above 4 KiB or contains `{{ }}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pointer {
    pub uri: String,
    pub sha256: String,
}

impl Pointer {
    pub fn to(bucket: &str, key: &str, body: &[u8]) -> Self {
        Self { uri: format!("s3://{bucket}/{key}"), sha256: sha256_hex(body) }
    }

    pub fn parse(value: &str) -> Option<Self> {
        serde_json::from_str(value).ok()
    }

    /// Returns whether `value` looks like a pointer, be it a valid one or not.
    pub fn is_meant_by(value: &str) -> bool {
        let object: Option<serde_json::Map<_, _>> = serde_json::from_str(value).ok();
        object.is_some_and(|object| object.contains_key("uri") || object.contains_key("sha256"))
    }

    /// Returns the key in `bucket`, or `None`: a pointer must not lead out of the stack's own bucket.
    pub fn key_in(&self, bucket: &str) -> Option<&str> {
        self.uri.strip_prefix("s3://")?.strip_prefix(bucket)?.strip_prefix('/')
    }
}

/// Returns whether SSM takes `body` as a value.
pub fn fits_parameter(body: &str) -> bool {
    body.len() <= MAX_PARAMETER_BYTES && !body.contains("{{") && !body.is_empty()
}

/// Returns `/bcce/<env>/<name>`.
pub fn parameter_name(environment: &str, name: &str) -> String {
    format!("/bcce/{environment}/{name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_leads_into_its_own_bucket_only() {
        let pointer = Pointer::to("mine", "config/x.yaml", b"");
        assert_eq!(pointer.key_in("mine"), Some("config/x.yaml"));
        assert_eq!(pointer.key_in("min"), None);
        assert_eq!(pointer.key_in("theirs"), None);
    }

    #[test]
    fn what_ssm_refuses_does_not_fit() {
        assert!(fits_parameter("version: 1"));
        assert!(!fits_parameter("{{ inputs.x }}"));
        assert!(!fits_parameter(&"x".repeat(4_097)));
    }
}
