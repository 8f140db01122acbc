use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use bcce_core::base::json::{add_line, parse};
use bcce_core::batch::{
    BatchRef, BatchRequest, Entry, ItemResult, ItemStatus, Mode, Place, Tolerance,
};
use bcce_core::config::configuration::Configuration;
use bcce_core::fakes::{MemoryParameters, MemorySources, MemoryStore, StoppedClock, now};
use bcce_core::run::ids::ItemOf;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::macros::datetime;

use super::*;

const EVENT: &str = include_str!("../../../events/open-batch/first.json");
const RETRY: &str = include_str!("../../../events/open-batch/retry.json");
const ENDED: &str = include_str!("../../../events/open-batch/ended.json");
const SOURCE: &str = "s3://bucket/batches/uploads/a.jsonl";
const ROWS: &str =
    "{\"id\":\"one\",\"text\":\"first\"}\nnot JSON\n{\"id\":\"two\",\"text\":\"zwei äöü\"}\n";

/// A ledger of the batches that were opened and of those that were stopped. If `over` is true, an earlier execution
/// closed them.
#[derive(Default)]
struct Records {
    opened: RefCell<Vec<OpenedBatch>>,
    stopped: RefCell<Vec<(ItemOf, OffsetDateTime)>>,
    over: Cell<bool>,
    /// True if the next stop fails.
    stop_fails: Cell<bool>,
}

impl OpenBatch for Records {
    async fn open_batch(&self, batch: &OpenedBatch) -> Result<ports::RecordState, Fault> {
        self.opened.borrow_mut().push(batch.clone());
        Ok(if self.over.get() { ports::RecordState::Over } else { ports::RecordState::Open })
    }
}

impl StopBatch for Records {
    async fn stop_batch(&self, batch: &ItemOf, at: OffsetDateTime) -> Result<(), Fault> {
        if self.stop_fails.take() {
            return Err(Fault::internal("the ledger does not answer"));
        }
        self.stopped.borrow_mut().push((batch.clone(), at));
        Ok(())
    }
}

type Fakes = Ports<MemoryStore, MemorySources, MemoryParameters, Records, StoppedClock>;

fn request(event: &str) -> Request {
    serde_json::from_str(event).unwrap()
}

fn batch() -> BatchRef {
    request(EVENT).batch.reference
}

/// Returns ports with a batch that `spec` describes, of a tenant.
fn ports_of(tenant: &str, spec: Value) -> Fakes {
    ports_for(tenant, json!({ "workflow": "explain", "id": "42", "batch": spec }))
}

/// Returns ports with the batch of a message, of a tenant.
fn ports_for(tenant: &str, message: Value) -> Fakes {
    let message = BatchRequest::parse(&message.to_string()).unwrap();
    let stored = StoredBatch::new(message, tenant, "m");
    let parameters = [
        ("models", include_str!("../../../infra/config/dev/models.yaml")),
        ("routing", include_str!("../../../infra/config/dev/routing.yaml")),
        ("policy", include_str!("../../../infra/config/dev/policy.yaml")),
        ("prices", include_str!("../../../infra/config/dev/prices.yaml")),
        ("workflows/explain", include_str!("../../../infra/config/dev/workflows/explain.yaml")),
    ];
    Ports {
        store: MemoryStore::with([(batch().request_key(), to_json(&stored).unwrap())]),
        sources: MemorySources::default(),
        parameters: MemoryParameters(
            parameters.map(|(name, body)| (format!("/bcce/dev/{name}"), body.to_owned())).into(),
        ),
        ledger: Records::default(),
        clock: StoppedClock(datetime!(2026-11-01 12:00 UTC)),
    }
}

fn ports(spec: Value) -> Fakes {
    ports_of("default", spec)
}

/// Returns ports with a batch of these rows.
fn ports_with(rows: impl Into<Vec<u8>>) -> Fakes {
    let ports = ports(json!({ "source": SOURCE }));
    ports.sources.put(SOURCE, "e1", rows);
    ports
}

fn open(ports: &Fakes, event: &str) -> Result<Response, Fault> {
    open_with(ports, event, 0)
}

/// Opens a batch of a tenant whose batches may run `limit` items at a time.
fn open_with(ports: &Fakes, event: &str, limit: u32) -> Result<Response, Fault> {
    let config = Config {
        tenant_maximum_batch_items: limit,
        environment: "dev".into(),
        bucket: "bucket".into(),
        key_arn: String::new(),
        ledger_table: String::new(),
        region: "us-east-1".into(),
    };
    now(handle(ports, &config, request(event)))
}

/// Returns the number of items to run.
fn to_run(response: Result<Response, Fault>) -> u64 {
    match response.unwrap() {
        Response::Opened { to_run, .. } => to_run,
        Response::Refused { error } => panic!("it is refused: {}", error.message),
    }
}

fn refusal(response: Result<Response, Fault>) -> Fault {
    match response.unwrap() {
        Response::Refused { error } => error,
        opened @ Response::Opened { .. } => panic!("{opened:?}"),
    }
}

fn read<T: serde::de::DeserializeOwned>(ports: &Fakes, key: &str) -> Vec<T> {
    let lines = ports.store.lines(key).into_iter();
    lines.map(|line| serde_json::from_value(line).unwrap()).collect()
}

/// Reads the entry at a place.
fn entry_at(ports: &Fakes, place: &Place) -> Entry {
    let objects = ports.store.objects.borrow();
    let (at, end) = (place.at as usize, (place.at + place.bytes) as usize);
    serde_json::from_slice(&objects[&batch().part_key(place.part)][at..end]).unwrap()
}

#[test]
fn good_rows_have_places_that_point_at_them_and_bad_ones_their_reasons() {
    let ports = ports_with(ROWS);
    let expected = Response::Opened {
        bucket: "bucket".into(),
        parts: batch().parts_key(),
        places: batch().places_prefix(),
        children: batch().children_prefix(),
        to_run: 2,
        mode: Mode::OnDemand,
        jobs_over_ms: None,
        way: Way::Packed,
        parts_at_a_time: Some(1),
        calls: Some(20),
        concurrency: 20,
        tolerance: Tolerance { items: 3, failures: 10, by_rate: Some(20) },
    };
    assert_eq!(open(&ports, EVENT), Ok(expected));
    let places: Vec<Place> = read(&ports, &batch().places_key(1));
    let found: Vec<_> = places.iter().map(|place| (place.n, entry_at(&ports, place))).collect();
    let ids: Vec<_> = found
        .iter()
        .map(|(n, entry)| match entry {
            Entry::Item(item) => (*n, item.n, item.id.as_str(), item.line),
            Entry::Rejected(_) => panic!("{entry:?}"),
        })
        .collect();
    assert_eq!(ids, [(1, 1, "one", 1), (3, 3, "two", 3)]);
    let entries: Vec<Entry> = read(&ports, &batch().part_key(1));
    let Entry::Rejected(bad) = &entries[1] else { panic!("{:?}", entries[1]) };
    assert_eq!((bad.n, bad.line), (2, 2));
    assert!(bad.error.message.starts_with("line: is not JSON"));
    assert_eq!(ports.store.lines(&batch().parts_key()), [json!({ "part": 1, "lines": 3 })]);
    let opened = ports.store.json(&batch().opened_key());
    assert_eq!(
        (&opened["items"], &opened["rejected"], &opened["to_run"]),
        (&json!(3), &json!(1), &json!(2))
    );
    assert_eq!(opened["source"]["etag"], "e1");
    assert_eq!(opened["source"]["bytes"], ROWS.len());
    assert_eq!(ports.ledger.opened.borrow().len(), 1);
}

#[test]
fn a_second_call_finds_what_the_first_did_and_reads_nothing_again() {
    let ports = ports_with(ROWS);
    let first = open(&ports, EVENT).unwrap();
    let written = ports.store.objects.borrow().clone();
    ports.sources.put(SOURCE, "e2", "{\"id\":\"other\",\"text\":\"x\"}");
    assert_eq!(open(&ports, EVENT), Ok(first));
    assert_eq!(*ports.store.objects.borrow(), written);
}

#[test]
fn whatever_fails_a_retry_finishes() {
    let whole = ports_with(ROWS);
    open(&whole, EVENT).unwrap();
    let whole = whole.store.objects.into_inner();
    let mut failures = 0;
    loop {
        let ports = ports_with(ROWS);
        ports.store.failing.set(failures + 1);
        let Err(fault) = open(&ports, EVENT) else { break };
        assert_eq!(fault.name, ErrorName::Internal);
        assert_eq!(to_run(open(&ports, EVENT)), 2);
        assert_eq!(*ports.store.objects.borrow(), whole, "call {}", failures + 1);
        failures += 1;
    }
    // The calls that can fail: read opened-1 and the request, and write the part, its places, the list, the configuration
    // and opened-1.
    assert_eq!(failures, 7);
}

#[test]
fn a_source_that_breaks_off_is_read_again_and_not_taken_for_a_shorter_one() {
    let ports = ports_with(ROWS);
    ports.sources.breaks_off.set(true);
    let fault = open(&ports, EVENT).unwrap_err();
    assert_eq!(fault.name, ErrorName::Internal);
    assert!(!ports.store.objects.borrow().contains_key(&batch().opened_key()));
    assert_eq!(to_run(open(&ports, EVENT)), 2);
}

#[test]
fn what_may_not_be_a_batch_is_refused_and_writes_nothing() {
    let cases: [(Fakes, ErrorName, &str); 9] = [
        (
            ports_of("payments", json!({ "source": SOURCE })),
            ErrorName::PolicyViolation,
            "batch: only the stack's own tenant",
        ),
        (
            ports(json!({ "source": "s3://bucket/runs/default/x/steps/answer.jsonl" })),
            ErrorName::PolicyViolation,
            "batch.source: must be below batches/inbox/ or batches/uploads/",
        ),
        (
            ports(json!({ "source": "s3://bucket/batches/", "map": {} })),
            ErrorName::PolicyViolation,
            "batch.source: must be below",
        ),
        (
            ports(json!({ "source": SOURCE })),
            ErrorName::InvalidRequest,
            "batch.source: no such object exists that the stack may read",
        ),
        (
            {
                let ports = ports(json!({ "source": SOURCE, "etag": "e0" }));
                ports.sources.put(SOURCE, "e1", ROWS);
                ports
            },
            ErrorName::InvalidRequest,
            "batch.source: no object with the ETag e0",
        ),
        (ports_with(""), ErrorName::InvalidRequest, "batch.source: has no items"),
        (ports_with("\n \n"), ErrorName::InvalidRequest, "batch.source: has no items"),
        (ports_with(b"\xff\xfea\0"), ErrorName::InvalidRequest, "batch.source: is UTF-16"),
        (
            ports(json!({ "source": "s3://other/docs/", "map": { "text": "{{ item.text }}" } })),
            ErrorName::InvalidRequest,
            "batch.source: has no items",
        ),
    ];
    for (ports, name, message) in cases {
        let error = refusal(open(&ports, EVENT));
        assert_eq!(error.name, name, "{}", error.message);
        assert!(error.message.starts_with(message), "{}", error.message);
        let places = batch().places_prefix();
        let objects = ports.store.objects.borrow();
        assert!(!objects.contains_key(&batch().opened_key()), "{message}");
        assert!(!objects.keys().any(|key| key.starts_with(&places)), "{message}");
        assert!(ports.ledger.opened.borrow().is_empty(), "{message}");
    }
}

#[test]
fn a_bucket_that_is_not_the_stacks_is_iams_to_allow() {
    let source = "s3://corpus/anywhere/a.jsonl";
    let ports = ports(json!({ "source": source }));
    ports.sources.put(source, "e", ROWS);
    assert_eq!(to_run(open(&ports, EVENT)), 2);
}

#[test]
fn a_workflow_that_is_not_there_is_the_batchs_fault() {
    let mut ports = ports_with(ROWS);
    ports.parameters.0.remove("/bcce/dev/workflows/explain");
    let error = refusal(open(&ports, EVENT));
    assert!(
        error.message.starts_with("workflow: there is no workflow explain"),
        "{}",
        error.message
    );
}

#[test]
fn a_part_has_five_hundred_lines() {
    let row = |n: usize| format!("{{\"id\":\"{n}\",\"text\":\"t\"}}\n");
    let ports = ports_with((1..=1_001).map(row).collect::<String>());
    assert_eq!(to_run(open(&ports, EVENT)), 1_001);
    let lines: Vec<_> =
        ports.store.lines(&batch().parts_key()).iter().map(|part| part["lines"].clone()).collect();
    assert_eq!(lines, [500, 500, 1]);
    let last: Vec<Place> = read(&ports, &batch().places_key(3));
    assert_eq!((last[0].n, last[0].part, last[0].at), (1_001, 3, 0));
    let second: Vec<Place> = read(&ports, &batch().places_key(2));
    let Entry::Item(item) = entry_at(&ports, &second[499]) else { panic!("it is an item") };
    assert_eq!(item.id, "1000");
}

#[test]
fn a_part_has_eight_mebibytes_at_most() {
    let row = |n: usize| format!("{{\"id\":\"{n}\",\"text\":\"{}\"}}\n", "x".repeat(900_000));
    let ports = ports_with((1..=20).map(row).collect::<String>());
    assert_eq!(to_run(open(&ports, EVENT)), 20);
    let sizes: Vec<usize> = {
        let objects = ports.store.objects.borrow();
        (1..=3).map(|part| objects[&batch().part_key(part)].len()).collect()
    };
    assert!(sizes.iter().all(|size| *size <= 8 * 1_024 * 1_024), "{sizes:?}");
    let lines: Vec<_> =
        ports.store.lines(&batch().parts_key()).iter().map(|part| part["lines"].clone()).collect();
    assert_eq!(lines, [9, 9, 2]);
}

#[test]
fn a_part_of_bad_rows_alone_has_no_places() {
    let ports = ports_with("one\ntwo\n");
    assert_eq!(to_run(open(&ports, EVENT)), 0);
    assert!(!ports.store.objects.borrow().contains_key(&batch().places_key(1)));
    assert_eq!(ports.store.lines(&batch().part_key(1)).len(), 2);
}

#[test]
fn every_object_below_a_prefix_is_an_item_but_for_folders() {
    let prefix = "s3://bucket/batches/uploads/docs/";
    let ports = ports(json!({ "source": prefix, "map": { "text": "{{ item.text }}" } }));
    for (name, body) in
        [("", ""), ("a.md", "a"), ("deep/b.md", "b"), ("empty.md", ""), ("z.md", "z")]
    {
        ports.sources.put(&format!("{prefix}{name}"), "e", body);
    }
    ports.sources.put("s3://bucket/batches/uploads/else.md", "e", "not below");
    assert_eq!(to_run(open(&ports, EVENT)), 3);
    let entries = ports.store.lines(&batch().part_key(1));
    let reasons: Vec<_> = entries
        .iter()
        .map(|entry| (entry["id"].clone(), entry["error"]["message"].clone()))
        .collect();
    let expected = [
        (json!("a.md"), Value::Null),
        (json!("deep/b.md"), Value::Null),
        (json!("empty.md"), json!("object: is empty")),
        (json!("z.md"), Value::Null),
    ];
    assert_eq!(reasons, expected);
    assert_eq!(
        entries[0]["object"],
        json!({ "key": "batches/uploads/docs/a.md", "etag": "e", "bytes": 1 })
    );
    let opened = ports.store.json(&batch().opened_key());
    assert_eq!((&opened["source"]["etag"], &opened["source"]["bytes"]), (&Value::Null, &json!(3)));
}

const STATUSES: [(ItemStatus, u32); 6] = [
    (ItemStatus::Succeeded, 1),
    (ItemStatus::Failed, 1),
    (ItemStatus::Cancelled, 2),
    (ItemStatus::Skipped, 1),
    (ItemStatus::Running, 3),
    (ItemStatus::Rejected, 1),
];

fn retried() -> BatchRef {
    request(RETRY).batch.reference
}

/// Stores results of the items of the first part, as collect-part would. The first result is that of item 1.
fn collect(ports: &Fakes, batch: &BatchRef, results: &[(ItemStatus, u32)]) {
    let mut lines = Vec::new();
    for (n, (status, attempt_no)) in (1..).zip(results) {
        let result = ItemResult {
            n,
            line: n,
            id: None,
            status: *status,
            run_id: None,
            attempt_no: (*status != ItemStatus::Rejected).then_some(*attempt_no),
            manifest: None,
            totals: None,
            truncated: 0,
            error: None,
        };
        add_line(&mut lines, &result).unwrap();
    }
    let mut objects = ports.store.objects.borrow_mut();
    objects.insert(batch.part_results_key(1), lines);
    objects.insert(batch.part_manifest_key(1), b"{}".to_vec());
}

fn six_items() -> Fakes {
    let row = |n: usize| format!("{{\"id\":\"{n}\",\"text\":\"t\"}}\n");
    let ports = ports_with((1..=6).map(row).collect::<String>());
    assert_eq!(to_run(open(&ports, EVENT)), 6);
    ports
}

/// Returns the run attempts of the items that a retry runs, by the items' numbers.
fn due(ports: &Fakes, batch: &BatchRef) -> BTreeMap<u64, u32> {
    let places: Vec<Place> = read(ports, &batch.places_key(1));
    for place in &places {
        let Entry::Item(item) = entry_at(ports, place) else { panic!("{place:?}") };
        assert_eq!(item.n, place.n);
    }
    places.iter().map(|place| (place.n, place.attempt_no)).collect()
}

#[test]
fn a_retry_runs_what_did_not_succeed_and_no_run_twice() {
    let ports = six_items();
    collect(&ports, &batch(), &STATUSES);
    assert_eq!(to_run(open(&ports, RETRY)), 4);
    assert_eq!(due(&ports, &retried()), [(2, 2), (3, 3), (4, 1), (5, 3)].into());
    let opened = ports.store.json(&retried().opened_key());
    assert_eq!(opened["because"], json!(["a retry runs the items that attempt 1 left over"]));
    assert_eq!((&opened["items"], &opened["to_run"]), (&json!(6), &json!(4)));
}

/// The configuration may have changed since the first attempt. The plans of the items of a batch must not differ.
#[test]
fn a_retry_has_the_way_and_the_configuration_of_the_attempt_before() {
    let mut ports = six_items();
    let [first, second] = [batch(), retried()].map(|it| it.configuration_key());
    let routing = "/bcce/dev/routing";
    let changed = format!("{}# changed\n", ports.parameters.0[routing]);
    ports.parameters.0.insert(routing.into(), changed);
    let Ok(Response::Opened { way, parts_at_a_time, calls, .. }) = open(&ports, RETRY) else {
        panic!("it is refused")
    };
    assert_eq!((way, parts_at_a_time, calls), (Way::Packed, Some(1), Some(20)));
    let objects = ports.store.objects.borrow();
    assert_eq!(objects[&second], objects[&first]);
}

/// An earlier version opened the first attempt. It stored no configuration and no way.
#[test]
fn a_retry_of_a_batch_with_executions_has_executions() {
    let ports = six_items();
    let mut opened = ports.store.json(&batch().opened_key());
    for field in ["way", "split"] {
        opened.as_object_mut().unwrap().remove(field).unwrap();
    }
    let opened = to_json(&opened).unwrap();
    ports.store.objects.borrow_mut().insert(batch().opened_key(), opened);
    ports.store.objects.borrow_mut().remove(&batch().configuration_key()).unwrap();
    let Ok(Response::Opened { way, parts_at_a_time, calls, .. }) = open(&ports, RETRY) else {
        panic!("it is refused")
    };
    assert_eq!((way, parts_at_a_time, calls), (Way::Executions, None, None));
    assert!(!ports.store.objects.borrow().contains_key(&retried().configuration_key()));
}

#[test]
fn a_retry_of_what_was_never_collected_runs_it_all() {
    let ports = six_items();
    assert_eq!(to_run(open(&ports, RETRY)), 6);
    assert_eq!(due(&ports, &retried()), (1..=6).map(|n| (n, 1)).collect());
}

/// Its runs are not counted, so they are not over: `run-part` takes them over.
#[test]
fn a_retry_of_a_packed_part_that_was_never_sealed_runs_it_all() {
    let ports = six_items();
    collect(&ports, &batch(), &STATUSES);
    ports.store.objects.borrow_mut().remove(&batch().part_manifest_key(1));
    assert_eq!(to_run(open(&ports, RETRY)), 6);
    assert_eq!(due(&ports, &retried()), (1..=6).map(|n| (n, 1)).collect());
}

#[test]
fn a_retry_of_a_batch_that_was_refused_reads_its_source() {
    let ports = ports(json!({ "source": SOURCE }));
    refusal(open(&ports, EVENT));
    ports.sources.put(SOURCE, "e1", ROWS);
    assert_eq!(to_run(open(&ports, RETRY)), 2);
}

/// The second attempt ended before it opened anything, or before any of its results was collected.
#[test]
fn a_retry_uses_the_last_attempt_that_stored_something() {
    for is_opened in [false, true] {
        let ports = six_items();
        collect(&ports, &batch(), &STATUSES);
        if is_opened {
            open(&ports, RETRY).unwrap();
        }
        let third = RETRY.replace("\"attempt_no\": 2", "\"attempt_no\": 3");
        assert_eq!(to_run(open(&ports, &third)), 4, "opened: {is_opened}");
        let third = retried().retry().unwrap();
        assert_eq!(due(&ports, &third), [(2, 2), (3, 3), (4, 1), (5, 3)].into());
    }
}

#[test]
fn of_an_execution_that_has_ended_nothing_is_opened_any_more() {
    let ports = ports_with(ROWS);
    let error = refusal(open(&ports, ENDED));
    assert_eq!(error.message, "the execution ended before the batch was opened");
    assert_eq!(ports.store.objects.borrow().len(), 1);
    to_run(open(&ports, EVENT));
    assert_eq!(to_run(open(&ports, ENDED)), 2);
    assert_eq!(ports.ledger.opened.borrow().len(), 1, "its record may be closed by now");
}

/// A function that works off a part goes on after the execution. So the stop must not be lost.
#[test]
fn the_end_of_a_packed_batch_is_recorded_and_a_fault_of_the_ledger_is_not_a_refusal() {
    let ports = ports_with(ROWS);
    refusal(open(&ports, ENDED));
    assert_eq!(*ports.ledger.stopped.borrow(), [], "nothing was opened");
    to_run(open(&ports, EVENT));
    assert_eq!(*ports.ledger.stopped.borrow(), [], "it has not ended");
    ports.ledger.stop_fails.set(true);
    assert_eq!(open(&ports, ENDED).unwrap_err().message, "the ledger does not answer");
    assert_eq!(to_run(open(&ports, ENDED)), 2);
    let stop = (batch().item_of(), datetime!(2026-11-01 12:00 UTC));
    assert_eq!(*ports.ledger.stopped.borrow(), [stop]);
}

#[test]
fn the_end_of_a_batch_with_executions_stops_nothing_more() {
    let ports = fanning_out();
    to_run(open(&ports, EVENT));
    assert_eq!(to_run(open(&ports, ENDED)), 2);
    assert_eq!(*ports.ledger.stopped.borrow(), []);
}

/// Returns ports with a batch of a workflow whose step fans out over a list.
fn fanning_out() -> Fakes {
    let mut ports = ports_with(ROWS);
    let step = "- { id: each, for_each: inputs.list, model: haiku, prompt: \"{{ item }}\" }";
    let inputs = "inputs:\n  text: { type: string }\n  list: { type: list, default: [a] }";
    let template = format!("version: 1\nname: explain\n{inputs}\nsteps:\n{step}\n");
    ports.parameters.0.insert("/bcce/dev/workflows/explain".into(), template);
    ports
}

/// Returns ports with a batch that runs in bulk mode.
fn bulk() -> Fakes {
    let ports = ports(json!({ "source": SOURCE, "mode": "bulk" }));
    let rows: String = (0..100).map(|n| format!("{{\"text\":\"{n}\"}}\n")).collect();
    ports.sources.put(SOURCE, "e1", rows);
    ports
}

#[test]
fn the_way_is_chosen_with_its_reason_and_a_packed_batch_has_its_configuration() {
    for (packed, mode) in [(ports_with(ROWS), "on_demand"), (bulk(), "bulk")] {
        to_run(open(&packed, EVENT));
        let opened = packed.store.json(&batch().opened_key());
        assert_eq!(opened["mode"], mode);
        assert_eq!(
            (&opened["way"], &opened["split"]),
            (&json!("packed"), &json!({ "parts": 1, "calls": 20 }))
        );
        let reason = "the items are packed, because no step of the workflow fans out";
        assert_eq!(opened["because"].as_array().unwrap().last(), Some(&json!(reason)));
        let stored: Configuration =
            parse("it", &packed.store.objects.borrow()[&batch().configuration_key()]).unwrap();
        assert_eq!(stored, configuration(&packed.parameters, "explain"));
    }
    let fanning = fanning_out();
    to_run(open(&fanning, EVENT));
    let opened = fanning.store.json(&batch().opened_key());
    assert_eq!((&opened["way"], &opened["split"]), (&json!("executions"), &Value::Null));
    let reason = "each item has an execution, because step each fans out over a list";
    assert_eq!(opened["because"].as_array().unwrap().last(), Some(&json!(reason)));
    assert!(!fanning.store.objects.borrow().contains_key(&batch().configuration_key()));
}

/// The parts of a batch together keep no more calls under way than its concurrency.
#[test]
fn the_concurrency_is_split_over_parts() {
    let row = |n: usize| format!("{{\"id\":\"{n}\",\"text\":\"t\"}}\n");
    let ports = ports(json!({ "source": SOURCE, "concurrency": 130 }));
    ports.sources.put(SOURCE, "e1", (1..=1_001).map(row).collect::<String>());
    let Ok(Response::Opened { parts_at_a_time, calls, concurrency, .. }) = open(&ports, EVENT)
    else {
        panic!("it is refused")
    };
    assert_eq!((parts_at_a_time, calls, concurrency), (Some(3), Some(43), 130));
}

fn configuration(parameters: &MemoryParameters, workflow: &str) -> Configuration {
    let store = MemoryStore::default();
    let reader = Reader { store: &store, parameters, bucket: "bucket", environment: "dev" };
    now(reader.read(workflow)).unwrap().unwrap()
}

/// Items are planned from the stored configuration. So it must be the one that their checks used.
#[test]
fn the_shipped_configuration_survives_the_way_through_json() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../infra/config/dev/workflows");
    let mut parameters = ports_with(ROWS).parameters;
    let mut workflows = Vec::new();
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let workflow = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        parameters.0.insert(format!("/bcce/dev/workflows/{workflow}"), text);
        workflows.push(workflow);
    }
    assert!(workflows.len() > 3, "{workflows:?}");
    for workflow in workflows {
        let read = configuration(&parameters, &workflow);
        let stored = to_json(&read).unwrap();
        let again: Configuration = parse(&workflow, &stored).unwrap();
        assert_eq!(again, read, "{workflow}");
        // Two decimals are equal even if they are written in different ways.
        assert_eq!(to_json(&again).unwrap(), stored, "{workflow}");
    }
}

#[test]
fn a_batch_that_is_over_is_not_opened_again() {
    let ports = ports_with(ROWS);
    ports.ledger.over.set(true);
    let error = refusal(open(&ports, EVENT));
    assert!(error.message.starts_with("id: the batch with this id has ended"), "{}", error.message);
    assert!(error.message.contains("`bcce batch retry`"), "{}", error.message);
}

#[test]
fn what_is_asked_for_in_bulk_is_so_by_the_first_item_that_has_a_plan() {
    let rows: String = (0..100).map(|n| format!("{{\"text\":\"{n}\"}}\n")).collect();
    let of_rows = ports(json!({ "source": SOURCE, "mode": "auto" }));
    of_rows.sources.put(SOURCE, "e1", format!("{{}}\n{rows}"));
    let map = json!({ "text": "{{ item.text }}" });
    let of_objects = ports(json!({ "source": "s3://corpus/docs/", "map": map, "mode": "bulk" }));
    (0..100).for_each(|n| of_objects.sources.put(&format!("s3://corpus/docs/{n}"), "e", "text"));
    for ports in [of_rows, of_objects] {
        let Ok(Response::Opened { mode, .. }) = open(&ports, EVENT) else { panic!("refused") };
        assert_eq!(mode, Mode::Bulk);
        let opened = ports.store.json(&batch().opened_key());
        assert_eq!(opened["bulk"]["target"]["region"], "us-east-1", "{opened}");
    }
    let few = ports(json!({ "source": SOURCE, "mode": "bulk" }));
    few.sources.put(SOURCE, "e1", "{\"text\":\"a\"}\n");
    assert_eq!(to_run(open(&few, EVENT)), 1);
    let opened = few.store.json(&batch().opened_key());
    assert_eq!(opened["mode"], "on_demand");
    assert!(opened["because"][0].as_str().unwrap().starts_with("not in bulk: a bulk job needs"));
}

/// These are attacks. A batch whose sender may not decide what it asks for is refused before an item is stored.
#[test]
fn a_batch_that_its_sender_may_not_send_is_refused_as_a_whole() {
    let open_by = |message: Value, policy: &str, workflow: Option<&str>| {
        let mut whole = json!({ "workflow": "explain", "id": "42", "batch": { "source": SOURCE } });
        for (name, value) in message.as_object().unwrap() {
            whole[name] = value.clone();
        }
        let mut ports = ports_for("default", whole);
        ports.sources.put(SOURCE, "e1", ROWS);
        let shipped = &ports.parameters.0["/bcce/dev/policy"];
        let policy = format!("{shipped}{policy}");
        ports.parameters.0.insert("/bcce/dev/policy".into(), policy);
        if let Some(workflow) = workflow {
            ports.parameters.0.insert("/bcce/dev/workflows/explain".into(), workflow.to_owned());
        }
        let opened = open(&ports, EVENT);
        (opened, ports.store.objects.borrow().keys().any(|key| key.contains("/parts")))
    };
    let closed = "tenants: { default: { workflows: [docs-*], models: [\"*\"] } }\n";
    let haiku =
        "tenants: { default: { workflows: [\"*\"], models: [haiku], tags: { team: [a] } } }\n";
    let none = include_str!("../../../infra/config/dev/workflows/explain.yaml")
        .replace("request_models: [haiku, sonnet, opus]", "");
    #[rustfmt::skip]
    let table = [
        (json!({}), closed, None, "workflow: tenant default may not start explain; policy.yaml allows only: docs-*"),
        (json!({ "model": "opus" }), haiku, None, "model: tenant default may not use opus; policy.yaml allows only: haiku"),
        (json!({ "tags": { "team": "b" } }), haiku, None, "tags.team: must be one of a for tenant default"),
        (json!({ "model": "opus" }), "", Some(none.as_str()), "model: opus is not among the models that a request may name: explain allows none"),
    ];
    for (message, policy, workflow, expected) in table {
        let (opened, is_written) = open_by(message, policy, workflow);
        let refused = refusal(opened);
        assert_eq!(refused.name, ErrorName::PolicyViolation, "{expected}");
        assert!(refused.message.starts_with(expected), "{expected} is missing in {refused}");
        assert!(!is_written, "{expected}: nothing is written");
    }
    let allowed = json!({ "model": "haiku", "tags": { "team": "a" } });
    assert_eq!(to_run(open_by(allowed, haiku, None).0), 2);
}

#[test]
fn a_line_that_sets_what_the_batch_does_not_let_it_set_is_rejected_alone() {
    let rows = "{\"id\":\"1\",\"inputs\":{\"text\":\"a\"},\"model\":\"opus\"}\n{\"id\":\"2\",\"text\":\"b\"}\n";
    let closed = ports_with(rows);
    assert_eq!(to_run(open(&closed, EVENT)), 1);
    let entries: Vec<Entry> = read(&closed, &batch().part_key(1));
    let Entry::Rejected(bad) = &entries[0] else { panic!("{:?}", entries[0]) };
    assert!(
        bad.error.message.starts_with("model: must not be set by a line of this batch"),
        "{bad:?}"
    );
    let ports = ports(json!({ "source": SOURCE, "items_may_set": ["model"] }));
    ports.sources.put(SOURCE, "e1", rows);
    assert_eq!(to_run(open(&ports, EVENT)), 2);
}

#[test]
fn a_batch_above_its_limit_is_refused_with_the_figures_and_an_item_above_its_own_alone() {
    let row = |bytes: usize| format!("{{\"text\":\"{}\"}}\n", "x".repeat(bytes));
    let rows = row(10).repeat(3) + &row(900_000);
    let open_below = |most: &str| {
        let mut ports = ports_with(rows.clone());
        ports.parameters.0.insert("/bcce/dev/budgets".into(), limits(most, Some("0.10")));
        let opened = open(&ports, EVENT);
        (opened, ports)
    };
    let (opened, ports) = open_below("0.01");
    let refused = refusal(opened);
    assert_eq!(refused.name, ErrorName::BudgetExceeded);
    let message = "budgets.one-batch: the batch's 3 items may make 3 calls and cost up to $0.02; the limit is $0.01.";
    assert!(refused.message.starts_with(message), "{refused}");
    assert!(!ports.store.objects.borrow().contains_key(&batch().parts_key()));
    let (opened, ports) = open_below("0.10");
    assert_eq!(to_run(opened), 3, "the large item alone is rejected");
    let entries: Vec<Entry> = read(&ports, &batch().part_key(1));
    let Entry::Rejected(bad) = &entries[3] else { panic!("{:?}", entries[3]) };
    assert_eq!(bad.error.name, ErrorName::BudgetExceeded);
}

/// Returns the document with the limits of one batch and of one run in USD.
fn limits(batch: &str, run: Option<&str>) -> String {
    let run = run.map(|usd| format!("  one-run: {{ scope: run, usd: \"{usd}\" }}\n"));
    let batch = format!("  one-batch: {{ scope: batch, usd: \"{batch}\" }}\n");
    format!("version: 1\nbudgets:\n{batch}{}", run.unwrap_or_default())
}

/// A stack that is deployed before its documents are pushed must not lose the limits of the earlier version.
#[test]
fn a_batch_under_the_policy_of_an_earlier_version_is_refused_with_what_to_do() {
    let mut ports = ports_with(ROWS);
    let policy = "version: 1\nceilings: { run_usd: \"5.00\", batch_usd: \"200.00\" }\n";
    ports.parameters.0.insert("/bcce/dev/policy".into(), policy.into());
    let refused = refusal(open(&ports, EVENT));
    assert_eq!(refused.name, ErrorName::InvalidRequest);
    let message = "ceilings: has moved to budgets.yaml: { scope: run, usd: … }";
    assert!(refused.message.contains(message), "{refused}");
}

#[test]
fn a_batch_of_objects_whose_worst_case_is_not_known_is_held_to_the_limit_of_a_run() {
    let workflow = include_str!("../../../infra/config/dev/workflows/explain.yaml").replace(
        "text: { type: string, required: true }",
        "text: { type: string, required: true, schema: { type: string, pattern: \"^t\" } }",
    );
    let open_below = |most: &str, run: Option<&str>| {
        let source = "s3://other/docs/";
        let mut ports = ports(json!({ "source": source, "map": { "text": "{{ item.text }}" } }));
        for n in 0..3 {
            ports.sources.put(&format!("{source}{n}.txt"), "e1", "text");
        }
        ports.parameters.0.insert("/bcce/dev/budgets".into(), limits(most, run));
        ports.parameters.0.insert("/bcce/dev/workflows/explain".into(), workflow.clone());
        let opened = open(&ports, EVENT);
        assert_eq!(
            ports.store.objects.borrow().contains_key(&batch().parts_key()),
            matches!(opened, Ok(Response::Opened { .. }))
        );
        opened
    };
    let refused = refusal(open_below("10", Some("5")));
    assert_eq!(refused.name, ErrorName::BudgetExceeded);
    assert!(refused.message.contains("cost up to $15.00; the limit is $10.00"), "{refused}");
    let refused = refusal(open_below("10", None));
    assert!(refused.message.contains("add a budget `{ scope: run, usd: … }`"), "{refused}");
    assert_eq!(to_run(open_below("15", Some("5"))), 3);
}

#[test]
fn a_batch_runs_no_more_items_at_a_time_than_its_slot_counts() {
    for (limit, expected) in [(0, 500), (100, 100), (1_000, 500)] {
        let ports = ports(json!({ "source": SOURCE, "concurrency": 500 }));
        ports.sources.put(SOURCE, "e1", ROWS);
        let Ok(Response::Opened { concurrency, .. }) = open_with(&ports, EVENT, limit) else {
            panic!("it is refused")
        };
        assert_eq!(concurrency, expected);
    }
}
