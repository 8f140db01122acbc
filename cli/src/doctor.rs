//! The checks of `bcce doctor`. Each file has the checks of one subject: it reads facts, and a pure function judges them.

pub mod alarms; // alarms that ring or notify nobody
pub mod bucket; // the settings of the artifact bucket
pub mod credentials; // who calls, the clock, the region
pub mod documents; // the configuration in SSM, and the secrets of webhooks
pub mod examine; // makes all checks
pub mod keys; // the keys that encrypt and sign
pub mod live; // the canary calls of `--live`
pub mod network; // the endpoints of the VPC
pub mod permissions; // what the caller may do
pub mod print; // prints the checks
pub mod queues; // inboxes and dead letters
pub mod rules; // rules of EventBridge
pub mod running; // runs and batches that stay RUNNING
pub mod stack; // the stack and its version
pub mod targets; // the targets of the aliases

use bcce_core::base::error::Fault;
use serde::Serialize;

use crate::paint::one_line;

/// The result of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    Pass,
    Warn,
    Fail,
}

/// One check of one resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// The name of the check, such as `key-state`. docs/doctor.md lists the names.
    pub name: &'static str,
    pub state: State,
    /// The resource, such as a parameter or a target.
    pub subject: String,
    /// The reason of the state, as a sentence without a period.
    pub reason: String,
    /// The remedy, with the command. It is empty if the check passed.
    pub remedy: String,
    /// The change by which `--fix` can mend it.
    #[serde(skip)]
    pub mend: Option<Mend>,
}

/// A harmless change that mends a finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mend {
    EnableRule(String),
    FinalizeRun(String),
    FinalizeBatch(String),
}

/// The error codes of a service that does not have an operation, as a local emulator or a partition may not.
const NOT_OFFERED: [&str; 4] =
    ["InvalidAction", "UnknownOperationException", "NotImplemented", "UnsupportedOperation"];

impl Check {
    pub fn pass(name: &'static str, subject: &str, reason: impl Into<String>) -> Self {
        Self::new(name, State::Pass, subject, reason.into(), String::new())
    }

    pub fn warn(
        name: &'static str,
        subject: &str,
        reason: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self::new(name, State::Warn, subject, reason.into(), remedy.into())
    }

    pub fn fail(
        name: &'static str,
        subject: &str,
        reason: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self::new(name, State::Fail, subject, reason.into(), remedy.into())
    }

    fn new(
        name: &'static str,
        state: State,
        subject: &str,
        reason: String,
        remedy: String,
    ) -> Self {
        let [subject, reason, remedy] = [subject, &reason, &remedy].map(one_line);
        Self { name, state, subject, reason, remedy, mend: None }
    }

    /// Returns the check with the change that `--fix` makes.
    pub fn with(self, mend: Mend) -> Self {
        Self { mend: Some(mend), ..self }
    }

    /// Returns a check that could not be made because a read failed.
    pub fn unread(name: &'static str, subject: &str, fault: &Fault) -> Self {
        let message = &fault.message;
        let says = |parts: &[&str]| parts.iter().any(|part| message.contains(part));
        if says(&NOT_OFFERED) {
            return Self::pass(name, subject, format!("the service does not offer it: {message}"));
        }
        let action = message.split_whitespace().next().unwrap_or_default().trim_end_matches(':');
        let remedy = if says(&[
            "AccessDenied",
            "NotAuthorized",
            "UnauthorizedOperation",
            "Forbidden",
        ]) {
            format!(
                "allow the action {action} for the caller; docs/doctor.md lists the actions that the checks need"
            )
        } else if says(&["NotFound", "NoSuch"]) {
            "deploy the stack again: `make deploy`".to_owned()
        } else {
            "run `bcce doctor` again; if the check still cannot be made, check the network to that service".to_owned()
        };
        Self::warn(name, subject, format!("the check could not be made: {message}"), remedy)
    }
}

/// The checks of one subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// The subject, such as `keys`.
    pub name: &'static str,
    pub checks: Vec<Check>,
}

impl Group {
    /// Counts the checks with a state.
    pub fn count(&self, state: State) -> usize {
        self.checks.iter().filter(|check| check.state == state).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_that_is_not_allowed_names_the_action() {
        let denied = Fault::internal("kms:DescribeKey: AccessDeniedException");
        let check = Check::unread("key-state", "a", &denied);
        assert_eq!(check.state, State::Warn);
        assert!(check.remedy.contains("the action kms:DescribeKey for"), "{check:?}");
        let gone = Fault::internal("kms:DescribeKey: NotFoundException");
        assert!(Check::unread("key-state", "a", &gone).remedy.contains("`make deploy`"));
    }

    #[test]
    fn an_operation_that_a_service_does_not_have_is_no_finding() {
        let fault = Fault::internal("events:ListRules: UnknownOperationException");
        assert_eq!(Check::unread("rule", "a", &fault).state, State::Pass);
        let fault = Fault::internal("events:ListRules: no connection");
        assert_eq!(Check::unread("rule", "a", &fault).state, State::Warn);
    }
}
