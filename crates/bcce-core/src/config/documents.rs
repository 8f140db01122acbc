//! Documents in SSM parameters. A parameter holds the text itself, or a pointer to the text in S3.

use serde::{Deserialize, Serialize};

use crate::base::digest::sha256_hex;

/// The name of the document with the inference profiles, which `config push` writes and no file holds.
pub const PROFILES: &str = "profiles";

/// The name of the document with the budgets, which an environment need not have.
pub const BUDGETS: &str = "budgets";

/// The size limit of a standard SSM parameter, in bytes.
const MAX_PARAMETER_BYTES: usize = 4_096;

/// A pointer to a document in S3: `{ "uri": "s3://bucket/key", "sha256": "…" }`. SSM refuses a text that is longer than
/// 4 KiB or contains `{{ }}`, so the parameter holds a pointer instead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pointer {
    pub uri: String,
    pub sha256: String,
}

impl Pointer {
    /// Creates a pointer to the object `key`, whose content is `body`.
    pub fn to(bucket: &str, key: &str, body: &[u8]) -> Self {
        Self { uri: format!("s3://{bucket}/{key}"), sha256: sha256_hex(body) }
    }

    /// Parses a pointer. Returns `None` if `value` is not one.
    pub fn parse(value: &str) -> Option<Self> {
        serde_json::from_str(value).ok()
    }

    /// Returns `true` if `value` looks like a pointer, valid or not.
    pub fn is_meant_by(value: &str) -> bool {
        let object: Option<serde_json::Map<_, _>> = serde_json::from_str(value).ok();
        object.is_some_and(|object| object.contains_key("uri") || object.contains_key("sha256"))
    }

    /// Returns the key in `bucket`. Returns `None` if the pointer leads to another bucket, which is not allowed.
    pub fn key_in(&self, bucket: &str) -> Option<&str> {
        self.uri.strip_prefix("s3://")?.strip_prefix(bucket)?.strip_prefix('/')
    }
}

/// Returns `true` if SSM accepts `body` as the value of a parameter.
pub fn fits_parameter(body: &str) -> bool {
    body.len() <= MAX_PARAMETER_BYTES && !body.contains("{{") && !body.is_empty()
}

/// Returns the name of a document's parameter, `/bcce/<environment>/<name>`.
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
