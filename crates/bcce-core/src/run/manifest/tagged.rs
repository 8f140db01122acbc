//! The runs and the usage of a part of a batch, by the tags that split their costs.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::base::json::is_zero;
use crate::run::manifest::{Manifest, StepUsage};
use crate::run::notification::RunStatus;
use time::UtcOffset;

/// The runs and the usage of runs with the same cost tags.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TaggedUsage {
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub cost_tags: BTreeMap<String, String>,
    pub runs: RunCounts,
    pub steps: Vec<StepUsage>,
}

/// The number of runs that are over, by outcome.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunCounts {
    #[serde(default, skip_serializing_if = "is_zero")]
    pub succeeded: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub failed: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cancelled: u64,
    /// The number of runs by error name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub errors: BTreeMap<String, u64>,
}

impl RunCounts {
    /// Counts a run that is over.
    pub fn count(&mut self, manifest: &Manifest) {
        match manifest.status {
            RunStatus::Succeeded => self.succeeded += 1,
            RunStatus::Cancelled => self.cancelled += 1,
            RunStatus::Running | RunStatus::Failed | RunStatus::Rejected => self.failed += 1,
        }
        if let Some(error) = &manifest.error {
            *self.errors.entry(error.name.as_str().to_owned()).or_default() += 1;
        }
    }

    /// Adds other runs.
    pub fn add(&mut self, other: &Self) {
        self.succeeded += other.succeeded;
        self.failed += other.failed;
        self.cancelled += other.cancelled;
        for (name, count) in &other.errors {
            *self.errors.entry(name.clone()).or_default() += count;
        }
    }

    /// Returns the number of runs.
    pub fn all(&self) -> u64 {
        self.succeeded + self.failed + self.cancelled
    }
}

impl TaggedUsage {
    /// Returns the usage of one run.
    pub fn of(manifest: &Manifest) -> Self {
        let mut usage = Self { cost_tags: manifest.cost_tags.clone(), ..Self::default() };
        usage.add(manifest);
        usage
    }

    /// Adds a run with the same cost tags.
    fn add(&mut self, manifest: &Manifest) {
        self.runs.count(manifest);
        for step in steps(manifest).iter() {
            match self.steps.iter_mut().find(|known| known.key() == step.key()) {
                Some(known) => known.add(step),
                None => self.steps.push(step.clone()),
            }
        }
    }
}

/// Returns the usage of a run by step. A manifest that an earlier version has sealed has it only by model.
fn steps(manifest: &Manifest) -> Cow<'_, [StepUsage]> {
    if manifest.usage_by_step.is_empty() {
        let day = manifest.ended_at.to_offset(UtcOffset::UTC).date();
        let lines = manifest.usage_by_model.iter();
        Cow::Owned(lines.map(|line| StepUsage::without_step(day, line)).collect())
    } else {
        Cow::Borrowed(&manifest.usage_by_step)
    }
}

/// Adds a run to the usage of several runs.
pub fn add_tagged(sum: &mut Vec<TaggedUsage>, manifest: &Manifest) {
    match sum.iter_mut().find(|known| known.cost_tags == manifest.cost_tags) {
        Some(known) => known.add(manifest),
        None => sum.push(TaggedUsage::of(manifest)),
    }
}
