//! Finds secrets that webhooks need and SSM does not have. The values of the secrets are never read.

use std::collections::{BTreeMap, BTreeSet};

use bcce_core::base::error::Fault;
use bcce_core::config::documents::parameter_name;
use bcce_core::config::webhook::Source;
use bcce_core::document::from_yaml;
use bcce_core::ports::ListParameters;

use crate::directory::Texts;
use crate::stack::Stack;

/// The names of SSM parameters, each with the files that need it.
type Needed = BTreeMap<String, BTreeSet<String>>;

/// Returns the secrets that the webhooks of a directory need.
fn needed(environment: &str, files: &Texts) -> Needed {
    let mut needed = Needed::new();
    for (file, text) in files.iter().filter(|(file, _)| file.starts_with("webhooks/")) {
        let secrets = from_yaml::<Source>(text).value.map(|source| source.secrets);
        for secret in secrets.unwrap_or_default() {
            let name = parameter_name(environment, &format!("secrets/{secret}"));
            needed.entry(name).or_default().insert(file.clone());
        }
    }
    needed
}

/// Returns a line for each secret that must be in SSM. Does not check that it is, because that needs AWS.
pub fn needed_of(environment: &str, files: &Texts) -> Vec<String> {
    let line = |(name, files): (&String, &BTreeSet<String>)| {
        let files = Vec::from_iter(files.iter().map(String::as_str)).join(", ");
        format!(
            "{files} needs the SecureString {name}; `bcce config push` reports it if it is missing"
        )
    };
    needed(environment, files).iter().map(line).collect()
}

/// Returns a line for each secret that is missing in SSM.
///
/// # Errors
/// `Bcce.Internal`: SSM could not be read, so nobody knows whether a secret is missing.
pub async fn missing(stack: &Stack, files: &Texts) -> Result<Vec<String>, Fault> {
    let needed = needed(&stack.environment, files);
    if needed.is_empty() {
        return Ok(Vec::new());
    }
    // The names suffice, so the values are not decrypted.
    let found = stack.parameters.below(&parameter_name(&stack.environment, "secrets")).await?;
    Ok(absent(needed, |name| found.contains_key(name)))
}

fn absent(needed: Needed, is_there: impl Fn(&str) -> bool) -> Vec<String> {
    let absent = needed.into_iter().filter(|(name, _)| !is_there(name));
    let line = |(name, files): (String, BTreeSet<String>)| {
        let files = Vec::from_iter(files).join(", ");
        format!(
            "the SecureString {name} of {files} is missing; calls that only this secret verifies are answered with 401; \
             docs/webhooks.md shows how to create it"
        )
    };
    absent.map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_secret_is_named_with_the_webhooks_that_need_it() {
        let source = "version: 1\nprovider: github\nsecrets: [one, two]\nrules: []\n";
        let files = [("webhooks/a.yaml", source), ("webhooks/b.yaml", source), ("policy.yaml", "")];
        let files = Texts::from(files.map(|(file, text)| (file.to_owned(), text.to_owned())));
        let lines = needed_of("prod", &files);
        assert_eq!(lines.len(), 2);
        assert!(lines[0].contains("webhooks/a.yaml, webhooks/b.yaml needs"), "{}", lines[0]);
        let lines = absent(needed("prod", &files), |name| name.ends_with("/one"));
        assert_eq!(lines.len(), 1);
        assert!(lines[0].contains("/bcce/prod/secrets/two of webhooks/a.yaml, webhooks/b.yaml"));
    }
}
