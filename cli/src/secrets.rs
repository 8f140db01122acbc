//! Secrets that webhooks name. Their values are never read here.

use std::collections::{BTreeMap, BTreeSet};

use bcce_core::config::documents::parameter_name;
use bcce_core::config::webhook::Source;
use bcce_core::document::from_yaml;
use bcce_core::ports::ListParameters;

use crate::directory::Texts;
use crate::stack::Stack;

/// Names of SSM parameters, each with the files that name it.
type Needed = BTreeMap<String, BTreeSet<String>>;

/// Returns what the webhooks of a directory need.
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

/// Returns a line for each secret that must be in SSM. Whether it is there is not known offline.
pub fn needed_of(environment: &str, files: &Texts) -> Vec<String> {
    let line = |(name, files): (&String, &BTreeSet<String>)| {
        let files = Vec::from_iter(files.iter().map(String::as_str)).join(", ");
        format!(
            "{files} needs the SecureString {name}; `bcce config push` says whether it is missing"
        )
    };
    needed(environment, files).iter().map(line).collect()
}

/// Returns a line for each secret that is missing in SSM, or one that they could not be checked.
pub async fn missing(stack: &Stack, files: &Texts) -> Vec<String> {
    let needed = needed(&stack.environment, files);
    if needed.is_empty() {
        return Vec::new();
    }
    // Without decryption: the names suffice.
    match stack.parameters.below(&parameter_name(&stack.environment, "secrets")).await {
        Ok(found) => absent(needed, |name| found.contains_key(name)),
        Err(fault) => {
            vec![format!("the secrets of webhooks could not be checked: {}", fault.message)]
        }
    }
}

fn absent(needed: Needed, is_there: impl Fn(&str) -> bool) -> Vec<String> {
    let absent = needed.into_iter().filter(|(name, _)| !is_there(name));
    let line = |(name, files): (String, BTreeSet<String>)| {
        let files = Vec::from_iter(files).join(", ");
        format!(
            "the SecureString {name} of {files} is missing, so calls that only it verifies are answered 401; \
             docs/webhooks.md says how to put it"
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
