//! The ids of a run and the keys of its objects.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::base::digest::sha256_hex_of_fields;
pub use crate::base::limits::MAX_ATTEMPTS; // the command imports it from here

/// The number of characters of a run id that come from the workflow's name. With a hyphen, 32 hex digits and `-r<n>`,
/// an execution name stays below its limit of 80 characters.
const WORKFLOW_IN_RUN_ID: usize = 40;

/// The suffix of the key of an answer. The suffix shows the kind of an object whatever its step is called. IAM
/// permissions rely on it: they are patterns whose `*` also matches `/`, and the name of a step has no dot.
pub const ANSWER: &str = ".answer.json";

/// The suffix of the key of a failure, for the same reason as [`ANSWER`].
pub const FAILURE: &str = ".failure.json";
/// The suffix of the key of a failure that comes from a record of a bulk job.
pub const RECORD_FAILURE: &str = ".record.failure.json";

/// Returns `<workflow, cut to 40>-<first 32 hex of SHA-256(tenant, 0x00, workflow, 0x00, id)>`.
pub fn run_id(tenant: &str, workflow: &str, request_id: &str) -> String {
    let hash = sha256_hex_of_fields(&[tenant, workflow, request_id]);
    let cut: String = workflow.chars().take(WORKFLOW_IN_RUN_ID).collect();
    format!("{cut}-{}", &hash[..32])
}

/// The input of an execution. The same request gives the same bytes, so a second StartExecution of a running execution
/// succeeds like the first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunRef {
    pub version: u32,
    pub run_id: String,
    /// 1 for the first execution of a run, 2 for its first retry.
    pub attempt_no: u32,
    pub tenant: String,
    pub workflow: String,
    pub request_id: String,
    /// The batch attempt that started the run as an item. The batch counts the run when it ends, and sends a
    /// notification for all of its items. The run itself sends none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<ItemOf>,
}

impl RunRef {
    /// Returns the first run attempt of a request.
    pub fn first(tenant: &str, workflow: &str, request_id: &str) -> Self {
        Self {
            version: 1,
            run_id: run_id(tenant, workflow, request_id),
            attempt_no: 1,
            tenant: tenant.to_owned(),
            workflow: workflow.to_owned(),
            request_id: request_id.to_owned(),
            batch: None,
        }
    }

    /// Returns the next run attempt, which does not belong to a batch. Returns `None` after the last one
    /// ([`MAX_ATTEMPTS`]).
    pub fn retry(&self) -> Option<Self> {
        let attempt_no = self.attempt_no + 1;
        (attempt_no <= MAX_ATTEMPTS).then(|| Self { attempt_no, batch: None, ..self.clone() })
    }

    /// Returns the name of the execution: `<run id>`, or `<run id>-r2` for the first retry.
    pub fn execution_name(&self) -> String {
        match self.attempt_no {
            1 => self.run_id.clone(),
            n => format!("{}-r{n}", self.run_id),
        }
    }

    /// Returns the prefix of all objects of the run.
    pub fn prefix(&self) -> String {
        run_prefix(&self.tenant, &self.run_id)
    }

    pub fn request_key(&self) -> String {
        format!("{}request.json", self.prefix())
    }

    pub fn plan_key(&self) -> String {
        format!("{}plan.json", self.prefix())
    }

    /// Returns the key of the answer of a step execution.
    pub fn step_key(&self, step: &str, item: Option<u32>) -> String {
        format!("{}steps/{}{ANSWER}", self.prefix(), step_path(step, item))
    }

    /// Returns the prefix of the answers of a step that fans out.
    pub fn items_prefix(&self, step: &str) -> String {
        format!("{}steps/{step}/", self.prefix())
    }

    /// Returns the key of the failure of a step execution. Failures are kept apart from `steps/`, which holds only
    /// answers, so that a retry of the run never takes a failure for an answer.
    pub fn failure_key(&self, step: &str, item: Option<u32>) -> String {
        format!("{}{}{FAILURE}", self.failures_prefix(), step_path(step, item))
    }

    /// Returns the key of a failure that comes from a record of a bulk job, before any call was made. In a listing it
    /// follows the failure of the call, which is the one to report.
    pub fn record_failure_key(&self, step: &str) -> String {
        format!("{}{step}{RECORD_FAILURE}", self.failures_prefix())
    }

    pub fn failures_prefix(&self) -> String {
        format!("{}failures/{}/", self.prefix(), self.attempt_no)
    }

    pub fn manifest_key(&self) -> String {
        format!("{}manifest-{}.json", self.prefix(), self.attempt_no)
    }

    pub fn signature_key(&self) -> String {
        format!("{}.sig", self.manifest_key())
    }
}

/// Returns `runs/<tenant>/<run id>/`.
fn run_prefix(tenant: &str, run_id: &str) -> String {
    format!("runs/{tenant}/{run_id}/")
}

fn step_path(step: &str, item: Option<u32>) -> String {
    match item {
        None => step.to_owned(),
        Some(n) => format!("{step}/{n}"),
    }
}

/// A batch attempt, as the runs of its items refer to it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ItemOf {
    pub batch_id: String,
    pub attempt_no: u32,
}

/// A run under way. The state machine holds it in `$run`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    #[serde(flatten)]
    pub reference: RunRef,
    pub execution_arn: String,
    #[serde(with = "time::serde::rfc3339")]
    pub started_at: OffsetDateTime,
}

impl std::ops::Deref for Run {
    type Target = RunRef;
    fn deref(&self) -> &RunRef {
        &self.reference
    }
}

/// A step execution of a wave, as the state machine passes it on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepRef {
    pub step: String,
    /// The position in the list that the step fans out over, from 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item: Option<u32>,
    /// The name of the step's route in the plan.
    pub route: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn run_ids_are_stable_and_fit_an_execution_name() {
        let run = RunRef::first("default", "explain", "42");
        // printf 'default\0explain\00042' | sha256sum | cut -c1-32
        assert_eq!(run.run_id, "explain-f7ba4ad77505bd08f0457f0dca60c468");
        let long = RunRef { attempt_no: 99, ..RunRef::first("t", &"w".repeat(64), "x") };
        assert!(long.execution_name().len() <= 80, "{}", long.execution_name());
    }

    #[test]
    fn a_run_has_an_end_of_retries() {
        let first = RunRef::first("default", "explain", "42");
        assert_eq!(first.retry().unwrap().execution_name(), format!("{}-r2", first.run_id));
        assert_eq!(RunRef { attempt_no: MAX_ATTEMPTS, ..first }.retry(), None);
    }

    #[test]
    fn the_suffix_of_a_key_shows_its_kind_whatever_a_step_is_called() {
        let run = RunRef::first("steps", "manifest-1", "42");
        for step in ["plan", "request", "manifest-1", "steps", "failures"] {
            for key in [run.step_key(step, None), run.step_key(step, Some(0))] {
                assert!(key.ends_with(".answer.json"), "{key}");
            }
            let call = run.failure_key(step, None);
            let record = run.record_failure_key(step);
            assert!(call.ends_with(".failure.json") && record.ends_with(".failure.json"));
            assert!(call < record, "a listing has the record's failure after the call's");
        }
    }

    #[test]
    fn keys_of_a_retry_share_the_run_and_part_at_the_manifest() {
        let first = RunRef::first("default", "explain", "42");
        let retry = RunRef { attempt_no: 2, ..first.clone() };
        assert_eq!(first.step_key("a", Some(3)), retry.step_key("a", Some(3)));
        assert!(retry.manifest_key().ends_with("/manifest-2.json"));
        assert!(retry.failure_key("a", None).ends_with("/failures/2/a.failure.json"));
        assert!(retry.execution_name().ends_with("-r2"));
    }
}
