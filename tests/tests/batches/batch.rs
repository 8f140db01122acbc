//! What a plain client sees of a batch.

use std::time::{Duration, Instant};

use bcce_core::batch::{BatchRef, Tally};
use bcce_core::ports::ReadTally;
use serde_json::{Value, json};

use crate::stack::{RunRef, Stack, output};

/// The largest batch takes two minutes on a stack that is new, and several where the emulator has hundreds of
/// executions to remember.
const PATIENCE: Duration = Duration::from_secs(900);

/// Puts a manifest where `bcce batch submit` would, and returns its URI.
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

/// The manifest of an attempt at a batch, whose execution is over then.
pub async fn manifest(stack: &Stack, batch: &BatchRef) -> Value {
    stack.eventually("the execution", async || status(stack, batch).await).await;
    let started = Instant::now();
    while status(stack, batch).await.is_none_or(|status| status == "RUNNING") {
        assert!(started.elapsed() < PATIENCE, "{} is not over", batch.batch_id);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let key = batch.manifest_key();
    let body = stack.eventually(&key, async || stack.object(&key).await).await;
    let manifest: Value = serde_json::from_slice(&body).unwrap();
    let expected = match manifest["status"].as_str().unwrap() {
        "SUCCEEDED" | "PARTIAL" => "SUCCEEDED",
        "CANCELLED" => "ABORTED",
        _ => "FAILED",
    };
    assert_eq!(status(stack, batch).await.as_deref(), Some(expected), "{manifest}");
    manifest
}

/// Of the execution; `None`: there is none.
pub async fn status(stack: &Stack, batch: &BatchRef) -> Option<String> {
    let describe = stack.sfn.describe_execution().execution_arn(arn(batch));
    describe.send().await.ok().map(|execution| execution.status().as_str().to_owned())
}

pub fn arn(batch: &BatchRef) -> String {
    let machine = output("BatchArn").replacen(":stateMachine:", ":execution:", 1);
    format!("{machine}:{}", batch.execution_name())
}

/// Starts an attempt as `bcce batch retry` does.
pub async fn start(stack: &Stack, batch: &BatchRef) {
    let start = stack.sfn.start_execution().state_machine_arn(output("BatchArn"));
    let start = start.name(batch.execution_name()).input(serde_json::to_string(batch).unwrap());
    start.send().await.unwrap();
}

/// The run of an item.
pub fn run_of(result: &Value) -> RunRef {
    let run_id = result["run_id"].as_str().unwrap_or_else(|| panic!("{result} has no run"));
    RunRef { run_id: run_id.to_owned(), ..RunRef::first("default", "-", "-") }
}

/// `<line> <status> <error>` of each item.
pub async fn told(stack: &Stack, batch: &BatchRef) -> Vec<String> {
    let results = lines(stack, &batch.results_key()).await;
    let told = results.iter().map(|result| {
        let (line, status) = (&result["line"], result["status"].as_str().unwrap());
        let error = result["error"]["message"].as_str().unwrap_or_default();
        format!("{line} {status} {error}").trim_end().to_owned()
    });
    told.collect()
}

/// The lines of an object.
pub async fn lines(stack: &Stack, key: &str) -> Vec<Value> {
    let body = stack.object(key).await.unwrap_or_else(|| panic!("{key} is missing"));
    let text = String::from_utf8(body).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What the runs of an attempt have added up in the ledger.
pub async fn tally(batch: &BatchRef) -> Tally {
    let config = bcce_aws::chain::sdk_config().await.unwrap();
    let ledger = bcce_aws::dynamodb::Ledger::new(&config, &output("LedgerTable"));
    ledger.tally(&batch.item_of()).await.unwrap()
}
