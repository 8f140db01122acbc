//! What Bedrock would answer in a healthy month, and after a standby has died.

use std::time::Duration as Time;

use bcce_core::base::error::ErrorName;
use bcce_core::base::target::Guardrail;
use bcce_core::base::usage::Usage;
use bcce_core::call::classify::{ServiceError, find};
use bcce_core::call::model::{Blame, CallFailure, CallReport, ModelAnswer, Served};
use bcce_core::config::models::Models;
use bcce_core::config::policy::{DataRetention, Policy};
use bcce_core::config::pricing::Prices;
use bcce_core::config::profiles::{Profile, Profiles};
use bcce_core::document::from_yaml;
use bcce_core::failover::breaker::Breaker;
use bcce_core::run::budget_alert;
use bcce_core::standby::checks::{WatchedTarget, watched};
use bcce_core::standby::facts::{Access, Agreement, ModelFacts, TargetFacts};
use bcce_core::standby::quotas::Quota;
use time::{Duration, OffsetDateTime};

use crate::template::read;

/// A kind of dead standby.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    LegacyAndUnused,
    EndsIn40Days,
    QuotaOf0,
    GuardrailMissing,
    DenyOnDestination,
    PriceOlderThanModel,
}

/// The dev configuration, with a guardrail on each target, and what is wrong with one of them.
pub struct World {
    pub models: Models,
    pub policy: Policy,
    pub prices: Prices,
    pub profiles: Profiles,
    /// What is wrong, with which target, from when on.
    fault: Option<(Fault, String, OffsetDateTime)>,
}

const LEGACY: (&str, u16, &str) = (
    "ResourceNotFoundException",
    404,
    "Access denied. This Model is marked by provider as Legacy and you have not been actively using the model in the last 15 days. Please upgrade to an active model on Amazon Bedrock",
);
const DENY: (&str, u16, &str) = (
    "AccessDeniedException",
    403,
    "User: arn:aws:sts::123456789012:assumed-role/canary/x is not authorized to perform: bedrock:InvokeModelWithResponseStream on resource: arn:aws:bedrock:us-east-2::foundation-model/anthropic.claude-haiku-4-5-20251001-v1:0 with an explicit deny in a service control policy",
);
const THROTTLED: (&str, u16, &str) = ("ThrottlingException", 429, "Too many requests");

impl World {
    pub fn healthy() -> Self {
        let of = |file: &str| read(&format!("infra/config/dev/{file}.yaml"));
        let mut models: Models = from_yaml(&of("models")).finished().unwrap();
        for listed in models.models.values_mut().flat_map(|model| &mut model.targets) {
            let (id, version) = (format!("g-{}", listed.target.region), "1".to_owned());
            listed.target.guardrail = Some(Guardrail { id, version, name: Some("pii".into()) });
        }
        let profiles = watched(&models).iter().map(|it| profile(&it.target)).collect();
        Self {
            profiles: Profiles(profiles),
            policy: from_yaml(&of("policy")).finished().unwrap(),
            prices: from_yaml(&of("prices")).finished().unwrap(),
            models,
            fault: None,
        }
    }

    pub fn with(fault: Fault, target: &str, at: OffsetDateTime) -> Self {
        Self { fault: Some((fault, target.to_owned(), at)), ..Self::healthy() }
    }

    fn has(&self, fault: Fault, watched: &WatchedTarget, now: OffsetDateTime) -> bool {
        self.fault.as_ref().is_some_and(|(kind, target, at)| {
            *kind == fault && *target == watched.target.to_string() && *at <= now
        })
    }

    /// Returns what the control plane says.
    pub fn facts(&self, watched: &WatchedTarget, now: OffsetDateTime) -> TargetFacts {
        let has = |fault| self.has(fault, watched, now);
        let rows = self.prices.of(&watched.target.model_id).unwrap();
        let launch = rows.0[0].from.midnight().assume_utc();
        let started_at = if has(Fault::PriceOlderThanModel) { now } else { launch };
        let ends_at = has(Fault::EndsIn40Days).then_some(now + Duration::days(40));
        let model = ModelFacts {
            is_legacy: has(Fault::LegacyAndUnused) || has(Fault::EndsIn40Days),
            started_at: Some(started_at),
            ends_at,
            ..ModelFacts::default()
        };
        let of_quota = |what: &str| Quota {
            name: format!(
                "Cross-region model inference {what} per minute for Anthropic Claude Haiku 4.5"
            ),
            code: "L-1".into(),
            value: if has(Fault::QuotaOf0) { 0.0 } else { 1e6 },
        };
        let guardrail = match has(Fault::GuardrailMissing) {
            true => Err("it was not found".to_owned()),
            false => Ok(()),
        };
        let (is_authorized, is_entitled, is_in_region) = (true, true, true);
        let agreement = Agreement::Accepted;
        TargetFacts {
            model: Some(Ok(model)),
            access: Some(Access { agreement, is_authorized, is_entitled, is_in_region }),
            profile: Some(Ok(profile(&watched.target))),
            guardrail: Some(guardrail),
            retention: Some(DataRetention::Default),
            quotas: Some(vec![of_quota("requests"), of_quota("tokens")]),
        }
    }

    /// Returns the result of call number `n` of a target. Now and then a target is throttled, as on AWS.
    pub fn call(&self, watched: &WatchedTarget, n: usize, now: OffsetDateTime) -> CallReport {
        let error = match () {
            () if self.has(Fault::LegacyAndUnused, watched, now) => Some(LEGACY),
            () if self.has(Fault::DenyOnDestination, watched, now) => Some(DENY),
            () if n % 5 == 3 => Some(THROTTLED),
            () => None,
        };
        let answer =
            ModelAnswer { text: String::new(), stop_reason: "max_tokens".into(), thought: false };
        CallReport {
            result: error.map_or(Ok(answer), |error| Err(failure(error))),
            latency: Time::from_millis(600),
            first_token: Some(Time::from_millis(500)),
            usage: Some(Usage::default()),
            served: Served::default(),
        }
    }

    /// Returns the breaker of a target that is out of order for three hours, in the second week.
    pub fn breaker(&self, watched: &WatchedTarget, now: OffsetDateTime) -> Option<Breaker> {
        let out = super::START + Duration::days(8);
        let is_out =
            watched.target.region == "us-east-1" && now >= out && now < out + Duration::hours(3);
        is_out
            .then(|| Breaker { open_until: Some(now + Duration::minutes(1)), ..Breaker::default() })
    }

    /// Returns the metrics that the rest of a healthy stack writes.
    pub fn other_metrics(&self, now: OffsetDateTime) -> Vec<String> {
        budget_alert::metrics("dev", &[("month".to_owned(), 60.into())], now)
    }
}

fn profile(target: &bcce_core::base::target::Target) -> Profile {
    let regions = ["us-east-1", "us-east-2", "us-west-2"].map(str::to_owned).into();
    let model = target.model_id.strip_prefix("us.").unwrap().to_owned();
    Profile { region: target.region.clone(), id: target.model_id.clone(), model, regions }
}

/// Returns the failure of a call, as the adapter makes it.
fn failure((code, status, text): (&str, u16, &str)) -> CallFailure {
    let found = find(ServiceError { code: Some(code), status: Some(status), message: text });
    assert_ne!(found.name, ErrorName::Internal);
    CallFailure {
        name: found.name,
        message: format!("{code} ({status}): {text}"),
        advice: found.advice,
        retry_after_s: None,
        blame: Blame::Target,
    }
}
