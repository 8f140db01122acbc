//! A call of a model, and what comes of it.

use std::collections::BTreeMap;
use std::time::Duration;

use time::OffsetDateTime;

use crate::base::error::ErrorName;
use crate::base::target::Target;
use crate::base::usage::Usage;
use crate::call::attempt::Cause;
use crate::call::parameters::Parameters;
use crate::config::template::CacheTtl;
use crate::document::prompt::Prompt;

/// One request to one target.
#[derive(Clone, Debug)]
pub struct ModelCall<'a> {
    pub target: &'a Target,
    pub prompt: &'a Prompt,
    /// The answer that did not fit and what was wrong with it.
    pub repair: Option<Repair<'a>>,
    pub parameters: &'a Parameters<'a>,
    /// How long the service is to keep the system prompt in its cache.
    pub cache: Option<CacheTtl>,
    /// `requestMetadata`: filters the service's own invocation logs.
    pub metadata: BTreeMap<String, String>,
    pub limits: CallLimits,
}

#[derive(Clone, Copy, Debug)]
pub struct Repair<'a> {
    pub answer: &'a str,
    pub fault: &'a str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallLimits {
    pub first_token: Duration,
    pub stall: Duration,
    pub attempt: Duration,
}

/// The result of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallReport {
    pub result: Result<ModelAnswer, CallFailure>,
    pub latency: Duration,
    pub first_token: Option<Duration>,
    /// `None`: unknown. A call the service refused used nothing.
    pub usage: Option<Usage>,
    pub served: Served,
}

/// Says how the service served a call, as far as the service reports it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Served {
    /// Service tier as Converse spells it: `default`, `priority`, `flex` or `reserved`.
    pub service_tier: Option<String>,
    /// Origins of the guardrails that were applied, as Converse spells them: `REQUEST`, `ACCOUNT_ENFORCED` or
    /// `ORGANIZATION_ENFORCED`. Sorted, each once.
    pub guardrail_origin: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelAnswer {
    /// The answer without reasoning.
    pub text: String,
    /// As Converse spells it.
    pub stop_reason: String,
    /// There was reasoning before it, or in its place.
    pub thought: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallFailure {
    pub name: ErrorName,
    pub message: String,
    /// Advice to a person. It quotes nothing of the request.
    pub advice: Option<String>,
    pub retry_after_s: Option<u64>,
    pub blame: Blame,
}

impl CallFailure {
    /// Describes a failure of a target without quoting the request: the service's message may quote the request, its code
    /// and the advice do not. The message stays in the attempt.
    pub fn describe(&self, target: &Target) -> String {
        let code = match self.message.split_once(": ") {
            Some((code, _)) if code != "stopped" => code,
            _ => &self.message,
        };
        let advice = self.advice.as_ref().map(|advice| format!(": {advice}"));
        format!("{target}: {code}{}", advice.unwrap_or_default())
    }
}

/// Who is at fault, and so what a failure says of the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    Target,
    /// The target, until then: its quota of the day is used up.
    TargetUntil(OffsetDateTime),
    /// The model failed over this request; another one may do well.
    Request,
    /// The request does not fit this target.
    Fit(Cause),
    /// A limit of ours ended the call.
    Limit(Limit),
}

impl Blame {
    /// Returns which part of the request did not fit the target.
    pub fn cause(self) -> Option<Cause> {
        match self {
            Self::Fit(cause) => Some(cause),
            _ => None,
        }
    }
}

/// A limit of `CallLimits`.
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
