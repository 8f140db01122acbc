//! A bulk job: its input, its name and its status.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::base::digest::sha256_hex;
use crate::batch::BatchRef;

/// The fewest records of a job. Like the other limits here, it is the default quota of an account.
pub const MIN_RECORDS: u64 = 100;
/// The most records of a job.
pub const MAX_RECORDS: u64 = 50_000;
/// The most bytes of a job's input.
pub const MAX_JOB_BYTES: u64 = 5 << 30;
/// The shortest and longest timeout that the service accepts, in hours. It covers both waiting and processing.
const HOURS: (u64, u64) = (24, 168);
/// The longest timeout of a job.
pub const LONGEST_TIMEOUT: time::Duration = time::Duration::hours(HOURS.1 as i64);

/// The number of characters of a job's name that come from the workflow's name. A name has at most 63 characters. The
/// rest is 32 hex digits, the attempt and the number of the job.
const WORKFLOW_IN_NAME: usize = 20;

/// A job to start. It must have at least [`MIN_RECORDS`] records, one on each line.
#[derive(Clone, Copy, Debug)]
pub struct NewJob<'a> {
    /// The name of the job ([`job_name`]). Starting a job again under the same name does not start a second one.
    pub name: &'a str,
    /// The role with which the service reads the input and writes the output.
    pub role_arn: &'a str,
    pub model_id: &'a str,
    /// The `s3://` URI of a `.jsonl` object, or of a prefix that ends in `/`, for all such objects below it.
    pub input: &'a str,
    /// The `s3://` URI of a prefix that ends in `/`.
    pub output: &'a str,
    /// The key that encrypts the output.
    pub key_arn: &'a str,
    /// The timeout in hours ([`hours`]).
    pub timeout_hours: i32,
    pub tags: &'a BTreeMap<String, String>,
}

/// The result of starting a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobStart {
    /// The job was started, by this call or by an earlier one with the same name.
    Started { arn: String },
    /// The service refused the job, and would refuse it again. `because` is the message of the service.
    Refused { because: String },
}

/// The state of a job, as the service reports it.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    pub status: JobStatus,
    /// The message of the service about a job that failed.
    pub message: Option<String>,
    /// The records that the service has counted so far.
    pub records: Records,
    pub submitted_at: OffsetDateTime,
    pub ended_at: Option<OffsetDateTime>,
}

/// The numbers of records that the service reports. `None` if it reports no number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Records {
    pub total: Option<u64>,
    pub processed: Option<u64>,
    pub succeeded: Option<u64>,
    pub failed: Option<u64>,
}

/// The status of a job, as the service spells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum JobStatus {
    Submitted,
    Validating,
    Scheduled,
    InProgress,
    Completed,
    /// The timeout passed before all records were processed.
    PartiallyCompleted,
    /// The job failed, mostly at validation, before the first record.
    Failed,
    Stopping,
    /// The job was stopped. The output has the records that were processed until then.
    Stopped,
    /// The timeout passed before the first record was processed.
    Expired,
}

impl JobStatus {
    /// Parses a status. An unknown status counts as `InProgress`, because every job ends or is stopped at some time.
    pub fn of(spelled: &str) -> Self {
        serde_json::from_value(spelled.into()).unwrap_or(Self::InProgress)
    }

    /// Returns whether the job is over.
    pub fn is_over(self) -> bool {
        use JobStatus::*;
        matches!(self, Completed | PartiallyCompleted | Failed | Stopped | Expired)
    }
}

/// Returns the name of a job: `<workflow, cut to 20>-<32 hex of bucket and batch>-<attempt>-<job>`. It consists of
/// letters, digits and single hyphens, and is also the client token. The bucket is part of the hash because all stacks
/// of an account share the names of jobs, and two stacks may have batches with the same id.
pub fn job_name(bucket: &str, batch: &BatchRef, job: u32) -> String {
    let cut: String = batch.workflow.chars().take(WORKFLOW_IN_NAME).collect();
    let words = cut.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let hash = sha256_hex(format!("{bucket}\0{}", batch.batch_id).as_bytes());
    let rest = [hash[..32].to_owned(), batch.attempt_no.to_string(), job.to_string()];
    words.map(str::to_owned).chain(rest).collect::<Vec<_>>().join("-")
}

/// Returns the timeout of a job in hours: `time` within the bounds of the service. A job that ends by itself is better
/// than one that must be stopped.
pub fn hours(time: Duration) -> i32 {
    let hours = (time.as_secs() / 3_600).clamp(HOURS.0, HOURS.1);
    i32::try_from(hours).unwrap_or(i32::MAX)
}

/// Returns the key of the output that the job `arn` writes below `prefix` for the input `file`, the last part of the
/// input's key.
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
