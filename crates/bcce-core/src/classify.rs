//! What the service answered -> one of our names.
//!
//! Codes and statuses are those of the Bedrock Runtime API reference for ConverseStream, and those
//! the service is known to send beyond it (529, quota errors, pending agreements).

use crate::attempt::Cause;
use crate::error::ErrorName;

/// What is known of a failed call. All empty: there was no answer at all.
#[derive(Clone, Copy, Debug, Default)]
pub struct ServiceError<'a> {
    /// Error code with or without namespace, as in `ThrottlingException`, `throttlingException`.
    pub code: Option<&'a str>,
    pub status: Option<u16>,
    pub message: &'a str,
}

pub fn classify(error: ServiceError<'_>) -> ErrorName {
    let by_code = error.code.and_then(|code| by_code(bare(code), error.message));
    by_code.or_else(|| error.status.and_then(by_status)).unwrap_or(ErrorName::TargetUnavailable)
}

/// `com.amazon.coral#throttlingException:http://…` -> `throttlingexception`
fn bare(code: &str) -> String {
    let code = code.split(':').next().unwrap_or(code);
    code.rsplit('#').next().unwrap_or(code).to_ascii_lowercase()
}

fn by_code(code: String, message: &str) -> Option<ErrorName> {
    Some(match code.as_str() {
        "throttlingexception"
        | "toomanyrequestsexception"
        | "modelnotreadyexception"
        | "servicequotaexceededexception" => ErrorName::TargetThrottled,
        "serviceunavailableexception"
        | "overloaded_error"
        | "internalserverexception"
        | "internalfailure" => ErrorName::TargetUnavailable,
        "modeltimeoutexception" => ErrorName::TargetTimeout,
        "modelerrorexception" | "modelstreamerrorexception" => ErrorName::TargetBroken,
        "accessdeniedexception"
        | "resourcenotfoundexception"
        | "unrecognizedclientexception"
        | "mpagreementbeingcreated"
        | "ftuformnotfilled" => ErrorName::TargetRejected,
        "validationexception" => validation(message),
        "notauthorized"
        | "requestexpired"
        | "expiredtokenexception"
        | "invalidsignatureexception" => ErrorName::Internal,
        _ => return None,
    })
}

/// Most validation errors are the request's own; some say that this id cannot be called here.
fn validation(message: &str) -> ErrorName {
    let message = message.to_ascii_lowercase();
    let target = [
        "on-demand throughput",
        "inference profile",
        "model identifier is invalid",
        "end of its life",
        "doesn't support on-demand",
    ];
    let throttle = "too many tokens, please wait";
    if message.contains(throttle) {
        ErrorName::TargetThrottled
    } else if target.iter().any(|sign| message.contains(sign)) {
        ErrorName::TargetRejected
    } else {
        ErrorName::RequestRejected
    }
}

fn by_status(status: u16) -> Option<ErrorName> {
    Some(match status {
        400 | 413 | 422 => ErrorName::RequestRejected,
        401 | 403 | 404 => ErrorName::TargetRejected,
        408 => ErrorName::TargetTimeout,
        424 => ErrorName::TargetBroken,
        429 => ErrorName::TargetThrottled,
        500..=599 => ErrorName::TargetUnavailable,
        _ => return None,
    })
}

/// What an operator should do about a target that rejects. Two of these have a code of their own in the
/// documentation and are also seen as a plain code with the name in the text.
pub fn advice(code: &str, message: &str) -> Option<&'static str> {
    let code = bare(code);
    let message = message.to_ascii_lowercase();
    if message.contains("use case details") {
        return advice("FTUFormNotFilled", "");
    }
    if message.contains("agreement") && code == "accessdeniedexception" {
        return advice("MPAgreementBeingCreated", "");
    }
    match code.as_str() {
        "mpagreementbeingcreated" => {
            Some("the Marketplace agreement is being created; access comes within 15 minutes")
        }
        "ftuformnotfilled" => {
            Some("the provider's use-case form was never sent; fill it in on the Bedrock console")
        }
        "accessdeniedexception" => Some("IAM, an SCP or the model's access settings forbid it"),
        "resourcenotfoundexception" => Some("no such model or inference profile in this region"),
        _ => None,
    }
}

/// What of a refused request did not fit the target, by the service's words: another target, or the request in another
/// form, may do.
pub fn misfit(name: ErrorName, message: &str) -> Option<Cause> {
    const SIGNS: [(&str, Cause); 7] = [
        ("input is too long", Cause::ContextTooLong),
        ("prompt is too long", Cause::ContextTooLong),
        ("exceed context limit", Cause::ContextTooLong),
        ("grammar is too large", Cause::GrammarTooLarge),
        ("schema is too complex", Cause::GrammarTooLarge),
        ("too many optional parameters", Cause::GrammarTooLarge),
        ("too many parameters with union types", Cause::GrammarTooLarge),
    ];
    let message = message.to_ascii_lowercase();
    let sign = SIGNS.iter().find(|(sign, _)| message.contains(sign));
    sign.filter(|_| name == ErrorName::RequestRejected).map(|(_, cause)| *cause)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ErrorName::*;

    #[test]
    fn every_documented_error_has_its_name() {
        #[rustfmt::skip]
        let table: &[(Option<&str>, Option<u16>, &str, ErrorName)] = &[
            (Some("ThrottlingException"), Some(429), "Too many tokens, please wait before trying again.", TargetThrottled),
            (Some("ModelNotReadyException"), Some(429), "", TargetThrottled),
            (Some("ServiceUnavailableException"), Some(503), "", TargetUnavailable),
            (Some("overloaded_error"), Some(529), "", TargetUnavailable),
            (None, Some(529), "", TargetUnavailable),
            (Some("InternalServerException"), Some(500), "", TargetUnavailable),
            (Some("InternalFailure"), Some(500), "", TargetUnavailable),
            (Some("ModelTimeoutException"), Some(408), "", TargetTimeout),
            (Some("ModelErrorException"), Some(424), "", TargetBroken),
            (Some("ModelStreamErrorException"), Some(424), "", TargetBroken),
            (Some("ServiceQuotaExceededException"), Some(400), "", TargetThrottled),
            (Some("ValidationException"), Some(400), "Input is too long for requested model.", RequestRejected),
            (Some("ValidationException"), Some(400), "Invocation of model ID x with on-demand throughput isn\u{2019}t supported.", TargetRejected),
            (Some("ValidationException"), Some(400), "The provided model identifier is invalid.", TargetRejected),
            (Some("AccessDeniedException"), Some(403), "", TargetRejected),
            (Some("MPAgreementBeingCreated"), Some(403), "", TargetRejected),
            (Some("ResourceNotFoundException"), Some(404), "", TargetRejected),
            (Some("FTUFormNotFilled"), Some(404), "", TargetRejected),
            (Some("NotAuthorized"), Some(400), "", Internal),
            (Some("RequestExpired"), Some(400), "", Internal),
            (Some("throttlingException"), None, "", TargetThrottled),
            (Some("ThrottlingException:http://internal.amazon.com/coral/"), Some(429), "", TargetThrottled),
            (None, None, "", TargetUnavailable),
        ];
        for (code, status, message, name) in table {
            let error = ServiceError { code: *code, status: *status, message };
            assert_eq!(classify(error), *name, "{code:?} {status:?} {message}");
        }
    }

    #[test]
    fn an_operator_is_told_what_to_do_by_code_or_text() {
        let form = advice("FTUFormNotFilled", "").unwrap();
        let text = "Model use case details have not been submitted for this account.";
        assert_eq!(advice("ResourceNotFoundException", text), Some(form));
        assert_ne!(advice("ResourceNotFoundException", "no such model"), Some(form));
    }

    #[test]
    fn a_request_that_does_not_fit_is_known_by_the_services_words() {
        let long =
            "The model returned the following errors: Input is too long for requested model.";
        let large = "The compiled grammar is too large, which would cause performance issues.";
        assert_eq!(misfit(RequestRejected, long), Some(Cause::ContextTooLong));
        assert_eq!(misfit(RequestRejected, large), Some(Cause::GrammarTooLarge));
        assert_eq!(misfit(RequestRejected, "messages: roles must alternate"), None);
        assert_eq!(misfit(TargetThrottled, long), None);
    }

    #[test]
    fn an_unknown_code_goes_by_its_status() {
        let error =
            |status| ServiceError { code: Some("NewException"), status: Some(status), message: "" };
        assert_eq!(classify(error(429)), TargetThrottled);
        assert_eq!(classify(error(418)), TargetUnavailable);
    }
}
