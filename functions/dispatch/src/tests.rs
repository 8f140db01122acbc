use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use bcce_core::base::error::ErrorName;
use bcce_core::batch::BatchRef;
use bcce_core::fakes::MemoryStore;
use bcce_core::ledger::slots_pk;
use bcce_core::ports::{Letter, Started};
use bcce_core::run::ids::RunRef;
use bcce_core::run::notification::{RunNotification, RunStatus};
use bcce_core::run::slots::{Lane, Slot};
use serde_json::{Value, json};
use time::macros::datetime;

use super::*;

struct Machine {
    clock: SetClock,
    started: RefCell<Vec<String>>,
    /// The start times of the executions that run, by name.
    running: RefCell<BTreeMap<String, OffsetDateTime>>,
    throttled: Cell<u32>,
}

impl Machine {
    fn new(clock: &SetClock) -> Self {
        let (started, running, throttled) = Default::default();
        Self { clock: clock.clone(), started, running, throttled }
    }

    fn start_once(&self, name: String) -> Started {
        if self.throttled.get() > 0 {
            self.throttled.set(self.throttled.get() - 1);
            return Started::Throttled;
        }
        // Step Functions does not return whether this call started the execution.
        if let Some(since) = self.running.borrow().get(&name) {
            return Started::Running { since: *since };
        }
        if self.started.borrow().contains(&name) {
            return Started::Existed;
        }
        let since = self.clock.now();
        self.running.borrow_mut().insert(name.clone(), since);
        self.started.borrow_mut().push(name);
        Started::Running { since }
    }

    fn end_all(&self) {
        self.running.borrow_mut().clear();
    }
}

impl StartRun for Machine {
    async fn start(&self, run: &RunRef) -> Result<Started, Fault> {
        Ok(self.start_once(run.execution_name()))
    }
}

impl StartBatch for Machine {
    async fn start_batch(&self, batch: &BatchRef) -> Result<Started, Fault> {
        Ok(self.start_once(batch.execution_name()))
    }
}

/// The messages that are published, moved, postponed or copied, and the metrics.
#[derive(Default)]
struct Outbox {
    notifications: RefCell<Vec<RunNotification>>,
    letters: RefCell<Vec<(String, String)>>,
    delays: RefCell<Vec<Duration>>,
    /// The copies that replaced messages: body, request id and delay.
    copies: RefCell<Vec<(String, String, Duration)>>,
    metrics: RefCell<Vec<Value>>,
    failing: Cell<bool>,
}

impl Publish for &Outbox {
    async fn publish(&self, notification: &RunNotification) -> Result<(), Fault> {
        if self.failing.get() {
            return Err(Fault::internal("fails on request"));
        }
        self.notifications.borrow_mut().push(notification.clone());
        Ok(())
    }
}

impl DeadLetter for &Outbox {
    async fn dead_letter(&self, letter: &Letter<'_>) -> Result<(), Fault> {
        self.letters.borrow_mut().push((letter.body.to_owned(), letter.reason.message.clone()));
        Ok(())
    }
}

impl Postpone for &Outbox {
    async fn postpone(&self, _: &str, _: &str, delay: Duration) -> Result<(), Fault> {
        self.delays.borrow_mut().push(delay);
        Ok(())
    }
}

impl SendAgain for &Outbox {
    async fn send_again(
        &self,
        _: &str,
        body: &str,
        request_id: &str,
        delay: Duration,
    ) -> Result<(), Fault> {
        if self.failing.get() {
            return Err(Fault::internal("fails on request"));
        }
        self.copies.borrow_mut().push((body.to_owned(), request_id.to_owned(), delay));
        Ok(())
    }
}

/// A parameter store with names of workflows, which counts its listings and fails on request.
struct Names {
    names: RefCell<Vec<&'static str>>,
    listings: Cell<u32>,
    failing: Cell<bool>,
}

impl ListParameters for Names {
    async fn below(&self, path: &str) -> Result<BTreeMap<String, String>, Fault> {
        self.listings.set(self.listings.get() + 1);
        if self.failing.get() {
            return Err(Fault::internal("fails on request"));
        }
        let names = self.names.borrow();
        Ok(names.iter().map(|name| (format!("{path}/{name}"), String::new())).collect())
    }
}

/// A ledger of slots, which counts the calls that it gets.
#[derive(Default)]
struct Slots {
    held: RefCell<Vec<(String, Slot)>>,
    asked: Cell<u32>,
    /// The number of the next readings that fail.
    failing: Cell<u32>,
}

impl Slots {
    fn holders(&self) -> Vec<String> {
        self.held.borrow().iter().map(|(_, slot)| slot.holder.clone()).collect()
    }

    fn release_all(&self) {
        self.held.borrow_mut().clear();
    }
}

impl ListSlots for Slots {
    async fn slots(
        &self,
        lane: Lane,
        tenant: &str,
        now: OffsetDateTime,
    ) -> Result<Vec<Slot>, Fault> {
        self.asked.set(self.asked.get() + 1);
        if self.failing.get() > 0 {
            self.failing.set(self.failing.get() - 1);
            return Err(Fault::internal("fails on request"));
        }
        let held = self.held.borrow();
        let live =
            held.iter().filter(|(pk, slot)| *pk == slots_pk(lane, tenant) && slot.expires_at > now);
        Ok(live.map(|(_, slot)| slot.clone()).collect())
    }
}

impl TakeSlot for Slots {
    async fn take_slot(&self, lane: Lane, tenant: &str, slot: &Slot) -> Result<bool, Fault> {
        self.asked.set(self.asked.get() + 1);
        let mut held = self.held.borrow_mut();
        let key = slots_pk(lane, tenant);
        held.retain(|(_, old)| old.expires_at > slot.taken_at);
        let is_held = held.iter().any(|(pk, old)| *pk == key && old.holder == slot.holder);
        if !is_held {
            held.push((key, slot.clone()));
        }
        Ok(!is_held)
    }
}

impl ReleaseSlot for Slots {
    async fn release_slot(&self, lane: Lane, tenant: &str, holder: &str) -> Result<(), Fault> {
        self.held.borrow_mut().retain(|(pk, slot)| {
            (pk.as_str(), &*slot.holder) != (&*slots_pk(lane, tenant), holder)
        });
        Ok(())
    }
}

/// A clock that a test sets.
#[derive(Clone)]
struct SetClock(Rc<Cell<OffsetDateTime>>);

impl SetClock {
    fn pass(&self, seconds: i64) {
        self.0.set(self.0.get() + time::Duration::seconds(seconds));
    }
}

impl Clock for SetClock {
    fn now(&self) -> OffsetDateTime {
        self.0.get()
    }
}

type Sink<'a> = Box<dyn Fn(&str) + 'a>;
type Fakes<'a> = Ports<
    MemoryStore,
    Machine,
    &'a Outbox,
    &'a Outbox,
    &'a Outbox,
    Names,
    Slots,
    SetClock,
    Sink<'a>,
>;

const NOON: OffsetDateTime = datetime!(2026-11-01 12:00 UTC);

fn ports(outbox: &Outbox) -> Fakes<'_> {
    let clock = SetClock(Rc::new(Cell::new(NOON)));
    Ports {
        store: MemoryStore::default(),
        machine: Machine::new(&clock),
        batch_machine: Machine::new(&clock),
        topic: outbox,
        dead_letters: outbox,
        queue: outbox,
        parameters: Names {
            names: RefCell::new(vec!["explain"]),
            listings: Cell::default(),
            failing: Cell::default(),
        },
        ledger: Slots::default(),
        clock,
        workflows: Workflows::default(),
        full: Full::default(),
        metrics: Box::new(|document| {
            outbox.metrics.borrow_mut().push(serde_json::from_str(document).unwrap());
        }),
    }
}

fn config() -> Config {
    let text = String::new;
    Config {
        bucket: text(),
        key_arn: text(),
        workflow_arn: text(),
        batch_arn: text(),
        topic_arn: text(),
        dead_letter_queue_url: text(),
        inbox_name: "bcce-inbox".into(),
        environment: "dev".into(),
        ledger_table: text(),
        tenant_maximum_runs: 0,
        tenant_maximum_batch_items: 0,
    }
}

/// The documented event of an SQS trigger, with these bodies.
fn event(bodies: &[&str]) -> SqsEvent {
    let sample: Value =
        serde_json::from_str(include_str!("../../../events/dispatch/batch.json")).unwrap();
    let record = |(n, body): (usize, &&str)| {
        let mut record = sample["Records"][0].clone();
        record["body"] = json!(body);
        record["messageId"] = json!(format!("m-{n}"));
        record["eventSourceARN"] = json!("arn:aws:sqs:us-east-1:123456789012:bcce-inbox");
        record
    };
    let records: Vec<Value> = bodies.iter().enumerate().map(record).collect();
    serde_json::from_value(json!({ "Records": records })).unwrap()
}

async fn failed(ports: &Fakes<'_>, bodies: &[&str]) -> Vec<String> {
    come_again(ports, &config(), event(bodies)).await
}

/// Handles an event, and returns the ids of the messages that SQS has to deliver again.
async fn come_again(ports: &Fakes<'_>, config: &Config, event: SqsEvent) -> Vec<String> {
    let response = handle(ports, config, event).await.unwrap();
    response.batch_item_failures.into_iter().map(|failure| failure.item_identifier).collect()
}

const EXPLAIN: &str = r#"{"workflow":"explain","id":"42","inputs":{"text":"a"}}"#;

#[tokio::test]
async fn the_same_message_three_times_is_one_execution() {
    let outbox = Outbox::default();
    let ports = ports(&outbox);
    assert!(failed(&ports, &[EXPLAIN, EXPLAIN]).await.is_empty());
    assert!(failed(&ports, &[EXPLAIN]).await.is_empty());
    assert_eq!(*ports.machine.started.borrow(), ["explain-f7ba4ad77505bd08f0457f0dca60c468"]);
    assert_eq!(ports.store.objects.borrow().len(), 1);
    assert!(outbox.letters.borrow().is_empty());
}

#[tokio::test]
async fn a_bad_message_is_moved_and_notified_and_delays_no_other() {
    let outbox = Outbox::default();
    let ports = ports(&outbox);
    assert!(failed(&ports, &["not json", EXPLAIN]).await.is_empty());
    assert_eq!(ports.machine.started.borrow().len(), 1);
    assert_eq!(outbox.letters.borrow()[0].0, "not json");
    let notification = &outbox.notifications.borrow()[0];
    assert_eq!(
        (notification.status, &notification.run_id, notification.request_id.as_str()),
        (RunStatus::Rejected, &None, "m-0")
    );
    assert!(notification.error.as_ref().unwrap().message.starts_with("request: is not JSON"));
}

#[tokio::test]
async fn the_same_id_with_another_request_is_refused() {
    let outbox = Outbox::default();
    let ports = ports(&outbox);
    let other = EXPLAIN.replace(r#""a""#, r#""b""#);
    assert!(failed(&ports, &[EXPLAIN]).await.is_empty());
    assert!(failed(&ports, &[&other]).await.is_empty());
    assert_eq!(ports.machine.started.borrow().len(), 1);
    assert!(outbox.letters.borrow()[0].1.starts_with("id: was used before"));
    assert_eq!(outbox.notifications.borrow()[0].workflow.as_deref(), Some("explain"));
}

/// An attack: the run of an item may be stored in its part alone, so a second run with its id could start.
#[tokio::test]
async fn a_request_with_the_id_of_an_item_is_rejected() {
    let outbox = Outbox::default();
    let ports = ports(&outbox);
    let id = format!("{}/1", BatchRef::first("default", "explain", "42").batch_id);
    let with_id = EXPLAIN.replace("42", &id);
    assert_ne!(with_id, EXPLAIN);
    assert!(failed(&ports, &[&with_id]).await.is_empty());
    assert!(ports.machine.started.borrow().is_empty() && ports.store.objects.borrow().is_empty());
    let reason = "id: belongs to an item of a batch: <batch id>/<item id>; send the request under another id, or run the \
                  item again with `bcce runs retry`";
    assert_eq!(outbox.letters.borrow()[..], [(with_id, reason.to_owned())]);
    let notification = &outbox.notifications.borrow()[0];
    assert_eq!((&notification.request_id, notification.status), (&id, RunStatus::Rejected));
    assert_eq!(notification.error.as_ref().unwrap().name, ErrorName::InvalidRequest);
}

#[tokio::test]
async fn throttling_is_not_a_dead_letter() {
    let outbox = Outbox::default();
    let ports = ports(&outbox);
    ports.machine.throttled.set(1);
    assert_eq!(failed(&ports, &[EXPLAIN]).await, ["m-0"]);
    assert!((1..=2).contains(&outbox.delays.borrow()[0].as_secs()));
    assert!(failed(&ports, &[EXPLAIN]).await.is_empty());
    assert_eq!(ports.machine.started.borrow().len(), 1);
    assert!(outbox.letters.borrow().is_empty());
}

#[tokio::test]
async fn a_store_that_fails_keeps_only_its_own_message() {
    let outbox = Outbox::default();
    let ports = ports(&outbox);
    ports.store.failing.set(1);
    let second = EXPLAIN.replace("42", "43");
    assert_eq!(failed(&ports, &[EXPLAIN, &second]).await, ["m-0"]);
    assert_eq!(ports.machine.started.borrow().len(), 1);
}

#[tokio::test]
async fn a_rejection_that_cannot_be_notified_is_delivered_again() {
    let outbox = Outbox::default();
    outbox.failing.set(true);
    let ports = ports(&outbox);
    assert_eq!(failed(&ports, &["not json"]).await, ["m-0"]);
    assert!(outbox.letters.borrow().is_empty());
}

/// A dead letter that is redriven is a new message. A redrive that ends before it deletes the dead letter sends it
/// twice.
#[tokio::test]
async fn a_message_sent_again_brings_its_request_id() {
    let outbox = Outbox::default();
    let ports = ports(&outbox);
    let anonymous = r#"{"workflow":"explain","inputs":{"text":"a"}}"#;
    let brought = |id: &str| {
        let mut event = event(&[anonymous, anonymous, "not json"]);
        let attribute = json!({ "stringValue": id, "dataType": "String", "stringListValues": [], "binaryListValues": [] });
        for record in &mut event.records {
            record
                .message_attributes
                .insert(REQUEST_ID.into(), serde_json::from_value(attribute.clone()).unwrap());
        }
        event
    };
    handle(&ports, &config(), brought("first")).await.unwrap();
    let run = RunRef::first("default", "explain", "first").execution_name();
    assert_eq!(*ports.machine.started.borrow(), [run]);
    assert_eq!(outbox.notifications.borrow()[0].request_id, "first");
    // An invalid id is ignored.
    for no_id in ["x".repeat(300), "first\t".to_owned()] {
        handle(&ports, &config(), brought(&no_id)).await.unwrap();
        assert_eq!(ports.machine.started.borrow().len(), 3, "{no_id:?}");
        assert_eq!(outbox.notifications.take().last().unwrap().request_id, "m-2");
    }
}

const BATCH: &str =
    r#"{"workflow":"explain","id":"42","batch":{"source":"s3://bucket/batches/uploads/a.jsonl"}}"#;

/// An invocation that starts runs writes the metric once. One that starts a batch, rejects a message or repeats a start
/// does not, so that it needs no run that succeeds.
#[tokio::test]
async fn the_start_of_a_run_is_a_metric() {
    let outbox = Outbox::default();
    let ports = ports(&outbox);
    let starts = async |bodies: &[&str]| {
        failed(&ports, bodies).await;
        let metrics = outbox.metrics.take();
        metrics.iter().filter_map(|document| document["NoSuccess"].as_u64()).collect::<Vec<_>>()
    };
    assert_eq!(starts(&[BATCH, "not json"]).await, [0; 0]);
    assert_eq!(starts(&[EXPLAIN, &EXPLAIN.replace("42", "43")]).await, [1]);
    ports.machine.end_all();
    assert_eq!(starts(&[EXPLAIN]).await, [0; 0]);
}

#[tokio::test]
async fn the_same_batch_twice_is_one_execution_of_the_batch_machine() {
    let outbox = Outbox::default();
    let ports = ports(&outbox);
    assert!(failed(&ports, &[BATCH]).await.is_empty());
    assert!(failed(&ports, &[BATCH, EXPLAIN]).await.is_empty());
    let batch = BatchRef::first("default", "explain", "42");
    assert_eq!(*ports.batch_machine.started.borrow(), [batch.batch_id.as_str()]);
    assert_eq!(ports.machine.started.borrow().len(), 1, "a run of the same id is no batch");
    assert_eq!(ports.store.json(&batch.request_key())["batch"]["mode"], "on_demand");
    assert!(outbox.letters.borrow().is_empty());
}

#[tokio::test]
async fn an_object_that_was_uploaded_is_one_batch_however_often_its_event_arrives() {
    let outbox = Outbox::default();
    let ports = ports(&outbox);
    let event = include_str!("../../../events/eventbridge/source-uploaded.json");
    let again = event.replace("17793124-05d4-b198-2fde-7ededc63b103", "another event");
    assert!(failed(&ports, &[event, event, &again]).await.is_empty());
    assert_eq!(ports.batch_machine.started.borrow().len(), 1);
    assert!(outbox.letters.borrow().is_empty());
}

#[tokio::test]
async fn a_folder_that_a_console_makes_in_the_inbox_is_no_batch_and_no_mistake() {
    let outbox = Outbox::default();
    let ports = ports(&outbox);
    let event = include_str!("../../../events/eventbridge/source-uploaded.json");
    let folder = event.replace("batches/inbox/explain/questions.jsonl", "batches/inbox/explain/");
    assert!(failed(&ports, &[&folder]).await.is_empty());
    assert!(ports.batch_machine.started.borrow().is_empty());
    assert!(outbox.letters.borrow().is_empty());
}

#[tokio::test]
async fn the_same_id_with_another_batch_is_refused() {
    let outbox = Outbox::default();
    let ports = ports(&outbox);
    let other = BATCH.replace("a.jsonl", "b.jsonl");
    assert!(failed(&ports, &[BATCH, &other]).await.is_empty());
    assert_eq!(ports.batch_machine.started.borrow().len(), 1);
    assert_eq!(outbox.letters.borrow()[0].0, other);
    assert_eq!(
        outbox.letters.borrow()[0].1,
        "id: was used before, for another batch of this workflow"
    );
}

#[tokio::test]
async fn what_is_no_batch_is_notified_with_its_own_id_and_starts_nothing() {
    let outbox = Outbox::default();
    let ports = ports(&outbox);
    let wrong = BATCH.replace("s3://", "http://");
    assert!(failed(&ports, &[&wrong]).await.is_empty());
    assert!(
        ports.batch_machine.started.borrow().is_empty() && ports.store.objects.borrow().is_empty()
    );
    let notification = &outbox.notifications.borrow()[0];
    assert_eq!(
        (notification.request_id.as_str(), notification.workflow.as_deref()),
        ("42", Some("explain"))
    );
    assert!(
        notification.error.as_ref().unwrap().message.starts_with("batch.source: must be s3://")
    );
}

#[tokio::test]
async fn a_batch_that_cannot_be_started_just_now_comes_again() {
    let outbox = Outbox::default();
    let ports = ports(&outbox);
    ports.batch_machine.throttled.set(1);
    assert_eq!(failed(&ports, &[BATCH]).await, ["m-0"]);
    ports.store.failing.set(1);
    assert_eq!(failed(&ports, &[BATCH]).await, ["m-0"]);
    assert!(failed(&ports, &[BATCH]).await.is_empty());
    assert_eq!(ports.batch_machine.started.borrow().len(), 1);
    assert!(outbox.letters.borrow().is_empty());
}

#[test]
fn the_queue_decides_the_tenant() {
    let tenant = |queue: &str| {
        config().tenant_of(&format!("arn:aws:sqs:us-east-1:1:{queue}")).map(str::to_owned)
    };
    assert_eq!(tenant("bcce-inbox").unwrap(), "default");
    assert_eq!(tenant("bcce-inbox-payments").unwrap(), "payments");
    assert!(tenant("bcce-inboxed").is_err());
    assert!(tenant("bcce-inbox-").is_err());
    assert!(tenant("other").is_err());
}

mod neighbours; // what a flood of one tenant does
mod strangers; // names of workflows that do not exist
