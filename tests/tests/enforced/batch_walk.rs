//! Calls the functions of a batch one after the other, as its state machine does, but without retries.

use bcce_core::base::json::{parse_lines, to_json};
use bcce_core::batch::{BatchRef, BatchRequest, Place, StoredBatch};
use bcce_tests::harness::stack::{Stack, fresh, output};
use serde_json::{Value, json};

use crate::signed::Caller;
use crate::walk::{Broke, invoke, started, through};

/// A bucket for batch sources to which `infra/local` gives the stack access.
pub const CORPUS: &str = "bcce-corpus";

/// Processes batches from a bucket, as far as `function` takes part in them: a file with one item, which runs, two
/// objects, which do not, and the same two objects as a packed batch.
pub async fn batch(
    root: &Caller,
    stack: &Stack,
    bucket: &str,
    function: &str,
) -> Result<(), Broke> {
    if bucket == CORPUS {
        // The bucket may exist already.
        let _ = stack.s3.create_bucket().bucket(CORPUS).send().await;
    }
    let folder = format!("batches/uploads/{}", fresh("batch"));
    let line = json!({ "text": "A breaker." }).to_string();
    put(stack, bucket, &format!("{folder}.jsonl"), line.as_bytes()).await;
    put(stack, bucket, &format!("{folder}/good.txt"), b"A breaker.").await;
    put(stack, bucket, &format!("{folder}/no-text.txt"), b"\xff").await;
    let uri = format!("s3://{bucket}/{folder}");
    let file = json!({ "source": format!("{uri}.jsonl") });
    let map = json!({ "text": "{{ item.text }}" });
    let folder = json!({ "source": format!("{uri}/"), "map": map });
    match function {
        "open-batch" => drop(open(root, stack, &file).await?),
        "open-item" | "collect-part" => {
            rows(root, stack, &file).await?;
            objects(root, stack, &folder).await?;
        }
        _ => {}
    }
    if function == "open-item" { Ok(()) } else { packed(root, stack, &folder).await }
}

/// Processes a batch of one item until it is sealed. The item is opened twice, the second time with its request stored
/// already.
async fn rows(root: &Caller, stack: &Stack, spec: &Value) -> Result<(), Broke> {
    let (batch, event) = open(root, stack, spec).await?;
    let_each_item_have_an_execution(stack, &batch).await;
    let places = places(stack, &batch).await;
    let ready = item(root, &event, &places[0]).await?;
    assert_eq!(item(root, &event, &places[0]).await?, ready);
    let arn = format!("{}:{}", output("WorkflowArn"), ready["name"].as_str().unwrap());
    let arn = arn.replacen(":stateMachine:", ":execution:", 1);
    through(root, started(ready["input"].clone(), &arn)).await?;
    close(root, &event, "SUCCEEDED").await
}

/// Processes a batch of two objects until it is sealed. No run is started, and the second object is refused, because it
/// is not text.
async fn objects(root: &Caller, stack: &Stack, spec: &Value) -> Result<(), Broke> {
    let (batch, event) = open(root, stack, spec).await?;
    let_each_item_have_an_execution(stack, &batch).await;
    for (place, outcome) in places(stack, &batch).await.iter().zip(["ready", "refused"]) {
        assert_eq!(item(root, &event, place).await?["outcome"], outcome);
    }
    close(root, &event, "FAILED").await
}

/// Processes a packed batch of two objects until it is sealed. The second object is refused, because it is not text. Each
/// function is called twice, the second time with everything stored already.
async fn packed(root: &Caller, stack: &Stack, spec: &Value) -> Result<(), Broke> {
    let (batch, event) = open(root, stack, spec).await?;
    let asked = json!({ "batch": event, "part": { "part": 1, "lines": 2 }, "mode": "on_demand", "calls": 2,
                        "tolerance": { "items": 2, "failures": 10 }, "notification_owner": "a-child" });
    for _ in 0..2 {
        assert_eq!(invoke(root, "run-part", &asked).await?["outcome"], "over");
    }
    let part = json!({ "batch": event, "part": asked["part"] });
    assert_eq!(invoke(root, "collect-part", &part).await?["running"], 0);
    close(root, &event, "PARTIAL").await?;
    assert!(stack.object(&batch.part_signature_key(1)).await.is_some());
    let ended = invoke(root, "open-batch", &json!({ "batch": event, "ended": "ABORTED" })).await?;
    assert_eq!(ended["way"], "packed", "{ended}");
    Ok(())
}

/// Changes what was opened as if the workflow had a step that fans out.
async fn let_each_item_have_an_execution(stack: &Stack, batch: &BatchRef) {
    let key = batch.opened_key();
    let mut opened: Value = serde_json::from_slice(&stack.object(&key).await.unwrap()).unwrap();
    opened["way"] = json!("executions");
    put(stack, &output("ArtifactBucket"), &key, opened.to_string().as_bytes()).await;
}

/// Stores the request of a batch and opens it.
async fn open(root: &Caller, stack: &Stack, spec: &Value) -> Result<(BatchRef, Value), Broke> {
    let request = json!({ "workflow": "explain", "id": fresh("batch"), "batch": spec });
    let request = BatchRequest::parse(&request.to_string()).unwrap();
    let request = StoredBatch::new(request, "default", "1");
    let batch = request.reference();
    let request = stack.s3.put_object().body(to_json(&request).unwrap().into());
    let request = request.bucket(output("ArtifactBucket")).key(batch.request_key());
    request.if_none_match("*").send().await.unwrap();
    let arn = output("BatchArn").replacen(":stateMachine:", ":execution:", 1);
    let arn = format!("{arn}:{}", batch.execution_name());
    let event = started(serde_json::to_value(&batch).unwrap(), &arn);
    let opened = invoke(root, "open-batch", &json!({ "batch": event })).await?;
    // An unreadable source refuses the batch instead of failing the function.
    if opened["outcome"] != "opened" {
        return Err(Broke { function: "open-batch", because: opened.to_string() });
    }
    Ok((batch, event))
}

/// Returns the places of the first part.
async fn places(stack: &Stack, batch: &BatchRef) -> Vec<Place> {
    let key = batch.places_key(1);
    parse_lines(&key, &stack.object(&key).await.unwrap()).unwrap()
}

/// Opens an item.
async fn item(root: &Caller, batch: &Value, place: &Place) -> Result<Value, Broke> {
    let asked = json!({ "batch": batch, "place": place, "tolerance": { "items": 3, "failures": 10, "by_rate": 20 }, "notification_owner": "a-child" });
    invoke(root, "open-item", &asked).await
}

/// Collects the results of the first part, closes the batch and checks its status.
async fn close(root: &Caller, batch: &Value, status: &str) -> Result<(), Broke> {
    let part = json!({ "part": 1, "lines": 1 });
    invoke(root, "collect-part", &json!({ "batch": batch, "part": part })).await?;
    let closed = json!({ "batch": batch, "notification_owner": batch["execution_arn"] });
    let closed = invoke(root, "close-batch", &closed).await?;
    assert_eq!(closed["notification"]["status"], status, "{closed}");
    Ok(())
}

async fn put(stack: &Stack, bucket: &str, key: &str, body: &[u8]) {
    let put = stack.s3.put_object().bucket(bucket).key(key).body(body.to_vec().into());
    put.send().await.unwrap();
}
