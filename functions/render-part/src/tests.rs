use std::collections::BTreeMap;

use bcce_core::base::digest::sha256_hex;
use bcce_core::batch::BatchRequest;
use bcce_core::batch::bulk::MIN_RECORDS;
use bcce_core::fakes::{MemoryParameters, MemorySources, MemoryStore, now};
use serde_json::{Value, json};

use super::*;

const EVENT: &str = include_str!("../../../events/render-part/first.json");
const MODELS: &str = include_str!("../../../infra/config/dev/models.yaml");
const PRICES: &str = include_str!("../../../infra/config/dev/prices.yaml");
const POLICY: &str = include_str!("../../../infra/config/dev/policy.yaml");
const ROUTING: &str = include_str!("../../../infra/config/dev/routing.yaml");
const WORKFLOW: &str = include_str!("../../../infra/config/dev/workflows/explain.yaml");

type Fakes = Ports<MemoryStore, MemorySources, MemoryParameters>;

fn batch() -> BatchRef {
    serde_json::from_str::<Request>(EVENT).unwrap().batch.reference
}

fn config() -> Config {
    Config {
        environment: "dev".into(),
        bucket: "bucket".into(),
        key_arn: "key".into(),
        region: "us-east-1".into(),
        retries: Retries::default(),
    }
}

/// Returns ports with a batch whose first part has these entries.
fn ports(spec: Value, entries: &[Value]) -> Fakes {
    let key = "config/workflows/explain/x.yaml";
    let pointer =
        json!({ "uri": format!("s3://bucket/{key}"), "sha256": sha256_hex(WORKFLOW.as_bytes()) });
    let documents = [
        ("models", MODELS),
        ("prices", PRICES),
        ("policy", POLICY),
        ("routing", ROUTING),
        ("workflows/explain", &pointer.to_string()),
    ];
    let documents: BTreeMap<String, String> = documents
        .into_iter()
        .map(|(name, body)| (format!("/bcce/dev/{name}"), body.to_owned()))
        .collect();
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
        (key.to_owned(), WORKFLOW.as_bytes().to_vec()),
        (batch().opened_key(), opened.to_string().into_bytes()),
        (batch().request_key(), to_json(&stored).unwrap()),
        (batch().part_key(1), lines.into_bytes()),
    ]);
    Ports { store, sources: MemorySources::default(), parameters: MemoryParameters(documents) }
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
    assert_eq!(ports.store.json(&run(3).request_key())["inputs"]["text"], "three");
    assert_eq!(ports.store.json(&run(3).plan_key())["inputs"]["audience"], "newcomer");
    assert_eq!(ports.store.json(&batch().rendered_key(1))["records"], 2);
    // Rendering again changes nothing.
    let before = ports.store.objects.borrow().clone();
    render(&ports).unwrap();
    assert_eq!(*ports.store.objects.borrow(), before);
}

#[test]
fn what_is_over_refused_or_of_another_model_makes_no_record() {
    let mut opus = row(2, "two");
    opus["model"] = json!("opus");
    let mut wrong = row(3, "three");
    wrong["model"] = json!("gpt");
    let ports = ports(rows(), &[row(1, "one"), opus, wrong, row(4, "four")]);
    ports.store.objects.borrow_mut().insert(run(1).manifest_key(), b"{}".to_vec());
    assert_eq!(render(&ports), Ok(Response { records: 1 }));
    assert_eq!(records(&ports)[0]["recordId"], "R0000000004");
    assert_eq!(ports.store.json(&batch().rendered_key(1))["without"], json!([1, 2, 3]));
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

#[test]
fn without_a_configuration_nothing_is_a_record_and_a_store_that_fails_is_tried_again() {
    let mut ports = ports(rows(), &[row(1, "one")]);
    ports.store.failing.set(5);
    assert!(render(&ports).is_err());
    ports.store.failing.set(0);
    ports.parameters.0.clear();
    assert_eq!(render(&ports), Ok(Response { records: 0 }));
}
