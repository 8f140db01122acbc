//! Batches and items that are sent again: nothing runs twice, and a retry runs what failed.

use bcce_core::batch::BatchRef;
use bcce_tests::harness::stack::{Layout, Stack, calls, fresh, model, output};
use serde_json::{Value, json};

use crate::batch::{lines, manifest, run, run_of, start, statuses, upload};

/// An object below `batches/inbox/` starts a batch. Put again with the same ETag, it is the same batch, and each item
/// is called once.
#[tokio::test]
async fn an_object_put_twice_below_the_inbox_prefix_is_one_batch() {
    let stack = Stack::connect().await;
    let id = fresh("dropped");
    let notifications = stack.listen(&id).await;
    let bucket = output("ArtifactBucket");
    let key = format!("batches/inbox/explain/{id}.jsonl");
    let lines_of = "{\"text\":\"one\"}\n{\"text\":\"two\"}\n";
    let mut batches = Vec::new();
    for _ in 0..2 {
        let put = stack
            .s3
            .put_object()
            .bucket(&bucket)
            .key(&key)
            .body(lines_of.as_bytes().to_vec().into());
        let etag = put.send().await.unwrap().e_tag.unwrap();
        let request_id = format!("{key}@{}", etag.trim_matches('"'));
        let batch = BatchRef::first("default", "explain", &request_id);
        assert_eq!(manifest(&stack, &batch).await["status"], "SUCCEEDED");
        batches.push(batch);
    }
    assert_eq!(batches[0], batches[1]);
    stack.inbox_is_empty().await;
    let results = lines(&stack, &batches[0].results_key()).await;
    assert_eq!(results.len(), 2);
    for result in &results {
        assert_eq!(calls(&run_of(result)).len(), 1);
    }
    // The batch sends a notification, and its items send none.
    stack
        .receive(&notifications, |m| {
            m.body().is_some_and(|body| body.contains(&batches[0].batch_id))
        })
        .await;
    let all = stack.sweep(&notifications, 0).await;
    let of_items = all.iter().filter(|m| {
        m.body().is_some_and(|body| {
            results.iter().any(|r| body.contains(r["run_id"].as_str().unwrap()))
        })
    });
    assert_eq!(of_items.count(), 0);
}

/// A batch that is sent again calls no model again. Another batch with the same id is rejected.
#[tokio::test]
async fn a_batch_sent_again_repeats_no_call_and_another_with_its_id_is_rejected() {
    let stack = Stack::connect().await;
    let id = fresh("again");
    let notifications = stack.listen(&id).await;
    let source = upload(&stack, &format!("{id}.jsonl"), "{\"text\":\"one\"}\n").await;
    let (batch, _) = run(&stack, "explain", &id, json!({ "source": source })).await;
    run(&stack, "explain", &id, json!({ "source": source })).await;
    let other =
        json!({ "workflow": "explain", "id": id, "batch": { "source": source, "concurrency": 3 } });
    stack.send(&other.to_string()).await;
    let rejection = stack
        .receive(&notifications, |m| m.body().is_some_and(|body| body.contains("REJECTED")))
        .await;
    assert!(
        rejection.body().unwrap().contains("was used before, for another batch"),
        "{rejection:?}"
    );
    let results = lines(&stack, &batch.results_key()).await;
    assert_eq!(calls(&run_of(&results[0])).len(), 1);
}

/// A retry of a batch runs the failed item, keeps the answer of the succeeded one, and counts only what it paid itself.
#[tokio::test]
async fn a_retry_runs_the_failed_items_and_keeps_the_succeeded_ones() {
    let stack = Stack::connect().await;
    let id = fresh("retried");
    let text = |script: &str| json!({ "text": format!("{script}\nitem") }).to_string();
    let manifest_of = [
        text("@model *: validation, answer(healed)"),
        text("@model *: answer(whole)"),
        "{".to_owned(),
    ];
    let source = upload(&stack, &format!("{id}.jsonl"), manifest_of.join("\n")).await;
    let model = model(Layout::Two);
    let message =
        json!({ "workflow": "explain", "id": id, "model": model, "batch": { "source": source } });
    stack.send(&message.to_string()).await;
    let first = BatchRef::first("default", "explain", &id);
    let sealed = manifest(&stack, &first).await;
    assert_eq!(sealed["status"], "PARTIAL", "{sealed}");
    assert_eq!(sealed["errors"], json!({ "Bcce.InvalidRequest": 1, "Bcce.RequestRejected": 1 }));

    let retry = first.retry().unwrap();
    start(&stack, &retry).await;
    let sealed = manifest(&stack, &retry).await;
    let counts = json!({ "items": 3, "succeeded": 2, "failed": 0, "cancelled": 0, "rejected": 1, "skipped": 0, "running": 0 });
    assert_eq!((&sealed["counts"], &sealed["opened"]["to_run"]), (&counts, &json!(1)), "{sealed}");
    let results = lines(&stack, &retry.results_key()).await;
    assert_eq!((&results[0]["attempt_no"], &results[1]["attempt_no"]), (&json!(2), &json!(1)));
    assert_eq!(calls(&run_of(&results[0])).len(), 2);
    assert_eq!(calls(&run_of(&results[1])).len(), 1);
    let outputs = lines(&stack, &retry.outputs_key()).await;
    let said: Vec<&Value> = outputs.iter().map(|output| &output["output"]).collect();
    assert_eq!(said, ["healed", "whole"]);
    // The retry has only the cost of the item that it ran.
    assert_eq!(sealed["totals"]["cost_usd"], results[0]["totals"]["cost_usd"]);
    assert_eq!(statuses(&stack, &first).await[1], "2 SUCCEEDED");
}

/// When more than three items have failed, no further item is started. A notification reports it while the batch still
/// runs, and the batch then ends as `FAILED`.
#[tokio::test]
async fn too_many_failures_halt_a_batch_and_are_notified_at_once() {
    const ITEMS: u64 = 120;
    let stack = Stack::connect().await;
    let id = fresh("halted");
    let notifications = stack.listen(&id).await;
    // The emulator runs 64 items at a time and ignores `concurrency`, so the batch needs more items than that.
    let manifest_of: Vec<String> = (0..ITEMS)
        .map(|n| json!({ "text": format!("@model *: validation\n{n}") }).to_string())
        .collect();
    let source = upload(&stack, &format!("{id}.jsonl"), manifest_of.join("\n")).await;
    let spec = json!({ "source": source, "tolerated_failure_percent": 3 });
    let message =
        json!({ "workflow": "explain", "id": id, "model": model(Layout::Two), "batch": spec });
    stack.send(&message.to_string()).await;
    let batch = BatchRef::first("default", "explain", &id);
    let sealed = manifest(&stack, &batch).await;
    assert_eq!(
        (&sealed["status"], &sealed["error"]["name"]),
        (&json!("FAILED"), &json!("Bcce.TooManyFailures")),
        "{sealed}"
    );
    let (failed, skipped) = (
        sealed["counts"]["failed"].as_u64().unwrap(),
        sealed["counts"]["skipped"].as_u64().unwrap(),
    );
    assert_eq!(failed + skipped, ITEMS);
    assert!(failed > 3 && skipped > 0, "{sealed}");
    let of_it = |status: &'static str, id: String| {
        move |m: &aws_sdk_sqs::types::Message| {
            m.body().is_some_and(|body| body.contains(&id) && body.contains(status))
        }
    };
    let halted = stack.receive(&notifications, of_it("\"RUNNING\"", batch.batch_id.clone())).await;
    assert!(halted.body().unwrap().contains("(limit: 3); no further one is started"), "{halted:?}");
    stack.receive(&notifications, of_it("\"FAILED\"", batch.batch_id.clone())).await;
    let again = stack.sweep(&notifications, 0).await;
    let notifications = again.iter().filter(|m| {
        m.body().is_some_and(|body| body.contains(&batch.batch_id) && body.contains("\"RUNNING\""))
    });
    assert!(notifications.count() <= 1, "at most one notification must report the halt");
}
