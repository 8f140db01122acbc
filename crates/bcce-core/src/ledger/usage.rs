//! The usage counters of a day, and what their costs are allocated to.
//!
//! A counter adds up the calls with the same day, tenant, workflow, step, target, kind of price and cost tags, or the
//! runs with the same day, tenant, workflow and cost tags. Calls count on the day on which they started, which decides
//! their price; runs count on the day on which they ended. The platform team defines all values, so a sender cannot
//! multiply the counters.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Serialize;
use time::{Date, UtcOffset};

use crate::base::digest::sha256_hex;
use crate::base::platform::PlatformUse;
use crate::batch::packed::PartManifest;
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
    /// The day in UTC on which the runs ended, or on which their part of a batch was sealed.
    pub day: Date,
    pub runs: RunCounts,
    /// The use of AWS besides models by these runs.
    pub platform: PlatformUse,
    /// The number of runs whose manifests state what they took.
    pub platform_runs: u64,
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
    /// Adds runs. `platform` is what they took of AWS, if their manifest states it.
    fn add(
        &mut self,
        allocation: Allocation,
        day: Date,
        usage: TaggedUsage,
        platform: Option<PlatformUse>,
    ) {
        let calls = usage.steps.into_iter();
        self.calls
            .extend(calls.map(|usage| CountedCalls { allocation: allocation.clone(), usage }));
        self.runs.push(CountedRuns {
            allocation,
            day,
            platform_runs: platform.as_ref().map_or(0, |_| usage.runs.all()),
            platform: platform.unwrap_or_default(),
            runs: usage.runs,
        });
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
        let platform = Some(manifest.platform.clone()).filter(|taken| !taken.is_empty());
        counted.add(allocation, day, TaggedUsage::of(manifest), platform);
        counted
    }
}

impl CountedPart {
    /// Returns the calls and the runs to count.
    pub fn to_count(&self) -> ToCount {
        let manifest = &self.manifest;
        let day = manifest.ended_at.to_offset(UtcOffset::UTC).date();
        let mut counted = ToCount::default();
        let mut first = 0;
        for usage in tagged(manifest).iter() {
            let end = first + usage.runs.all();
            let taken = &manifest.sums.platform;
            let platform = (!taken.is_empty()).then(|| taken.share(first, end, manifest.runs));
            first = end;
            let allocation = Allocation {
                tenant: manifest.tenant.clone(),
                workflow: manifest.workflow.clone(),
                cost_tags: usage.cost_tags.clone(),
            };
            counted.add(allocation, day, usage.clone(), platform);
        }
        counted
    }
}

/// Returns the runs and the usage of a part. The manifest of a part that an earlier version has sealed has no tags.
fn tagged(manifest: &PartManifest) -> Cow<'_, [TaggedUsage]> {
    if !manifest.usage_by_tags.is_empty() || manifest.runs == 0 {
        return Cow::Borrowed(&manifest.usage_by_tags);
    }
    let day = manifest.ended_at.to_offset(UtcOffset::UTC).date();
    let progress = &manifest.progress;
    let runs = RunCounts {
        succeeded: progress.succeeded,
        failed: progress.failed,
        cancelled: progress.cancelled,
        errors: progress.errors.clone(),
    };
    let lines = manifest.usage_by_model.iter();
    let steps = lines.map(|line| StepUsage::without_step(day, line)).collect();
    Cow::Owned(vec![TaggedUsage { runs, steps, ..TaggedUsage::default() }])
}

impl CountedCalls {
    /// Returns the key of the counter. `id` is the id of the run or part that is counted.
    pub fn key(&self, id: &str) -> (String, String) {
        let day = self.usage.day;
        (usage_pk(day, id), format!("{CALLS}{}", digest(&(&self.allocation, self.usage.key()))))
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

#[cfg(test)]
mod tests {
    use time::macros::{date, datetime};

    use super::*;
    use crate::run::ids::{Run, RunRef};
    use crate::run::manifest::{Evidence, Manifest, UsageLine};

    fn closed(usage_by_model: Vec<UsageLine>) -> ClosedRun {
        let reference = RunRef::first("default", "explain", "42");
        let started_at = datetime!(2026-11-01 12:00 UTC);
        let run = Run { reference, execution_arn: "arn".into(), started_at };
        let mut manifest = Manifest::seal(Evidence {
            run: &run,
            plan: None,
            artifacts: vec![],
            answers: vec![],
            failures: vec![],
            broken: vec![],
            logged_calls: vec![],
            fault: None,
            ending: None,
            ended_at: datetime!(2026-11-02 00:01 UTC),
        });
        manifest.usage_by_model = usage_by_model;
        ClosedRun {
            run,
            manifest,
            manifest_key: "k".into(),
            manifest_sha256: "0".into(),
            notification_owner: "arn".into(),
        }
    }

    fn line() -> UsageLine {
        let (region, model_id) = ("us-east-1".into(), "us.m".into());
        UsageLine { region, model_id, calls: 3, ..UsageLine::default() }
    }

    /// Such a run was refused before it had a plan, and its workflow is a text of the sender.
    #[test]
    fn a_run_without_a_plan_adds_to_no_workflow() {
        let counted = closed(vec![]).to_count();
        assert_eq!((counted.calls.len(), counted.runs.len()), (0, 1));
        assert_eq!(counted.runs[0].allocation.workflow, "");
        assert_eq!((counted.runs[0].day, counted.runs[0].runs.failed), (date!(2026 - 11 - 02), 1));
    }

    /// An update of the stack may come between the seal of a run and its count.
    #[test]
    fn the_usage_of_a_manifest_without_steps_is_counted_by_model() {
        let counted = closed(vec![line()]).to_count();
        let usage = &counted.calls[0].usage;
        assert_eq!((usage.step.as_str(), usage.line.calls), ("(unknown)", 3));
        assert_eq!(usage.day, date!(2026 - 11 - 02));
    }

    #[test]
    fn another_step_or_tag_is_another_counter_of_the_same_shard() {
        let calls = |step: &str, team: &str| {
            let cost_tags = [("team".to_owned(), team.to_owned())].into();
            let mut usage = StepUsage::without_step(date!(2026 - 11 - 01), &line());
            usage.step = step.into();
            let allocation = Allocation { cost_tags, ..Allocation::default() };
            CountedCalls { allocation, usage }.key("run")
        };
        let (one, step, tag) = (calls("a", "x"), calls("b", "x"), calls("a", "y"));
        assert_eq!((&one.0, &one.0), (&step.0, &tag.0));
        assert!(one.1 != step.1 && one.1 != tag.1 && step.1 != tag.1);
        assert_eq!(one, calls("a", "x"));
    }
}
