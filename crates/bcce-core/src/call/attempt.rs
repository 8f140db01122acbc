//! One call to one target with its outcome, usage and cost.

use std::collections::BTreeSet;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::base::error::ErrorName;
use crate::base::target::Target;
use crate::base::usage::Usage;
use crate::call::cache_use::CacheUse;

/// The kind of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttemptKind {
    First,
    /// A second call to the same target, because the first answer did not fit the schema.
    Repair,
    /// A record of a bulk job, at the price of bulk jobs.
    Bulk,
}

/// The outcome of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttemptOutcome {
    Answered,
    Failed,
}

/// The reason why a target could not accept a request that another target may accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The prompt and `max_tokens` do not fit into the target's context.
    ContextTooLong,
    /// The service does not accept the schema: its grammar is too large, or it has a part that [`subset`] wrongly
    /// keeps. The next call puts the schema into the prompt.
    ///
    /// [`subset`]: crate::document::schema::subset::subset
    GrammarTooLarge,
}

/// The record of one call to one target.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    pub target: Target,
    pub kind: AttemptKind,
    pub outcome: AttemptOutcome,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorName>,
    /// The message of the service, cut to 300 characters, or the fault of an invalid answer. It is stored only in
    /// encrypted artifacts and never in a log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Advice to a person on what to do about the error, if there is any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
    /// The part of the request that did not fit this target. Another target, or another form of the request, may work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// Sentences, each about a setting of the step that the target does not accept and its replacement.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub adapted: Vec<String>,
    /// The `Retry-After` of the service, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_s: Option<u64>,
    #[serde(with = "time::serde::rfc3339")]
    pub started_at: OffsetDateTime,
    /// The time from the start of the call to its end, in milliseconds.
    pub latency_ms: u64,
    /// The time from the start of the call to the first token, in milliseconds. `None` if there was no token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_token_ms: Option<u64>,
    /// The service tier of the call, if the service reports it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_tier: Option<String>,
    /// The origins of the guardrails that were applied, if the service reports them: `REQUEST`, `ACCOUNT_ENFORCED`,
    /// `ORGANIZATION_ENFORCED`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub guardrail_origin: Vec<String>,
    /// The tokens of the call. `null` if unknown, such as for a cut stream, which the service may have charged.
    pub usage: Option<Usage>,
    /// The cost in USD. `null` if the usage or the price is unknown; an unknown cost is never 0.
    pub cost_usd: Option<Decimal>,
    /// What the prompt cache did. `None` for a call without cached prefixes, and for one that the service refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<CacheUse>,
}

impl Attempt {
    /// Returns the time at which the call ended.
    pub fn ended_at(&self) -> OffsetDateTime {
        self.started_at + std::time::Duration::from_millis(self.latency_ms)
    }

    /// Marks an answered and paid call as failed with `Bcce.OutputInvalid`. `fault` becomes its message.
    pub fn mark_invalid(&mut self, fault: &str) {
        self.outcome = AttemptOutcome::Failed;
        self.error = Some(ErrorName::OutputInvalid);
        self.message = Some(fault.to_owned());
    }

    /// Returns `true` if the usage is known but the price file had no price of the model for the day of the call.
    pub fn is_unpriced(&self) -> bool {
        self.usage.is_some() && self.cost_usd.is_none()
    }
}

/// The usage and cost of many calls. A total with an unknown part is `null`. Another field then has the sum of the
/// known parts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Totals {
    /// The tokens of all attempts. `null` if the usage of at least one attempt is unknown.
    pub usage: Option<Usage>,
    /// The sum of the known usages if `usage` is `null`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known_usage: Option<Usage>,
    /// The cost of all attempts in USD. `null` if the cost of at least one attempt is unknown.
    pub cost_usd: Option<Decimal>,
    /// The sum of the known costs in USD if `cost_usd` is `null`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priced_subtotal_usd: Option<Decimal>,
    /// The ids of the models without a price on the day of a call.
    #[serde(default)]
    pub unpriced: Vec<String>,
}

impl Totals {
    /// Returns `usage`, or the sum of the known usages if it is `None`.
    pub fn known_usage(&self) -> Usage {
        self.usage.or(self.known_usage).unwrap_or_default()
    }

    /// Returns `cost_usd`, or the sum of the known costs if it is `None`.
    pub fn known_cost(&self) -> Decimal {
        self.cost_usd.or(self.priced_subtotal_usd).unwrap_or_default()
    }

    /// Returns totals of which nothing is known.
    pub fn unknown() -> Self {
        let usage = Some(Usage::default());
        let cost = Some(Decimal::ZERO);
        Self { known_usage: usage, priced_subtotal_usd: cost, ..Self::default() }
    }

    /// Adds `other`. The result is unknown if one of the two is unknown.
    pub fn add(&mut self, other: &Self) {
        let mut usage = self.known_usage();
        let cost = self.known_cost() + other.known_cost();
        usage += other.known_usage();
        let all_used = self.usage.is_some() && other.usage.is_some();
        let all_priced = self.cost_usd.is_some() && other.cost_usd.is_some();
        let unpriced: BTreeSet<String> =
            self.unpriced.drain(..).chain(other.unpriced.iter().cloned()).collect();
        *self = Self::sum(usage, cost, all_used, all_priced, unpriced);
    }

    /// Returns the totals of `attempts`.
    pub fn of<'a>(attempts: impl IntoIterator<Item = &'a Attempt>) -> Self {
        let mut usage = Usage::default();
        let mut cost = Decimal::ZERO;
        let mut all_used = true;
        let mut all_priced = true;
        let mut unpriced = BTreeSet::new();
        for attempt in attempts {
            all_used &= attempt.usage.is_some();
            all_priced &= attempt.cost_usd.is_some();
            usage += attempt.usage.unwrap_or_default();
            cost += attempt.cost_usd.unwrap_or_default();
            if attempt.is_unpriced() {
                unpriced.insert(attempt.target.model_id.clone());
            }
        }
        Self::sum(usage, cost, all_used, all_priced, unpriced)
    }

    /// Returns the totals of calls to one model from their counters: the sums of the known usages and costs, and the
    /// numbers of calls whose usage and whose cost are unknown. A call without usage has no cost either.
    pub fn counted(
        usage: Usage,
        cost: Decimal,
        (unknown, unpriced): (u64, u64),
        model_id: &str,
    ) -> Self {
        let models = (unpriced > unknown).then(|| model_id.to_owned()).into_iter().collect();
        Self::sum(usage, cost, unknown == 0, unpriced == 0, models)
    }

    /// Returns the totals of calls from the sums of their known usages and costs. `all_used` and `all_priced` are true
    /// if the usage and the cost of every call are known.
    pub(crate) fn sum(
        usage: Usage,
        cost: Decimal,
        all_used: bool,
        all_priced: bool,
        unpriced: BTreeSet<String>,
    ) -> Self {
        let cost = cost.normalize();
        Self {
            usage: all_used.then_some(usage),
            known_usage: (!all_used).then_some(usage),
            cost_usd: all_priced.then_some(cost),
            priced_subtotal_usd: (!all_priced).then_some(cost),
            unpriced: unpriced.into_iter().collect(),
        }
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::base::target::tests::target;
    use time::macros::datetime;

    pub fn failed(region: &str, error: ErrorName) -> Attempt {
        Attempt {
            target: target(region),
            kind: AttemptKind::First,
            outcome: AttemptOutcome::Failed,
            error: Some(error),
            message: None,
            advice: None,
            cause: None,
            adapted: vec![],
            retry_after_s: None,
            started_at: datetime!(2026-11-01 12:00 UTC),
            latency_ms: 10,
            first_token_ms: None,
            service_tier: None,
            guardrail_origin: Vec::new(),
            usage: Some(Usage::default()),
            cost_usd: Some(Decimal::ZERO),
            cache: None,
        }
    }

    #[test]
    fn an_unknown_usage_makes_the_total_unknown_and_keeps_what_is_known() {
        let known = Attempt {
            usage: Some(Usage { input_tokens: 7, ..Usage::default() }),
            cost_usd: Some(Decimal::new(5, 3)),
            ..failed("us-east-1", ErrorName::OutputInvalid)
        };
        let cut = Attempt { usage: None, cost_usd: None, ..known.clone() };
        let totals = Totals::of([&known, &cut]);
        assert_eq!((totals.usage, totals.cost_usd), (None, None));
        assert_eq!(totals.known_usage.unwrap().input_tokens, 7);
        assert_eq!(totals.priced_subtotal_usd, Some(Decimal::new(5, 3)));
        assert!(totals.unpriced.is_empty(), "a cut stream has no usage to price");
    }

    #[test]
    fn a_model_without_a_price_is_named_and_never_free() {
        let unpriced = Attempt {
            usage: Some(Usage { output_tokens: 1, ..Usage::default() }),
            cost_usd: None,
            ..failed("us-east-1", ErrorName::OutputInvalid)
        };
        let totals = Totals::of([&unpriced]);
        assert_eq!(totals.cost_usd, None);
        assert_eq!(totals.unpriced, [unpriced.target.model_id]);
    }
}
