use std::cell::Cell;

use bcce_core::batch::BatchRequest;
use bcce_core::batch::bulk::{Job, JobStatus, Records};
use bcce_core::fakes::{MemoryJobs, MemoryStore, now};
use serde_json::{Value, json};
use time::macros::datetime;

use super::*;

const FIRST: &str = include_str!("../../../events/bulk-job/first.json");
const ENDED: &str = include_str!("../../../events/bulk-job/ended.json");
const START: OffsetDateTime = datetime!(2026-11-01 12:00 UTC);

/// A clock that a test sets.
struct SetClock(Cell<OffsetDateTime>);

impl Clock for SetClock {
    fn now(&self) -> OffsetDateTime {
        self.0.get()
    }
}

type Fakes = Ports<MemoryStore, MemoryJobs, SetClock>;

fn batch() -> BatchRun {
    serde_json::from_str::<Request>(FIRST).unwrap().batch
}

fn config() -> Config {
    Config {
        bucket: "bucket".into(),
        key_arn: "key".into(),
        service_role_arn: "role".into(),
        endpoint: None,
    }
}

/// Returns ports with a batch whose parts have these numbers of records, one hour before the cut-off.
fn ports(records: &[u64]) -> Fakes {
    let target = json!({ "region": "us-east-1", "model_id": "us.anthropic.claude" });
    let opened = json!({
        "version": 1, "items": 300, "rejected": 0, "to_run": 300, "parts": records.len(),
        "source": { "uri": "s3://bucket/k", "format": "jsonl", "bytes": 1 },
        "mode": "bulk", "because": [], "concurrency": 20, "allowed_failures": 20,
        "bulk": { "target": target, "cut_off": "2026-11-01T13:00:00Z" },
    });
    let message =
        json!({ "workflow": "explain", "id": "42", "batch": { "source": "s3://bucket/a.jsonl" } });
    let stored = BatchRequest::parse(&message.to_string()).unwrap();
    let stored = StoredBatch::new(stored, "default", "m");
    let rendered = records.iter().zip(1..).map(|(records, part)| {
        let rendered = Rendered { records: *records, bytes: 1, ..Rendered::default() };
        (batch().rendered_key(part), to_json(&rendered).unwrap())
    });
    let rest = [
        (batch().opened_key(), opened.to_string().into_bytes()),
        (batch().request_key(), to_json(&stored).unwrap()),
    ];
    Ports {
        store: MemoryStore::with(rendered.chain(rest)),
        jobs: MemoryJobs::default(),
        clock: SetClock(Cell::new(START)),
    }
}

fn ask(ports: &Fakes, event: &str) -> Response {
    now(handle(ports, &config(), serde_json::from_str(event).unwrap())).unwrap()
}

fn arn(job: u32) -> String {
    let name = job_name("bucket", &batch(), job);
    format!("arn:aws:bedrock:us-east-1:000000000000:model-invocation-job/{name}")
}

fn set(ports: &Fakes, job: u32, status: JobStatus) {
    let (message, records, ended_at) = (None, Records::default(), None);
    let job_of = Job { status, message, records, submitted_at: START, ended_at };
    ports.jobs.jobs.borrow_mut().insert(arn(job), job_of);
}

fn jobs(ports: &Fakes) -> Value {
    ports.store.json(&batch().jobs_key())["jobs"].clone()
}

#[test]
fn a_job_is_started_once_and_looked_at_until_it_is_over() {
    let ports = ports(&[60, 50]);
    set(&ports, 1, JobStatus::Submitted);
    for _ in 0..2 {
        assert_eq!(ask(&ports, FIRST), Response::Waiting { wait_s: 5 });
    }
    assert_eq!(*ports.jobs.started.borrow(), [job_name("bucket", &batch(), 1)]);
    assert_eq!(jobs(&ports)[0]["given"], 110);
    set(&ports, 1, JobStatus::Completed);
    assert_eq!(ask(&ports, FIRST), Response::Over { because: vec![] });
    assert_eq!(jobs(&ports)[0]["status"], "Completed");
    assert!(ports.jobs.stopped.borrow().is_empty());
}

#[test]
fn a_job_that_is_refused_or_too_small_is_over_and_says_why() {
    let few = ports(&[60]);
    let because =
        "job 1 was not started: a bulk job needs at least 100 records, there are 60".to_owned();
    assert_eq!(ask(&few, FIRST), Response::Over { because: vec![because] });
    assert!(few.jobs.started.borrow().is_empty());
    let refused = ports(&[100]);
    let because = "ServiceQuotaExceededException: no".to_owned();
    refused.jobs.starts.borrow_mut().push_back(Ok(JobStart::Refused { because: because.clone() }));
    let because = vec![format!("job 1 was not started: {because}")];
    assert_eq!(ask(&refused, FIRST), Response::Over { because });
}

#[test]
fn a_job_of_many_is_started_by_the_retry_where_the_call_before_broke_off() {
    let ports = ports(&[1; 101].map(|_| 10));
    set(&ports, 1, JobStatus::Submitted);
    set(&ports, 2, JobStatus::Submitted);
    let ok = Ok(JobStart::Started { arn: arn(1) });
    ports.jobs.starts.borrow_mut().extend([ok, Err(Fault::internal("throttled"))]);
    let asked = serde_json::from_str(FIRST).unwrap();
    assert!(now(handle(&ports, &config(), asked)).is_err());
    assert_eq!(
        (&jobs(&ports)[0]["arn"], &jobs(&ports)[1]["is_starting"]),
        (&json!(arn(1)), &json!(true))
    );
    assert_eq!(ask(&ports, FIRST), Response::Waiting { wait_s: 5 });
    // The second job was started in spite of the error, and is found by its name.
    let names = [1, 2].map(|job| job_name("bucket", &batch(), job));
    assert_eq!(*ports.jobs.started.borrow(), names);
    assert_eq!(jobs(&ports)[1]["arn"], arn(2));
}

#[test]
fn a_job_that_was_not_started_is_so_by_the_retry() {
    let ports = ports(&[100]);
    ports.jobs.starts.borrow_mut().push_back(Err(Fault::internal("throttled")));
    assert!(now(handle(&ports, &config(), serde_json::from_str(FIRST).unwrap())).is_err());
    // No job of that name is found, so the job is started again.
    let asked = serde_json::from_str(FIRST).unwrap();
    assert!(
        now(handle(&ports, &config(), asked)).is_err(),
        "its status cannot be read in this test"
    );
    let name = job_name("bucket", &batch(), 1);
    assert_eq!(*ports.jobs.started.borrow(), [name.clone(), name]);
}

#[test]
fn one_that_cannot_be_seen_keeps_no_other_from_being_stopped() {
    let ports = ports(&[1; 101].map(|_| 10));
    set(&ports, 1, JobStatus::InProgress);
    set(&ports, 2, JobStatus::InProgress);
    ask(&ports, FIRST);
    ports.jobs.jobs.borrow_mut().remove(&arn(1));
    ports.clock.0.set(START + time::Duration::minutes(60));
    assert!(now(handle(&ports, &config(), serde_json::from_str(FIRST).unwrap())).is_err());
    assert_eq!(*ports.jobs.stopped.borrow(), [arn(1), arn(2)]);
    assert!(!ports.store.json(&batch().jobs_key())["stopped_at"].is_null());
}

fn after(ports: &Fakes, minutes: i64, event: &str) -> Response {
    ports.clock.0.set(START + time::Duration::minutes(minutes));
    ask(ports, event)
}

fn waits(response: &Response) -> bool {
    matches!(response, Response::Waiting { .. })
}

#[test]
fn at_the_cut_off_jobs_are_stopped_and_waited_for_until_they_are() {
    let ports = ports(&[100]);
    set(&ports, 1, JobStatus::Validating);
    ask(&ports, FIRST);
    // The service does not stop a job in every state, so the function tries again.
    assert!(waits(&after(&ports, 60, FIRST)) && waits(&after(&ports, 65, FIRST)));
    assert_eq!(*ports.jobs.stopped.borrow(), [arn(1), arn(1)]);
    set(&ports, 1, JobStatus::Stopping);
    assert!(waits(&after(&ports, 90, FIRST)));
    assert_eq!(ports.jobs.stopped.borrow().len(), 2, "it is stopping");
    set(&ports, 1, JobStatus::Stopped);
    let because = vec!["job 1 is Stopped".to_owned()];
    assert_eq!(after(&ports, 91, FIRST), Response::Over { because });
}

#[test]
fn of_a_batch_that_has_ended_nothing_is_started_and_what_is_at_work_is_stopped() {
    let ports = ports(&[100]);
    set(&ports, 1, JobStatus::InProgress);
    ask(&ports, FIRST);
    assert_eq!(ask(&ports, ENDED), Response::Waiting { wait_s: 5 });
    assert_eq!(*ports.jobs.stopped.borrow(), [arn(1)]);
    set(&ports, 1, JobStatus::Stopped);
    assert_eq!(ask(&ports, ENDED), Response::Over { because: vec!["job 1 is Stopped".into()] });
    assert_eq!(ports.jobs.started.borrow().len(), 1);
}

/// Stopping an execution does not stop a function that it has invoked.
#[test]
fn what_a_call_starts_after_its_batch_has_ended_is_found_and_stopped() {
    let ports = ports(&[100]);
    assert!(waits(&ask(&ports, ENDED)));
    assert_eq!(jobs(&ports)[0]["is_starting"], true);
    set(&ports, 1, JobStatus::Submitted);
    assert!(waits(&after(&ports, 1, ENDED)));
    assert_eq!(*ports.jobs.stopped.borrow(), [arn(1)]);
    assert_eq!(jobs(&ports)[0]["arn"], arn(1));
}

#[test]
fn what_was_never_started_of_a_batch_that_has_ended_is_over_when_no_call_can_start_it() {
    let ports = ports(&[100]);
    assert!(waits(&ask(&ports, ENDED)) && waits(&after(&ports, 5, ENDED)));
    let because = vec![format!("job 1 was not started: {TOO_LATE}")];
    assert_eq!(after(&ports, 6, ENDED), Response::Over { because });
    assert!(ports.jobs.started.borrow().is_empty());
    let few = "job 1 was not started: a bulk job needs at least 100 records, there are 9";
    assert_eq!(ask(&self::ports(&[9]), ENDED), Response::Over { because: vec![few.into()] });
}

#[test]
fn a_job_whose_start_was_not_noted_is_found_at_the_cut_off() {
    let ports = ports(&[100]);
    ports.jobs.starts.borrow_mut().push_back(Err(Fault::internal("the answer was lost")));
    assert!(now(handle(&ports, &config(), serde_json::from_str(FIRST).unwrap())).is_err());
    set(&ports, 1, JobStatus::InProgress);
    assert!(waits(&after(&ports, 60, FIRST)));
    assert_eq!(*ports.jobs.stopped.borrow(), [arn(1)]);
}

#[test]
fn when_rendering_outlasts_the_time_it_says_so_at_once() {
    let ports = ports(&[100]);
    let because = vec![format!("job 1 was not started: {TOO_LATE}")];
    assert_eq!(after(&ports, 60, FIRST), Response::Over { because });
    assert_eq!(jobs(&ports)[0]["given"], 100);
}
