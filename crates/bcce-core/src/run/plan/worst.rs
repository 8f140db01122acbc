//! What a run may cost at worst, held against a ceiling before its first call.
//!
//! A token is never shorter than a byte, so a prompt has at most as many tokens as bytes, and never more than the
//! target's context. Every answer is as long as `max_tokens` allows, every call goes to the dearest target that policy
//! allows, nothing is read from a cache, and an answer in JSON is repaired once. The worst case leaves out calls that
//! fail after they were paid, retries of the run, and a guardrail's own price.

mod sizes; // what templates name, in bytes
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use rust_decimal::{Decimal, RoundingStrategy};
use serde::{Deserialize, Serialize};

use self::sizes::Sizes;
use crate::base::error::Problems;
use crate::base::figures::{count, dollars};
use crate::base::usage::Usage;
use crate::call::parameters::{Parameters, json_output};
use crate::config::models::RouteTarget;
use crate::config::policy::Policy;
use crate::config::pricing::{PriceRow, PriceRows};
use crate::config::template::Step;
use crate::failover::route::Route;
use crate::run::plan::Plan;

/// What one run, or many, may cost at worst.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorstCase {
    /// Calls that succeed, repairs included.
    pub calls: u64,
    /// Sums what the calls cost at known prices.
    pub usd: Decimal,
    /// Models without a price; what they cost is not in it.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub unpriced: BTreeSet<String>,
}

impl WorstCase {
    /// Adds another one.
    pub fn add(&mut self, other: &Self) {
        self.calls += other.calls;
        self.usd += other.usd;
        self.unpriced.extend(other.unpriced.iter().cloned());
    }

    /// Says why a run of this worst case is not started.
    pub fn check_run(&self, policy: &Policy) -> Problems {
        self.check("run_usd", policy.ceilings.run_usd, "the run")
    }

    /// Says why a batch of so many items, whose worst cases this is the sum of, is not started.
    pub fn check_batch(&self, policy: &Policy, items: u64) -> Problems {
        let what = format!("the batch's {} items", count(items));
        self.check("batch_usd", policy.ceilings.batch_usd, &what)
    }

    fn check(&self, name: &str, ceiling: Option<Decimal>, what: &str) -> Problems {
        let Some(ceiling) = ceiling else { return Problems::default() };
        let field = format!("ceilings.{name}");
        if let Some(model) = self.unpriced.first() {
            let cause = format!(
                "prices.yaml has no price of {model}, and nothing is called at an unknown price while policy.yaml has \
                 a ceiling; add the price"
            );
            return Problems::one(field, cause);
        }
        let mut problems = Problems::default();
        let cause = format!(
            "{what} may make {} calls and cost up to {}; policy.yaml allows {}. Send less, or have the platform team \
             raise the ceiling (docs/workflows.md says how the worst case is computed)",
            count(self.calls),
            dollars(self.usd),
            dollars(ceiling)
        );
        problems.check(self.usd <= ceiling, field, cause);
        problems
    }
}

/// How a call is priced, as such or as a record of a job.
type Cost = fn(&PriceRow, &Usage) -> Decimal;

impl Plan {
    /// Computes the worst case of one run of this plan.
    pub(super) fn compute_worst_case(&self) -> WorstCase {
        self.worst(PriceRow::cost, true)
    }

    /// Computes the worst case of a run that may be a record of a job first: the record is paid, and its answer may be
    /// invalid.
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

    /// The longest answer of a step in tokens, on any target that may give it.
    fn longest_answer(&self, step: &Step, route: &Route) -> u64 {
        let tokens = |listed: &RouteTarget| match self.takes(step, route, &listed.target) {
            Some(takes) => Parameters::of(step, takes, false).max_tokens,
            None => step.answer_tokens(),
        };
        allowed(route).map(tokens).max().unwrap_or_default().into()
    }
}

fn allowed(route: &Route) -> impl Iterator<Item = &RouteTarget> {
    route.targets.iter().filter(|listed| route.policy.allows(&listed.target))
}

/// Rows that a call may be priced by from the day on which the prices were checked: a plan knows no other day.
fn in_force(rows: &PriceRows, date: time::Date) -> Vec<&PriceRow> {
    let later = rows.0.iter().filter(|row| row.from > date);
    rows.on(date).into_iter().chain(later).collect()
}
