//! Sends, starts and reads batches as a client with plain AWS SDK calls.

use bcce_core::batch::packed::{PackedRun, parse_segment};
use bcce_core::batch::{BatchProgress, BatchRef};
use bcce_core::ports::ReadBatchProgress;
use bcce_tests::harness::stack::{RunRef, Stack, output};
use serde_json::{Value, json};
use time::OffsetDateTime;

/// Stores an object where `bcce batch submit` would, and returns its URI.
pub async fn upload(stack: &Stack, name: &str, body: impl Into<Vec<u8>>) -> String {
    let (bucket, key) = (output("ArtifactBucket"), format!("batches/uploads/{name}"));
    let put = stack.s3.put_object().bucket(&bucket).key(&key).body(body.into().into());
    put.send().await.unwrap();
    format!("s3://{bucket}/{key}")
}

/// Sends a batch and waits for its manifest.
pub async fn run(stack: &Stack, workflow: &str, id: &str, batch: Value) -> (BatchRef, Value) {
    let message = json!({ "workflow": workflow, "id": id, "batch": batch });
    stack.send(&message.to_string()).await;
    let batch = BatchRef::first("default", workflow, id);
    let manifest = manifest(stack, &batch).await;
    (batch, manifest)
}

/// Waits for the end of a batch's execution and returns the manifest of the attempt.
pub async fn manifest(stack: &Stack, batch: &BatchRef) -> Value {
    let over = async || status(stack, batch).await.filter(|status| status != "RUNNING");
    stack.reached("the end of the batch", over, async || state_of(stack, batch).await).await;
    let manifest = sealed(stack, batch).await;
    let expected = match manifest["status"].as_str().unwrap() {
        "SUCCEEDED" | "PARTIAL" => "SUCCEEDED",
        "CANCELLED" => "ABORTED",
        _ => "FAILED",
    };
    assert_eq!(status(stack, batch).await.as_deref(), Some(expected), "{manifest}");
    manifest
}

/// Waits for the manifest of an attempt at a batch, however its execution ended.
pub async fn sealed(stack: &Stack, batch: &BatchRef) -> Value {
    let key = batch.manifest_key();
    let state = async || state_of(stack, batch).await;
    let body = stack.reached(&key, async || stack.object(&key).await, state).await;
    serde_json::from_slice(&body).unwrap()
}

/// Describes the progress of a batch. A wait fails if the description stays the same.
async fn state_of(stack: &Stack, batch: &BatchRef) -> String {
    let arn = arn(batch);
    let status = status(stack, batch).await.unwrap_or("none".into());
    let (event, progress) = (stack.last_event(&arn).await, progress(batch).await);
    let list = stack.s3.list_objects_v2().bucket(output("ArtifactBucket")).prefix(batch.prefix());
    let objects = list.send().await.unwrap().key_count().unwrap_or_default();
    let jobs = stack.object(&batch.jobs_key()).await.unwrap_or_default();
    format!(
        "execution {status}, {event}, {} items over, {} of them failed, {objects} objects, jobs {}",
        progress.over(),
        progress.failed,
        String::from_utf8_lossy(&jobs)
    )
}

/// Returns the status of the batch's execution, or `None` if there is no execution.
pub async fn status(stack: &Stack, batch: &BatchRef) -> Option<String> {
    let describe = stack.sfn.describe_execution().execution_arn(arn(batch));
    describe.send().await.ok().map(|execution| execution.status().as_str().to_owned())
}

/// Returns the ARN of the batch's execution.
pub fn arn(batch: &BatchRef) -> String {
    let machine = output("BatchArn").replacen(":stateMachine:", ":execution:", 1);
    format!("{machine}:{}", batch.execution_name())
}

/// Starts the execution of a batch, as `bcce batch retry` does for a further attempt.
pub async fn start(stack: &Stack, batch: &BatchRef) {
    let start = stack.sfn.start_execution().state_machine_arn(output("BatchArn"));
    let start = start.name(batch.execution_name()).input(serde_json::to_string(batch).unwrap());
    start.send().await.unwrap();
}

/// Returns the run of an item from a line of the results.
pub fn run_of(result: &Value) -> RunRef {
    let run_id = result["run_id"].as_str().unwrap_or_else(|| panic!("{result} has no run"));
    RunRef { run_id: run_id.to_owned(), ..RunRef::first("default", "-", "-") }
}

/// Returns `<line> <status> <error message>` for each item.
pub async fn statuses(stack: &Stack, batch: &BatchRef) -> Vec<String> {
    let results = lines(stack, &batch.results_key()).await;
    let statuses = results.iter().map(|result| {
        let (line, status) = (&result["line"], result["status"].as_str().unwrap());
        let error = result["error"]["message"].as_str().unwrap_or_default();
        format!("{line} {status} {error}").trim_end().to_owned()
    });
    statuses.collect()
}

/// Returns the JSON values of an object with one on each line.
pub async fn lines(stack: &Stack, key: &str) -> Vec<Value> {
    let body = stack.object(key).await.unwrap_or_else(|| panic!("{key} is missing"));
    let text = String::from_utf8(body).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Returns the batch progress of an attempt from the ledger.
pub async fn progress(batch: &BatchRef) -> BatchProgress {
    let config = bcce_aws::chain::sdk_config().await.unwrap();
    let ledger = bcce_aws::dynamodb::Ledger::new(&config, &output("LedgerTable"));
    ledger.batch_progress(&batch.item_of(), OffsetDateTime::now_utc()).await.unwrap()
}

/// Returns what the segments of a batch attempt have of the run of an item.
pub async fn packed_run(stack: &Stack, batch: &BatchRef, n: u64) -> PackedRun {
    let list = stack.s3.list_objects_v2().bucket(output("ArtifactBucket"));
    let prefix = format!("{}segments-{}/", batch.prefix(), batch.attempt_no);
    let listed = list.prefix(prefix).send().await.unwrap();
    let mut found: Option<PackedRun> = None;
    for key in listed.contents().iter().map(|object| object.key().unwrap()) {
        let runs = parse_segment(key, &stack.object(key).await.unwrap()).unwrap();
        for run in runs.into_iter().filter(|run| run.n == n) {
            if found.as_ref().is_none_or(|before| run.replaces(before.stage())) {
                found = Some(run);
            }
        }
    }
    found.unwrap_or_else(|| panic!("no segment has item {n}"))
}

/// Returns an object of a packed run. `key` has the prefix of the run.
pub fn packed_object(run: &PackedRun, key: &str) -> Value {
    let body = key.strip_prefix(&run.run.prefix()).and_then(|name| run.object(name));
    serde_json::from_slice(body.unwrap_or_else(|| panic!("{key} is missing"))).unwrap()
}
