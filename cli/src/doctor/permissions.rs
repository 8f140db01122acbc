//! Checks what the caller may do.

use bcce_aws::account::Identity;
use bcce_aws::signed::Services;
use bcce_core::base::error::Fault;

use super::Check;

/// The actions of the everyday commands. docs/doctor.md lists them with the further actions of `bcce doctor`.
pub const ACTIONS: [&str; 11] = [
    "dynamodb:GetItem",
    "dynamodb:Query",
    "kms:Decrypt",
    "kms:GenerateDataKey",
    "kms:GetPublicKey",
    "s3:GetObject",
    "s3:ListBucket",
    "sqs:SendMessage",
    "ssm:GetParameters",
    "ssm:GetParametersByPath",
    "states:DescribeExecution",
];

/// The caller whose policies are simulated, and the actions that they do not allow. `None`: the root user, which may do
/// everything.
pub type Facts = Option<(String, Result<Vec<String>, Fault>)>;

pub async fn read(services: &Services, identity: &Identity) -> Facts {
    let principal = principal(&identity.arn)?;
    let denied = services.denied(&principal, &ACTIONS).await;
    Some((principal, denied))
}

/// Returns the user or role whose policies apply to a caller. Returns `None` for the root user.
fn principal(arn: &str) -> Option<String> {
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    let &[_, partition, _, _, account, resource] = &parts[..] else { return Some(arn.to_owned()) };
    match resource.split('/').collect::<Vec<_>>()[..] {
        ["root"] => None,
        ["assumed-role", role, ..] => Some(format!("arn:{partition}:iam::{account}:role/{role}")),
        _ => Some(arn.to_owned()),
    }
}

pub fn check(facts: &Facts) -> Vec<Check> {
    let name = "permissions";
    vec![match facts {
        None => Check::pass(name, "root", "the root user may do everything"),
        Some((principal, Ok(denied))) if denied.is_empty() => {
            Check::pass(name, principal, "the policies allow the everyday commands")
        }
        Some((principal, Ok(denied))) => {
            let reason = format!("the policies do not allow {}", denied.join(", "));
            let remedy = "allow the actions for the caller (docs/doctor.md); conditions and resources can still allow them";
            Check::warn(name, principal, reason, remedy)
        }
        // The path of a role is not part of the caller's ARN, so IAM may not find the role.
        Some((principal, Err(fault))) if fault.message.contains("NoSuchEntity") => {
            let reason = "IAM does not find the role under this ARN, so its policies were not simulated; the other checks show what it may read";
            Check::pass(name, principal, reason)
        }
        Some((principal, Err(fault))) => Check::unread(name, principal, fault),
    }]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::State;

    #[test]
    fn the_policies_of_a_session_are_those_of_its_role() {
        let session = "arn:aws:sts::1:assumed-role/Admin/me";
        assert_eq!(principal(session).as_deref(), Some("arn:aws:iam::1:role/Admin"));
        assert_eq!(principal("arn:aws:iam::1:user/a").as_deref(), Some("arn:aws:iam::1:user/a"));
        assert_eq!(principal("arn:aws:iam::1:root"), None);
    }

    #[test]
    fn an_action_that_is_not_allowed_is_named() {
        let checked =
            |denied: Result<Vec<String>, Fault>| check(&Some(("a".into(), denied))).remove(0);
        assert_eq!(checked(Ok(vec![])).state, State::Pass);
        let found = checked(Ok(vec!["sqs:SendMessage".into()]));
        assert_eq!(found.state, State::Warn);
        assert!(found.reason.contains("sqs:SendMessage"), "{found:?}");
        let refused = checked(Err(Fault::internal("iam:SimulatePrincipalPolicy: AccessDenied")));
        assert!(refused.remedy.contains("iam:SimulatePrincipalPolicy"), "{refused:?}");
    }
}
