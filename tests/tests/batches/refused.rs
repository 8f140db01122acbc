//! Batches that are refused as a whole: no item runs, and a notification has the reason.

use bcce_core::batch::BatchRef;
use bcce_tests::harness::stack::{Stack, fresh, output};
use bcce_tests::models::FORBIDDEN;
use serde_json::{Value, json};

use crate::batch::{manifest, upload};

/// A batch whose source is empty, unreadable or outside the allowed prefixes, or whose `map` is wrong, ends as
/// `FAILED`. The manifest and the notification have the reason.
#[tokio::test]
async fn a_batch_with_an_unusable_source_or_map_is_refused_with_the_reason() {
    let stack = Stack::connect().await;
    let id = fresh("refused");
    let notifications = stack.listen(&id).await;
    let empty = upload(&stack, &format!("{id}-empty.jsonl"), "\n\n").await;
    let utf_16 = upload(&stack, &format!("{id}-utf16.jsonl"), b"\xff\xfe{\0}\0".to_vec()).await;
    let header = upload(&stack, &format!("{id}.csv"), "a,b,a\n1,2,3\n").await;
    let bucket = output("ArtifactBucket");
    let text = json!({ "text": "{{ item.text }}" });
    let table = [
        ("explain", json!({ "source": empty }), "batch.source: has no items"),
        (
            "explain",
            json!({ "source": utf_16 }),
            "batch.source: is UTF-16, by its byte-order mark; it must be UTF-8",
        ),
        (
            "explain",
            json!({ "source": header }),
            "batch.source: columns 1 and 3 have the same name",
        ),
        (
            "explain",
            json!({ "source": format!("s3://{bucket}/batches/uploads/none/"), "map": text }),
            "batch.source: has no items",
        ),
        (
            "explain",
            json!({ "source": format!("s3://{bucket}/batches/uploads/none.jsonl") }),
            "batch.source: no such object exists that the stack may read",
        ),
        (
            "explain",
            json!({ "source": empty, "etag": "another" }),
            "batch.source: no object with the ETag another exists that the stack may read",
        ),
        (
            "explain",
            json!({ "source": format!("s3://{bucket}/runs/default/x.jsonl") }),
            "batch.source: must be below batches/inbox/ or batches/uploads/",
        ),
        (
            "explain",
            json!({ "source": empty, "map": { "txt": "{{ item.text }}" } }),
            "batch.map.txt: is not an input of this workflow; it has: audience, text; batch.map: leaves out the input text",
        ),
    ];
    let mut batches = Vec::new();
    for (n, (workflow, spec, _)) in table.iter().enumerate() {
        let id = format!("{id}-{n}");
        let message = json!({ "workflow": workflow, "id": id, "batch": spec });
        stack.send(&message.to_string()).await;
        batches.push(BatchRef::first("default", workflow, &id));
    }
    for (batch, (_, _, expected)) in batches.iter().zip(&table) {
        let sealed = manifest(&stack, batch).await;
        assert_eq!(sealed["status"], "FAILED", "{sealed}");
        let message = sealed["error"]["message"].as_str().unwrap();
        assert!(message.starts_with(expected), "{message}");
        assert_eq!(sealed["counts"]["items"], 0);
        let is_its = |body: &str| body.contains(&batch.batch_id);
        let notification = stack.receive(&notifications, |m| m.body().is_some_and(is_its)).await;
        let notification: Value = serde_json::from_str(notification.body().unwrap()).unwrap();
        assert_eq!(
            (&notification["status"], &notification["error"]),
            (&json!("FAILED"), &sealed["error"])
        );
        assert_eq!(
            (&notification["run_id"], &notification["request_id"]),
            (&Value::Null, &sealed["request_id"])
        );
    }
}

/// A message with invalid fields of `batch` is rejected like an invalid request, with a notification that lists every
/// problem.
#[tokio::test]
async fn a_message_with_an_invalid_batch_is_rejected_with_a_notification() {
    let stack = Stack::connect().await;
    let id = fresh("no-batch");
    let notifications = stack.listen(&id).await;
    let spec = json!({ "source": "http://somewhere", "concurrency": 0 });
    stack.send(&json!({ "workflow": "explain", "id": id, "batch": spec }).to_string()).await;
    let notification =
        stack.receive(&notifications, |m| m.body().is_some_and(|body| body.contains(&id))).await;
    let notification: Value = serde_json::from_str(notification.body().unwrap()).unwrap();
    assert_eq!(notification["status"], "REJECTED");
    let message = notification["error"]["message"].as_str().unwrap();
    for part in ["batch.source: must be s3://", "batch.concurrency: must be 1 to 10000"] {
        assert!(message.contains(part), "{message}");
    }
}

/// A batch with a forbidden model or tag, or with a worst case above the limit, is refused before any item runs.
#[tokio::test]
async fn a_batch_that_policy_forbids_runs_no_item() {
    let stack = Stack::connect().await;
    let id = fresh("forbidden");
    let source = upload(&stack, &format!("{id}.jsonl"), "{\"text\":\"a\"}\n").await;
    let many = upload(&stack, &format!("{id}-many.jsonl"), "{\"text\":\"a\"}\n".repeat(200)).await;
    let dear = format!("{id}-dear");
    let template = format!(
        "version: 1\nname: {dear}\ninputs:\n  text: {{ type: string }}\nsteps:\n- {{ id: a, model: sonnet, max_tokens: 60000, prompt: \"{{{{ inputs.text }}}}\", output: {{ type: json }} }}\n"
    );
    stack.put_workflow(&dear, &template).await;
    let of = |more: Value, source: &str| {
        let mut message = json!({ "workflow": "explain", "batch": { "source": source } });
        for (name, value) in more.as_object().unwrap() {
            message[name] = value.clone();
        }
        message
    };
    #[rustfmt::skip]
    let table = [
        (of(json!({ "model": FORBIDDEN }), &source), "Bcce.PolicyViolation", "model: tenant default may not use withheld"),
        (of(json!({ "workflow": "code-review", "model": "opus" }), &source), "Bcce.PolicyViolation", "model: opus is not among the models that a request may name"),
        (of(json!({ "tags": { "guarded-cost-center": "1" } }), &source), "Bcce.PolicyViolation", "tags.guarded-cost-center: must be one of 4711 for tenant default"),
        (of(json!({ "workflow": dear }), &many), "Bcce.BudgetExceeded", "budgets.one-batch: the batch's 200 items may make 400 calls and cost up to $"),
    ];
    for (n, (mut message, name, expected)) in table.into_iter().enumerate() {
        let id = format!("{id}-{n}");
        message["id"] = json!(id);
        stack.send(&message.to_string()).await;
        let workflow = message["workflow"].as_str().unwrap();
        let sealed = manifest(&stack, &BatchRef::first("default", workflow, &id)).await;
        assert_eq!((&sealed["status"], &sealed["error"]["name"]), (&json!("FAILED"), &json!(name)));
        let message = sealed["error"]["message"].as_str().unwrap();
        assert!(message.starts_with(expected), "{expected} is missing in {message}");
        assert_eq!(sealed["counts"]["items"], 0);
    }
}
