//! Advice from measured usage: which key of which document to change, why, and what that is worth.
//!
//! The usage is compared with the documents as they are now. A document applies to all tenants, so the usage of all
//! tenants counts.

pub mod bulk; // batches that ran on demand and could have run in bulk
mod cache; // prompt caches that cost more than they save
mod finding; // a piece of advice
mod max_tokens; // steps whose max_tokens is far above their answers, or cuts them
mod measured; // the calls of a step with its configuration, and a batch with its price in bulk
pub mod print; // advice as text and as JSON
pub mod read; // reads the documents and the batches
#[cfg(test)]
mod samples;
mod targets; // targets that nearly always fail
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use bcce_core::config::configuration::Configuration;
use bcce_core::ledger::usage::CountedCalls;
use rust_decimal::Decimal;

use self::finding::Finding;
use self::measured::{MeasuredBatch, MeasuredStep};

/// The least number of answers of a step for advice about it. Fewer have no 99th percentile of their own.
pub const LEAST_ANSWERS: u64 = 100;

/// The least number of calls to a target for advice about it. An open breaker keeps most calls away from a target that
/// fails, so there are few of them.
pub const LEAST_CALLS: u64 = 20;

/// The least amount in USD that advice is given for, over the whole period: one cent.
pub const LEAST_USD: Decimal = Decimal::from_parts(1, 0, 0, false, 2);

/// Everything that advice depends on.
#[derive(Clone, Copy, Debug)]
pub struct Examined<'a> {
    /// The configuration of each workflow, as it is now.
    pub configurations: &'a BTreeMap<String, Configuration>,
    /// The calls of the period.
    pub calls: &'a [&'a CountedCalls],
    /// The batches of the period that could have run in bulk.
    pub batches: &'a [MeasuredBatch],
}

/// All advice for a period.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Advice {
    /// What to change, the most important first.
    pub findings: Vec<Finding>,
    /// The number of steps with enough answers.
    pub examined_steps: usize,
    pub too_few: Vec<TooFew>,
}

/// A step or a target with too few calls to give advice about it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TooFew {
    /// The step, as `<workflow>.<step>`, or the target.
    pub of: String,
    /// What was counted: `answers` or `calls`.
    pub counted: &'static str,
    pub count: u64,
    pub needed: u64,
}

/// Returns the advice.
pub fn of(examined: &Examined<'_>) -> Advice {
    let steps = MeasuredStep::all(examined);
    let (enough, few): (Vec<_>, Vec<_>) =
        steps.iter().partition(|step| step.answers() >= LEAST_ANSWERS);
    let of_steps = enough.iter().flat_map(|step| {
        [max_tokens::far_above(step), max_tokens::cuts(step), cache::finding(step)]
    });
    let targets = targets::of(&steps);
    let mut findings: Vec<Finding> = of_steps.flatten().collect();
    findings.extend(targets.findings);
    findings.extend(bulk::findings(examined.batches));
    findings.sort_by_key(Finding::order);
    let few = few.into_iter().map(|step| TooFew {
        of: step.name(),
        counted: "answers",
        count: step.answers(),
        needed: LEAST_ANSWERS,
    });
    let too_few = few.chain(targets.too_few).collect();
    Advice { findings, examined_steps: enough.len(), too_few }
}
