use std::cell::{Cell, RefCell};

use bcce_core::batch::{BatchRequest, BatchStatus, StoredBatch};
use bcce_core::fakes::{MemorySources, MemoryStore, now};
use bcce_core::run::ids::ItemOf;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::macros::datetime;

use super::*;

const EVENT: &str = include_str!("../../../events/open-item/first.json");

/// A ledger with the progress of the batch and the owner of the halt's notification.
#[derive(Default)]
struct Ledger {
    progress: RefCell<BatchProgress>,
    reads: Cell<u32>,
    halts: Cell<u32>,
    notification_owner: RefCell<Option<String>>,
}

impl ReadBatchProgress for Ledger {
    async fn batch_progress(&self, _: &ItemOf, _: OffsetDateTime) -> Result<BatchProgress, Fault> {
        self.reads.set(self.reads.get() + 1);
        Ok(self.progress.borrow().clone())
    }
}

impl HaltBatch for Ledger {
    async fn halt(&self, _: &ItemOf, owner: &str, halt: &Halt) -> Result<bool, Fault> {
        self.halts.set(self.halts.get() + 1);
        self.progress.borrow_mut().halted.get_or_insert_with(|| halt.clone());
        let mut elected = self.notification_owner.borrow_mut();
        Ok(elected.get_or_insert_with(|| owner.to_owned()) == owner)
    }
}

/// A clock that a test sets.
struct SetClock(Cell<OffsetDateTime>);

impl Clock for SetClock {
    fn now(&self) -> OffsetDateTime {
        self.0.get()
    }
}

type Fakes = Ports<MemoryStore, MemorySources, Ledger, SetClock>;

/// Returns ports with the only item of a part of this batch, and the request for the item.
fn ports(spec: &Value, item: &Value) -> (Fakes, Request) {
    let mut request: Request = serde_json::from_str(EVENT).unwrap();
    let message =
        json!({ "workflow": "explain", "id": "42", "batch": spec, "tags": { "team": "a" } });
    let stored =
        StoredBatch::new(BatchRequest::parse(&message.to_string()).unwrap(), "default", "m");
    let line = to_json(item).unwrap();
    request.place.bytes = line.len() as u64;
    let part = [line, b"\n".to_vec()].concat();
    let store = MemoryStore::with([
        (request.batch.request_key(), to_json(&stored).unwrap()),
        (request.batch.part_key(1), part),
    ]);
    let ports = Ports {
        store,
        sources: MemorySources::default(),
        ledger: Ledger::default(),
        clock: SetClock(Cell::new(datetime!(2026-11-01 12:00 UTC))),
        progress: RecentProgress::default(),
        halted: Halted::default(),
        batches: Batches::default(),
    };
    (ports, request)
}

fn of_a_row() -> (Fakes, Request) {
    let item = json!({ "n": 1, "line": 1, "id": "one", "inputs": { "text": "first" }, "tags": { "a": "b" } });
    ports(&json!({ "source": "s3://bucket/a.jsonl" }), &item)
}

const DOCUMENT: &str = "s3://corpus/docs/a.md";

fn of_an_object() -> (Fakes, Request) {
    let object = json!({ "key": "docs/a.md", "etag": "e1", "bytes": 5 });
    let item = json!({ "n": 1, "line": 1, "id": "a.md", "inputs": {}, "object": object });
    let spec = json!({ "source": "s3://corpus/docs/", "map": { "text": "{{ item.text }}" } });
    ports(&spec, &item)
}

fn again(request: &Request) -> Request {
    let notification_owner = request.notification_owner.clone();
    Request { batch: request.batch.clone(), notification_owner, ..*request }
}

fn open(ports: &Fakes, request: &Request) -> Result<Response, Fault> {
    let config = Config { bucket: "b".into(), key_arn: "k".into(), ledger_table: "t".into() };
    now(handle(ports, &config, again(request)))
}

fn ready(ports: &Fakes, request: &Request) -> RunRef {
    match open(ports, request).unwrap() {
        Response::Ready { name, input } => {
            assert_eq!(name, input.execution_name());
            *input
        }
        other => panic!("{other:?}"),
    }
}

/// Opens an item that is refused, and returns the reason.
fn refused(ports: &Fakes, request: &Request) -> String {
    assert_eq!(open(ports, request), Ok(Response::Refused));
    let fault = ports.store.json(&request.batch.refused_key(1));
    assert_eq!(fault["name"], "Bcce.InvalidRequest");
    let runs = ports.store.objects.borrow().keys().filter(|key| key.starts_with("runs/")).count();
    assert_eq!(runs, 0, "it has no request");
    fault["message"].as_str().unwrap().to_owned()
}

#[test]
fn an_item_is_the_request_that_a_message_would_have_been() {
    let (ports, request) = of_a_row();
    let run = ready(&ports, &request);
    let id = format!("{}/one", request.batch.batch_id);
    let first = RunRef::first("default", "explain", &id);
    assert_eq!(run, RunRef { batch: Some(request.batch.item_of()), ..first });
    let stored = ports.store.json(&run.request_key());
    assert_eq!(
        (&stored["request_id"], &stored["inputs"]),
        (&json!(id), &json!({ "text": "first" }))
    );
    assert_eq!(stored["tags"], json!({ "a": "b", "team": "a" }));
}

#[test]
fn a_second_call_for_the_same_item_changes_nothing() {
    let (ports, request) = of_a_row();
    let first = ready(&ports, &request);
    let written = ports.store.objects.borrow().clone();
    assert_eq!(ready(&ports, &request), first);
    assert_eq!(*ports.store.objects.borrow(), written);
}

#[test]
fn whatever_fails_a_retry_finishes() {
    let mut failures = 0;
    loop {
        let (ports, request) = of_a_row();
        ports.store.failing.set(failures + 1);
        let Err(fault) = open(&ports, &request) else { break };
        assert_eq!(fault.name, ErrorName::Internal);
        ready(&ports, &request);
        failures += 1;
    }
    assert_eq!(failures, 3, "the batch's request, the item and its own request");
}

#[test]
fn a_retry_of_the_batch_names_the_next_attempt_at_the_run() {
    let (ports, mut request) = of_a_row();
    let first = ready(&ports, &request);
    request.batch.reference.attempt_no = 2;
    request.place.attempt_no = 2;
    let second = ready(&ports, &request);
    assert_eq!((second.run_id.as_str(), second.attempt_no), (first.run_id.as_str(), 2));
    assert_eq!(second.batch.unwrap().attempt_no, 2, "it counts in the retry");
}

#[test]
fn an_id_that_another_request_has_is_refused() {
    let (ports, request) = of_a_row();
    let run = ready(&ports, &request);
    let mut other = ports.store.json(&run.request_key());
    other["inputs"]["text"] = json!("another");
    ports.store.objects.borrow_mut().insert(run.request_key(), to_json(&other).unwrap());
    assert_eq!(open(&ports, &request), Ok(Response::Refused));
    let fault = ports.store.json(&request.batch.refused_key(1));
    assert_eq!(fault["message"], "id: was used before, for another request of this workflow");
    assert_eq!(ports.store.json(&run.request_key()), other);
}

#[test]
fn a_place_without_its_item_is_our_fault() {
    let (ports, mut request) = of_a_row();
    request.place.n = 2;
    let fault = open(&ports, &request).unwrap_err();
    assert_eq!(fault.name, ErrorName::Internal);
    assert!(fault.message.ends_with("does not have item 2 at its place"), "{}", fault.message);
}

#[test]
fn an_object_is_its_text_without_a_byte_order_mark() {
    let (ports, request) = of_an_object();
    ports.sources.put(DOCUMENT, "e1", "\u{feff}text");
    let run = ready(&ports, &request);
    assert_eq!(ports.store.json(&run.request_key())["inputs"], json!({ "text": "text" }));
}

#[test]
fn an_object_that_is_no_text_or_another_one_by_now_is_refused() {
    let (ports, request) = of_an_object();
    let gone = "object: no longer exists, or has changed since it was listed";
    assert_eq!(refused(&ports, &request), gone);
    ports.sources.put(DOCUMENT, "e2", "another");
    assert_eq!(refused(&ports, &request), gone);
    ports.sources.put(DOCUMENT, "e1", b"ab\xff".to_vec());
    assert_eq!(refused(&ports, &request), "object: is not UTF-8, at byte 3");
}

#[test]
fn an_object_that_makes_too_long_a_request_is_refused() {
    let (ports, request) = of_an_object();
    // Each character is six bytes of JSON.
    ports.sources.put(DOCUMENT, "e1", "\u{1}".repeat(200_000));
    assert!(refused(&ports, &request).starts_with("request: is "));
}

fn too_many(request: &Request) -> BatchProgress {
    BatchProgress {
        failed: request.tolerance.failures + 1,
        succeeded: 5,
        ..BatchProgress::default()
    }
}

#[test]
fn as_many_failures_as_may_be_halt_nothing() {
    let (ports, request) = of_a_row();
    *ports.ledger.progress.borrow_mut() =
        BatchProgress { failed: request.tolerance.failures, ..BatchProgress::default() };
    ready(&ports, &request);
}

#[test]
fn when_too_many_failed_nothing_is_started_and_one_execution_notifies() {
    let (ports, request) = of_a_row();
    *ports.ledger.progress.borrow_mut() = BatchProgress { truncated: 2, ..too_many(&request) };
    let written = ports.store.objects.borrow().clone();
    let notification = |owner: &str| {
        let request = Request { notification_owner: owner.into(), ..again(&request) };
        match open(&ports, &request).unwrap() {
            Response::Halted { notification } => notification,
            other => panic!("{other:?}"),
        }
    };
    let first = notification("child-1").expect("the first notifies");
    assert_eq!(notification("child-1"), Some(first.clone()), "its first response was lost");
    assert_eq!(notification("child-2"), None);
    assert_eq!(*ports.store.objects.borrow(), written);
    assert_eq!(
        (first.status, first.counts.failed, first.counts.succeeded),
        (BatchStatus::Running, 11, 5)
    );
    assert_eq!(first.counts.truncated, 2);
    let error = first.error.unwrap();
    assert_eq!(error.name, ErrorName::TooManyFailures);
    assert_eq!(error.message, "11 items failed (limit: 10); no further one is started");
}

/// The runs under way may all succeed, so that the share of failures is within the limit again.
#[test]
fn what_is_halted_stays_so() {
    let (ports, request) = of_a_row();
    *ports.ledger.progress.borrow_mut() = too_many(&request);
    assert!(matches!(open(&ports, &request), Ok(Response::Halted { notification: Some(_) })));
    let halted = ports.ledger.progress.borrow().halted.clone();
    *ports.ledger.progress.borrow_mut() =
        BatchProgress { halted, succeeded: 1_000, ..BatchProgress::default() };
    let later = ports.clock.0.get() + time::Duration::seconds(3);
    ports.clock.0.set(later);
    assert!(matches!(open(&ports, &request), Ok(Response::Halted { notification: Some(_) })));
    let another = Request { notification_owner: "another".into(), ..again(&request) };
    assert_eq!(open(&ports, &another), Ok(Response::Halted { notification: None }));
}

/// A million items of a halted batch must not each read the ledger.
#[test]
fn the_ledger_is_asked_once_whether_another_execution_owns_the_notification() {
    let (ports, request) = of_a_row();
    *ports.ledger.progress.borrow_mut() = too_many(&request);
    *ports.ledger.notification_owner.borrow_mut() = Some("another".into());
    for _ in 0..3 {
        assert_eq!(open(&ports, &request), Ok(Response::Halted { notification: None }));
    }
    assert_eq!((ports.ledger.reads.get(), ports.ledger.halts.get()), (1, 1));
}

#[test]
fn a_reading_of_the_progress_is_good_for_two_seconds_and_for_its_own_batch() {
    let (ports, mut request) = of_a_row();
    let later = |seconds| {
        let at = ports.clock.0.get() + time::Duration::seconds(seconds);
        ports.clock.0.set(at);
    };
    ready(&ports, &request);
    *ports.ledger.progress.borrow_mut() = too_many(&request);
    later(1);
    ready(&ports, &request);
    assert_eq!(ports.ledger.reads.get(), 1);
    later(1);
    assert!(matches!(open(&ports, &request), Ok(Response::Halted { .. })));
    // A retry starts with an empty progress.
    *ports.ledger.progress.borrow_mut() = BatchProgress::default();
    request.batch.reference.attempt_no = 2;
    ready(&ports, &request);
    assert_eq!(ports.ledger.reads.get(), 3);
}

#[test]
fn a_cost_that_is_not_known_as_a_whole_is_given_as_a_part() {
    let known = BatchProgress { cost_usd: "0.50".parse().unwrap(), ..BatchProgress::default() };
    let totals = serde_json::to_value(known.totals()).unwrap();
    assert_eq!(totals["cost_usd"], "0.5");
    let totals = serde_json::to_value(BatchProgress { unknown_cost: 1, ..known }.totals()).unwrap();
    assert_eq!(
        (&totals["cost_usd"], &totals["priced_subtotal_usd"]),
        (&Value::Null, &json!("0.5"))
    );
    assert_eq!(totals["usage"], Value::Null);
}
