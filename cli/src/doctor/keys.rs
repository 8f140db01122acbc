//! Checks the key that encrypts and the key that signs.

use bcce_aws::SdkConfig;
use bcce_aws::kms::{KeyState, key_state};
use bcce_core::base::error::Fault;

use super::Check;
use crate::figures;
use crate::stack::Outputs;

/// A key with its purpose, and its state.
pub type Key = (&'static str, String, Result<KeyState, Fault>);

pub async fn read(config: &SdkConfig, outputs: &Outputs) -> Vec<Key> {
    let (artifacts, signing) = (&outputs.artifact_key_arn, &outputs.signing_key_arn);
    let (of_artifacts, of_signing) =
        futures::join!(key_state(config, artifacts), key_state(config, signing));
    vec![
        ("encrypts the artifacts", artifacts.clone(), of_artifacts),
        ("signs the manifests", signing.clone(), of_signing),
    ]
}

pub fn check(keys: &[Key]) -> Vec<Check> {
    keys.iter().map(|(purpose, arn, state)| one(purpose, arn, state)).collect()
}

fn one(purpose: &str, arn: &str, state: &Result<KeyState, Fault>) -> Check {
    let name = "key-state";
    let key = match state {
        Ok(key) => key,
        Err(fault) => return Check::unread(name, arn, fault),
    };
    match (key.state.as_str(), key.deletion_at) {
        ("Enabled", _) => Check::pass(name, arn, format!("the key that {purpose} is enabled")),
        ("PendingDeletion", at) => {
            let at = at.map(|at| format!(" at {}", figures::stamp(at))).unwrap_or_default();
            let reason = format!(
                "the key that {purpose} will be deleted{at}; what it encrypted or signed is lost with it"
            );
            let remedy = format!(
                "`aws kms cancel-key-deletion --key-id {arn}`, then `aws kms enable-key --key-id {arn}`"
            );
            Check::fail(name, arn, reason, remedy)
        }
        (other, _) => {
            let reason = format!("the key that {purpose} is {other}");
            Check::fail(name, arn, reason, format!("`aws kms enable-key --key-id {arn}`"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::State;
    use time::macros::datetime;

    fn checked(state: &str) -> Check {
        let deletion_at = Some(datetime!(2026-12-07 12:00 UTC));
        let key = KeyState { state: state.into(), deletion_at };
        check(&[("signs", "arn:k".into(), Ok(key))]).remove(0)
    }

    #[test]
    fn only_an_enabled_key_passes() {
        assert_eq!(checked("Enabled").state, State::Pass);
        let deleted = checked("PendingDeletion");
        assert_eq!(deleted.state, State::Fail);
        assert!(deleted.reason.contains("2026-12-07"), "{deleted:?}");
        assert!(deleted.remedy.contains("cancel-key-deletion --key-id arn:k"), "{deleted:?}");
        assert!(checked("Disabled").remedy.contains("enable-key --key-id arn:k"));
    }
}
