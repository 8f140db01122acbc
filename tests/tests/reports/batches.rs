//! The reports of batches.

use bcce_core::batch::BatchRef;
use bcce_tests::harness::stack::{Layout, Stack, all_calls, fresh, model, output, release};
use serde_json::{Value, json};

use crate::pages::Pages;

/// The number of items of the large batch. It takes about a minute in debug builds.
const ITEMS: usize = 10_000;

/// Some of 10,000 items are broken, fail or are cut, and a region fails for a third of them.
pub async fn large(stack: &Stack, pages: &Pages) {
    let line = |n: usize| match n % 100 {
        5 | 55 => json!({ "id": format!("item-{n}"), "txt": "wrong" }),
        7 => item(n, "@model *: validation"),
        8 => item(n, "@model *: max-tokens"),
        9 => item(n, "@model *: slow(1500)"),
        10..20 => item(n, "@model *: slow(200)"),
        _ if (ITEMS / 3..ITEMS * 2 / 3).contains(&n) => item(n, "@model us-east-1: unavailable"),
        _ => item(n, "@model *: slow(20)"),
    };
    let lines: Vec<Value> = (1..=ITEMS).map(line).collect();
    let batch = send(stack, "report-large", &lines, json!({ "concurrency": 50 })).await;
    let manifest = manifest(stack, &batch).await;
    assert_eq!(manifest["status"], "PARTIAL", "{manifest}");
    let counts = json!({ "items": ITEMS, "succeeded": 9_700, "failed": 100, "rejected": 200 });
    for (name, expected) in counts.as_object().unwrap() {
        assert_eq!(&manifest["counts"][name], expected, "{name} in {manifest}");
    }
    let has = ["Bcce.RequestRejected", "Bcce.InvalidRequest", "10,000", "9,700"];
    pages.of_batch("batch-of-10000", &batch.batch_id, &has);
}

/// The model holds a half of the answers while the report is written.
pub async fn under_way(stack: &Stack, pages: &Pages) {
    let hold = fresh("report-held-batch");
    let script = format!("@model *: held({hold})");
    let line = |n: usize| item(n, if n.is_multiple_of(2) { script.as_str() } else { "" });
    let lines: Vec<Value> = (1..=20).map(line).collect();
    let batch = send(stack, &hold, &lines, json!({ "concurrency": 20 })).await;
    let held = async || {
        let calls = all_calls().iter().filter(|call| call.to_string().contains(&script)).count();
        (calls == 10).then_some(())
    };
    stack.eventually("the calls of the held items", held).await;
    pages.of_batch("batch-under-way", &batch.batch_id, &[]);
    release(&hold);
    assert_eq!(manifest(stack, &batch).await["status"], "SUCCEEDED");
}

/// Returns an item with a script for the model.
pub fn item(n: usize, script: &str) -> Value {
    json!({ "id": format!("item-{n}"), "text": format!("{script}\nnumber {n}.") })
}

/// Sends a batch of `explain` with a model of its own.
pub async fn send(stack: &Stack, name: &str, lines: &[Value], mut spec: Value) -> BatchRef {
    // The name of the object has no letter that an address may not have.
    let (id, object) = (fresh(name), fresh("report"));
    let lines: Vec<String> = lines.iter().map(Value::to_string).collect();
    let (bucket, key) = (output("ArtifactBucket"), format!("batches/uploads/{object}.jsonl"));
    let put = stack.s3.put_object().bucket(&bucket).key(&key);
    put.body(lines.join("\n").into_bytes().into()).send().await.unwrap();
    spec["source"] = json!(format!("s3://{bucket}/{key}"));
    let model = model(Layout::Two);
    let message = json!({ "workflow": "explain", "id": id, "model": model, "batch": spec });
    stack.send(&message.to_string()).await;
    BatchRef::first("default", "explain", &id)
}

/// Waits for the end of a batch's execution and returns the manifest.
pub async fn manifest(stack: &Stack, batch: &BatchRef) -> Value {
    let arn = output("BatchArn").replacen(":stateMachine:", ":execution:", 1);
    let arn = format!("{arn}:{}", batch.execution_name());
    let over = async || {
        let execution = stack.sfn.describe_execution().execution_arn(&arn).send().await.ok()?;
        match execution.status().as_str() {
            "RUNNING" => None,
            _ => stack.object(&batch.manifest_key()).await,
        }
    };
    let body = stack.eventually("the end of the batch", over).await;
    serde_json::from_slice(&body).unwrap()
}
