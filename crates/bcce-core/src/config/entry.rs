//! A document in the form in which a stack stores it.

use crate::base::digest::sha256_hex;
use crate::config::directory::FOLDERS;
use crate::config::documents::{Pointer, fits_parameter};

/// The value of a document's parameter, and the object that it points to.
#[derive(Debug, PartialEq)]
pub struct Entry {
    /// The value of the SSM parameter: the text itself, or a pointer to it.
    pub value: String,
    /// The key of the object with the text, if the value is a pointer.
    pub key: Option<String>,
}

impl Entry {
    /// Returns the entry of the document `name`. Workflows and webhooks are always stored in S3, because SSM refuses
    /// `{{ }}` and one rule for both is simpler.
    pub fn of(bucket: &str, name: &str, text: &str) -> Self {
        if fits_parameter(text) && !FOLDERS.iter().any(|folder| name.starts_with(folder)) {
            return Self { value: text.to_owned(), key: None };
        }
        let key = format!("config/{name}/{}.yaml", sha256_hex(text.as_bytes()));
        let pointer = Pointer::to(bucket, &key, text.as_bytes());
        Self { value: serde_json::to_string(&pointer).unwrap_or_default(), key: Some(key) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_document_is_kept_inline_and_a_large_one_pointed_to() {
        let entry = |name, text| Entry::of("b", name, text);
        let small = entry("policy", "version: 1\n");
        assert_eq!((small.value.as_str(), small.key), ("version: 1\n", None));
        let large = entry("prices", &"#".repeat(5_000));
        let pointer = Pointer::parse(&large.value).unwrap();
        assert_eq!(pointer.key_in("b"), large.key.as_deref());
        assert_eq!(large.key, Some(format!("config/prices/{}.yaml", pointer.sha256)));
    }

    #[test]
    fn a_workflow_is_always_pointed_to() {
        let entry = Entry::of("b", "workflows/explain", "version: 1\n");
        assert!(entry.key.is_some_and(|key| key.starts_with("config/workflows/explain/")));
    }
}
