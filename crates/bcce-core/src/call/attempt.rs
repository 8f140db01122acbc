//! One call on one target: what it was, what it used, what it cost.

use std::collections::BTreeSet;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::base::error::ErrorName;
use crate::base::target::Target;
use crate::base::usage::Usage;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttemptKind {
    First,
    /// The same target asked once more because the answer did not fit the schema.
    Repair,
    /// A record of a batch inference job, at the price of one.
    Bulk,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttemptOutcome {
    Answered,
    Failed,
}

/// Why a target could not take a request that another one may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The prompt and `max_tokens` do not fit its context.
    ContextTooLong,
    /// The service does not take the schema: its grammar is too large, or it has a part that we think it takes and it
    /// does not. The schema goes into the prompt.
    GrammarTooLarge,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    pub target: Target,
    pub kind: AttemptKind,
    pub outcome: AttemptOutcome,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorName>,
    /// What the service said, cut to 300 characters. Lies in encrypted artifacts only, never in a log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Advice to a person on what to do about it, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
    /// The part of the request that did not fit this target; another target, or another request, may work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// Settings of the step that the target does not take, and what it got instead.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub adapted: Vec<String>,
    /// The service's own `Retry-After`, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_s: Option<u64>,
    #[serde(with = "time::serde::rfc3339")]
    pub started_at: OffsetDateTime,
    pub latency_ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_token_ms: Option<u64>,
    /// The tier that served it, where the service says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_tier: Option<String>,
    /// Origins of the guardrails that were applied, where the service says so: `REQUEST`, `ACCOUNT_ENFORCED`,
    /// `ORGANIZATION_ENFORCED`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub guardrail_origin: Vec<String>,
    /// `null` when unknown: the service may have charged a cut stream.
    pub usage: Option<Usage>,
    /// `null` when the usage or the price is unknown, never 0 for that.
    pub cost_usd: Option<Decimal>,
}

impl Attempt {
    /// Returns when the call was over.
    pub fn ended_at(&self) -> OffsetDateTime {
        self.started_at + std::time::Duration::from_millis(self.latency_ms)
    }

    /// Marks an answered and paid call as failed: its answer is invalid.
    pub fn mark_invalid(&mut self, fault: &str) {
        self.outcome = AttemptOutcome::Failed;
        self.error = Some(ErrorName::OutputInvalid);
        self.message = Some(fault.to_owned());
    }

    /// Returns whether the price file lacks a price of the model for the day of the call. An attempt that used nothing
    /// costs nothing.
    pub fn is_unpriced(&self) -> bool {
        self.usage.is_some() && self.cost_usd.is_none()
    }
}

/// The usage and cost of many calls. A total with an unknown part is unknown; the known part stands beside it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Totals {
    /// `null` as soon as one attempt's usage is.
    pub usage: Option<Usage>,
    /// What is known of `usage` when that is `null`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known_usage: Option<Usage>,
    /// `null` as soon as one attempt's cost is.
    pub cost_usd: Option<Decimal>,
    /// What is known of `cost_usd` when that is `null`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priced_subtotal_usd: Option<Decimal>,
    /// Models that the price file has no price of, for the day of the call.
    #[serde(default)]
    pub unpriced: Vec<String>,
}

impl Totals {
    /// Returns the tokens that are known.
    pub fn known_usage(&self) -> Usage {
        self.usage.or(self.known_usage).unwrap_or_default()
    }

    /// Returns the cost that is known.
    pub fn known_cost(&self) -> Decimal {
        self.cost_usd.or(self.priced_subtotal_usd).unwrap_or_default()
    }

    /// Returns the totals of something that may have been charged an unknown amount.
    pub fn unknown() -> Self {
        let usage = Some(Usage::default());
        let cost = Some(Decimal::ZERO);
        Self { known_usage: usage, priced_subtotal_usd: cost, ..Self::default() }
    }

    /// Adds `other`.
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

    /// Sums up `attempts`.
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

    /// Returns the totals of calls that used and cost `usage` and `cost` as far as that is known. `all_used`,
    /// `all_priced`: it is known of each of them.
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
