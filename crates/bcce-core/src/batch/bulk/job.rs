//! A job of the service: what it is started with, how it is named, and how far it is.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::base::digest::sha256_hex;
use crate::batch::BatchRef;

/// Records of a job. The quotas that accounts have to begin with, as are the others here.
pub const MIN_RECORDS: u64 = 100;
pub const MAX_RECORDS: u64 = 50_000;
/// Bytes of a job's whole input.
pub const MAX_JOB_BYTES: u64 = 5 << 30;
/// How long a job may wait and work, in hours: what the service takes.
const HOURS: (u64, u64) = (24, 168);
pub const LONGEST_TIMEOUT: time::Duration = time::Duration::hours(HOURS.1 as i64);

/// The workflow's share of a job's name, which has 63 characters. 32 hex, an attempt and a number are the rest.
const WORKFLOW_IN_NAME: usize = 20;

/// A job to be started. Its records must be at least `MIN_RECORDS`, one on each line.
#[derive(Clone, Copy, Debug)]
pub struct NewJob<'a> {
    /// See `job_name`. The same name is the same job, however often it is started.
    pub name: &'a str,
    /// What the service reads and writes as.
    pub role_arn: &'a str,
    pub model_id: &'a str,
    /// `s3://` of a `.jsonl` object, or of all of them below a prefix that ends in `/`.
    pub input: &'a str,
    /// `s3://` of a prefix that ends in `/`.
    pub output: &'a str,
    /// What the output is encrypted with.
    pub key_arn: &'a str,
    /// See `hours`.
    pub timeout_hours: i32,
    pub tags: &'a BTreeMap<String, String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobStart {
    /// Now, or by an earlier call with the same name.
    Started { arn: String },
    /// In the service's words: it will not be otherwise in a minute.
    Refused { because: String },
}

/// How far a job is.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    pub status: JobStatus,
    /// The service's, of a job that failed.
    pub message: Option<String>,
    /// Counts that the service has reported so far.
    pub records: Records,
    pub submitted_at: OffsetDateTime,
    pub ended_at: Option<OffsetDateTime>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Records {
    pub total: Option<u64>,
    pub processed: Option<u64>,
    pub succeeded: Option<u64>,
    pub failed: Option<u64>,
}

/// As the service spells them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum JobStatus {
    Submitted,
    Validating,
    Scheduled,
    InProgress,
    Completed,
    /// Time was up before all records were processed.
    PartiallyCompleted,
    /// Mostly at validation, before the first record.
    Failed,
    Stopping,
    /// What was processed until then is in the output.
    Stopped,
    /// Time was up before the first record.
    Expired,
}

impl JobStatus {
    /// One that this version does not know counts as being at work: a job is stopped in the end.
    pub fn of(spelled: &str) -> Self {
        serde_json::from_value(spelled.into()).unwrap_or(Self::InProgress)
    }

    pub fn is_over(self) -> bool {
        use JobStatus::*;
        matches!(self, Completed | PartiallyCompleted | Failed | Stopped | Expired)
    }
}

/// `<workflow, cut to 20>-<32 hex of bucket and batch>-<attempt>-<job>`, which also is a token. Letters, digits and
/// single signs between them. An account's names are one space, in which every stack may have a batch of the same id.
pub fn job_name(bucket: &str, batch: &BatchRef, job: u32) -> String {
    let cut: String = batch.workflow.chars().take(WORKFLOW_IN_NAME).collect();
    let words = cut.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let hash = sha256_hex(format!("{bucket}\0{}", batch.batch_id).as_bytes());
    let rest = [hash[..32].to_owned(), batch.attempt_no.to_string(), job.to_string()];
    words.map(str::to_owned).chain(rest).collect::<Vec<_>>().join("-")
}

/// A job's timeout within `time`, as far as the service takes it: a job that ends by itself is better than one that has
/// to be stopped.
pub fn hours(time: Duration) -> i32 {
    let hours = (time.as_secs() / 3_600).clamp(HOURS.0, HOURS.1);
    i32::try_from(hours).unwrap_or(i32::MAX)
}

/// Where a job that writes below `prefix` puts what it makes of `file`, the last part of an input's key.
pub fn output_key(prefix: &str, arn: &str, file: &str) -> String {
    let id = arn.rsplit('/').next().unwrap_or(arn);
    format!("{prefix}{id}/{file}.out")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_for_the_service_and_for_one_job_only() {
        let batch = |workflow: &str| BatchRef::first("default", workflow, "42");
        let name = job_name("bucket", &batch("explain"), 1);
        assert_eq!(name, job_name("bucket", &batch("explain"), 1));
        let retry = batch("explain").retry().unwrap();
        assert_ne!(name, job_name("bucket", &batch("explain"), 2));
        assert_ne!(name, job_name("bucket", &retry, 1));
        assert_ne!(name, job_name("another stack's", &batch("explain"), 1));
        let longest = BatchRef { attempt_no: 99, ..batch(&"_a".repeat(32)) };
        let longest = job_name("bucket", &longest, 9_999);
        assert!(longest.len() <= 63 && longest.starts_with("a-a-"), "{longest}");
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-';
        assert!(longest.chars().all(allowed) && !longest.contains("--"), "{longest}");
    }

    #[test]
    fn a_timeout_is_one_that_the_service_takes() {
        let of = |hours_wanted: u64| hours(Duration::from_secs(hours_wanted * 3_600 + 1));
        assert_eq!([of(0), of(30), of(1_000)], [24, 30, 168]);
    }

    #[test]
    fn an_output_lies_below_the_jobs_id() {
        let arn = "arn:aws:bedrock:us-east-1:000000000000:model-invocation-job/abc123def456";
        assert_eq!(output_key("out/", arn, "000001.jsonl"), "out/abc123def456/000001.jsonl.out");
    }

    #[test]
    fn every_status_is_spelled_as_the_service_does_and_five_are_the_end() {
        let spelled = "Submitted Validating Scheduled InProgress Stopping Completed PartiallyCompleted Failed Stopped Expired";
        let over: Vec<&str> =
            spelled.split(' ').filter(|status| JobStatus::of(status).is_over()).collect();
        assert_eq!(over, ["Completed", "PartiallyCompleted", "Failed", "Stopped", "Expired"]);
        for status in spelled.split(' ') {
            assert_eq!(serde_json::to_value(JobStatus::of(status)).unwrap(), status);
        }
        assert!(!JobStatus::of("Pondering").is_over());
    }
}
