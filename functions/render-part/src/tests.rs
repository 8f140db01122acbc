use std::collections::BTreeMap;

use bcce_core::batch::BatchRequest;
use bcce_core::batch::bulk::MIN_RECORDS;
use bcce_core::config::budgets::Budgets;
use bcce_core::config::profiles::Profiles;
use bcce_core::document::{Document, from_yaml};
use bcce_core::fakes::{MemoryLedger, MemorySources, MemoryStore, StoppedClock, now};
use bcce_core::io::packed::find_runs;
use rust_decimal::Decimal;
use serde_json::{Value, json};
use time::macros::datetime;

use super::*;

const EVENT: &str = include_str!("../../../events/render-part/first.json");
const MODELS: &str = include_str!("../../../infra/config/dev/models.yaml");
const PRICES: &str = include_str!("../../../infra/config/dev/prices.yaml");
const POLICY: &str = include_str!("../../../infra/config/dev/policy.yaml");
const ROUTING: &str = include_str!("../../../infra/config/dev/routing.yaml");
const WORKFLOW: &str = include_str!("../../../infra/config/dev/workflows/explain.yaml");

type Fakes = Ports<MemoryStore, MemorySources, MemoryLedger, StoppedClock>;

fn batch() -> BatchRun {
    serde_json::from_str::<Request>(EVENT).unwrap().batch
}

fn config() -> Config {
    Config {
        bucket: "bucket".into(),
        key_arn: "key".into(),
        ledger_table: "t".into(),
        region: "us-east-1".into(),
        retries: Retries::default(),
    }
}

fn configuration() -> Configuration {
    fn read<T: Document>(yaml: &str) -> T {
        from_yaml(yaml).finished().unwrap()
    }
    Configuration {
        models: read(MODELS),
        prices: read(PRICES),
        policy: read(POLICY),
        routing: read(ROUTING),
        template: read(WORKFLOW),
        template_sha256: "t".into(),
        policy_sha256: "p".into(),
        profiles: Profiles::default(),
        budgets: Budgets::default(),
    }
}

/// Returns ports with a batch whose first part has these entries.
fn ports(spec: Value, entries: &[Value]) -> Fakes {
    let model_id = "us.anthropic.claude-haiku-5-5";
    let opened = json!({
        "version": 1, "items": MIN_RECORDS, "rejected": 0, "to_run": MIN_RECORDS, "parts": 1,
        "source": { "uri": "s3://bucket/k", "format": "jsonl", "bytes": 1 },
        "mode": "bulk", "because": [], "concurrency": 20, "allowed_failures": 20,
        "bulk": {
            "target": { "region": "us-east-1", "model_id": model_id },
            "cut_off": "2026-11-01T13:00:00Z",
        },
    });
    let message = json!({ "workflow": "explain", "id": "42", "batch": spec });
    let stored = BatchRequest::parse(&message.to_string()).unwrap();
    let stored = StoredBatch::new(stored, "default", "m");
    let lines: String = entries.iter().map(|entry| format!("{entry}\n")).collect();
    let store = MemoryStore::with([
        (batch().opened_key(), opened.to_string().into_bytes()),
        (batch().request_key(), to_json(&stored).unwrap()),
        (batch().configuration_key(), to_json(&configuration()).unwrap()),
        (batch().part_key(1), lines.into_bytes()),
    ]);
    let clock = StoppedClock(datetime!(2026-11-01 12:11 UTC));
    Ports { store, sources: MemorySources::default(), ledger: MemoryLedger::default(), clock }
}

fn rows() -> Value {
    json!({ "source": "s3://bucket/batches/uploads/a.jsonl" })
}

fn row(n: u64, text: &str) -> Value {
    json!({ "n": n, "line": n, "id": format!("i{n}"), "inputs": { "text": text } })
}

fn render(ports: &Fakes) -> Result<Response, Fault> {
    now(handle(ports, &config(), serde_json::from_str(EVENT).unwrap()))
}

fn records(ports: &Fakes) -> Vec<Value> {
    let objects = ports.store.objects.borrow();
    let body = objects.get(&batch().bulk_input_key(1, 1)).cloned().unwrap_or_default();
    String::from_utf8(body).unwrap().lines().map(|l| serde_json::from_str(l).unwrap()).collect()
}

fn run(n: u64) -> bcce_core::run::ids::RunRef {
    serde_json::from_value::<Item>(row(n, "")).unwrap().run(&batch(), 1)
}

/// Returns the runs that the segments of the part have, by item number.
fn stored(ports: &Fakes) -> BTreeMap<u64, PackedRun> {
    now(find_runs(&ports.store, &batch(), 1, |_| true)).unwrap()
}

#[test]
fn an_item_is_a_record_with_the_request_and_the_plan_of_its_run() {
    let rejected =
        json!({ "n": 2, "line": 2, "error": { "name": "Bcce.InvalidRequest", "message": "m" } });
    let ports = ports(rows(), &[row(1, "one"), rejected, row(3, "three")]);
    assert_eq!(render(&ports), Ok(Response { records: 2 }));
    let records = records(&ports);
    assert_eq!(records[0]["recordId"], "R0000000001");
    assert!(records[1]["modelInput"]["messages"].to_string().contains("three"));
    let run_id = &records[1]["modelInput"]["requestMetadata"]["run_id"];
    assert_eq!(*run_id, run(3).run_id);
    let runs = stored(&ports);
    assert_eq!(runs.keys().copied().collect::<Vec<_>>(), [1, 3]);
    assert_eq!((&runs[&3].run.reference, &runs[&3].state), (&run(3), &RunState::Planned));
    let request: Value = serde_json::from_slice(runs[&3].object("request.json").unwrap()).unwrap();
    assert_eq!(request["inputs"]["text"], "three");
    assert_eq!(runs[&3].plan().unwrap().unwrap().inputs["audience"], "newcomer");
    assert_eq!(ports.store.json(&batch().rendered_key(1))["records"], 2);
    // Rendering again changes nothing.
    let before = ports.store.objects.borrow().clone();
    render(&ports).unwrap();
    assert_eq!(*ports.store.objects.borrow(), before);
}

#[test]
fn what_is_refused_or_of_another_model_makes_no_record() {
    let mut opus = row(2, "two");
    opus["model"] = json!("opus");
    let mut wrong = row(3, "three");
    wrong["model"] = json!("gpt");
    let ports = ports(rows(), &[opus, wrong, row(4, "four")]);
    assert_eq!(render(&ports), Ok(Response { records: 1 }));
    assert_eq!(records(&ports)[0]["recordId"], "R0000000004");
    assert_eq!(stored(&ports).into_keys().collect::<Vec<_>>(), [4]);
    assert_eq!(ports.store.json(&batch().rendered_key(1))["without"], json!([2, 3]));
}

/// Sets a budget of the environment for the batch, with this limit in USD.
fn limit(ports: &Fakes, usd: Decimal) {
    let yaml =
        format!("version: 1\nbudgets:\n  all: {{ scope: environment, window: day, usd: {usd} }}\n");
    let budgets: Budgets = from_yaml(&yaml).finished().unwrap();
    let configuration =
        Configuration { budgets: Budgets { revision: 1, ..budgets }, ..configuration() };
    let body = to_json(&configuration).unwrap();
    ports.store.objects.borrow_mut().insert(batch().configuration_key(), body);
}

fn reserved(ports: &Fakes) -> Decimal {
    ports.ledger.counters.all().values().map(|counter| counter.reserved()).sum()
}

/// Whatever call of the ledger fails, the records are reserved once, and none is made that is not paid.
#[test]
fn records_are_reserved_once_and_those_without_money_are_left_out() {
    let entries: Vec<Value> = (1..=4).map(|n| row(n, "text")).collect();
    let all = ports(rows(), &entries);
    limit(&all, Decimal::from(100));
    assert_eq!(render(&all), Ok(Response { records: 4 }));
    let one = reserved(&all) / Decimal::from(4);
    assert!(one > Decimal::ZERO);
    for failing in 0..12 {
        let some = ports(rows(), &entries);
        limit(&some, one * Decimal::new(35, 1));
        some.ledger.failing.set(failing);
        let first = render(&some);
        assert!(first.is_ok() || records(&some).is_empty(), "{failing}");
        some.ledger.failing.set(0);
        assert_eq!(render(&some), Ok(Response { records: 3 }), "{failing}");
        assert_eq!((records(&some).len(), reserved(&some)), (3, one * Decimal::from(3)));
        assert_eq!(some.store.json(&batch().rendered_key(1))["without"], json!([4]));
    }
    let none = ports(rows(), &entries);
    limit(&none, one / Decimal::TWO);
    assert_eq!(render(&none), Ok(Response { records: 0 }));
    assert_eq!((records(&none).len(), reserved(&none)), (0, Decimal::ZERO));
}

/// The plans are stored before the records. So whatever fails, a job has no record whose answer could not be taken.
#[test]
fn whatever_call_of_the_store_fails_no_record_is_without_its_plan() {
    for call in 1.. {
        let ports = ports(rows(), &[row(1, "one"), row(2, "two")]);
        ports.store.failing.set(call);
        let first = render(&ports);
        ports.store.failing.set(0);
        assert!(stored(&ports).len() >= records(&ports).len(), "call {call}");
        if first.is_ok() {
            assert!(
                call > 8,
                "the calls read the batch and write a segment, the records and their counts"
            );
            return;
        }
        assert_eq!(render(&ports), Ok(Response { records: 2 }), "call {call}");
        assert_eq!((stored(&ports).len(), records(&ports).len()), (2, 2));
    }
}

#[test]
fn an_object_is_read_when_it_is_rendered() {
    let object = |n: u64| {
        let object = json!({ "key": format!("docs/{n}"), "etag": "e", "bytes": 3 });
        json!({ "n": n, "line": n, "id": n.to_string(), "inputs": {}, "object": object })
    };
    let spec = json!({ "source": "s3://corpus/docs/", "map": { "text": "{{ item.text }}" } });
    let ports = ports(spec, &[object(1), object(2), object(3)]);
    ports.sources.put("s3://corpus/docs/1", "e", "first");
    ports.sources.put("s3://corpus/docs/2", "another", "second");
    ports.sources.put("s3://corpus/docs/3", "e", b"\xff".to_vec());
    assert_eq!(render(&ports), Ok(Response { records: 1 }));
    assert!(records(&ports)[0]["modelInput"]["messages"].to_string().contains("first"));
}

/// An object that cannot be read holds up no other item, and runs on demand later.
#[test]
fn an_object_that_cannot_be_read_holds_up_no_other() {
    let object = |n: u64| {
        let object = json!({ "key": format!("docs/{n}"), "etag": "e", "bytes": 3 });
        json!({ "n": n, "line": n, "id": n.to_string(), "inputs": {}, "object": object })
    };
    let spec = json!({ "source": "s3://corpus/docs/", "map": { "text": "{{ item.text }}" } });
    let ports = ports(spec, &[object(1), object(2)]);
    for n in [1, 2] {
        let uri = format!("s3://corpus/docs/{n}");
        ports.sources.put(&uri, "e", "text");
        ports.sources.forbidden.borrow_mut().insert(uri);
    }
    assert!(render(&ports).is_err(), "if no object can be read, the fault is not that of an item");
    ports.sources.forbidden.borrow_mut().remove("s3://corpus/docs/2");
    assert_eq!(render(&ports), Ok(Response { records: 1 }));
    assert_eq!(ports.store.json(&batch().rendered_key(1))["without"], json!([1]));
}
