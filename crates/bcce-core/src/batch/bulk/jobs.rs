//! The jobs of one attempt at a batch: which part lies in which, how they stand, and what is next.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};

use crate::base::error::Fault;
use crate::batch::bulk::job::{Job, JobStatus, MIN_RECORDS, Records, hours};
use crate::batch::bulk::leftovers::{Leftovers, Verdict};

/// Parts in a job's folder: of 500 items at most each, as many records as a job takes.
const PARTS_OF_JOB: u32 = 100;
/// Between two looks: a tenth of the time there have been jobs, within these.
const WAIT_S: (i64, i64) = (5, 600);
/// A job that is at work for so long after its own timeout is left to itself.
const OVERDUE: Duration = Duration::hours(1);
/// How long a call of bulk-job can be at work after its execution was ended, and a little longer: what it was about to
/// start may be there only then.
const AT_WORK: Duration = Duration::minutes(6);

/// Jobs that a batch of so many parts has.
pub fn jobs_of(parts: u32) -> u32 {
    parts.div_ceil(PARTS_OF_JOB)
}

/// The job of a part, both from 1. All have as many parts, or one more: the last one is no remnant.
pub fn job_of(part: u32, parts: u32) -> u32 {
    let place = u64::from(part.saturating_sub(1)) * u64::from(jobs_of(parts));
    u32::try_from(place / u64::from(parts.max(1))).map_or(u32::MAX, |job| job + 1)
}

/// What a part's records are: `rendered/<part>.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rendered {
    pub records: u64,
    pub bytes: u64,
    /// Items of the part that are no records.
    #[serde(default)]
    pub without: BTreeSet<u64>,
}

/// `jobs.json` of an attempt at a batch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobsRecord {
    pub version: u32,
    #[serde(with = "time::serde::rfc3339")]
    pub started_at: OffsetDateTime,
    /// Since when no job is started any more, and all of them are to stop.
    #[serde(default, with = "time::serde::rfc3339::option")]
    pub stopped_at: Option<OffsetDateTime>,
    pub jobs: Vec<JobRecord>,
}

/// A job, as it was seen last. A batch's manifest lists it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobRecord {
    /// Its number in the batch, from 1.
    pub job: u32,
    /// `null`: it was not started; the message says why. Or it is starting.
    pub arn: Option<String>,
    pub status: Option<JobStatus>,
    /// It was to be started when this was written. A call that broke off then may have done so or not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_starting: bool,
    /// The service did not want it, for a reason that somebody has to mend.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_refused: bool,
    /// Records that it was given.
    pub given: u64,
    /// As the service counts them.
    pub records: Records,
    /// The service's, or ours where it was not started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    #[serde(default, with = "time::serde::rfc3339::option")]
    pub submitted_at: Option<OffsetDateTime>,
    #[serde(default, with = "time::serde::rfc3339::option")]
    pub ended_at: Option<OffsetDateTime>,
    /// Once its answers are taken: what it left over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leftovers: Option<Leftovers>,
}

/// What is to be done about the jobs of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextLook {
    /// Look again after so many seconds.
    Wait(u64),
    Over,
}

impl JobsRecord {
    pub fn started(now: OffsetDateTime) -> Self {
        Self { version: 1, started_at: now, stopped_at: None, jobs: Vec::new() }
    }

    pub fn job(&self, job: u32) -> Option<&JobRecord> {
        self.jobs.iter().find(|record| record.job == job)
    }

    /// In the place of what was known of it.
    pub fn put(&mut self, job: JobRecord) {
        match self.jobs.iter_mut().find(|known| known.job == job.job) {
            Some(known) => *known = job,
            None => self.jobs.push(job),
        }
    }

    /// The timeout of each, always the same: one that is started a second time is the same job to the last field.
    pub fn hours(&self, cut_off: OffsetDateTime) -> i32 {
        hours((cut_off - self.started_at).try_into().unwrap_or_default())
    }

    /// Whether what was about to be started is there by now, if it ever will be.
    pub fn is_known(&self, now: OffsetDateTime) -> bool {
        self.stopped_at.is_some_and(|at| now - at >= AT_WORK)
    }

    /// Why records of them run on demand.
    pub fn because(&self) -> Vec<String> {
        let reported = self.jobs.iter().filter(|job| job.status != Some(JobStatus::Completed));
        reported.map(JobRecord::describe).collect()
    }

    /// `cut_off`: of the batch. What a job is at work on is not asked for a second time, however long that takes: jobs
    /// are over when the service says so, or when they should be by their own timeout.
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
    /// Why a job of so few records is not worth starting; `None`: it is.
    pub fn too_few(given: u64) -> Option<String> {
        let message = || format!("a job has at least {MIN_RECORDS} records, there are {given}");
        (given < MIN_RECORDS).then(message)
    }

    pub fn started(job: u32, arn: String, given: u64) -> Self {
        let status = Some(JobStatus::Submitted);
        Self { arn: Some(arn), status, ..Self::not_started(job, given, None) }
    }

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

    pub fn starting(job: u32, given: u64) -> Self {
        Self { is_starting: true, ..Self::not_started(job, given, None) }
    }

    pub fn refused(job: u32, given: u64, because: String) -> Self {
        Self { is_refused: true, ..Self::not_started(job, given, Some(because)) }
    }

    /// The service did not do what it should have, and it would not the next time.
    pub fn is_at_fault(&self) -> bool {
        self.did_fail() || self.leftovers.as_ref().is_some_and(Leftovers::nearly_all_failed)
    }

    /// Returns whether the service failed the job as a whole, or refused to start it.
    pub fn did_fail(&self) -> bool {
        self.is_refused || self.status == Some(JobStatus::Failed)
    }

    /// Returns the error of the records that are held. Returns `None` if they run on demand.
    pub fn held(&self) -> Option<Fault> {
        let leftovers = self.leftovers.as_ref()?;
        (leftovers.verdict == Verdict::Held).then(|| leftovers.held(self.job))
    }

    pub fn see(&mut self, job: Job) {
        self.status = Some(job.status);
        self.records = job.records;
        self.message = job.message;
        self.submitted_at = Some(job.submitted_at);
        self.ended_at = job.ended_at;
    }

    /// One that was not started is.
    pub fn is_over(&self) -> bool {
        !self.is_starting && self.status.is_none_or(JobStatus::is_over)
    }

    /// Describes its status in a sentence.
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
    fn looks_grow_rarer_and_none_is_behind_the_cut_off() {
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
        assert_eq!(jobs.hours(cut_off), 24, "the least that the service takes");
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
        let few = "job 2 was not started: a job has at least 100 records, there are 3";
        assert_eq!(jobs.because(), [few, "job 1 is PartiallyCompleted"]);
        assert_eq!(JobsRecord::started(START).next_look(CUT_OFF, START), NextLook::Over);
    }
}
