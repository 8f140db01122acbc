//! The ids of a batch and the keys of its objects.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::base::digest::sha256_hex_of_fields;
use crate::base::limits::MAX_ATTEMPTS;
use crate::run::ids::ItemOf;

/// The number of characters of a batch id that come from the workflow's name. With `-batch-`, 32 hex digits and
/// `-r<n>`, an execution name stays below its limit of 80 characters.
const WORKFLOW_IN_BATCH_ID: usize = 36;

/// The suffix of the key of a segment. IAM permissions rely on it, as on the suffixes of a run's objects.
pub const SEGMENT: &str = ".segment.jsonl";

/// The suffix of the key of a part's manifest, for the same reason.
pub const PART_MANIFEST: &str = ".part.json";

/// The input of an execution of the batch state machine. The same request gives the same bytes, as for a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchRef {
    pub version: u32,
    pub batch_id: String,
    /// 1 for the first execution of a batch, 2 for its first retry.
    pub attempt_no: u32,
    pub tenant: String,
    pub workflow: String,
    pub request_id: String,
}

/// A batch under way. The state machine holds it in `batch`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchRun {
    #[serde(flatten)]
    pub reference: BatchRef,
    pub execution_arn: String,
    #[serde(with = "time::serde::rfc3339")]
    pub started_at: OffsetDateTime,
}

impl std::ops::Deref for BatchRun {
    type Target = BatchRef;
    fn deref(&self) -> &BatchRef {
        &self.reference
    }
}

/// The place of an item in its part. The state of an execution holds only this, not the item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The item's number in the batch, from 1.
    pub n: u64,
    /// The part that holds it, from 1.
    pub part: u32,
    /// The offset of the item's line in the part, and its length, in bytes.
    pub at: u64,
    pub bytes: u64,
    /// The run attempt to start. It is 1 unless the batch is retried.
    pub attempt_no: u32,
}

/// A part of a batch: up to 500 consecutive items that one function call processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    pub part: u32,
    /// The number of lines in the part, including rejected ones.
    pub lines: u32,
}

/// Returns `<workflow, cut to 36>-batch-<first 32 hex of SHA-256(tenant, 0x00, workflow, 0x00, id)>`.
pub fn batch_id(tenant: &str, workflow: &str, request_id: &str) -> String {
    let hash = sha256_hex_of_fields(&[tenant, workflow, request_id]);
    let cut: String = workflow.chars().take(WORKFLOW_IN_BATCH_ID).collect();
    format!("{cut}-batch-{}", &hash[..32])
}

/// Returns true if a request id has the form `<batch id>/...`, as those of the items of batches have.
pub fn is_of_item(request_id: &str) -> bool {
    let Some((batch_id, _)) = request_id.split_once('/') else { return false };
    let Some((_, hash)) = batch_id.rsplit_once("-batch-") else { return false };
    hash.len() == 32 && hash.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

impl BatchRef {
    /// Returns the first attempt of a batch.
    pub fn first(tenant: &str, workflow: &str, request_id: &str) -> Self {
        Self {
            version: 1,
            batch_id: batch_id(tenant, workflow, request_id),
            attempt_no: 1,
            tenant: tenant.to_owned(),
            workflow: workflow.to_owned(),
            request_id: request_id.to_owned(),
        }
    }

    /// Returns the next attempt, or `None` after the last one ([`MAX_ATTEMPTS`]).
    pub fn retry(&self) -> Option<Self> {
        let attempt_no = self.attempt_no + 1;
        (attempt_no <= MAX_ATTEMPTS).then(|| Self { attempt_no, ..self.clone() })
    }

    /// Returns the attempts before this one, the latest first.
    pub fn before(&self) -> impl Iterator<Item = Self> {
        (1..self.attempt_no).rev().map(|attempt_no| Self { attempt_no, ..self.clone() })
    }

    /// Returns the name of the execution: `<batch id>`, or `<batch id>-r2` for the first retry.
    pub fn execution_name(&self) -> String {
        match self.attempt_no {
            1 => self.batch_id.clone(),
            n => format!("{}-r{n}", self.batch_id),
        }
    }

    /// Returns the reference to this attempt that the runs of its items carry.
    pub fn item_of(&self) -> ItemOf {
        ItemOf { batch_id: self.batch_id.clone(), attempt_no: self.attempt_no }
    }

    /// Returns the prefix of all objects of the batch.
    pub fn prefix(&self) -> String {
        format!("batches/runs/{}/{}/", self.tenant, self.batch_id)
    }

    pub fn request_key(&self) -> String {
        format!("{}request.json", self.prefix())
    }

    /// Returns the key of the result of opening this attempt.
    pub fn opened_key(&self) -> String {
        format!("{}opened-{}.json", self.prefix(), self.attempt_no)
    }

    /// Returns the key of the list of parts, one on each line.
    pub fn parts_key(&self) -> String {
        format!("{}parts.jsonl", self.prefix())
    }

    /// Returns the key of a part's items, an `Entry` on each line.
    pub fn part_key(&self, part: u32) -> String {
        format!("{}parts/{part:06}.jsonl", self.prefix())
    }

    /// Returns the prefix of the items that this attempt runs. There is a file for each part, with a
    /// [`Place`] on each line.
    pub fn places_prefix(&self) -> String {
        format!("{}places-{}/", self.prefix(), self.attempt_no)
    }

    pub fn places_key(&self, part: u32) -> String {
        format!("{}{part:06}.jsonl", self.places_prefix())
    }

    /// Returns the key of the configuration that the items of this attempt are planned from.
    pub fn configuration_key(&self) -> String {
        format!("{}configuration-{}.json", self.prefix(), self.attempt_no)
    }

    /// Returns the prefix of the segments of a part: what is stored of its runs.
    pub fn segments_prefix(&self, part: u32) -> String {
        format!("{}segments-{}/{part:06}/", self.prefix(), self.attempt_no)
    }

    /// Returns the key of a segment. The segments of a part are numbered from 1.
    pub fn segment_key(&self, part: u32, segment: u32) -> String {
        format!("{}{segment:06}{SEGMENT}", self.segments_prefix(part))
    }

    /// Returns the key of the manifests of a part's runs, one on each line.
    pub fn part_runs_key(&self, part: u32) -> String {
        format!("{}sealed-{}/{part:06}.runs.jsonl", self.prefix(), self.attempt_no)
    }

    /// Returns the key of the manifest of a part.
    pub fn part_manifest_key(&self, part: u32) -> String {
        format!("{}sealed-{}/{part:06}{PART_MANIFEST}", self.prefix(), self.attempt_no)
    }

    pub fn part_signature_key(&self, part: u32) -> String {
        format!("{}.sig", self.part_manifest_key(part))
    }

    /// Returns the id of a part in the encryption context of its objects: `<batch id>/<part>`.
    pub fn part_id(&self, part: u32) -> String {
        format!("{}/{part}", self.batch_id)
    }

    /// Returns the prefix of everything that belongs to this attempt's jobs.
    pub fn bulk_prefix(&self) -> String {
        format!("{}bulk-{}/", self.prefix(), self.attempt_no)
    }

    /// Returns the prefix of the input of a job: its records, in a file for each part.
    pub fn bulk_input_prefix(&self, job: u32) -> String {
        format!("{}input/{job:04}/", self.bulk_prefix())
    }

    pub fn bulk_input_key(&self, job: u32, part: u32) -> String {
        format!("{}{}", self.bulk_input_prefix(job), bulk_file(part))
    }

    /// Returns the prefix of the output of all jobs. Each job writes below its own id.
    pub fn bulk_output_prefix(&self) -> String {
        format!("{}output/", self.bulk_prefix())
    }

    /// Returns the key of the number and size of a part's records.
    pub fn rendered_key(&self, part: u32) -> String {
        format!("{}rendered/{part:06}.json", self.bulk_prefix())
    }

    /// Returns the key of the list of jobs with their status.
    pub fn jobs_key(&self) -> String {
        format!("{}jobs.json", self.bulk_prefix())
    }

    /// Returns the key of the outcome of a part in its job.
    pub fn taken_key(&self, part: u32) -> String {
        format!("{}taken/{part:06}.json", self.bulk_prefix())
    }

    /// Returns the key of a part's records that did not become finished runs, with a [`Place`] on each line.
    pub fn left_key(&self, part: u32) -> String {
        format!("{}left/{part:06}.jsonl", self.bulk_prefix())
    }

    /// Returns the key of a part's items that were not records of a started job, with a [`Place`] on each line.
    pub fn others_key(&self, part: u32) -> String {
        format!("{}others/{part:06}.jsonl", self.bulk_prefix())
    }

    /// Returns the key of the records of all samples, which run on demand before the other leftovers, with a [`Place`]
    /// on each line.
    pub fn sample_key(&self) -> String {
        format!("{}sample.jsonl", self.bulk_prefix())
    }

    /// Returns the key of the list of parts with records of a sample. It has the form of [`BatchRef::parts_key`].
    pub fn sample_parts_key(&self) -> String {
        format!("{}sample-parts.jsonl", self.bulk_prefix())
    }

    /// Returns the key of the list of parts with items that run on demand after the jobs are over. It has the form of
    /// [`BatchRef::parts_key`].
    pub fn leftover_parts_key(&self) -> String {
        format!("{}leftover-parts.jsonl", self.bulk_prefix())
    }

    /// Returns the prefix below which Step Functions records the results of child executions. No function reads them.
    pub fn children_prefix(&self) -> String {
        format!("{}children-{}", self.prefix(), self.attempt_no)
    }

    /// Returns the key of the reason why an item was refused when it was to be started.
    pub fn refused_key(&self, n: u64) -> String {
        format!("{}refused/{n}.json", self.prefix())
    }

    /// Returns the key of the results of a part's items, an `ItemResult` on each line.
    pub fn part_results_key(&self, part: u32) -> String {
        format!("{}results-{}/{part:06}.jsonl", self.prefix(), self.attempt_no)
    }

    pub fn part_outputs_key(&self, part: u32) -> String {
        format!("{}outputs-{}/{part:06}.jsonl", self.prefix(), self.attempt_no)
    }

    /// Returns the key of the sums of a part.
    pub fn part_sums_key(&self, part: u32) -> String {
        format!("{}sums-{}/{part:06}.json", self.prefix(), self.attempt_no)
    }

    /// Returns the key of all results, in the order of the source.
    pub fn results_key(&self) -> String {
        format!("{}results-{}.jsonl", self.prefix(), self.attempt_no)
    }

    pub fn outputs_key(&self) -> String {
        format!("{}outputs-{}.jsonl", self.prefix(), self.attempt_no)
    }

    /// Returns whether `key` is a working file of any attempt of the batch. No manifest lists a working file.
    pub fn is_working_key(&self, key: &str) -> bool {
        let Some(rest) = key.strip_prefix(&self.prefix()) else { return false };
        let is_numbered = |name: &str, of: &str| {
            let number = name.strip_prefix(of).and_then(|rest| rest.strip_prefix('-'));
            let number = number.and_then(|number| number.parse().ok());
            number.is_some_and(|n: u32| name == format!("{of}-{n}") && n <= MAX_ATTEMPTS)
        };
        match rest.split_once('/') {
            None => {
                let is = |of| rest.strip_suffix(".json").is_some_and(|it| is_numbered(it, of));
                is("opened")
                    || is("configuration")
                    || ["request.json", "parts.jsonl"].contains(&rest)
            }
            Some((folder, _)) => {
                let folders =
                    ["places", "segments", "bulk", "children", "results", "outputs", "sums"];
                ["parts", "refused"].contains(&folder)
                    || folders.iter().any(|of| is_numbered(folder, of))
            }
        }
    }

    pub fn manifest_key(&self) -> String {
        format!("{}manifest-{}.json", self.prefix(), self.attempt_no)
    }

    pub fn signature_key(&self) -> String {
        format!("{}.sig", self.manifest_key())
    }
}

/// Returns the name of a part's file in a job's folder.
pub fn bulk_file(part: u32) -> String {
    format!("{part:06}.jsonl")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batch_ids_are_stable_and_fit_an_execution_name() {
        let batch = BatchRef::first("default", "explain", "42");
        // printf 'default\0explain\00042' | sha256sum | cut -c1-32
        assert_eq!(batch.batch_id, "explain-batch-f7ba4ad77505bd08f0457f0dca60c468");
        let long = BatchRef { attempt_no: 99, ..BatchRef::first("t", &"w".repeat(64), "x") };
        assert!(long.execution_name().len() <= 80, "{}", long.execution_name());
        assert_eq!(long.retry(), None);
    }

    #[test]
    fn the_request_id_of_an_item_is_recognized() {
        let batch = batch_id("default", "explain", "42");
        for id in [format!("{batch}/"), format!("{batch}/1"), format!("{batch}/docs/a.md")] {
            assert!(is_of_item(&id), "{id}");
        }
        for id in [
            batch.clone(),
            format!("/{batch}"),
            format!("{}/1", batch.to_uppercase()),
            format!("{}/1", &batch[..batch.len() - 1]),
            format!("{batch}0/1"),
            "a-batch-of/1".to_owned(),
            "explain/1".to_owned(),
        ] {
            assert!(!is_of_item(&id), "{id}");
        }
    }

    #[test]
    fn working_files_are_told_apart_from_sealed_and_unknown_files() {
        let batch = BatchRef { attempt_no: 12, ..BatchRef::first("default", "explain", "42") };
        for key in [
            batch.request_key(),
            batch.opened_key(),
            batch.parts_key(),
            batch.part_key(1),
            batch.places_key(1),
            batch.jobs_key(),
            batch.bulk_input_key(1, 1),
            batch.others_key(1),
            batch.refused_key(1),
            batch.part_results_key(1),
            batch.part_sums_key(1),
            format!("{}/1f/manifest.json", batch.children_prefix()),
        ] {
            assert!(batch.is_working_key(&key), "{key}");
        }
        let prefix = batch.prefix();
        let strange =
            ["a.json", "opened-01.json", "opened-1.json.bak", "bulk-x/a", "results-1.json"];
        let strange = strange.map(|name| format!("{prefix}{name}"));
        let sealed = [batch.manifest_key(), batch.signature_key(), batch.results_key()];
        for key in strange.into_iter().chain(sealed).chain(["request.json".to_owned()]) {
            assert!(!batch.is_working_key(&key), "{key}");
        }
    }

    #[test]
    fn a_retry_keeps_the_items_and_parts_at_its_results() {
        let first = BatchRef::first("default", "explain", "42");
        let retry = first.retry().unwrap();
        assert_eq!(first.part_key(1), retry.part_key(1));
        assert_ne!(first.part_results_key(1), retry.part_results_key(1));
        assert!(retry.manifest_key().ends_with("/manifest-2.json"));
        assert!(retry.execution_name().ends_with("-r2"));
        let third = retry.retry().unwrap();
        assert_eq!(third.before().collect::<Vec<_>>(), [retry, first]);
    }
}
