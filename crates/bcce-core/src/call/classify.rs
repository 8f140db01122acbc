//! Maps an error of the service to an error name, advice to a person, and the time for which the target gets no calls.
//!
//! The table is `RULES`. For a new code or text of the service, add a row to the table and a row to its test.
//!
//! The codes and statuses are those of the Bedrock Runtime API reference for ConverseStream, and others that the
//! service is known to send (529, quota errors, pending agreements).

mod denial; // the policy and the resource of a denied access

use time::{OffsetDateTime, Time, UtcOffset};

use crate::base::error::ErrorName;
use crate::call::attempt::Cause;

/// The error of a failed call. All fields are empty if there was no answer.
#[derive(Clone, Copy, Debug, Default)]
pub struct ServiceError<'a> {
    /// The error code in any case and with or without namespace, such as `ThrottlingException`.
    pub code: Option<&'a str>,
    /// The HTTP status.
    pub status: Option<u16>,
    pub message: &'a str,
}

/// The meaning of a failed call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub name: ErrorName,
    /// Advice to a person. It quotes at most a region from the message.
    pub advice: Option<String>,
    pub leave: Leave,
    /// The part of the request that did not fit the target. Another target, or another form of the request, may work.
    pub cause: Option<Cause>,
}

/// The time for which a target gets no calls after an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leave {
    /// The time of the breaker's settings.
    AsSet,
    /// The rest of the day, because the daily quota is used up.
    ForTheDay,
}

impl Leave {
    /// Returns the end of that time, or `None` if the breaker's settings determine it.
    pub fn until(self, now: OffsetDateTime) -> Option<OffsetDateTime> {
        (self == Self::ForTheDay).then(|| day_turns(now))
    }
}

/// Returns the next midnight in UTC. In the first hour of a day it returns the end of that hour instead. If the
/// service's clock is behind, the quota that is used up is still that of the day before.
fn day_turns(now: OffsetDateTime) -> OffsetDateTime {
    let now = now.to_offset(UtcOffset::UTC);
    let today = now.replace_time(Time::MIDNIGHT);
    let first_hour = today + time::Duration::HOUR;
    if now < first_hour { first_hour } else { today + time::Duration::DAY }
}

/// Returns the error name of an error.
pub fn classify(error: ServiceError<'_>) -> ErrorName {
    find(error).name
}

/// Returns the full meaning of an error. The first rule that matches applies; without one, the HTTP status does. An
/// error without a known code or status is `Bcce.TargetUnavailable`.
pub fn find(error: ServiceError<'_>) -> Finding {
    let code = error.code.map(bare).unwrap_or_default();
    // The service also uses typographic apostrophes.
    let message = error.message.to_ascii_lowercase().replace('\u{2019}', "'");
    let Some(rule) = RULES.iter().find(|rule| rule.fits(&code, &message)) else {
        let name = error.status.and_then(by_status).unwrap_or(ErrorName::TargetUnavailable);
        return Finding { name, advice: None, leave: Leave::AsSet, cause: None };
    };
    let denied = DENIED.contains(&code.as_str()).then(|| denial::advice(&message)).flatten();
    let advice = denied.or_else(|| rule.advice.map(str::to_owned));
    Finding { name: rule.name, advice, leave: rule.leave, cause: rule.cause }
}

/// Returns a code without namespace and in lower case: `throttlingexception` for
/// `com.amazon.coral#throttlingException:http://…`.
fn bare(code: &str) -> String {
    let code = code.split(':').next().unwrap_or(code);
    code.rsplit('#').next().unwrap_or(code).to_ascii_lowercase()
}

/// A row of the table.
struct Rule {
    /// The error codes to which the rule applies, in lower case.
    codes: &'static [&'static str],
    /// The texts that the message must contain, all of them, in lower case. With an empty list any message matches.
    says: &'static [&'static str],
    name: ErrorName,
    advice: Option<&'static str>,
    leave: Leave,
    cause: Option<Cause>,
}

impl Rule {
    fn fits(&self, code: &str, message: &str) -> bool {
        self.codes.contains(&code) && self.says.iter().all(|part| message.contains(part))
    }
}

/// Returns a rule for an error that is determined by its code alone.
const fn plain(codes: &'static [&'static str], name: ErrorName) -> Rule {
    Rule { codes, says: &[], name, advice: None, leave: Leave::AsSet, cause: None }
}

/// Returns a rule for a target that can never accept a call, with advice for a person.
const fn rejects(
    codes: &'static [&'static str],
    says: &'static [&'static str],
    advice: &'static str,
) -> Rule {
    let name = ErrorName::TargetRejected;
    Rule { codes, says, name, advice: Some(advice), leave: Leave::AsSet, cause: None }
}

/// Returns a rule for a request that does not fit the target in its present form.
const fn misfits(says: &'static [&'static str], cause: Cause) -> Rule {
    Rule { says, cause: Some(cause), ..plain(INVALID, ErrorName::RequestRejected) }
}

const INVALID: &[&str] = &["validationexception"];
const DENIED: &[&str] = &["accessdeniedexception"];
const MISSING: &[&str] = &["resourcenotfoundexception"];
/// Codes that different parts of the service use for the same error.
const REFUSED: &[&str] =
    &["validationexception", "accessdeniedexception", "resourcenotfoundexception"];
const THROTTLED: &[&str] = &[
    "throttlingexception",
    "toomanyrequestsexception",
    "servicequotaexceededexception",
    "validationexception",
];

const FORM: &str = "the provider's use-case form was never sent; fill it in on the Bedrock console and wait up to 15 minutes for access";
const PENDING: &str =
    "the marketplace subscription of the model is in progress; wait up to 15 minutes for access";
const SUBSCRIBE: &str = "the first call of a model subscribes the account to it on the AWS Marketplace; allow aws-marketplace:Subscribe, aws-marketplace:Unsubscribe and aws-marketplace:ViewSubscriptions to the identity that makes that call";
const ACCESS: &str = "the account has no access to the model; send the provider's use-case form on the Bedrock console, and call the model once with aws-marketplace:Subscribe, aws-marketplace:Unsubscribe and aws-marketplace:ViewSubscriptions allowed, which subscribes the account to it";
const PROFILE: &str = "the region offers the model only through an inference profile; put the profile's id into models.yaml";
const RETIRED: &str = "the model is retired; put a newer one into models.yaml";
const NOT_THERE: &str =
    "no such model or inference profile in this region; correct the target in models.yaml";

/// The rules in order. The first rule that matches applies, so rules with texts come before the rules for their codes
/// alone. The texts are as short as possible, because the service changes its messages. They must not be words that the
/// service could quote from a request.
#[rustfmt::skip]
const RULES: &[Rule] = &[
    // Quotas.
    Rule {
        codes: THROTTLED,
        says: &["tokens per day"],
        name: ErrorName::TargetThrottled,
        advice: Some("the quota of tokens per day is used up; raise it in Service Quotas, or add a target in another region"),
        leave: Leave::ForTheDay,
        cause: None,
    },
    Rule { says: &["too many tokens, please wait"], ..plain(INVALID, ErrorName::TargetThrottled) },

    // The lifecycle of a model.
    rejects(REFUSED, &["end of its life"], RETIRED),
    rejects(REFUSED, &["marked by provider as legacy"], "the model is Legacy and the account has not called it recently; put a newer one into models.yaml"),

    // The first use of a model.
    rejects(&["ftuformnotfilled"], &[], FORM),
    rejects(REFUSED, &["use case details"], FORM),
    rejects(&["mpagreementbeingcreated"], &[], PENDING),
    rejects(DENIED, &["payment_instrument"], "the account has no payment method that the AWS Marketplace takes; add one under Billing"),
    rejects(DENIED, &["marketplace actions"], SUBSCRIBE),
    rejects(DENIED, &["still being processed"], PENDING),
    rejects(DENIED, &["agreement"], PENDING),
    rejects(DENIED, &["marketplace subscription"], SUBSCRIBE),
    rejects(DENIED, &["access to the model"], ACCESS),

    // Errors of the target, although the code says that the request is wrong.
    rejects(INVALID, &["on-demand throughput"], PROFILE),
    rejects(INVALID, &["doesn't support on-demand"], PROFILE),
    rejects(INVALID, &["inference profile"], PROFILE),
    rejects(INVALID, &["model identifier is invalid"], NOT_THERE),
    rejects(INVALID, &["operation not allowed"], "the account may not call the model: its quota is 0 or the account is not eligible; check Service Quotas, or ask AWS Support"),
    rejects(INVALID, &["guardrail identifier or version", "not exist"], "guardrails exist per region and account; make the guardrail and its version there, or correct `guardrail` in models.yaml"),
    rejects(INVALID, &["this action doesn't support the model"], "the region does not offer the model through ConverseStream; put another one into models.yaml"),
    rejects(INVALID, &["service tier", "not supported"], "the model has no such service tier there; correct the target in models.yaml"),

    // Requests that do not fit the target.
    misfits(&["input is too long"], Cause::ContextTooLong),
    misfits(&["prompt is too long"], Cause::ContextTooLong),
    misfits(&["exceed context limit"], Cause::ContextTooLong),
    misfits(&["grammar is too large"], Cause::GrammarTooLarge),
    misfits(&["schema is too complex"], Cause::GrammarTooLarge),
    misfits(&["output_config.format.schema"], Cause::GrammarTooLarge),
    misfits(&["too many optional parameters"], Cause::GrammarTooLarge),
    misfits(&["too many parameters with union types"], Cause::GrammarTooLarge),

    // Errors that are determined by their code alone.
    plain(&["throttlingexception", "toomanyrequestsexception", "modelnotreadyexception", "servicequotaexceededexception"], ErrorName::TargetThrottled),
    plain(&["serviceunavailableexception", "overloaded_error", "internalserverexception", "internalfailure"], ErrorName::TargetUnavailable),
    plain(&["modeltimeoutexception"], ErrorName::TargetTimeout),
    plain(&["modelerrorexception", "modelstreamerrorexception"], ErrorName::TargetBroken),
    rejects(DENIED, &[], "IAM, an organization's policy or the model's access settings forbid the call"),
    rejects(MISSING, &[], NOT_THERE),
    plain(&["unrecognizedclientexception"], ErrorName::TargetRejected),
    plain(INVALID, ErrorName::RequestRejected),
    plain(&["notauthorized", "requestexpired", "expiredtokenexception", "invalidsignatureexception"], ErrorName::Internal),
];

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

#[cfg(test)]
mod tests;
