//! The manifest of a part: the sealed record of all runs that a batch attempt worked off in it.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::base::json::is_zero;
use crate::batch::manifest::Sums;
use crate::batch::packed::tree::{self, Hash};
use crate::batch::progress::BatchProgress;
use crate::batch::reference::BatchRun;
use crate::run::artifact::ArtifactRef;
use crate::run::manifest::{Kind, TaggedUsage, UsageLine};

/// The manifest of a part, stored as `sealed-<attempt>/<part>.part.json`. Its signature is detached and covers the line
/// of its kind and the exact bytes of the manifest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PartManifest {
    pub version: u32,
    /// The kind, which decides the line that the signature covers before the manifest's bytes.
    pub kind: Kind,
    pub batch_id: String,
    /// The batch attempt.
    pub attempt_no: u32,
    pub part: u32,
    pub execution_arn: String,
    pub tenant: String,
    pub workflow: String,
    #[serde(with = "time::serde::rfc3339")]
    pub ended_at: OffsetDateTime,
    /// The number of runs that this batch attempt worked off in the part.
    pub runs: u64,
    /// The root of the digest tree over the manifests of these runs, in lower-case hex. The manifests are the lines of
    /// `sealed-<attempt>/<part>.runs.jsonl`, in the order of the source.
    pub root: String,
    /// The results of all items of the part.
    pub results: ArtifactRef,
    /// The answers of the items that succeeded.
    pub outputs: ArtifactRef,
    #[serde(flatten)]
    pub sums: Sums,
    /// The number of runs that no budget pays, although the environment has budgets.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub without_budget: u64,
    /// The runs of this batch attempt, as they count in the batch progress.
    pub progress: BatchProgress,
    /// The usage of these runs, by region and model.
    pub usage_by_model: Vec<UsageLine>,
    /// The same runs and usage by the tags that split their costs. The ledger adds them to its counters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub usage_by_tags: Vec<TaggedUsage>,
}

/// All facts about a part whose runs are over, from which its manifest is made.
#[derive(Clone, Debug)]
pub struct PartOutcome<'a> {
    pub batch: &'a BatchRun,
    pub part: u32,
    /// The digest of each run's manifest, in the order of the source.
    pub leaves: Vec<Hash>,
    pub results: ArtifactRef,
    pub outputs: ArtifactRef,
    pub sums: Sums,
    pub without_budget: u64,
    pub progress: BatchProgress,
    pub usage_by_model: Vec<UsageLine>,
    pub usage_by_tags: Vec<TaggedUsage>,
    pub ended_at: OffsetDateTime,
}

impl PartManifest {
    /// Makes the manifest of a part.
    pub fn seal(outcome: PartOutcome<'_>) -> Self {
        let batch = outcome.batch;
        Self {
            version: 1,
            kind: Kind::Part,
            batch_id: batch.batch_id.clone(),
            attempt_no: batch.attempt_no,
            part: outcome.part,
            execution_arn: batch.execution_arn.clone(),
            tenant: batch.tenant.clone(),
            workflow: batch.workflow.clone(),
            ended_at: outcome.ended_at,
            runs: outcome.leaves.len() as u64,
            root: hex::encode(tree::root(&outcome.leaves)),
            results: outcome.results,
            outputs: outcome.outputs,
            sums: outcome.sums,
            without_budget: outcome.without_budget,
            progress: outcome.progress,
            usage_by_model: outcome.usage_by_model,
            usage_by_tags: outcome.usage_by_tags,
        }
    }
}
