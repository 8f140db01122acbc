//! What a plain client sees of a batch.

use bcce_core::batch::reference::BatchRef;
use serde_json::{Value, json};

use crate::stack::{Stack, output};

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
    let key = batch.manifest_key();
    let body = stack.eventually(&key, async || stack.object(&key).await).await;
    let machine = output("BatchArn").replacen(":stateMachine:", ":execution:", 1);
    let arn = format!("{machine}:{}", batch.execution_name());
    stack
        .eventually("the end of the execution", async || {
            let described =
                stack.sfn.describe_execution().execution_arn(&arn).send().await.unwrap();
            (described.status().as_str() != "RUNNING").then_some(())
        })
        .await;
    serde_json::from_slice(&body).unwrap()
}

/// The lines of an object.
pub async fn lines(stack: &Stack, key: &str) -> Vec<Value> {
    let body = stack.object(key).await.unwrap_or_else(|| panic!("{key} is missing"));
    let text = String::from_utf8(body).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}
