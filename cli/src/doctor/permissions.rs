//! Checks what the caller may do.

use bcce_aws::account::Identity;
use bcce_aws::signed::Services;
use bcce_core::base::error::Fault;
use futures::stream::{StreamExt, TryStreamExt, iter};

use super::Check;
use crate::stack::{Outputs, Stack};

/// A resource, and the actions of the everyday commands on it. The actions of KMS that services call are left out: their
/// conditions are not simulated.
type Need = (String, &'static [&'static str]);

/// The caller whose policies are simulated, and the actions that they do not allow. `None`: the root user, which may do
/// everything.
pub type Facts = Option<(String, Result<Vec<String>, Fault>)>;

/// The number of resources that are asked about at a time.
const AT_A_TIME: usize = 2;

pub async fn read(services: &Services, identity: &Identity, stack: &Stack) -> Facts {
    let principal = principal(&identity.arn)?;
    let needs = needs(&stack.environment, &stack.outputs);
    let each = needs.iter().map(async |(resource, actions)| {
        let denied = services.denied(&principal, resource, actions).await?;
        Ok(denied.into_iter().map(|action| format!("{action} on {resource}")).collect::<Vec<_>>())
    });
    let denied: Result<Vec<_>, Fault> = iter(each).buffered(AT_A_TIME).try_collect().await;
    Some((principal, denied.map(|denied| denied.concat())))
}

/// Returns what the everyday commands need in a stack.
fn needs(environment: &str, outputs: &Outputs) -> Vec<Need> {
    let parts: Vec<&str> = outputs.workflow_arn.splitn(7, ':').collect();
    let &[_, partition, _, region, account, _, machine] = &parts[..] else { return Vec::new() };
    let arn = |service: &str, resource: &str| {
        format!("arn:{partition}:{service}:{region}:{account}:{resource}")
    };
    let queue = outputs.inbox_queue_url.rsplit('/').next().unwrap_or_default();
    let bucket = format!("arn:{partition}:s3:::{}", outputs.artifact_bucket);
    vec![
        (format!("{bucket}/runs/x"), &["s3:GetObject"]),
        (bucket, &["s3:ListBucket"]),
        (arn("dynamodb", &format!("table/{}", outputs.ledger_table)), &["dynamodb:Query"]),
        (outputs.signing_key_arn.clone(), &["kms:GetPublicKey"]),
        (arn("sqs", queue), &["sqs:SendMessage"]),
        (arn("ssm", &format!("parameter/bcce/{environment}/models")), &["ssm:GetParameters"]),
        (
            arn("ssm", &format!("parameter/bcce/{environment}/workflows")),
            &["ssm:GetParametersByPath"],
        ),
        (arn("states", &format!("execution:{machine}:x")), &["states:DescribeExecution"]),
    ]
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
            let remedy =
                "allow the actions for the caller; docs/operations.md lists what the commands need";
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
    use crate::doctor::stack::VERSION;
    use crate::doctor::stack::tests::outputs;

    #[test]
    fn the_policies_of_a_session_are_those_of_its_role() {
        let session = "arn:aws:sts::1:assumed-role/Admin/me";
        assert_eq!(principal(session).as_deref(), Some("arn:aws:iam::1:role/Admin"));
        assert_eq!(principal("arn:aws:iam::1:user/a").as_deref(), Some("arn:aws:iam::1:user/a"));
        assert_eq!(principal("arn:aws:iam::1:root"), None);
    }

    #[test]
    fn actions_are_simulated_on_the_resources_of_the_stack() {
        let needs = needs("dev", &outputs(VERSION));
        let resources: Vec<&str> = needs.iter().map(|(resource, _)| resource.as_str()).collect();
        let expected = [
            "arn:aws:s3:::b/runs/x",
            "arn:aws:s3:::b",
            "arn:aws:dynamodb:us-east-1:1:table/l",
            "s",
            "arn:aws:sqs:us-east-1:1:q",
            "arn:aws:ssm:us-east-1:1:parameter/bcce/dev/models",
            "arn:aws:ssm:us-east-1:1:parameter/bcce/dev/workflows",
            "arn:aws:states:us-east-1:1:execution:w:x",
        ];
        assert_eq!(resources, expected);
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
