//! Messages and requests that are wrong in themselves: what is rejected, what fails, and what is accepted although it
//! looks odd.

use std::cell::RefCell;
use std::collections::BTreeMap;

use bcce_tests::harness::stack::{RunRef, Stack, calls, fresh, log, output};
use serde_json::{Value, json};

/// A message that is not JSON becomes a dead letter with its reason, and a notification is sent that does not quote it.
/// A valid request behind it runs.
#[tokio::test]
async fn an_invalid_message_becomes_a_dead_letter_and_is_notified() {
    let stack = Stack::connect().await;
    let marker = fresh("no-request");
    let notifications = stack.listen(&marker).await;
    let message_id = stack.send(&format!("this is not JSON: {marker}")).await;
    let good = stack.explain(&fresh("good"), "").await;
    assert_eq!(good["status"], "SUCCEEDED");

    let letters = output("DeadLetterQueueUrl");
    let letter =
        stack.receive(&letters, |m| m.body().is_some_and(|body| body.contains(&marker))).await;
    let attribute =
        |name: &str| letter.message_attributes().unwrap()[name].string_value().unwrap().to_owned();
    assert_eq!(attribute("error"), "Bcce.InvalidRequest");
    assert!(attribute("reason").starts_with("request: is not JSON"), "{}", attribute("reason"));
    assert_eq!(attribute("request_id"), message_id);

    let notification = stack
        .receive(&notifications, |m| m.body().is_some_and(|body| body.contains(&message_id)))
        .await;
    let notification: Value = serde_json::from_str(notification.body().unwrap()).unwrap();
    assert_eq!(
        (&notification["status"], &notification["run_id"]),
        (&json!("REJECTED"), &Value::Null)
    );
    assert!(
        !notification.to_string().contains(&marker),
        "a notification must not quote the message"
    );
}

/// A request with a used id and other inputs becomes a dead letter, so that it does not count as done.
#[tokio::test]
async fn the_same_id_with_another_request_is_refused() {
    let stack = Stack::connect().await;
    let id = fresh("same-id");
    stack.explain(&id, "").await;
    let other =
        json!({ "workflow": "explain", "id": id, "inputs": { "text": "another" } }).to_string();
    stack.send(&other).await;
    let letter = stack.receive(&output("DeadLetterQueueUrl"), |m| m.body() == Some(&other)).await;
    let reason = letter.message_attributes().unwrap()["reason"].string_value().unwrap();
    assert!(reason.starts_with("id: was used before"), "{reason}");
}

/// A run with wrong inputs is sealed and notified with every problem, and calls no model.
#[tokio::test]
async fn a_wrong_input_fails_the_run_before_any_call() {
    let stack = Stack::connect().await;
    let id = fresh("wrong-input");
    let notifications = stack.listen(&id).await;
    let manifest = stack.run("explain", &id, json!({ "text": 7, "txt": "x" })).await;
    let run = RunRef::first("default", "explain", &id);
    assert_eq!(manifest["status"], "FAILED");
    assert_eq!(manifest["error"]["name"], "Bcce.InvalidRequest");
    let message = manifest["error"]["message"].as_str().unwrap();
    assert!(
        message.contains("inputs.text: must be a string")
            && message.contains("inputs.txt: is not an input"),
        "{message}"
    );
    assert!(calls(&run).is_empty());
    let notification = stack
        .receive(&notifications, |m| m.body().is_some_and(|body| body.contains(&run.run_id)))
        .await;
    let notification: Value = serde_json::from_str(notification.body().unwrap()).unwrap();
    assert_eq!(notification["error"], manifest["error"]);
    assert_eq!(notification["totals"]["cost_usd"], "0");
}

/// A hundred requests for workflows that do not exist start no run and leave no object and no metric. Each one is
/// notified and becomes a dead letter, and a valid request behind them runs.
#[tokio::test]
async fn requests_for_unknown_workflows_start_nothing() {
    let stack = Stack::connect().await;
    let id = fresh("stranger");
    let notifications = stack.listen(&id).await;
    let name = |n: usize| format!("made-up-{n}-{id}");
    for n in 0..100 {
        let request = json!({ "workflow": name(n), "id": id, "inputs": {} });
        stack.send(&request.to_string()).await;
    }
    let good = stack.explain(&id, "").await;
    assert_eq!(good["status"], "SUCCEEDED", "{good}");
    let found = RefCell::new(BTreeMap::new());
    stack
        .eventually("a hundred notifications", async || {
            for message in stack.sweep(&notifications, 600).await {
                let notification: Value = serde_json::from_str(message.body().unwrap()).unwrap();
                let workflow = notification["workflow"].as_str().unwrap_or_default().to_owned();
                found.borrow_mut().insert(workflow, notification);
            }
            let found = found.borrow();
            (0..100).all(|n| found.contains_key(&name(n))).then_some(())
        })
        .await;
    let found = found.into_inner();
    for n in 0..100 {
        let (notification, run) = (&found[&name(n)], RunRef::first("default", &name(n), &id));
        assert_eq!(
            (&notification["status"], &notification["run_id"]),
            (&json!("REJECTED"), &Value::Null)
        );
        let message = notification["error"]["message"].as_str().unwrap();
        let expected = format!("workflow: there is no workflow {}", name(n));
        assert!(message.starts_with(&expected), "{message}");
        assert!(stack.keys(&run).await.is_empty());
        let execution = stack.sfn.describe_execution().execution_arn(stack.arn(&run));
        assert!(execution.send().await.is_err(), "{} was started", run.run_id);
    }
    // Metrics are JSON documents in the logs of functions, with a member for each dimension.
    for function in ["dispatch", "emit-metrics"] {
        for metric in metrics(function) {
            assert!(!metric.to_string().contains("made-up-"), "{function}: {metric}");
        }
    }
    assert!(
        !metrics("dispatch").is_empty() || !metrics("emit-metrics").is_empty(),
        "the logs must have metrics"
    );
    // Other tests receive from the same queue, which hides messages for a moment.
    let moved = RefCell::new(BTreeMap::new());
    stack
        .eventually("a hundred dead letters", async || {
            for letter in stack.sweep(&output("DeadLetterQueueUrl"), 1).await {
                if letter.body().is_some_and(|body| body.contains(&id)) {
                    moved.borrow_mut().insert(letter.message_id.clone(), ());
                }
            }
            (moved.borrow().len() == 100).then_some(())
        })
        .await;
}

/// Returns the metrics that a function has written to its log.
fn metrics(function: &str) -> Vec<Value> {
    let log = log(function);
    let pages = serde_json::Deserializer::from_str(&log).into_iter::<Vec<Value>>();
    let events = pages.flat_map(|page| page.unwrap());
    let lines = events.flat_map(|event| {
        let message = event["message"].as_str().unwrap_or_default();
        message.lines().map(str::to_owned).collect::<Vec<_>>()
    });
    let documents = lines.filter_map(|line| serde_json::from_str::<Value>(&line).ok());
    documents.filter(|document| document["_aws"].is_object()).collect()
}

/// A request of 900 KB, close to the limit of SQS, runs to its end.
#[tokio::test]
async fn a_request_of_900_kb_runs() {
    let stack = Stack::connect().await;
    let text = "word ".repeat(180_000);
    let manifest = stack.run("explain", &fresh("large"), json!({ "text": text })).await;
    assert_eq!(manifest["status"], "SUCCEEDED", "{manifest}");
}

/// A field name of 300 KB is rejected with a reason of less than 1,000 bytes. The whole name would be too long for a
/// notification.
#[tokio::test]
async fn a_field_name_of_300_kb_is_rejected_with_a_short_reason() {
    let stack = Stack::connect().await;
    let marker = fresh("field");
    let body = format!(r#"{{"workflow":"explain","{marker}{}":1}}"#, "x".repeat(300_000));
    stack.send(&body).await;
    let letters = output("DeadLetterQueueUrl");
    let is_ours = |body: &str| body.contains(&marker);
    let letter = stack.receive(&letters, |m| m.body().is_some_and(is_ours)).await;
    let reason = letter.message_attributes().unwrap()["reason"].string_value().unwrap();
    assert!(reason.len() < 1_000, "{} bytes", reason.len());
}

/// An id may have quotes, line breaks, control characters and template syntax. The run succeeds under it, and a second
/// request with the same id still becomes a dead letter.
#[tokio::test]
async fn an_id_may_have_any_characters() {
    let stack = Stack::connect().await;
    let id = format!("é☃ \"'\\\n\u{1}/{{{{ x }}}}-{}", fresh("odd"));
    let manifest = stack.explain(&id, "").await;
    assert_eq!((&manifest["status"], &manifest["request_id"]), (&json!("SUCCEEDED"), &json!(id)));
    // The reason for the second request is sent as a message attribute, which must not have control characters.
    let other =
        json!({ "workflow": "explain", "id": id, "inputs": { "text": "another" } }).to_string();
    stack.send(&other).await;
    stack.receive(&output("DeadLetterQueueUrl"), |m| m.body() == Some(&other)).await;
}
