//! The bulk jobs of one batch attempt: the assignment of parts to jobs, the status of the jobs, and the next check.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};

use crate::base::error::Fault;
use crate::batch::bulk::job::{Job, JobStatus, MIN_RECORDS, Records, hours};
use crate::batch::bulk::leftovers::{Leftovers, Verdict};

/// The number of parts in a job's folder. A part has at most 500 items, so a folder has as many records as a job
/// accepts.
const PARTS_OF_JOB: u32 = 100;
/// The shortest and longest wait between two checks, in seconds. The wait is a tenth of the time since the jobs were
/// started, within these bounds.
const WAIT_S: (i64, i64) = (5, 600);
/// The time after a job's own timeout at which a job that still runs is no longer waited for.
const OVERDUE: Duration = Duration::hours(1);
/// The longest time for which a call of bulk-job can keep running after its execution was ended, with a margin. A job
/// that the call was about to start may be visible only after this time.
const AT_WORK: Duration = Duration::minutes(6);

/// Returns the number of jobs of a batch with `parts` parts.
pub fn jobs_of(parts: u32) -> u32 {
    parts.div_ceil(PARTS_OF_JOB)
}

/// Returns the number of the job that a part belongs to, both from 1. The parts are spread evenly: the jobs differ by
/// at most one part, so the last job is not a small remainder.
pub fn job_of(part: u32, parts: u32) -> u32 {
    let place = u64::from(part.saturating_sub(1)) * u64::from(jobs_of(parts));
    u32::try_from(place / u64::from(parts.max(1))).map_or(u32::MAX, |job| job + 1)
}

/// The records of a part, stored as `rendered/<part>.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rendered {
    pub records: u64,
    pub bytes: u64,
    /// The items of the part that have no record.
    #[serde(default)]
    pub without: BTreeSet<u64>,
}

/// The jobs of a batch attempt, stored as `jobs.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobsRecord {
    pub version: u32,
    #[serde(with = "time::serde::rfc3339")]
    pub started_at: OffsetDateTime,
    /// The time at which the jobs were stopped. No job is started after it.
    #[serde(default, with = "time::serde::rfc3339::option")]
    pub stopped_at: Option<OffsetDateTime>,
    pub jobs: Vec<JobRecord>,
}

/// A job, as it was last reported. The manifest of the batch lists it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobRecord {
    /// The number of the job in the batch, from 1.
    pub job: u32,
    /// The ARN. `null` if the job is starting or was not started; `message` has the reason.
    pub arn: Option<String>,
    pub status: Option<JobStatus>,
    /// True if the job was about to be started when this was written. If the call was then interrupted, the job may
    /// have been started or not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_starting: bool,
    /// True if the service refused to start the job, for a reason that a person must fix.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_refused: bool,
    /// The number of records in the job's input.
    pub given: u64,
    /// The records, as the service counts them.
    pub records: Records,
    /// The message of the service, or the reason why the job was not started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    #[serde(default, with = "time::serde::rfc3339::option")]
    pub submitted_at: Option<OffsetDateTime>,
    #[serde(default, with = "time::serde::rfc3339::option")]
    pub ended_at: Option<OffsetDateTime>,
    /// The leftovers of the job, once its answers were collected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leftovers: Option<Leftovers>,
}

/// The next step for the jobs of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextLook {
    /// Check again after this many seconds.
    Wait(u64),
    /// No job needs to be waited for.
    Over,
}

impl JobsRecord {
    /// Returns the record of a batch attempt whose jobs are about to be started.
    pub fn started(now: OffsetDateTime) -> Self {
        Self { version: 1, started_at: now, stopped_at: None, jobs: Vec::new() }
    }

    /// Returns the record of a job by its number.
    pub fn job(&self, job: u32) -> Option<&JobRecord> {
        self.jobs.iter().find(|record| record.job == job)
    }

    /// Adds the record of a job, or replaces the one that exists.
    pub fn put(&mut self, job: JobRecord) {
        match self.jobs.iter_mut().find(|known| known.job == job.job) {
            Some(known) => *known = job,
            None => self.jobs.push(job),
        }
    }

    /// Returns the timeout of each job, in hours. It is the same for all calls, because a job that is started again
    /// must be requested with the same values.
    pub fn hours(&self, cut_off: OffsetDateTime) -> i32 {
        hours((cut_off - self.started_at).try_into().unwrap_or_default())
    }

    /// Returns whether a job that was about to be started when the jobs were stopped would be visible by now.
    pub fn is_known(&self, now: OffsetDateTime) -> bool {
        self.stopped_at.is_some_and(|at| now - at >= AT_WORK)
    }

    /// Returns the reasons why records of the jobs run on demand: a description of each job that is not `Completed`.
    pub fn because(&self) -> Vec<String> {
        let reported = self.jobs.iter().filter(|job| job.status != Some(JobStatus::Completed));
        reported.map(JobRecord::describe).collect()
    }

    /// Returns when to check the jobs again. `cut_off` is the time at which the batch stops its jobs.
    ///
    /// A record that a running job may still process does not run on demand, however long the job takes. A job is over
    /// when the service reports it, or an hour after the job's own timeout.
    pub fn next_look(&self, cut_off: OffsetDateTime, now: OffsetDateTime) -> NextLook {
        let most = Duration::hours(self.hours(cut_off).into()) + OVERDUE;
        let is_overdue = |job: &JobRecord| job.submitted_at.is_some_and(|at| now >= at + most);
        if self.jobs.iter().all(|job| job.is_over() || is_overdue(job)) {
            return NextLook::Over;
        }
        let tenth =
            |since: OffsetDateTime| ((now - since).whole_seconds() / 10).clamp(WAIT_S.0, WAIT_S.1);
        let wait = match self.stopped_at {
            Some(at) => tenth(at),
            None => tenth(self.started_at).min((cut_off - now).whole_seconds() + 1),
        };
        NextLook::Wait(u64::try_from(wait).unwrap_or(1).max(1))
    }
}

impl JobRecord {
    /// Returns the reason if `given` records are too few for a job.
    pub fn too_few(given: u64) -> Option<String> {
        let message =
            || format!("a bulk job needs at least {MIN_RECORDS} records, there are {given}");
        (given < MIN_RECORDS).then(message)
    }

    /// Returns the record of a job that was started.
    pub fn started(job: u32, arn: String, given: u64) -> Self {
        let status = Some(JobStatus::Submitted);
        Self { arn: Some(arn), status, ..Self::not_started(job, given, None) }
    }

    /// Returns the record of a job that was not started. `message` has the reason.
    pub fn not_started(job: u32, given: u64, message: Option<String>) -> Self {
        Self {
            job,
            arn: None,
            status: None,
            is_starting: false,
            is_refused: false,
            given,
            records: Records::default(),
            message,
            submitted_at: None,
            ended_at: None,
            leftovers: None,
        }
    }

    /// Returns the record of a job that is about to be started.
    pub fn starting(job: u32, given: u64) -> Self {
        Self { is_starting: true, ..Self::not_started(job, given, None) }
    }

    /// Returns the record of a job that the service refused to start.
    pub fn refused(job: u32, given: u64, because: String) -> Self {
        Self { is_refused: true, ..Self::not_started(job, given, Some(because)) }
    }

    /// Returns whether the job itself is at fault, so that trying it again would not help: it failed as a whole, or
    /// nearly all of its records failed.
    pub fn is_at_fault(&self) -> bool {
        self.did_fail() || self.leftovers.as_ref().is_some_and(Leftovers::nearly_all_failed)
    }

    /// Returns whether the service failed the job as a whole, or refused to start it.
    pub fn did_fail(&self) -> bool {
        self.is_refused || self.status == Some(JobStatus::Failed)
    }

    /// Returns the error of the records that are held. Returns `None` if they are not held.
    pub fn held(&self) -> Option<Fault> {
        let leftovers = self.leftovers.as_ref()?;
        (leftovers.verdict == Verdict::Held).then(|| leftovers.held(self.job))
    }

    /// Updates the record with the state that the service reports.
    pub fn see(&mut self, job: Job) {
        self.status = Some(job.status);
        self.records = job.records;
        self.message = job.message;
        self.submitted_at = Some(job.submitted_at);
        self.ended_at = job.ended_at;
    }

    /// Returns whether the job is over. A job that was not started counts as over.
    pub fn is_over(&self) -> bool {
        !self.is_starting && self.status.is_none_or(JobStatus::is_over)
    }

    /// Describes the status of the job in a sentence.
    pub fn describe(&self) -> String {
        let status = match self.status {
            Some(status) => format!("is {status:?}"),
            None if self.is_starting => "may have been started".to_owned(),
            None => "was not started".to_owned(),
        };
        let message = self.message.as_ref().map(|message| format!(": {message}"));
        let sentence = format!("job {} {status}{}", self.job, message.unwrap_or_default());
        match self.leftovers.as_ref().and_then(Leftovers::describe) {
            Some(leftovers) => format!("{sentence}; {leftovers}"),
            None => sentence,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    const START: OffsetDateTime = datetime!(2026-11-01 12:00 UTC);
    const CUT_OFF: OffsetDateTime = datetime!(2026-11-02 13:00 UTC);

    fn jobs(status: JobStatus) -> JobsRecord {
        let mut jobs = JobsRecord::started(START);
        let mut job = JobRecord::started(1, "arn".into(), 100);
        job.status = Some(status);
        jobs.jobs = vec![JobRecord::not_started(2, 3, JobRecord::too_few(3)), job];
        jobs
    }

    #[test]
    fn parts_are_shared_out_evenly_in_their_order() {
        let shares = |parts: u32| -> Vec<usize> {
            let of = |job: u32| (1..=parts).filter(|part| job_of(*part, parts) == job).count();
            (1..=jobs_of(parts)).map(of).collect()
        };
        assert_eq!((shares(1), shares(100)), (vec![1], vec![100]));
        assert_eq!((shares(101), shares(250)), (vec![51, 50], vec![84, 83, 83]));
        assert!((1..=2_001).all(|parts| job_of(parts, parts) == jobs_of(parts)));
    }

    #[test]
    fn the_waits_grow_and_end_before_the_cut_off() {
        let jobs = jobs(JobStatus::InProgress);
        let after = |seconds: i64| jobs.next_look(CUT_OFF, START + Duration::seconds(seconds));
        let waits = [0, 60, 600, 6_000, 25 * 3_600 - 20].map(after);
        assert_eq!(waits, [5, 6, 60, 600, 21].map(NextLook::Wait));
    }

    #[test]
    fn what_does_not_even_stop_is_waited_for_until_it_should_be_over_by_itself() {
        let mut jobs = jobs(JobStatus::Stopping);
        let cut_off = START + Duration::hours(2);
        jobs.stopped_at = Some(cut_off);
        jobs.jobs[1].submitted_at = Some(START + Duration::hours(1));
        assert_eq!(jobs.hours(cut_off), 24, "the shortest timeout that the service accepts");
        let after = |minutes: i64| jobs.next_look(cut_off, cut_off + Duration::minutes(minutes));
        assert_eq!([after(0), after(9)], [NextLook::Wait(5), NextLook::Wait(54)]);
        assert_eq!([after(24 * 60 - 1), after(24 * 60)], [NextLook::Wait(600), NextLook::Over]);
    }

    #[test]
    fn what_may_have_been_started_is_not_over_and_is_resolved_after_a_while() {
        let mut jobs = jobs(JobStatus::Completed);
        jobs.put(JobRecord::starting(2, 100));
        assert_eq!(jobs.next_look(CUT_OFF, START), NextLook::Wait(5));
        assert!(!jobs.is_known(CUT_OFF), "starting is not over");
        jobs.stopped_at = Some(START);
        let after = |minutes: i64| jobs.is_known(START + Duration::minutes(minutes));
        assert_eq!([after(5), after(6)], [false, true]);
        jobs.put(JobRecord::started(2, "arn".into(), 100));
        assert_eq!((jobs.jobs.len(), jobs.jobs[0].arn.is_some()), (2, true));
    }

    #[test]
    fn when_every_job_is_over_it_is_reported_why_not_all_is_done() {
        let jobs = jobs(JobStatus::PartiallyCompleted);
        assert_eq!(jobs.next_look(CUT_OFF, START), NextLook::Over);
        let few = "job 2 was not started: a bulk job needs at least 100 records, there are 3";
        assert_eq!(jobs.because(), [few, "job 1 is PartiallyCompleted"]);
        assert_eq!(JobsRecord::started(START).next_look(CUT_OFF, START), NextLook::Over);
    }
}
