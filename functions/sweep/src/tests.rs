use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};

use bcce_core::batch::BatchRef;
use bcce_core::fakes::now;
use bcce_core::ports::{EndedExecution, EndedPage, Started};
use bcce_core::run::execution_end::{ExecutionEnd, FinalizeEvent};
use bcce_core::run::ids::RunRef;
use time::macros::datetime;

use super::finalizing::MOST_UNDER_WAY;
use super::*;

const HOURLY: &str = include_str!("../../../events/sweep/schedule.json");
const DAILY: &str = include_str!("../../../events/sweep/daily.json");
const NOON: OffsetDateTime = datetime!(2026-11-30 12:00 UTC);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

/// A machine with executions that ended. Those with a name in `broken` cannot be described.
#[derive(Default)]
struct Machine {
    /// Newest start first.
    failed: Vec<EndedExecution>,
    page: usize,
    broken: BTreeSet<String>,
    is_gone: bool,
    pages: Cell<usize>,
}

impl ListEnded for Machine {
    async fn ended(&self, of: ExecutionStatus, page: Option<String>) -> Result<EndedPage, Fault> {
        if self.is_gone {
            return Err(Fault::internal("the machine is unreachable on request"));
        }
        if of != ExecutionStatus::Failed {
            return Ok(EndedPage::default());
        }
        self.pages.set(self.pages.get() + 1);
        let from: usize = page.map_or(0, |page| page.parse().unwrap());
        let to = (from + self.page).min(self.failed.len());
        let next = (to < self.failed.len()).then(|| to.to_string());
        Ok(EndedPage { executions: self.failed[from..to].to_vec(), next })
    }
}

impl DescribeEnd for Machine {
    async fn end(&self, name: &str) -> Result<Option<ExecutionEnd>, Fault> {
        if self.broken.contains(name) {
            return Err(Fault::internal("the execution cannot be described on request"));
        }
        Ok(Some(ExecutionEnd {
            execution_arn: format!("arn:{name}"),
            status: "FAILED".into(),
            input: Some("{}".into()),
            start_date: 1,
            stop_date: Some(2),
            error: None,
            cause: None,
        }))
    }
}

/// The finalize machine: what it was started with by name, and the ARNs that it is finalizing.
#[derive(Default)]
struct Finalize {
    started: RefCell<BTreeMap<String, FinalizeEvent>>,
    under_way: Vec<String>,
    looks: Cell<u32>,
    is_throttled: Cell<bool>,
}

impl ListFinalizing for Finalize {
    async fn finalizing(&self, most: usize) -> Result<Vec<String>, Fault> {
        self.looks.set(self.looks.get() + 1);
        Ok(self.under_way.iter().take(most).cloned().collect())
    }
}

impl StartFinalize for Finalize {
    async fn start_finalize(&self, name: &str, event: &FinalizeEvent) -> Result<Started, Fault> {
        if self.is_throttled.get() {
            return Ok(Started::Throttled);
        }
        Ok(match self.started.borrow_mut().insert(name.to_owned(), event.clone()) {
            None => Started::Running { since: NOON },
            Some(_) => Started::Existed,
        })
    }
}

/// The attempts whose record is closed.
#[derive(Default)]
struct Closed(BTreeSet<AttemptKey>);

impl ReadClosed for Closed {
    async fn closed(&self, attempts: &[AttemptKey]) -> Result<BTreeSet<AttemptKey>, Fault> {
        Ok(attempts.iter().filter(|attempt| self.0.contains(attempt)).cloned().collect())
    }
}

/// A clock that advances with each reading.
#[derive(Default)]
struct Ticking {
    by: Duration,
    readings: Cell<u32>,
}

impl Clock for Ticking {
    fn now(&self) -> OffsetDateTime {
        self.readings.set(self.readings.get() + 1);
        NOON + self.by * (self.readings.get() - 1)
    }
}

type Fakes = Ports<Machine, Machine, Finalize, Closed, Ticking, Box<dyn Fn(&str)>>;

fn run(n: u32) -> RunRef {
    RunRef::first("default", "explain", &n.to_string())
}

fn execution(name: &str, stopped_before: Duration) -> EndedExecution {
    let stopped_at = NOON - stopped_before;
    EndedExecution { name: name.to_owned(), started_at: stopped_at - HOUR, stopped_at }
}

/// Returns a stack with these failed executions of the workflow machine.
fn ports(failed: Vec<EndedExecution>) -> Fakes {
    Ports {
        runs: Machine { failed, page: 1_000, ..Machine::default() },
        batches: Machine { page: 1_000, ..Machine::default() },
        finalize: Finalize::default(),
        ledger: Closed::default(),
        clock: Ticking::default(),
        metrics: Box::new(|_: &str| {}),
    }
}

/// Returns a stack with these runs, which failed two hours ago.
fn runs(numbers: std::ops::Range<u32>) -> Fakes {
    ports(numbers.map(|n| execution(&run(n).execution_name(), 2 * HOUR)).collect())
}

fn sweep_for(ports: &Fakes, event: &str) -> Result<Response, Fault> {
    now(handle(ports, "dev", serde_json::from_str(event).unwrap(), HOUR))
}

fn sweep(ports: &Fakes) -> Result<Response, Fault> {
    sweep_for(ports, HOURLY)
}

fn response(checked: u64, finalized: u64, left: u64) -> Response {
    Response { checked, finalized, left, is_complete: true }
}

/// Returns the ARNs for which the finalize machine was started, in order.
fn started(ports: &Fakes) -> Vec<String> {
    let started = ports.finalize.started.borrow();
    let mut arns: Vec<_> = started.values().map(|it| it.detail.execution_arn.clone()).collect();
    arns.sort();
    arns
}

#[test]
fn a_run_whose_end_was_lost_is_finalized_once() {
    let mut ports = runs(0..1);
    let lines: &'static RefCell<Vec<String>> = Box::leak(Box::default());
    ports.metrics = Box::new(|line: &str| lines.borrow_mut().push(line.to_owned()));
    assert_eq!(sweep(&ports), Ok(response(1, 1, 0)));
    assert_eq!(started(&ports), [format!("arn:{}", run(0).run_id)]);
    let names = ports.finalize.started.borrow().keys().next().unwrap().clone();
    assert!(names.starts_with("sweep-2026-11-30-") && names.len() <= 80, "{names}");
    assert_eq!(sweep(&ports), Ok(response(1, 0, 1)), "it is tried again on the next day only");
    let swept = |line: &String| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        (line["Environment"] == "dev").then(|| line["RunsSwept"].as_u64().unwrap())
    };
    assert_eq!(lines.borrow().iter().map(swept).collect::<Vec<_>>(), [Some(1), Some(0)]);
}

#[test]
fn a_run_that_is_finalized_or_being_finalized_is_left_alone() {
    let mut ports = runs(0..3);
    let id = run(0).run_id;
    ports.ledger.0.insert(AttemptKey { of: AttemptOf::Run, id, attempt_no: 1 });
    ports.finalize.under_way = vec![format!("arn:{}", run(1).run_id), String::new()];
    assert_eq!(sweep(&ports), Ok(response(3, 1, 1)));
    assert_eq!(started(&ports), [format!("arn:{}", run(2).run_id)]);
    assert_eq!(ports.finalize.looks.get(), 1);
}

#[test]
fn finalizations_are_looked_up_only_if_a_record_is_open() {
    let mut ports = runs(0..1);
    let id = run(0).run_id;
    ports.ledger.0.insert(AttemptKey { of: AttemptOf::Run, id, attempt_no: 1 });
    assert_eq!(sweep(&ports), Ok(response(1, 0, 0)));
    assert_eq!(ports.finalize.looks.get(), 0);
}

#[test]
fn nothing_is_started_while_many_finalizations_are_under_way() {
    let mut ports = runs(0..2);
    ports.finalize.under_way = vec!["arn".to_owned(); MOST_UNDER_WAY];
    assert_eq!(sweep(&ports), Ok(response(2, 0, 2)));
    ports.finalize.under_way.pop();
    assert_eq!(sweep(&ports), Ok(response(2, 2, 0)));
}

#[test]
fn a_retry_of_a_batch_is_finalized_under_its_own_name() {
    let mut ports = ports(Vec::new());
    let batch = BatchRef::first("default", "explain", "42").retry().unwrap();
    // It ran for the longest time.
    let stopped_at = NOON - 2 * HOUR;
    let started_at = stopped_at - Duration::from_secs(MAX_BATCH_EXECUTION_SECONDS);
    let name = batch.execution_name();
    ports.batches.failed = vec![EndedExecution { name: name.clone(), started_at, stopped_at }];
    ports.ledger.0.insert(AttemptKey {
        of: AttemptOf::Batch,
        id: batch.batch_id.clone(),
        attempt_no: 1,
    });
    assert_eq!(sweep(&ports), Ok(response(1, 1, 0)));
    assert_eq!(started(&ports), [format!("arn:{name}")]);
}

#[test]
fn executions_of_somebody_else_are_ignored() {
    let ports = ports(vec![
        execution("3f2b8d0e-8c35-4c11-9c1e-8f0d4b4f7a11", 2 * HOUR),
        execution("by-hand", 2 * HOUR),
        execution(&format!("{}-copy", run(0).run_id), 2 * HOUR),
    ]);
    assert_eq!(sweep(&ports), Ok(response(0, 0, 0)));
}

#[test]
fn a_sweep_looks_at_executions_of_its_period_only() {
    let name = |n| run(n).execution_name();
    let ports = ports(vec![
        execution(&name(0), HOUR / 2),
        execution(&name(1), HOUR),
        execution(&name(2), 2 * DAY),
        execution(&name(3), 2 * DAY + HOUR),
        execution(&name(4), 90 * DAY),
        execution(&name(5), 91 * DAY),
    ]);
    assert_eq!(sweep(&ports).unwrap().checked, 2);
    assert_eq!(sweep_for(&ports, DAILY).unwrap().checked, 4);
    assert_eq!(sweep_for(&ports, r#"{ "older_than_s": 0 }"#).unwrap().checked, 3);
    let only = format!(r#"{{ "older_than_s": 0, "only": "{}" }}"#, run(0).run_id);
    assert_eq!(sweep_for(&ports, &only).unwrap().checked, 1);
}

/// An execution that stopped in the period may have started long before it, so the list is read until it cannot.
#[test]
fn the_list_is_read_as_far_back_as_an_execution_of_the_period_can_have_started() {
    let longest = Duration::from_secs(MAX_EXECUTION_SECONDS);
    let mut failed: Vec<_> = (0..4).map(|n| execution(&run(n).run_id, 3 * DAY)).collect();
    let old =
        EndedExecution { started_at: NOON - HOUR - longest, ..execution(&run(9).run_id, HOUR) };
    failed.insert(2, old);
    failed[3].started_at = NOON - 2 * DAY - longest - HOUR;
    failed[4].started_at = failed[3].started_at - HOUR;
    let mut ports = ports(failed);
    ports.runs.page = 1;
    assert_eq!(sweep(&ports), Ok(response(1, 1, 0)));
    assert_eq!(ports.runs.pages.get(), 4);
}

#[test]
fn every_page_is_read() {
    let mut ports = runs(0..5);
    ports.runs.page = 2;
    assert_eq!(sweep(&ports), Ok(response(5, 5, 0)));
    assert_eq!(ports.runs.pages.get(), 3);
}

#[test]
fn a_run_that_fails_does_not_hide_the_others() {
    let mut ports = runs(0..3);
    ports.runs.broken.insert(run(1).run_id);
    let fault = sweep(&ports).unwrap_err();
    assert!(fault.message.contains("cannot be described"), "{fault}");
    assert_eq!(started(&ports).len(), 2);
    ports.runs.broken.clear();
    assert_eq!(sweep(&ports), Ok(response(3, 1, 2)));
}

#[test]
fn a_machine_that_cannot_be_listed_does_not_hide_the_other() {
    let mut ports = runs(0..1);
    ports.batches.is_gone = true;
    assert!(sweep(&ports).is_err());
    assert_eq!(started(&ports).len(), 1);
}

#[test]
fn a_throttled_start_is_a_fault_that_the_next_sweep_clears() {
    let ports = runs(0..1);
    ports.finalize.is_throttled.set(true);
    let fault = sweep(&ports).unwrap_err();
    assert!(fault.message.contains("was throttled"), "{fault}");
    ports.finalize.is_throttled.set(false);
    assert_eq!(sweep(&ports), Ok(response(1, 1, 0)));
}

/// The clock is read at the start, before each page and before each open record.
#[test]
fn a_sweep_ends_before_its_time_is_used_up() {
    let mut ports = runs(0..20);
    ports.clock.by = HOUR / 10;
    let swept = sweep(&ports).unwrap();
    assert!(!swept.is_complete && (1..10).contains(&swept.finalized), "{swept:?}");
    ports.clock = Ticking::default();
    let rest = sweep(&ports).unwrap();
    assert_eq!((rest.finalized + swept.finalized, rest.is_complete), (20, true));
}

#[test]
fn an_event_with_a_wrong_field_is_refused() {
    let wrong = serde_json::from_str::<Request>(r#"{ "older_than_s": -1 }"#).unwrap_err();
    assert!(wrong.to_string().contains("expected u32"), "{wrong}");
}
