//! Shows what runs and batches take of AWS: the state transitions of executions and the requests of functions, as
//! docs/workflows.md lists them and manifests state them.
//!
//! `make lean` starts the suite on a local stack of its own that counts requests (`infra/local/meter.py`). The tests
//! run one after the other, because the counts are those of the whole stack.

use std::collections::BTreeMap;

use bcce_core::base::platform::{Charge, PlatformUse};
use bcce_core::batch::{BatchRef, ItemResult};
use bcce_core::run::manifest::Manifest;
use bcce_core::run::manifest::platform::{EVENTS_OF_OBJECT, REQUESTS_OF_MESSAGE};
use bcce_tests::harness::stack::{RunRef, Stack, fresh, output};
use serde_json::{Value, json};

/// The runs that are counted together. A count that is not a multiple of it is not that of a run.
const RUNS: u32 = 4;

/// The reads of the configuration, by the name of the meter.
const CONFIGURATION: &str = "s3 configuration reads";

/// Returns the counts of the stack's meter.
fn counts() -> BTreeMap<String, f64> {
    let url = format!("{}/_bcce/counts", output("AWS_ENDPOINT_URL"));
    let body = ureq::get(url).call().unwrap().body_mut().read_to_string().unwrap();
    serde_json::from_str(&body).unwrap()
}

/// Runs a workflow to its end, as which `status` is expected.
async fn run(stack: &Stack, workflow: &str, inputs: &Value, status: &str) -> RunRef {
    let id = fresh("lean");
    let request = json!({ "workflow": workflow, "id": id, "inputs": inputs });
    stack.send(&request.to_string()).await;
    let run = RunRef::first("default", workflow, &id);
    let arn = stack.arn(&run);
    let over = async || {
        let execution = stack.sfn.describe_execution().execution_arn(&arn).send().await.ok()?;
        let status = execution.status().as_str().to_owned();
        (status != "RUNNING").then_some(status)
    };
    assert_eq!(stack.eventually("the end of the run", over).await, status);
    if status == "FAILED" {
        stack.finalized(&run).await;
    }
    run
}

/// The counts of the meter, by its names.
type Counted = BTreeMap<String, f64>;

/// Returns what a run takes, by the names of the meter, and what the manifests of the runs say.
async fn taken(
    stack: &Stack,
    workflow: &str,
    inputs: &Value,
    status: &str,
) -> (Counted, PlatformUse) {
    let before = counts();
    let mut last = None;
    for _ in 0..RUNS {
        last = Some(run(stack, workflow, inputs, status).await);
    }
    let counted = difference(&before, RUNS);
    // The test's own reading of the manifest is not one of the run.
    let manifest = stack.manifest(&last.expect("RUNS is above 0")).await;
    (counted, serde_json::from_value(manifest["platform"].clone()).unwrap())
}

/// Returns what the meter has counted for each of `runs` since it counted `before`.
fn difference(before: &Counted, runs: u32) -> Counted {
    let more = |(name, count): (String, f64)| {
        let more = count - before.get(&name).copied().unwrap_or_default();
        (name, more / f64::from(runs))
    };
    let mut counted: Counted = counts().into_iter().map(more).collect();
    // Functions keep the configuration in memory for some seconds, so the number of its reads depends on the machine.
    let read = counted.remove(CONFIGURATION).unwrap_or_default();
    for name in ["s3 GetObject", "s3 kms requests"] {
        counted.entry(name.to_owned()).and_modify(|count| *count -= read);
    }
    counted
}

/// Returns the sums of the columns of the table.
fn columns(counted: &Counted) -> BTreeMap<String, f64> {
    let column = |(column, is_its): &Column| {
        let its = counted.iter().filter(|(name, _)| is_its(name));
        ((*column).to_owned(), its.map(|(_, count)| count).sum())
    };
    COLUMNS.iter().map(column).collect()
}

/// Returns what the meter counted by the names of a manifest.
fn charged(counted: &Counted) -> BTreeMap<String, f64> {
    let of = |name: &str| counted.get(name).copied().unwrap_or_default();
    let columns = columns(counted);
    [
        ("transitions", columns["state transitions"]),
        ("function_calls", columns["function calls"]),
        ("s3_writes", columns["S3 writes and lists"]),
        ("s3_reads", columns[READS]),
        ("kms_requests", of("s3 kms requests")),
        ("signatures", columns["signatures"]),
        ("write_units", columns["write units"]),
        ("half_read_units", 2.0 * of("dynamodb read units")),
        ("object_events", EVENTS_OF_OBJECT as f64 * of("s3 objects created")),
        ("sqs_requests", REQUESTS_OF_MESSAGE as f64 * of("sqs SendMessage")),
        ("sns_messages", of("sns Publish")),
    ]
    .into_iter()
    .map(|(name, count)| (name.to_owned(), count))
    .collect()
}

/// The column that is an upper limit if a run has several steps.
const READS: &str = "S3 reads";

/// A column of the table, and whether it sums up a count of the meter.
type Column = (&'static str, fn(&str) -> bool);

const COLUMNS: &[Column] = &[
    ("state transitions", |name| name == "states transitions"),
    ("function calls", |name| name.starts_with("lambda ") && name.ends_with(" invocations")),
    ("S3 writes and lists", |name| {
        ["s3 PutObject", "s3 ListObjectsV2", "s3 CopyObject"].contains(&name)
    }),
    // `taken` leaves out the reads of the configuration.
    (READS, |name| name == "s3 GetObject" || name == "s3 HeadObject"),
    ("signatures", |name| name == "kms Sign" || name == "kms Verify"),
    ("DynamoDB requests", |name| name.starts_with("dynamodb ") && !name.ends_with(" units")),
    ("write units", |name| name == "dynamodb write units"),
];

/// Returns the table of the docs: the numbers of each run by the name of the column.
fn documented(run: &str) -> BTreeMap<String, f64> {
    let docs = include_str!("../../../docs/workflows.md");
    let table = docs.split_once("| a run of | ").unwrap().1;
    let header = table.lines().next().unwrap().split('|').map(str::trim);
    let row = table.lines().find(|row| row.starts_with(&format!("| {run} "))).unwrap();
    let cells = row.split('|').skip(2).map(str::trim);
    let numbers = cells.filter_map(|cell| cell.parse().ok());
    header.map(str::to_owned).zip(numbers).collect()
}

/// Runs and batches take what their manifests say, and runs what the docs say: a run of one step, one of five steps in
/// three waves, one that fails, and one whose first call fails.
#[tokio::test]
async fn a_run_takes_what_the_docs_and_its_manifest_say() {
    let stack = Stack::connect().await;
    // The model takes its time, so that the steps of a wave overlap and each gets a process of its own. A step that
    // follows in the same process does not read the plan again.
    let slow = "@model *: slow(400)\n";
    let diff = format!("{slow}{}", include_str!("../../../events/workflow/sample.diff"));
    for (documented_as, steps, workflow, inputs) in [
        ("one step", 1, "explain", json!({ "text": format!("{slow}A breaker.") })),
        ("five steps in three waves", 5, "code-review", json!({ "diff": diff })),
    ] {
        run(&stack, workflow, &inputs, "SUCCEEDED").await;
        let (counted, stated) = taken(&stack, workflow, &inputs, "SUCCEEDED").await;
        // It depends on the machine which process a further step gets. One that has read the plan does not read it
        // again.
        let fewer = f64::from(steps - 1);
        let limits = [READS, "s3_reads", "kms_requests"].map(|name| (name, fewer));
        same(workflow, columns(&counted), &documented(documented_as), &limits);
        // All steps but the last one wait for 400 ms, at half a GB.
        let slow_steps = f64::from(steps.max(2) - 1);
        let (waited, paid) = (gb_seconds(&stated), counted["lambda invoke GB-seconds"]);
        assert!(waited >= 0.2 * slow_steps && waited < paid, "{waited} of {paid}");
        same(workflow, charged(&counted), &named(&stated), &limits);
    }
    for (mode, workflow, items) in
        [("on_demand", "explain", 10), ("bulk", "explain", 100), ("on_demand", "bug-hunt", 2)]
    {
        let (counted, stated) = batch(&stack, mode, workflow, items).await;
        let said = named(&stated);
        // These depend on timing, and the manifest states upper limits. A record may have several calls, and breakers
        // that were read are kept for a moment.
        let calls = if mode == "bulk" { 0.0 } else { items as f64 };
        let limits = [
            ("s3_reads", 8.0),
            ("kms_requests", 8.0),
            ("write_units", 4.0 + calls),
            ("half_read_units", 4.0 + 8.0 * calls),
        ];
        same(&format!("{mode} {workflow}"), charged(&counted), &said, &limits);
        if let Some(paid) = counted.get("lambda run-part GB-seconds").filter(|paid| **paid > 0.0) {
            let waited = gb_seconds(&stated);
            assert!(waited > 0.0 && waited < *paid, "{waited} of {paid}");
        }
    }
    // After the batches, because the breakers remember the failures for a while.
    for (inputs, status) in [
        (json!({ "no": "such input" }), "FAILED"),
        (json!({ "text": "@model *: validation" }), "FAILED"),
        (json!({ "text": "@model *: throttle, answer" }), "SUCCEEDED"),
    ] {
        let (counted, stated) = taken(&stack, "explain", &inputs, status).await;
        same(&inputs.to_string(), charged(&counted), &named(&stated), &[]);
    }
}

/// Returns the time of functions that a manifest states.
fn gb_seconds(stated: &PlatformUse) -> f64 {
    stated.count(Charge::GbMilliseconds) as f64 / 1000.0
}

/// Returns the counts that a manifest states by name, other than the time of functions, which the machine decides.
fn named(stated: &PlatformUse) -> BTreeMap<String, f64> {
    let counts = stated.iter().filter(|(charge, _)| *charge != Charge::GbMilliseconds);
    counts.map(|(charge, count)| (charge.name().to_owned(), count as f64)).collect()
}

/// Compares what was counted with what is said. What `limits` name is an upper limit, below which the count may be by
/// the number there.
fn same(
    what: &str,
    mut counted: BTreeMap<String, f64>,
    said: &BTreeMap<String, f64>,
    limits: &[(&str, f64)],
) {
    for (name, fewer) in limits {
        if let (Some(count), Some(most)) = (counted.get_mut(*name), said.get(*name)) {
            assert!((most - fewer..=*most).contains(count), "{what}: {name}: {count} of {most}");
            *count = *most;
        }
    }
    assert_eq!(counted, *said, "{what}");
}

/// Runs a batch. Returns what it takes, by the names of the meter, and what its manifest says, with those of items that
/// have executions.
async fn batch(stack: &Stack, mode: &str, workflow: &str, items: usize) -> (Counted, PlatformUse) {
    let inputs = match workflow {
        // A job that takes its time is looked at several times.
        "explain" if mode == "bulk" => json!({ "text": "A breaker." }),
        "explain" => json!({ "text": "@model *: slow(200)\nA breaker." }),
        _ => json!({ "files": [{ "path": "a.rs", "text": "fn a() {}" }] }),
    };
    let line = |n| json!({ "id": format!("i{n}"), "inputs": inputs }).to_string();
    let lines: Vec<String> = (0..items).map(line).collect();
    let (id, bucket) = (fresh("lean"), output("ArtifactBucket"));
    let key = format!("batches/uploads/{id}.jsonl");
    let put = stack.s3.put_object().bucket(&bucket).key(&key);
    put.body(lines.join("\n").into_bytes().into()).send().await.unwrap();
    let before = counts();
    let source = json!({ "source": format!("s3://{bucket}/{key}"), "mode": mode });
    stack.send(&json!({ "workflow": workflow, "id": id, "batch": source }).to_string()).await;
    let batch = BatchRef::first("default", workflow, &id);
    let machine = output("BatchArn").replacen(":stateMachine:", ":execution:", 1);
    let arn = format!("{machine}:{}", batch.execution_name());
    let over = async || {
        let execution = stack.sfn.describe_execution().execution_arn(&arn).send().await.ok()?;
        let status = execution.status().as_str().to_owned();
        (status != "RUNNING").then_some(status)
    };
    assert_eq!(stack.eventually("the end of the batch", over).await, "SUCCEEDED");
    let counted = difference(&before, 1);
    let manifest = stack.object(&batch.manifest_key()).await.unwrap();
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();
    let results = String::from_utf8(stack.object(&batch.results_key()).await.unwrap()).unwrap();
    let mut stated: PlatformUse = serde_json::from_value(manifest["platform"].clone()).unwrap();
    for line in results.lines() {
        let result: ItemResult = serde_json::from_str(line).unwrap();
        let key = result.manifest.unwrap();
        // The manifest of a packed run is a line of those of its part.
        if key.ends_with(".json") {
            let manifest: Manifest =
                serde_json::from_slice(&stack.object(&key).await.unwrap()).unwrap();
            stated.add(&manifest.platform);
        }
    }
    (counted, stated)
}
