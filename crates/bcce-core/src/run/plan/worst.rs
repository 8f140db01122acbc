//! The worst-case cost of a run, which is compared with a ceiling before the first call.
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
use crate::base::figures::{count, dollars};
use crate::base::target::Target;
use crate::base::usage::Usage;
use crate::call::parameters::{Parameters, json_output};
use crate::config::models::RouteTarget;
use crate::config::policy::Policy;
use crate::config::pricing::{PriceRow, PriceRows};
use crate::config::template::Step;
use crate::failover::route::Route;
use crate::run::budgets::Most;
use crate::run::plan::Plan;

/// The worst-case cost of one run or of several.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorstCase {
    /// The number of calls, including repairs.
    pub calls: u64,
    /// The sum of the costs at known prices, in USD.
    pub usd: Decimal,
    /// The models without a price. Their cost is not included.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub unpriced: BTreeSet<String>,
}

impl WorstCase {
    /// Adds another worst case.
    pub fn add(&mut self, other: &Self) {
        self.calls += other.calls;
        self.usd += other.usd;
        self.unpriced.extend(other.unpriced.iter().cloned());
    }

    /// Checks one run against its ceiling. Returns the reasons why it must not start.
    pub fn check_run(&self, policy: &Policy) -> Problems {
        self.check("run_usd", policy.ceilings.run_usd, "the run")
    }

    /// Checks a batch of `items` items against its ceiling. `self` is the sum of their worst cases. Returns the reasons
    /// why the batch must not start.
    pub fn check_batch(&self, policy: &Policy, items: u64) -> Problems {
        let what = format!("the batch's {} items", count(items));
        self.check("batch_usd", policy.ceilings.batch_usd, &what)
    }

    fn check(&self, name: &str, ceiling: Option<Decimal>, what: &str) -> Problems {
        let Some(ceiling) = ceiling else { return Problems::default() };
        let field = format!("ceilings.{name}");
        if let Some(model) = self.unpriced.first() {
            let cause = format!(
                "prices.yaml has no price for {model}, and a ceiling in policy.yaml requires a price for every model; add \
                 the price"
            );
            return Problems::one(field, cause);
        }
        let mut problems = Problems::default();
        let cause = format!(
            "{what} may make {} calls and cost up to {}; policy.yaml allows {}. Send less, or have the platform team \
             raise the ceiling (docs/workflows.md describes how the worst case is computed)",
            count(self.calls),
            dollars(self.usd),
            dollars(ceiling)
        );
        problems.check(self.usd <= ceiling, field, cause);
        problems
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
            let is_json = json_output(step).is_some();
            let calls = if is_json && is_repaired { 2 } else { 1 };
            let mut most = Decimal::ZERO;
            for listed in allowed(route) {
                let rows = self.prices.get(&listed.target.model_id);
                let rows = rows.map(|rows| in_force(rows, self.prices_date)).unwrap_or_default();
                if rows.is_empty() {
                    worst.unpriced.insert(listed.target.model_id.clone());
                }
                let takes = self.takes(step, route, &listed.target);
                let output = takes.map_or(step.answer_tokens(), |takes| {
                    Parameters::of(step, takes, false).max_tokens
                });
                let usages = call.usages(u64::from(output), listed.context_tokens);
                for row in rows {
                    most = most.max(usages.iter().take(calls).map(|used| cost(row, used)).sum());
                }
            }
            worst.calls += calls as u64;
            worst.usd += most;
        }
        worst.usd = worst.usd.round_dp_with_strategy(6, RoundingStrategy::AwayFromZero).normalize();
        worst
    }

    /// Returns the longest answer of a step in tokens, over all targets that policy allows.
    fn longest_answer(&self, step: &Step, route: &Route) -> u64 {
        let tokens = |listed: &RouteTarget| match self.takes(step, route, &listed.target) {
            Some(takes) => Parameters::of(step, takes, false).max_tokens,
            None => step.answer_tokens(),
        };
        allowed(route).map(tokens).max().unwrap_or_default().into()
    }
}

fn allowed(route: &Route) -> impl Iterator<Item = &RouteTarget> {
    route.targets.iter().filter(|listed| route.allows(&listed.target))
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
        let tokens = used.prompt_tokens() + used.output_tokens;
        Most { usd: row.map(|row| row.cost(&used)), tokens }
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
        let tokens = used.prompt_tokens() + used.output_tokens;
        Most { usd: row.map(|row| row.batch_cost(&used)), tokens }
    }
}

/// Returns the price rows that can apply to a call on or after `date`, the day on which the prices were checked.
fn in_force(rows: &PriceRows, date: time::Date) -> Vec<&PriceRow> {
    let later = rows.0.iter().filter(|row| row.from > date);
    rows.on(date).into_iter().chain(later).collect()
}
