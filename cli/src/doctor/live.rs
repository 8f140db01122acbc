//! Calls each target once through the function `canary`.

use bcce_aws::SdkConfig;
use bcce_aws::lambda::invoke;
use bcce_core::base::error::Fault;
use bcce_core::standby::finding::Finding;
use serde::Deserialize;
use serde_json::json;

use super::{Check, Group, targets};

/// The answer of the function.
#[derive(Debug, Default, Deserialize)]
pub struct Answer {
    pub targets: usize,
    pub called: usize,
    #[serde(default)]
    pub skipped: Vec<String>,
    #[serde(default)]
    pub unanswered: Vec<String>,
    #[serde(default)]
    pub findings: Vec<Finding>,
    #[serde(default)]
    pub unread: Vec<String>,
}

/// Calls all targets of a stack.
pub async fn examine(config: &SdkConfig, stack: &str) -> Group {
    let function = format!("{stack}-canary");
    let answer = invoke(config, &function, &json!({ "live": true })).await;
    let answer = answer.and_then(|value| {
        serde_json::from_value::<Answer>(value)
            .map_err(|error| Fault::internal(format!("lambda:InvokeFunction {function}: {error}")))
    });
    Group { name: "live", checks: check(&function, &answer) }
}

pub fn check(function: &str, answer: &Result<Answer, Fault>) -> Vec<Check> {
    let answer = match answer {
        Ok(answer) => answer,
        Err(fault) => return vec![Check::unread("canary", function, fault)],
    };
    let mut checks: Vec<Check> = answer.findings.iter().map(targets::finding).collect();
    checks.extend(answer.skipped.iter().map(|target| {
        let reason = "the target was not called: the policy forbids it, or its breaker is open";
        let remedy = "`bcce runs explain RUN` of a run that failed over shows why the breaker is open; it closes once a probe is answered";
        Check::warn("canary", target, reason, remedy)
    }));
    checks.extend(answer.unanswered.iter().map(|cause| {
        let reason = format!("the call was not answered: {cause}");
        let remedy = "`bcce models --live` shows the target; if it is throttled or unavailable, call it again later";
        Check::warn("canary", function, reason, remedy)
    }));
    let unread = answer.unread.iter().map(|message| Fault::internal(message.as_str()));
    checks.extend(unread.map(|fault| Check::unread("bedrock", "targets", &fault)));
    let reason = format!("{} of {} targets were called", answer.called, answer.targets);
    checks.push(match answer.called + answer.skipped.len() < answer.targets {
        true => Check::warn(
            "canary",
            function,
            reason,
            "the time did not suffice; `bcce doctor --live` again calls those first that were left",
        ),
        false => Check::pass("canary", function, reason),
    });
    checks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::State;

    /// The call was paid, and its result is the only answer to the question of the user.
    #[test]
    fn a_target_that_did_not_answer_and_one_that_was_left_are_no_pass() {
        let value = json!({ "targets": 2, "called": 1, "unanswered": ["m in us-west-2: ThrottlingException (429)"] });
        let checks = check("s-canary", &Ok(serde_json::from_value(value).unwrap()));
        assert!(checks[0].reason.contains("ThrottlingException"), "{checks:?}");
        assert!(checks.iter().all(|check| check.state == State::Warn), "{checks:?}");
    }

    #[test]
    fn what_the_canary_finds_and_skips_is_reported() {
        let value = json!({
            "targets": 3, "called": 2, "skipped": ["m in us-west-2"], "unread": [],
            "findings": [{
                "level": "fail", "check": "call", "cause": "c", "remedy": "r", "aliases": ["haiku"],
                "target": { "region": "us-east-1", "model_id": "m" }
            }]
        });
        let answer = serde_json::from_value(value).unwrap();
        let checks = check("s-canary", &Ok(answer));
        let states: Vec<_> = checks.iter().map(|check| (check.name, check.state)).collect();
        let expected = [("call", State::Fail), ("canary", State::Warn), ("canary", State::Pass)];
        assert_eq!(states, expected);
        assert_eq!(checks[2].reason, "2 of 3 targets were called");
    }
}
