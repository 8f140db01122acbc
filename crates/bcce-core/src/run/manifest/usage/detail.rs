//! The part of a step's usage that only the ledger needs.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::{Paid, row, tier};
use crate::base::error::ErrorName;
use crate::base::histogram::Histogram;
use crate::base::json::is_zero;
use crate::base::usage::Usage;
use crate::call::attempt::{AttemptKind, AttemptOutcome};
use crate::run::plan::Plan;

/// The errors, the times, the lengths of answers and the effects of the cache.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Detail {
    /// The known cost of failed calls in USD. The cost of the line includes it.
    #[serde(default, skip_serializing_if = "Decimal::is_zero")]
    pub failed_cost_usd: Decimal,
    /// The amount in USD by which the tokens that were read from the prompt cache cost less than input tokens.
    #[serde(default, skip_serializing_if = "Decimal::is_zero")]
    pub cache_saved_usd: Decimal,
    /// The amount in USD by which the tokens that were written to the prompt cache cost more than input tokens.
    #[serde(default, skip_serializing_if = "Decimal::is_zero")]
    pub cache_extra_usd: Decimal,
    /// The number of failed calls by error name. A lost call has no error.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub errors: BTreeMap<String, u64>,
    /// The times from the start of an answered call to its first token, in milliseconds.
    #[serde(default, skip_serializing_if = "Histogram::is_empty")]
    pub first_token: Histogram,
    /// The times from the start of an answered call to its end, in milliseconds.
    #[serde(default, skip_serializing_if = "Histogram::is_empty")]
    pub answer: Histogram,
    /// The output tokens of each answer, thinking included. Answers of bulk jobs count, and answers that did not fit
    /// their schema count as well, because `max_tokens` limits them too. Usage of an earlier version has none.
    #[serde(default, skip_serializing_if = "Histogram::is_empty")]
    pub answer_tokens: Histogram,
    /// The number of answered calls whose answer `max_tokens` cut.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cut_answers: u64,
    /// The sum of the times from the start to the end of the calls after which another target is tried, in milliseconds.
    /// Records of bulk jobs are not included.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub failed_over_ms: u64,
}

impl Detail {
    /// Adds the detail of other calls.
    pub fn add(&mut self, other: &Self) {
        self.failed_cost_usd += other.failed_cost_usd;
        self.cache_saved_usd += other.cache_saved_usd;
        self.cache_extra_usd += other.cache_extra_usd;
        for (name, count) in &other.errors {
            *self.errors.entry(name.clone()).or_default() += count;
        }
        self.first_token.add(&other.first_token);
        self.answer.add(&other.answer);
        self.answer_tokens.add(&other.answer_tokens);
        self.cut_answers += other.cut_answers;
        self.failed_over_ms += other.failed_over_ms;
    }

    /// Counts a call.
    pub(super) fn count(&mut self, plan: Option<&Plan>, call: &Paid<'_>) {
        let attempt = call.attempt;
        let is_bulk = attempt.kind == AttemptKind::Bulk;
        if attempt.outcome == AttemptOutcome::Failed {
            self.failed_cost_usd += attempt.cost_usd.unwrap_or_default();
        }
        if let Some(error) = attempt.error {
            *self.errors.entry(error.as_str().to_owned()).or_default() += 1;
        }
        if attempt.error.is_some_and(ErrorName::fails_over) && !is_bulk {
            self.failed_over_ms += attempt.latency_ms;
        }
        if attempt.outcome == AttemptOutcome::Answered && !is_bulk {
            self.answer.record(attempt.latency_ms);
            attempt.first_token_ms.into_iter().for_each(|time| self.first_token.record(time));
        }
        self.count_answer(call);
        let used = |usage: Usage| row(plan?, attempt)?.cache_effect(tier(attempt), &usage);
        if let Some(effect) = attempt.usage.and_then(used) {
            self.cache_saved_usd += effect.saved_usd;
            self.cache_extra_usd += effect.extra_usd;
        }
    }

    /// Counts the length of an answer. A call that failed otherwise has none, or a part of one.
    fn count_answer(&mut self, call: &Paid<'_>) {
        let attempt = call.attempt;
        let is_answer = matches!(attempt.error, None | Some(ErrorName::OutputInvalid));
        if let Some(used) = attempt.usage.filter(|_| is_answer) {
            self.answer_tokens.record(used.output_tokens);
        }
        self.cut_answers += u64::from(call.is_cut);
    }
}
