//! The worst case of a run in USD and tokens, which is compared with the limits of a run before the first call.
//!
//! A token has at least one byte. A prompt therefore has at most as many tokens as bytes, and never more than the
//! target's context. The worst case assumes that every answer is as long as `max_tokens` allows, every call is sent to
//! the most expensive target that policy allows, no prompt is read from a cache, and every answer in JSON is repaired
//! once. It leaves out calls that fail after they were paid, retries of the run, and the price of guardrails.

mod sizes; // the sizes of what templates name, in bytes
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use rust_decimal::{Decimal, RoundingStrategy};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use self::sizes::Sizes;
use crate::base::error::Problems;
use crate::base::figures::count;
use crate::base::target::Target;
use crate::base::usage::Usage;
use crate::call::parameters::{Parameters, json_output};
use crate::config::budgets::{Unit, WorstCaseLimit};
use crate::config::models::RouteTarget;
use crate::config::pricing::{PriceRow, PriceRows};
use crate::config::template::Step;
use crate::failover::route::Route;
use crate::run::budgets::Most;
use crate::run::plan::Plan;

/// The worst case of one run or of several.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorstCase {
    /// The number of calls, including repairs.
    pub calls: u64,
    /// The sum of the costs at known prices, in USD.
    pub usd: Decimal,
    /// The tokens of all kinds. Zero in a plan of an earlier version.
    #[serde(default)]
    pub tokens: u64,
    /// The models without a price. Their cost is not included.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub unpriced: BTreeSet<String>,
}

impl WorstCase {
    /// Adds another worst case.
    pub fn add(&mut self, other: &Self) {
        self.calls += other.calls;
        self.usd += other.usd;
        self.tokens += other.tokens;
        self.unpriced.extend(other.unpriced.iter().cloned());
    }

    /// Checks one run against its limits. Returns the reasons why it must not start.
    pub fn check_run(&self, limits: &[WorstCaseLimit]) -> Problems {
        self.check(limits, "the run")
    }

    /// Checks a batch of `items` items against its limits. `self` is the sum of their worst cases. Returns the reasons
    /// why the batch must not start.
    pub fn check_batch(&self, limits: &[WorstCaseLimit], items: u64) -> Problems {
        self.check(limits, &format!("the batch's {} items", count(items)))
    }

    fn check(&self, limits: &[WorstCaseLimit], what: &str) -> Problems {
        let mut problems = Problems::default();
        for limit in limits {
            if let Some(cause) = self.exceeds(limit, what) {
                problems.add(&limit.field, cause);
            }
        }
        problems
    }

    /// Returns the reason why the worst case is not within a limit, or `None` if it is.
    fn exceeds(&self, limit: &WorstCaseLimit, what: &str) -> Option<String> {
        if let (Some(model), Unit::Usd) = (self.unpriced.first(), limit.unit) {
            return Some(format!(
                "prices.yaml has no price for {model}, and this limit in USD needs one for every model; add the price"
            ));
        }
        let (verb, amount) = match limit.unit {
            Unit::Usd => ("cost", self.usd),
            Unit::Tokens => ("use", self.tokens.into()),
        };
        let cause = format!(
            "{what} may make {} calls and {verb} up to {}; the limit is {}. Send less, or have the platform team raise \
             the limit in budgets.yaml (docs/workflows.md describes how the worst case is computed)",
            count(self.calls),
            limit.amount(amount),
            limit.amount(limit.limit)
        );
        (amount > limit.limit).then_some(cause)
    }
}

/// The function that computes the cost of a call or of a record of a bulk job.
type Cost = fn(&PriceRow, &Usage) -> Decimal;

impl Plan {
    /// Computes the worst case of one run of this plan.
    pub(super) fn compute_worst_case(&self) -> WorstCase {
        self.worst(PriceRow::cost, true)
    }

    /// Computes the worst case of a run that may be a record of a bulk job first. The record is paid, and its answer
    /// may be invalid.
    pub fn worst_case_in_bulk(&self) -> WorstCase {
        let mut worst = self.worst_case.clone().unwrap_or_default();
        worst.add(&self.worst(PriceRow::batch_cost, false));
        worst
    }

    fn worst(&self, cost: Cost, is_repaired: bool) -> WorstCase {
        let sizes = Sizes::of(self);
        let mut worst = WorstCase::default();
        for execution in self.waves.iter().flat_map(|wave| &wave.steps) {
            let (Some(step), Some(route)) =
                (self.step(&execution.step), self.routes.get(&execution.route))
            else {
                continue;
            };
            let call = sizes.call(step, execution.item);
            let calls = if json_output(step).is_some() && is_repaired { 2 } else { 1 };
            let mut most = WorstCase { calls: calls as u64, ..WorstCase::default() };
            for listed in allowed(route) {
                let output = self.answer_tokens(step, route, listed);
                let usages = call.usages(u64::from(output), listed.context_tokens);
                self.raise(&mut most, listed, &usages[..calls], cost);
            }
            worst.add(&most);
        }
        worst.usd = worst.usd.round_dp_with_strategy(6, RoundingStrategy::AwayFromZero).normalize();
        worst
    }

    /// Raises the worst case of a step execution to that of one target, if it is higher there.
    fn raise(&self, most: &mut WorstCase, listed: &RouteTarget, usages: &[Usage], cost: Cost) {
        let model_id = &listed.target.model_id;
        let rows = self.prices.get(model_id).map(|rows| in_force(rows, self.prices_date));
        let rows = rows.unwrap_or_default();
        if rows.is_empty() {
            most.unpriced.insert(model_id.clone());
        }
        for row in rows {
            most.usd = most.usd.max(usages.iter().map(|used| cost(row, used)).sum());
        }
        most.tokens = most.tokens.max(usages.iter().map(tokens).sum());
    }

    /// Returns the longest answer of a step from a target in tokens.
    fn answer_tokens(&self, step: &Step, route: &Route, listed: &RouteTarget) -> u32 {
        match self.takes(step, route, &listed.target) {
            Some(takes) => Parameters::of(step, takes, false).max_tokens,
            None => step.answer_tokens(),
        }
    }

    /// Returns the longest answer of a step in tokens, over all targets that policy allows.
    fn longest_answer(&self, step: &Step, route: &Route) -> u64 {
        let tokens = |listed| self.answer_tokens(step, route, listed);
        allowed(route).map(tokens).max().unwrap_or_default().into()
    }
}

fn allowed(route: &Route) -> impl Iterator<Item = &RouteTarget> {
    route.targets.iter().filter(|listed| route.allows(&listed.target))
}

/// Returns the tokens of all kinds.
fn tokens(used: &Usage) -> u64 {
    used.prompt_tokens() + used.output_tokens
}

/// The bytes that a call sends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CallBytes {
    /// The bytes after the last cache point.
    pub prompt: u64,
    /// The bytes before it, which may be written to the cache.
    pub cached: u64,
}

impl Plan {
    /// Returns the most that a call of `step` to `target` at `at` may cost, if its answer has at most `max_tokens`. The
    /// prompt may have as many tokens as bytes, whatever context `models.yaml` states for the target.
    pub fn most_of_call(
        &self,
        step: &Step,
        target: &Target,
        at: OffsetDateTime,
        bytes: CallBytes,
        max_tokens: u64,
    ) -> Most {
        let call = sizes::Call::of_bytes(bytes, step.cache.map(|cache| cache.ttl));
        let [used, _] = call.usages(max_tokens, u64::MAX);
        let row = self.price(&target.model_id, at);
        Most { usd: row.map(|row| row.cost(&used)), tokens: tokens(&used) }
    }

    /// Returns the most that the same call may cost as a record of a bulk job, which uses no prompt cache.
    pub fn most_of_record(
        &self,
        target: &Target,
        at: OffsetDateTime,
        bytes: CallBytes,
        max_tokens: u64,
    ) -> Most {
        let [used, _] = sizes::Call::of_bytes(bytes, None).usages(max_tokens, u64::MAX);
        let row = self.price(&target.model_id, at);
        Most { usd: row.map(|row| row.batch_cost(&used)), tokens: tokens(&used) }
    }
}

/// Returns the price rows that can apply to a call on or after `date`, the day on which the prices were checked.
fn in_force(rows: &PriceRows, date: time::Date) -> Vec<&PriceRow> {
    let later = rows.0.iter().filter(|row| row.from > date);
    rows.on(date).into_iter().chain(later).collect()
}
