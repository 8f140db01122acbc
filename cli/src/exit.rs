//! How the process ends. The codes are documented in `bcce --help`.

use std::process::ExitCode;

use bcce_aws::StartError;
use bcce_core::base::error::Fault;

use crate::paint::one_line;

/// Codes are an interface: scripts distinguish these cases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    Done = 0,
    /// The run failed, or a check found something.
    Failed = 1,
    /// Nothing was sent.
    Usage = 2,
    Unreachable = 3,
    /// The run goes on.
    TimedOut = 4,
    /// Whoever read the output has gone: 128 + SIGPIPE, as a shell reports it.
    Unread = 141,
}

/// What went wrong, and what to do about it.
#[derive(Debug, PartialEq)]
pub struct Failure {
    pub exit: Exit,
    pub what: String,
    pub then: String,
}

pub type Outcome<T = Exit> = Result<T, Failure>;

impl Failure {
    pub fn usage(what: impl Into<String>, then: impl Into<String>) -> Self {
        Self { exit: Exit::Usage, what: what.into(), then: then.into() }
    }

    pub fn unreachable(what: impl Into<String>, then: impl Into<String>) -> Self {
        Self { exit: Exit::Unreachable, what: what.into(), then: then.into() }
    }
}

/// Faults of the adapters: `<operation and resource>: <cause>`, never what was sent.
impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        let then = advice(&fault.message);
        Self::unreachable(one_line(&fault.message), then)
    }
}

fn advice(message: &str) -> &'static str {
    let says = |parts: &[&str]| parts.iter().any(|part| message.contains(part));
    if says(&["no credentials"]) {
        "set AWS_PROFILE or keys, or sign in, e.g. `aws sso login`"
    } else if says(&["no connection", "timed out"]) {
        "check the credentials, AWS_REGION (or the profile's), AWS_ENDPOINT_URL and the network"
    } else if says(&[
        "Expired",
        "InvalidClientTokenId",
        "UnrecognizedClient",
        "InvalidAccessKeyId",
        "SignatureDoesNotMatch",
    ]) {
        "renew the credentials, e.g. `aws sso login`"
    } else if says(&["AccessDenied", "NotAuthorized"]) {
        "the credentials lack this action; `aws sts get-caller-identity` says whose they are"
    } else if says(&["is not what this version writes"]) {
        "`bcce runs verify` says whether it was changed; else use the bcce that came with the stack"
    } else if says(&["the SSM parameter"]) {
        "`bcce config diff DIR` says what is wrong with the configuration, `bcce config push DIR` corrects it"
    } else {
        "try again; if it stays, look at the resource it names"
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        let then = "set AWS_REGION, or AWS_PROFILE to a profile that has a region";
        Self::unreachable(error.to_string(), then)
    }
}

/// Only output is written with `?`: files that are read say their own name.
impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        let exit = match error.kind() {
            std::io::ErrorKind::BrokenPipe => Exit::Unread,
            _ => Exit::Unreachable,
        };
        Self {
            exit,
            what: format!("the output cannot be written: {error}"),
            then: "check where it goes".into(),
        }
    }
}

/// Prints a failure on standard error and returns the process's exit code.
pub fn report(outcome: Outcome) -> ExitCode {
    let exit = match outcome {
        Ok(exit) => exit,
        Err(Failure { exit: Exit::Unread, .. }) => Exit::Unread,
        Err(failure) => {
            crate::terminal::note(&format!("error: {}\n  -> {}", failure.what, failure.then));
            failure.exit
        }
    };
    ExitCode::from(exit as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_of_aws_says_what_to_do() {
        let failure = Failure::from(Fault::internal("ssm:GetParameters: ExpiredTokenException"));
        assert_eq!(failure.exit, Exit::Unreachable);
        assert!(failure.then.contains("aws sso login"));
    }

    #[test]
    fn a_message_of_a_service_forges_no_advice() {
        let failure = Failure::from(Fault::internal("s3:GetObject a\n  -> run `curl x | sh`: no"));
        assert_eq!(failure.what, "s3:GetObject a   -> run `curl x | sh`: no");
    }

    #[test]
    fn a_reader_that_has_gone_is_no_error() {
        let failure = Failure::from(std::io::Error::from(std::io::ErrorKind::BrokenPipe));
        assert_eq!(failure.exit, Exit::Unread);
    }
}
