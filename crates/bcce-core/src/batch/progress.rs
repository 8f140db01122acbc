//! The progress of a batch: the runs that are over, and the halt when too many have failed. The functions that end the
//! runs count them.

use std::collections::{BTreeMap, BTreeSet};

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::base::json::{is_false, is_zero};
use crate::base::usage::Usage;
use crate::call::attempt::Totals;
use crate::run::manifest::Manifest;
use crate::run::notification::RunStatus;

/// The progress of a batch attempt.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BatchProgress {
    pub succeeded: u64,
    pub failed: u64,
    pub cancelled: u64,
    /// The known part of the cost, in USD.
    pub cost_usd: Decimal,
    /// The number of runs whose cost is not fully known.
    pub unknown_cost: u64,
    /// The number of runs with an answer that `max_tokens` cut.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub truncated: u64,
    pub usage: Usage,
    /// The number of runs by error name.
    pub errors: BTreeMap<String, u64>,
    /// The halt of the batch. It is set once and never removed, whatever the outcome of the runs under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub halted: Option<Halt>,
    /// The rate at which the parts under way call models, if the items are packed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
    /// The pause until a budget has money again, if the items are packed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<Pause>,
    /// True if the execution of the batch has ended, so that no further call may start.
    #[serde(default, skip_serializing_if = "is_false")]
    pub is_stopped: bool,
    /// The packed runs that a person has cancelled, by run id.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub cancelled_runs: BTreeSet<String>,
}

/// The rate at which a batch calls models.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rate {
    /// The number of calls that may be under way at a time now.
    pub calls: u32,
    /// The number of calls that may be under way at a time if no target throttles.
    pub most: u32,
    /// The targets that throttle, such as `us-east-1 us.anthropic.claude-haiku-5-5`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub throttled: Vec<String>,
}

impl Rate {
    /// Adds the rate of another part.
    pub fn add(&mut self, other: &Self) {
        self.calls += other.calls;
        self.most += other.most;
        for target in &other.throttled {
            if !self.throttled.contains(target) {
                self.throttled.push(target.clone());
            }
        }
    }
}

/// The halt of a batch: no further item is started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Halt {
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// The reason, as a sentence.
    pub because: String,
}

/// A pause of a batch: its calls wait for money of a budget.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    #[serde(with = "time::serde::rfc3339")]
    pub until: OffsetDateTime,
    /// The reason, as the error of a call that the budget could not pay.
    pub because: String,
}

impl BatchProgress {
    /// Counts a run that is over.
    pub fn count(&mut self, manifest: &Manifest) {
        match manifest.status {
            RunStatus::Succeeded => self.succeeded += 1,
            RunStatus::Cancelled => self.cancelled += 1,
            RunStatus::Running | RunStatus::Failed | RunStatus::Rejected => self.failed += 1,
        }
        self.cost_usd += manifest.totals.known_cost();
        self.unknown_cost += u64::from(manifest.totals.cost_usd.is_none());
        self.truncated += u64::from(manifest.truncated > 0);
        self.usage += manifest.totals.known_usage();
        if let Some(error) = &manifest.error {
            *self.errors.entry(error.name.as_str().to_owned()).or_default() += 1;
        }
    }

    /// Returns how many runs are over.
    pub fn over(&self) -> u64 {
        self.succeeded + self.failed + self.cancelled
    }

    /// Returns the reason why no further item may be started, or `None`. Cancelled runs do not count as failed, because
    /// a person cancelled them.
    pub fn too_much(&self, tolerance: Tolerance) -> Option<String> {
        let Tolerance { items, failures: allowed, by_rate } = tolerance;
        let failed = self.failed;
        let over = self.over();
        if failed > allowed {
            return Some(format!("{failed} items failed (limit: {allowed})"));
        }
        // The runs under way may all succeed: a run that fails ends sooner than one that succeeds.
        let started = u128::from(over) + u128::from(by_rate?);
        let is_at_twice_the_rate =
            u128::from(failed) * u128::from(items) > 2 * started * u128::from(allowed);
        (failed >= SIGNIFICANT && is_at_twice_the_rate).then(|| {
            format!("{failed} of the first {over} items failed (limit: twice the allowed share, {allowed} of {items})")
        })
    }

    /// Returns the usage and cost as far as they are known, in the form of a manifest.
    pub fn totals(&self) -> Totals {
        let is_whole = self.unknown_cost == 0;
        Totals::sum(self.usage, self.cost_usd, is_whole, is_whole, BTreeSet::new())
    }

    /// Adds the counts of `other`, for example of another shard.
    pub fn add(&mut self, other: &Self) {
        self.succeeded += other.succeeded;
        self.failed += other.failed;
        self.cancelled += other.cancelled;
        self.cost_usd += other.cost_usd;
        self.unknown_cost += other.unknown_cost;
        self.truncated += other.truncated;
        self.usage += other.usage;
        for (name, count) in &other.errors {
            *self.errors.entry(name.clone()).or_default() += count;
        }
        self.halted = self.halted.take().or_else(|| other.halted.clone());
        // The first part that goes on ends the pause of the batch.
        let pauses = [self.paused.take(), other.paused.clone()];
        self.paused = pauses.into_iter().flatten().min_by_key(|pause| pause.until);
        if let Some(rate) = &other.rate {
            self.rate.get_or_insert_default().add(rate);
        }
        self.is_stopped |= other.is_stopped;
        self.cancelled_runs.extend(other.cancelled_runs.iter().cloned());
    }
}

/// The failures that a batch tolerates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tolerance {
    /// The number of all items of the batch.
    pub items: u64,
    /// The number of items that may fail.
    pub failures: u64,
    /// The number of runs at a time, if the rate of failures is representative. `None` for a retry, which only has
    /// items that did not succeed before.
    pub by_rate: Option<u32>,
}

/// The number of failures from which their rate is representative. If items fail independently and at the allowed rate,
/// 25 failures are expected when fifty reach twice that rate. The probability of fifty failures by chance is then 7 in
/// a million (Poisson).
const SIGNIFICANT: u64 = 50;

/// The default tolerance: a fifth of the items, but at least ten.
const DEFAULT_PERCENT: u64 = 20;
const DEFAULT_LEAST: u64 = 10;

/// Returns the number of `items` that may fail before no further one is started. `percent` is the share that the batch
/// asks for.
pub fn allowed_failures(items: u64, percent: Option<u8>) -> u64 {
    let share = |percent: u64| items.saturating_mul(percent) / 100;
    match percent {
        Some(percent) => share(percent.into()),
        None => share(DEFAULT_PERCENT).max(DEFAULT_LEAST),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_all_items_may_fail() {
        assert_eq!(allowed_failures(500, Some(3)), 15);
        assert_eq!(allowed_failures(500, Some(0)), 0);
        assert_eq!(allowed_failures(500, Some(100)), 500);
        assert_eq!(allowed_failures(500, None), 100);
        assert_eq!(allowed_failures(3, None), 10);
        let too_much = |failed| {
            BatchProgress { failed, cancelled: 50, ..BatchProgress::default() }
                .too_much(Tolerance { items: 500, failures: 15, by_rate: None })
        };
        assert_eq!(too_much(15), None);
        assert_eq!(too_much(16).as_deref(), Some("16 items failed (limit: 15)"));
    }

    #[test]
    fn a_batch_that_fails_from_the_beginning_is_halted_early() {
        let at_a_time =
            |by_rate, failed, succeeded, failures| {
                BatchProgress { failed, succeeded, ..BatchProgress::default() }
                    .too_much(Tolerance { items: 1_000_000, failures, by_rate })
            };
        let too_much =
            |failed, succeeded, failures| at_a_time(Some(0), failed, succeeded, failures);
        assert_eq!(too_much(49, 0, 200_000), None);
        let why =
            "50 of the first 50 items failed (limit: twice the allowed share, 200000 of 1000000)";
        assert_eq!(too_much(50, 0, 200_000).as_deref(), Some(why));
        assert_eq!(too_much(50, 75, 200_000), None, "twice the share, and not more");
        assert!(too_much(50, 74, 200_000).is_some());
        assert_eq!(
            too_much(100_000, 100_000, 500_000),
            None,
            "half may fail, so all of the first may"
        );
        assert!(at_a_time(Some(74), 50, 0, 200_000).is_some());
        assert_eq!(at_a_time(Some(75), 50, 0, 200_000), None, "others may be about to succeed");
        assert_eq!(at_a_time(None, 50, 0, 200_000), None, "a retry has what failed before");
    }

    #[test]
    fn shards_add_up() {
        let one = BatchProgress {
            succeeded: 1,
            failed: 2,
            cancelled: 3,
            cost_usd: Decimal::new(5, 1),
            unknown_cost: 1,
            truncated: 2,
            usage: Usage { input_tokens: 7, ..Usage::default() },
            errors: [("Bcce.NoTarget".to_owned(), 2)].into(),
            ..BatchProgress::default()
        };
        let mut sum = one.clone();
        sum.add(&one);
        assert_eq!((sum.over(), sum.cost_usd, sum.truncated), (12, Decimal::ONE, 4));
        assert_eq!((sum.usage.input_tokens, sum.errors["Bcce.NoTarget"]), (14, 4));
    }
}
