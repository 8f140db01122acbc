//! Checks the documents of the configuration in SSM, and the secrets that webhooks name.

use std::collections::BTreeMap;

use bcce_core::base::error::Fault;
use bcce_core::config::directory::{self, DOCUMENTS, FOLDERS};
use bcce_core::config::documents::parameter_name;
use bcce_core::ports::{GetParameters, ListParameters};
use futures::stream::{StreamExt, iter};
use time::Date;

use super::Check;
use crate::directory::Texts;
use crate::documents::{Kept, kept};
use crate::secrets;
use crate::stack::Stack;

/// The number of objects that are read at a time.
const AT_A_TIME: usize = 8;

/// The documents in the stack by their file, such as `workflows/explain.yaml`.
pub type Documents = BTreeMap<String, Kept>;

/// Reads the documents. One that cannot be read does not keep the others from being read.
///
/// # Errors
/// `Bcce.Internal`: SSM cannot be read.
pub async fn read(stack: &Stack) -> Result<Documents, Fault> {
    let names = DOCUMENTS.map(|name| parameter_name(&stack.environment, name));
    let found = stack.parameters.parameters(&names).await?.into_iter();
    let mut values: BTreeMap<String, String> =
        found.map(|(name, parameter)| (name, parameter.value)).collect();
    for folder in FOLDERS {
        values.extend(stack.parameters.below(&parameter_name(&stack.environment, folder)).await?);
    }
    let (store, bucket) = (&stack.store, &stack.outputs.artifact_bucket);
    let prefix = parameter_name(&stack.environment, "");
    let read = values.iter().map(async |(parameter, value)| {
        let text = kept(store, bucket, value).await;
        let text = text.unwrap_or_else(|fault| Err(format!("cannot be read: {}", fault.message)));
        (format!("{}.yaml", parameter.trim_start_matches(&prefix)), text)
    });
    Ok(iter(read).buffer_unordered(AT_A_TIME).collect().await)
}

/// Returns the documents that could be read.
pub fn texts(documents: &Documents) -> Texts {
    let whole = |(file, kept): (&String, &Kept)| Some((file.clone(), kept.as_ref().ok()?.clone()));
    documents.iter().filter_map(whole).collect()
}

/// The lines about secrets that are missing.
pub type MissingSecrets = Result<Vec<String>, Fault>;

/// Finds the secrets that are missing.
///
/// # Errors
/// `Bcce.Internal`: SSM cannot be read.
pub async fn missing_secrets(stack: &Stack, documents: &Documents) -> MissingSecrets {
    secrets::missing(stack, &texts(documents)).await
}

pub fn check(documents: &Documents, missing_secrets: &MissingSecrets, today: Date) -> Vec<Check> {
    let mut checks: Vec<Check> = documents.iter().filter_map(broken).collect();
    let texts = texts(documents);
    let is_new = |file: &str| !matches!(documents.get(file), Some(Err(_)));
    // A document that could not be read is not missing.
    let invalid = directory::check(&texts).into_iter().filter(|finding| is_new(&finding.file));
    checks.extend(
        invalid.map(|finding| {
            Check::fail("document", &finding.file, finding.problem.to_string(), PUSH)
        }),
    );
    checks.extend(old_prices(&texts, today));
    checks.extend(secrets_of(missing_secrets));
    let found: Vec<String> = checks.iter().map(|check| check.subject.clone()).collect();
    let valid = texts.keys().filter(|file| !found.contains(file));
    checks.extend(valid.map(|file| Check::pass("document", file, "valid")));
    checks
}

const PUSH: &str = "`bcce config diff DIR` shows the difference to your directory, `bcce config push DIR` corrects it";

/// Returns the failure of a document whose text cannot be read.
fn broken((file, kept): (&String, &Kept)) -> Option<Check> {
    let cause = kept.as_ref().err()?;
    let name = match cause.split(':').next() {
        Some("sha256") => "digest",
        Some("uri") => "pointer",
        _ => "document",
    };
    Some(Check::fail(name, file, cause.as_str(), PUSH))
}

/// Returns the warning about prices that nobody has checked for long. The other warnings of a directory are about
/// settings that somebody has chosen, and `bcce config validate` prints them.
fn old_prices(texts: &Texts, today: Date) -> Vec<Check> {
    let warnings = directory::warnings(texts, today).into_iter();
    let of_prices = warnings.filter(|warning| warning.file == "prices.yaml");
    let remedy = "`bcce prices import` compares them with a catalog; then set the date and `bcce config push DIR`";
    let warn = |warning: directory::Finding| {
        Check::warn("prices", &warning.file, warning.problem.to_string(), remedy)
    };
    of_prices.map(warn).collect()
}

/// Returns the failures of secrets that are missing, or the warning that they could not be read.
fn secrets_of(missing: &MissingSecrets) -> Vec<Check> {
    let (name, subject) = ("secret", "webhooks");
    let remedy = "create it as docs/webhooks.md says: `aws ssm put-parameter --type SecureString --name NAME --value file://FILE --key-id KEY`";
    match missing {
        Ok(lines) => {
            lines.iter().map(|line| Check::fail(name, subject, line.as_str(), remedy)).collect()
        }
        Err(fault) => vec![Check::unread(name, subject, fault)],
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::doctor::State;
    use time::macros::date;

    const TODAY: Date = date!(2026 - 11 - 30);

    /// Returns the shipped configuration.
    pub fn shipped() -> Documents {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../infra/config/dev");
        let files = crate::directory::checked(&root, None, crate::exit::Exit::Usage, "").unwrap();
        files.into_iter().map(|(file, text)| (file, Ok(text))).collect()
    }

    fn found(documents: &Documents, secrets: &[&str], today: Date) -> Vec<Check> {
        let secrets = secrets.iter().map(|line| line.to_string()).collect();
        let mut checks = check(documents, &Ok(secrets), today);
        checks.retain(|check| check.state != State::Pass);
        checks
    }

    #[test]
    fn the_shipped_documents_have_no_finding() {
        assert_eq!(found(&shipped(), &[], TODAY), []);
        assert_eq!(check(&shipped(), &Ok(vec![]), TODAY).len(), shipped().len());
    }

    #[test]
    fn a_missing_and_a_broken_document_are_named() {
        let mut documents = shipped();
        documents.remove("models.yaml");
        documents.insert("policy.yaml".into(), Ok("version: 1\nallowed: []\n".into()));
        let found = found(&documents, &[], TODAY);
        let subjects: Vec<&str> = found.iter().map(|check| &*check.subject).collect();
        assert!(subjects.contains(&"models.yaml") && subjects.contains(&"policy.yaml"));
        assert!(found.iter().all(|check| check.remedy.contains("bcce config push DIR")));
    }

    #[test]
    fn a_pointer_to_nothing_and_a_wrong_digest_are_told_apart() {
        for (cause, name) in [("uri: there is no x", "pointer"), ("sha256: x has y", "digest")] {
            let mut documents = shipped();
            documents.insert("routing.yaml".into(), Err(cause.into()));
            let found = found(&documents, &[], TODAY);
            assert_eq!(found.len(), 1, "{found:?}");
            assert_eq!((found[0].name, found[0].state), (name, State::Fail));
        }
    }

    #[test]
    fn old_prices_and_missing_secrets_are_found() {
        let secrets = ["the SecureString /bcce/dev/secrets/a is missing"];
        let found = found(&shipped(), &secrets, date!(2029 - 01 - 01));
        let names: Vec<_> = found.iter().map(|check| (check.name, check.state)).collect();
        assert_eq!(names, [("prices", State::Warn), ("secret", State::Fail)]);
    }
    #[test]
    fn secrets_that_cannot_be_read_are_not_missing() {
        let denied = "ssm:GetParametersByPath /bcce/dev/secrets: AccessDeniedException";
        let checks = check(&shipped(), &Err(Fault::internal(denied)), TODAY);
        let found: Vec<_> = checks.iter().filter(|check| check.state != State::Pass).collect();
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!((found[0].name, found[0].state), ("secret", State::Warn));
        assert!(found[0].reason.contains(denied), "{found:?}");
        assert!(found[0].remedy.contains("the action ssm:GetParametersByPath for"), "{found:?}");
    }
}
