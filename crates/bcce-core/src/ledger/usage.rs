//! The usage counters of a day, and what their costs are allocated to.
//!
//! A counter adds up the calls with the same day, tenant, workflow, step, target, kind of price and cost tags, or the
//! runs with the same day, tenant, workflow and cost tags. Calls count on the day on which they started, which decides
//! their price; runs count on the day on which they ended. The platform team defines all values, so a sender cannot
//! multiply the counters.

use std::collections::BTreeMap;

use serde::Serialize;
use time::{Date, UtcOffset};

use crate::base::digest::sha256_hex;
use crate::ledger::{ClosedRun, CountedPart, shard};
use crate::run::manifest::{RunCounts, StepUsage, TaggedUsage};

/// The prefix of the sort key of counted calls.
pub const CALLS: &str = "calls#";

/// The prefix of the sort key of counted runs.
pub const RUNS: &str = "runs#";

/// The tenant, workflow and tags that a cost is allocated to.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Allocation {
    pub tenant: String,
    /// The workflow. Empty for runs that were refused before they had a plan: their workflow is a text of the sender.
    pub workflow: String,
    pub cost_tags: BTreeMap<String, String>,
}

/// Calls to add to a counter, or the sum that a counter has.
#[derive(Clone, Debug, PartialEq)]
pub struct CountedCalls {
    pub allocation: Allocation,
    pub usage: StepUsage,
}

/// Runs to add to a counter, or the sum that a counter has.
#[derive(Clone, Debug, PartialEq)]
pub struct CountedRuns {
    pub allocation: Allocation,
    /// The day in UTC on which the runs ended.
    pub day: Date,
    pub runs: RunCounts,
}

/// The counters of a day, as far as they can be read.
#[derive(Clone, Debug, Default)]
pub struct DayOfUsage {
    pub calls: Vec<CountedCalls>,
    pub runs: Vec<CountedRuns>,
    /// The keys of items that are not counters of this version.
    pub unknown: Vec<String>,
}

/// Calls and runs that are counted together with a record.
#[derive(Clone, Debug, Default)]
pub struct ToCount {
    pub calls: Vec<CountedCalls>,
    pub runs: Vec<CountedRuns>,
}

impl ToCount {
    fn add(&mut self, allocation: Allocation, day: Date, usage: TaggedUsage) {
        let calls = usage.steps.into_iter();
        self.calls
            .extend(calls.map(|usage| CountedCalls { allocation: allocation.clone(), usage }));
        self.runs.push(CountedRuns { allocation, day, runs: usage.runs });
    }
}

impl ClosedRun {
    /// Returns the calls and the run to count.
    pub fn to_count(&self) -> ToCount {
        let manifest = &self.manifest;
        let workflow = manifest.template_sha256.as_ref().map(|_| manifest.workflow.clone());
        let allocation = Allocation {
            tenant: manifest.tenant.clone(),
            workflow: workflow.unwrap_or_default(),
            cost_tags: manifest.cost_tags.clone(),
        };
        let mut counted = ToCount::default();
        let day = manifest.ended_at.to_offset(UtcOffset::UTC).date();
        counted.add(allocation, day, TaggedUsage::of(manifest));
        counted
    }
}

impl CountedPart {
    /// Returns the calls and the runs to count.
    pub fn to_count(&self) -> ToCount {
        let manifest = &self.manifest;
        let day = manifest.ended_at.to_offset(UtcOffset::UTC).date();
        let mut counted = ToCount::default();
        for usage in &manifest.usage_by_tags {
            let allocation = Allocation {
                tenant: manifest.tenant.clone(),
                workflow: manifest.workflow.clone(),
                cost_tags: usage.cost_tags.clone(),
            };
            counted.add(allocation, day, usage.clone());
        }
        counted
    }
}

impl CountedCalls {
    /// Returns the key of the counter. `id` is the id of the run or part that is counted.
    pub fn key(&self, id: &str) -> (String, String) {
        let StepUsage { day, step, tier, long_prompt, line, .. } = &self.usage;
        let of = (&self.allocation, step, &line.region, &line.model_id, tier, long_prompt);
        (usage_pk(*day, id), format!("{CALLS}{}", digest(&of)))
    }
}

impl CountedRuns {
    /// Returns the key of the counter. `id` is the id of the run or part that is counted.
    pub fn key(&self, id: &str) -> (String, String) {
        (usage_pk(self.day, id), format!("{RUNS}{}", digest(&self.allocation)))
    }
}

/// Returns the partition key of the counters that a run or part with this id adds to.
pub fn usage_pk(day: Date, id: &str) -> String {
    usage_shard(day, shard(id))
}

/// Returns the partition key of a shard of a day's counters.
pub fn usage_shard(day: Date, shard: char) -> String {
    format!("usage#{day}#{shard}")
}

/// Returns a digest of what the calls or runs of a counter have in common, as half of a SHA-256 in hex. The values are
/// attributes of the counter; a key made of them could exceed the limit of a key.
fn digest(of: &impl Serialize) -> String {
    let json = serde_json::to_vec(of).unwrap_or_default();
    let mut digest = sha256_hex(&json);
    digest.truncate(32);
    digest
}
