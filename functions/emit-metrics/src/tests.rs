use std::cell::RefCell;
use std::rc::Rc;

use bcce_core::base::digest::sha256_hex;
use bcce_core::base::error::ErrorName;
use bcce_core::fakes::MemoryStore;
use bcce_core::ledger::slots_pk;
use bcce_core::run::artifact::StepArtifact;
use bcce_core::run::ending::ExecutionStatus;
use bcce_core::run::ids::{ItemOf, RunRef};
use bcce_core::run::manifest::Evidence;
use serde_json::Value;
use time::macros::datetime;

use super::*;

const EVENT: &str = include_str!("../../../events/emit-metrics/succeeded.json");
const PLAN: &str = include_str!("../../../events/invoke/plan.json");
const ANSWER: &str = include_str!("../../../events/persist-artifact/answer.json");

/// A ledger that closes a run once, for the first execution that asks.
#[derive(Default)]
struct Ledger {
    closed: RefCell<Vec<ClosedRun>>,
    notification_owner: RefCell<Option<String>>,
    /// The released slots by lane, tenant and holder, in order.
    released: RefCell<Vec<String>>,
}

impl ReleaseSlot for Ledger {
    async fn release_slot(&self, lane: Lane, tenant: &str, holder: &str) -> Result<(), Fault> {
        self.released.borrow_mut().push(format!("{} {holder}", slots_pk(lane, tenant)));
        Ok(())
    }
}

impl CloseRun for Ledger {
    async fn close(&self, closed: &ClosedRun) -> Result<Closed, Fault> {
        let mut runs = self.closed.borrow_mut();
        let same = |run: &ClosedRun| (run.run.run_id.clone(), run.run.attempt_no);
        if runs.iter().any(|run| same(run) == same(closed)) {
            return Ok(Closed::Before {
                notification_owner: self.notification_owner.borrow().clone(),
            });
        }
        runs.push(closed.clone());
        *self.notification_owner.borrow_mut() = Some(closed.notification_owner.clone());
        Ok(Closed::Now)
    }
}

impl TakeOver for Ledger {
    async fn take_over(&self, _: &RunRef, from: &str, to: &str) -> Result<bool, Fault> {
        let mut owner = self.notification_owner.borrow_mut();
        let is_expected = owner.as_deref() == Some(from);
        if is_expected {
            *owner = Some(to.to_owned());
        }
        Ok(is_expected)
    }
}

type Fakes = Ports<MemoryStore, Ledger, Box<dyn Fn(&str)>>;

/// Makes the ports keep the metrics documents, and returns them.
fn keep_metrics(ports: &mut Fakes) -> Rc<RefCell<Vec<String>>> {
    let kept = Rc::<RefCell<Vec<String>>>::default();
    let metrics = Rc::clone(&kept);
    ports.metrics = Box::new(move |document| metrics.borrow_mut().push(document.to_owned()));
    kept
}

/// A sealed run and the event that asks to count it.
fn sealed() -> (Fakes, impl Fn() -> Request) {
    sealed_with(None)
}

fn failed() -> (Fakes, impl Fn() -> Request) {
    sealed_with(Some(Fault::internal("step answer: see the log")))
}

fn sealed_with(fault: Option<Fault>) -> (Fakes, impl Fn() -> Request) {
    let run = serde_json::from_str::<Request>(EVENT).unwrap().run;
    let plan = serde_json::from_str(PLAN).unwrap();
    let answer: StepArtifact = serde_json::from_str(ANSWER).unwrap();
    let manifest = Manifest::seal(Evidence {
        run: &run,
        plan: Some(&plan),
        artifacts: vec![],
        answers: vec![answer.into()],
        failures: vec![],
        broken: vec![],
        logged_calls: vec![],
        fault,
        ending: None,
        ended_at: datetime!(2026-11-01 12:00:09 UTC),
    });
    let body = serde_json::to_vec(&manifest).unwrap();
    let sha256 = sha256_hex(&body);
    let store = MemoryStore::with([(run.manifest_key(), body)]);
    let request = move || {
        let mut request: Request = serde_json::from_str(EVENT).unwrap();
        request.manifest.sha256.clone_from(&sha256);
        request
    };
    (Ports { store, ledger: Ledger::default(), metrics: Box::new(|_| ()) }, request)
}

fn config() -> Config {
    Config { environment: "dev".into(), bucket: String::new(), ledger_table: String::new() }
}

#[tokio::test]
async fn a_run_is_counted_once_however_often_it_is_finalized() {
    let (mut ports, request) = sealed();
    let emitted = keep_metrics(&mut ports);
    for counted in [true, false] {
        let response = handle(&ports, &config(), request()).await;
        // The same execution asks again, because the first response was lost. It still has to send the notification.
        assert_eq!(response, Ok(Response { counted, should_notify: true }));
    }
    assert_eq!(ports.ledger.closed.borrow().len(), 1);
    let what = "one document for the workflow, one for its model, one for the environment";
    assert_eq!(emitted.borrow().len(), 3, "{what}");
}

/// The embedded metric format requires that each declared metric and dimension is a member of the document. A document
/// may have at most 100 metrics and 30 dimensions.
#[tokio::test]
async fn the_documents_keep_the_rules_of_the_format() {
    let (mut ports, request) = sealed();
    let emitted = keep_metrics(&mut ports);
    handle(&ports, &config(), request()).await.unwrap();
    for document in emitted.borrow().iter() {
        assert!(!document.contains('\n'));
        let document: Value = serde_json::from_str(document).unwrap();
        let directive = &document["_aws"]["CloudWatchMetrics"][0];
        let metrics = directive["Metrics"].as_array().unwrap();
        let dimensions = directive["Dimensions"][0].as_array().unwrap();
        assert!(metrics.len() <= 100 && dimensions.len() <= 30);
        assert!(metrics.iter().all(|m| document[m["Name"].as_str().unwrap()].is_number()));
        assert!(dimensions.iter().all(|d| document[d.as_str().unwrap()].is_string()));
        assert_eq!(document["_aws"]["Timestamp"], 1_793_534_409_000_i64);
    }
    let model: Value = serde_json::from_str(&emitted.borrow()[1]).unwrap();
    assert_eq!((&model["InputTokens"], &model["PricedCost"]), (&1_000.into(), &0.000165.into()));
}

/// The metrics that alarms read as rates: whether the run failed, failed over, and that it succeeded.
#[tokio::test]
async fn a_run_writes_what_the_rates_are_made_of() {
    let rates = async |(mut ports, request): (Fakes, Request)| {
        let emitted = keep_metrics(&mut ports);
        handle(&ports, &config(), request).await.unwrap();
        let last: Value = serde_json::from_str(emitted.borrow().last().unwrap()).unwrap();
        let of = |name: &str| last[name].as_u64();
        (
            of("RunFailed"),
            of("FailedOver"),
            of("NoSuccess"),
            last["error"].as_str().map(str::to_owned),
        )
    };
    let (ports, request) = sealed();
    assert_eq!(rates((ports, request())).await, (Some(0), Some(0), Some(0), None));
    let (ports, request) = failed();
    let internal = Some("Bcce.Internal".to_owned());
    assert_eq!(rates((ports, request())).await, (Some(1), Some(0), None, internal));
}

#[tokio::test]
async fn another_manifest_than_the_sealed_one_is_not_counted() {
    let (ports, request) = sealed();
    let mut other = request();
    other.manifest.sha256 = "0".repeat(64);
    let fault = handle(&ports, &config(), other).await.unwrap_err();
    assert_eq!(fault.name, ErrorName::Internal);
    assert!(ports.ledger.closed.borrow().is_empty());
}

/// The request of an execution of the finalize machine.
fn finalizing(request: Request, owner: &str, error: Option<&str>) -> Request {
    let (status, at) = (ExecutionStatus::Failed, datetime!(2026-11-01 12:00:09 UTC));
    let ending = Ending { status, at, error: error.map(str::to_owned), cause: None };
    Request { notification_owner: owner.into(), ending: Some(ending), ..request }
}

#[tokio::test]
async fn only_the_execution_that_counts_a_run_sends_the_notification() {
    let (ports, request) = sealed();
    let ask = async |request| handle(&ports, &config(), request).await.unwrap().should_notify;
    // The run's own execution could not count the run.
    assert!(ask(finalizing(request(), "finalize-1", Some("Bcce.Internal"))).await);
    assert!(
        !ask(finalizing(request(), "finalize-2", Some("Bcce.Internal"))).await,
        "finalize-1 sends it"
    );
    assert!(ask(finalizing(request(), "finalize-1", Some("Bcce.Internal"))).await, "its own retry");
}

#[tokio::test]
async fn an_execution_that_came_to_its_own_end_has_sent_the_notification() {
    let (ports, request) = failed();
    let ask = async |request| handle(&ports, &config(), request).await.unwrap().should_notify;
    assert!(ask(request()).await, "the run's own execution counts it");
    let own = |cause: &str| {
        let mut request = finalizing(request(), "finalize-1", Some("Bcce.Internal"));
        request.ending.as_mut().unwrap().cause = Some(cause.into());
        request
    };
    assert!(!ask(own("step answer: see the log")).await, "the manifest's own error");
    // The execution counted the run, the response was lost, and the execution failed before the notification.
    assert!(ask(own("the run is sealed but could not be counted")).await);
}

#[tokio::test]
async fn the_notification_of_an_execution_that_was_killed_is_taken_over_once() {
    let (ports, request) = sealed();
    let ask = async |request| handle(&ports, &config(), request).await.unwrap().should_notify;
    assert!(ask(request()).await, "the run's own execution counts it");
    let killed = |owner| finalizing(request(), owner, Some("States.Runtime"));
    assert!(ask(killed("finalize-1")).await);
    assert!(!ask(killed("finalize-2")).await, "the event came twice");
    assert!(ask(killed("finalize-1")).await, "its own retry");
}

/// The batch sends one notification when it is over.
#[tokio::test]
async fn an_item_of_a_batch_is_counted_and_not_notified() {
    let (mut ports, request) = sealed();
    let emitted = keep_metrics(&mut ports);
    let item = |request: Request| {
        let batch = ItemOf { batch_id: "explain-batch-1".into(), attempt_no: 1 };
        let reference = RunRef { batch: Some(batch), ..request.run.reference };
        Request { run: Run { reference, ..request.run }, ..request }
    };
    for counted in [true, false] {
        let response = handle(&ports, &config(), item(request())).await;
        assert_eq!(response, Ok(Response { counted, should_notify: false }));
    }
    let killed = finalizing(item(request()), "finalize-1", Some("States.Runtime"));
    let response = handle(&ports, &config(), killed).await;
    assert_eq!(response, Ok(Response { counted: false, should_notify: false }));
    let closed = ports.ledger.closed.borrow();
    assert_eq!(closed[0].run.batch.as_ref().unwrap().batch_id, "explain-batch-1");
    assert_eq!(emitted.borrow().len(), 3, "its metrics are those of its manifest");
}

#[tokio::test]
async fn a_run_releases_its_slot_each_time_and_an_item_of_a_batch_has_none() {
    let (ports, request) = sealed();
    let slot = format!("slot#default#runs {}", request().run.execution_name());
    for _ in 0..2 {
        handle(&ports, &config(), request()).await.unwrap();
    }
    assert_eq!(*ports.ledger.released.borrow(), [slot.clone(), slot]);
    let (ports, request) = sealed();
    let mut request = request();
    request.run.reference.batch = Some(ItemOf { batch_id: "b".into(), attempt_no: 1 });
    handle(&ports, &config(), request).await.unwrap();
    assert!(ports.ledger.released.borrow().is_empty());
}

/// A principal that may start executions can name any workflow, and each distinct name would be a billed metric.
#[tokio::test]
async fn a_run_that_was_refused_before_it_had_a_plan_makes_no_metric_of_its_workflow() {
    let run = serde_json::from_str::<Request>(EVENT).unwrap().run;
    let manifest = Manifest::seal(Evidence {
        run: &run,
        plan: None,
        artifacts: vec![],
        answers: vec![],
        failures: vec![],
        broken: vec![],
        logged_calls: vec![],
        fault: Some(Fault::new(
            ErrorName::InvalidRequest,
            "workflow: there is no workflow explain",
        )),
        ending: None,
        ended_at: datetime!(2026-11-01 12:00:09 UTC),
    });
    let documents = metrics::of_run("dev", &manifest);
    let document: Value = serde_json::from_str(&documents[0]).unwrap();
    let directive = &document["_aws"]["CloudWatchMetrics"][0];
    assert_eq!(directive["Dimensions"], serde_json::json!([["Environment"]]));
    assert_eq!(document.get("Workflow"), None);
}
