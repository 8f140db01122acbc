//! Checks that the stack has the version of the command, and that it is in the region of the caller.

use super::Check;
use crate::stack::Outputs;

/// The version of this command.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

pub fn check(environment: &str, region: &str, outputs: &Outputs) -> Vec<Check> {
    let subject = if outputs.stack.is_empty() { environment } else { &outputs.stack };
    vec![version(subject, outputs.version.as_deref()), same_region(subject, region, outputs)]
}

fn version(subject: &str, version: Option<&str>) -> Check {
    let name = "version";
    let remedy = format!(
        "install version {} of `bcce`, or deploy this version: `make deploy`",
        version.unwrap_or("OLD")
    );
    match version {
        Some(VERSION) => Check::pass(name, subject, format!("version {VERSION}, as the command")),
        Some(other) => {
            let reason = format!("the stack has version {other}, and the command has {VERSION}");
            Check::fail(name, subject, reason, remedy)
        }
        None => {
            let reason =
                format!("the stack is older than the command, which has version {VERSION}");
            Check::fail(name, subject, reason, "deploy this version: `make deploy`")
        }
    }
}

fn same_region(subject: &str, region: &str, outputs: &Outputs) -> Check {
    let of_stack = outputs.workflow_arn.split(':').nth(3).unwrap_or_default();
    match of_stack == region {
        true => Check::pass("region", subject, format!("in {region}")),
        false => {
            let reason =
                format!("its parameter is in {region}, and its resources are in {of_stack}");
            Check::fail("region", subject, reason, format!("set AWS_REGION={of_stack}"))
        }
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::doctor::State;

    pub fn outputs(version: &str) -> Outputs {
        let value = serde_json::json!({
            "Stack": "bcce-dev", "Version": version, "InboxQueueUrl": "q", "DeadLetterQueueUrl": "d",
            "DispatchFunction": "f", "WorkflowArn": "arn:aws:states:us-east-1:1:stateMachine:w",
            "FinalizeArn": "a", "BatchArn": "b", "ArtifactBucket": "b", "ArtifactKeyArn": "k",
            "SigningKeyArn": "s", "NotificationsTopicArn": "t", "LedgerTable": "l"
        });
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_stack_of_another_version_or_without_one_is_a_failure() {
        let states = |outputs: &Outputs| {
            let checks = check("dev", "us-east-1", outputs);
            checks.iter().map(|check| check.state).collect::<Vec<_>>()
        };
        assert_eq!(states(&outputs(VERSION)), [State::Pass; 2]);
        assert_eq!(states(&outputs("0.0.9")), [State::Fail, State::Pass]);
        assert_eq!(states(&Outputs { version: None, ..outputs(VERSION) })[0], State::Fail);
    }

    #[test]
    fn a_parameter_of_another_region_is_a_failure() {
        let found = check("dev", "eu-west-1", &outputs(VERSION)).remove(1);
        assert_eq!((found.state, &*found.remedy), (State::Fail, "set AWS_REGION=us-east-1"));
    }
}
