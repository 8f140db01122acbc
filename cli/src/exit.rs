//! Exit codes, and failures with advice. `bcce --help` documents the codes.

use std::process::ExitCode;

use bcce_aws::StartError;
use bcce_core::base::error::Fault;

use crate::paint::one_line;

pub const EXIT_TITLE: &str = "Exit codes";
/// The exit codes, for the help of `bcce` and the manual of each command.
pub const EXIT_CODES: &str = "\
Exit codes:
  0    success: the run, or every item of the batch, succeeded
  1    failure: the run, an item of the batch or a check failed, or `config diff` found a difference
  2    invalid usage or input; nothing was sent
  3    AWS or the stack could not be reached, or returned an error
  4    timed out while waiting; the run or the batch continues
  141  the reader of the output closed the pipe";

/// An exit code. Scripts depend on the numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    Done = 0,
    /// The run, an item of the batch or a check failed.
    Failed = 1,
    /// The usage or the input is invalid. Nothing was sent.
    Usage = 2,
    /// AWS or the stack could not be reached, or returned an error.
    Unreachable = 3,
    /// Waiting timed out. The run or the batch continues.
    TimedOut = 4,
    /// The reader of the output has closed the pipe: 128 + SIGPIPE, as a shell reports it.
    Unread = 141,
}

/// A failure of a command: what went wrong, and what to do about it.
#[derive(Debug, PartialEq)]
pub struct Failure {
    pub exit: Exit,
    /// The error message, without a period.
    pub what: String,
    /// The advice, printed below the message.
    pub then: String,
}

pub type Outcome<T = Exit> = Result<T, Failure>;

impl Failure {
    /// Returns a failure that exits with [`Exit::Usage`].
    pub fn usage(what: impl Into<String>, then: impl Into<String>) -> Self {
        Self { exit: Exit::Usage, what: what.into(), then: then.into() }
    }

    /// Returns a failure that exits with [`Exit::Unreachable`].
    pub fn unreachable(what: impl Into<String>, then: impl Into<String>) -> Self {
        Self { exit: Exit::Unreachable, what: what.into(), then: then.into() }
    }
}

/// Converts a fault of an adapter. Its message is `<operation and resource>: <cause>` and contains nothing that was
/// sent.
impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        let then = advice(&fault.message);
        Self::unreachable(one_line(&fault.message), then)
    }
}

fn advice(message: &str) -> &'static str {
    let says = |parts: &[&str]| parts.iter().any(|part| message.contains(part));
    if says(&["no credentials"]) {
        "set AWS_PROFILE or access keys, or sign in, for example with `aws sso login`"
    } else if says(&["no connection", "timed out"]) {
        "check the credentials, AWS_REGION (or the region of the profile), AWS_ENDPOINT_URL and the network"
    } else if says(&[
        "Expired",
        "InvalidClientTokenId",
        "UnrecognizedClient",
        "InvalidAccessKeyId",
        "SignatureDoesNotMatch",
    ]) {
        "renew the credentials, for example with `aws sso login`"
    } else if says(&["AccessDenied", "NotAuthorized"]) {
        "the credentials lack this action; `aws sts get-caller-identity` shows whose they are"
    } else if says(&["is not what this version writes"]) {
        "`bcce runs verify` shows whether the object was changed; if it was not, use the bcce version of the stack"
    } else if says(&["the SSM parameter"]) {
        "`bcce config diff DIR` shows what is wrong with the configuration, `bcce config push DIR` corrects it"
    } else {
        "try again; if the error persists, check the resource that it names"
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        let then = "set AWS_REGION, or AWS_PROFILE to a profile that has a region";
        Self::unreachable(error.to_string(), then)
    }
}

/// Converts an error of writing the output. Errors of reading files are converted where the name of the file is known.
impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        let exit = match error.kind() {
            std::io::ErrorKind::BrokenPipe => Exit::Unread,
            _ => Exit::Unreachable,
        };
        Self {
            exit,
            what: format!("the output cannot be written: {error}"),
            then: "check the destination of the output".into(),
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
