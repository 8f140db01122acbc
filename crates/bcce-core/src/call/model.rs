//! A call of a model and its result.

use std::collections::BTreeMap;
use std::time::Duration;

use time::OffsetDateTime;

use crate::base::error::ErrorName;
use crate::base::target::Target;
use crate::base::usage::Usage;
use crate::call::attempt::{Attempt, AttemptKind, AttemptOutcome, Cause};
use crate::call::parameters::Parameters;
use crate::config::cache::CacheTtl;
use crate::document::prompt::Prompt;

/// One call, to one target.
#[derive(Clone, Debug)]
pub struct ModelCall<'a> {
    pub target: &'a Target,
    pub prompt: &'a Prompt,
    /// The invalid answer to repair. `None` for a first call.
    pub repair: Option<Repair<'a>>,
    pub parameters: &'a Parameters<'a>,
    /// The time for which the service keeps the cached prefixes of the prompt. `None` if the call has no cache points.
    pub cache: Option<CacheTtl>,
    /// The `requestMetadata`, by which the service's invocation logs can be filtered.
    pub metadata: BTreeMap<String, String>,
    pub limits: CallLimits,
}

/// An answer that did not fit the step's schema, and the reason.
#[derive(Clone, Copy, Debug)]
pub struct Repair<'a> {
    pub answer: &'a str,
    pub fault: &'a str,
}

/// The time limits of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallLimits {
    /// The time until the first token.
    pub first_token: Duration,
    /// The time between two tokens.
    pub stall: Duration,
    /// The time of the whole call.
    pub attempt: Duration,
}

/// The result of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallReport {
    pub result: Result<ModelAnswer, CallFailure>,
    /// The time from the start of the call to its end.
    pub latency: Duration,
    /// The time from the start of the call to the first token. `None` if there was no token.
    pub first_token: Option<Duration>,
    /// The tokens of the call. `None` if they are unknown. A call that the service refused has a usage of zero.
    pub usage: Option<Usage>,
    pub served: Served,
}

impl CallReport {
    /// Returns the record of the call. `failure` is the failure that the caller sees in the result. The caller adds what
    /// depends on the request and the prices: the cost, the cache, and the settings that were adapted.
    pub fn attempt(
        &self,
        target: &Target,
        kind: AttemptKind,
        started_at: OffsetDateTime,
        failure: Option<&CallFailure>,
    ) -> Attempt {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Attempt {
            target: target.clone(),
            kind,
            outcome: match failure {
                Some(_) => AttemptOutcome::Failed,
                None => AttemptOutcome::Answered,
            },
            error: failure.map(|failure| failure.name),
            message: failure.map(|failure| failure.message.clone()),
            advice: failure.and_then(|failure| failure.advice.clone()),
            cause: failure.and_then(|failure| failure.blame.cause()),
            adapted: Vec::new(),
            retry_after_s: failure.and_then(|failure| failure.retry_after_s),
            started_at,
            latency_ms: millis(self.latency),
            first_token_ms: self.first_token.map(millis),
            service_tier: self.served.service_tier.clone(),
            guardrail_origin: self.served.guardrail_origin.clone(),
            usage: self.usage,
            cost_usd: None,
            cache: None,
        }
    }
}

/// Details of how the service served a call, as far as the service reports them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Served {
    /// The service tier as Converse spells it: `default`, `priority`, `flex` or `reserved`.
    pub service_tier: Option<String>,
    /// The origins of the guardrails that were applied, as Converse spells them: `REQUEST`, `ACCOUNT_ENFORCED` or
    /// `ORGANIZATION_ENFORCED`. The list is sorted and has no duplicates.
    pub guardrail_origin: Vec<String>,
}

/// The answer of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelAnswer {
    /// The text without reasoning.
    pub text: String,
    /// The stop reason as Converse spells it.
    pub stop_reason: String,
    /// True if the answer contained reasoning.
    pub thought: bool,
}

/// The failure of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallFailure {
    pub name: ErrorName,
    /// The message of the service, or another description of the failure. It may quote the request.
    pub message: String,
    /// Advice to a person. It never quotes the request.
    pub advice: Option<String>,
    /// The `Retry-After` of the service, in seconds.
    pub retry_after_s: Option<u64>,
    pub blame: Blame,
}

impl CallFailure {
    /// Describes the failure by the target, the service's error code and the advice. The description never quotes the
    /// request. The message of the service may quote it, so it is recorded only in the attempt.
    pub fn describe(&self, target: &Target) -> String {
        let code = match self.message.split_once(": ") {
            Some((code, _)) if code != "stopped" => code,
            _ => &self.message,
        };
        let advice = self.advice.as_ref().map(|advice| format!(": {advice}"));
        format!("{target}: {code}{}", advice.unwrap_or_default())
    }
}

/// The origin of a failure. It determines what the failure shows about the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// The target failed.
    Target,
    /// The target's daily quota is used up until this time.
    TargetUntil(OffsetDateTime),
    /// The model failed on this request. Other requests may succeed on the target.
    Request,
    /// The request does not fit this target.
    Fit(Cause),
    /// BCCE ended the call at one of its time limits.
    Limit(Limit),
}

impl Blame {
    /// Returns the reason why the request did not fit the target, or `None` for any other failure.
    pub fn cause(self) -> Option<Cause> {
        match self {
            Self::Fit(cause) => Some(cause),
            _ => None,
        }
    }
}

/// One of the [`CallLimits`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    FirstToken,
    Stall,
    Attempt,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_services_message_is_not_repeated() {
        let target = crate::base::target::tests::target("us-east-1");
        let failure = |message: &str| CallFailure {
            name: ErrorName::RequestRejected,
            message: message.into(),
            advice: None,
            retry_after_s: None,
            blame: Blame::Request,
        };
        let description = failure("ValidationException (400): no hunter2 here").describe(&target);
        assert_eq!(description, format!("{target}: ValidationException (400)"));
        let rejected = CallFailure {
            advice: Some("correct the target".into()),
            ..failure("ValidationException (400): no hunter2 here")
        };
        let description = rejected.describe(&target);
        assert_eq!(description, format!("{target}: ValidationException (400): correct the target"));
        let stopped = failure("stopped: content_filtered").describe(&target);
        assert_eq!(stopped, format!("{target}: stopped: content_filtered"));
    }
}
