use std::cell::RefCell;
use std::collections::BTreeMap;

use bcce_tests::harness::stack::{RunRef, Stack, calls, fresh, log, output};
use serde_json::{Value, json};

/// A message that is not a request goes to the dead letters with its reason, has its notification, and delays nobody.
#[tokio::test]
async fn a_message_that_is_no_request_is_moved_and_notified() {
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
        "a notification never quotes what was sent"
    );
}

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

/// A run that may not start is sealed, counted and notified all the same, and calls no model.
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

/// A hundred names that somebody made up: no run, no object, no metric, and the good request behind them runs.
#[tokio::test]
async fn names_that_nobody_has_start_nothing() {
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
    // Metrics are documents in the logs of functions, with their dimensions as members.
    for function in ["dispatch", "emit-metrics"] {
        for metric in metrics(function) {
            assert!(!metric.to_string().contains("made-up-"), "{function}: {metric}");
        }
    }
    assert!(!metrics("dispatch").is_empty() || !metrics("emit-metrics").is_empty(), "none is read");
    // Other tests look through the same queue, and hide what they see for a moment.
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

/// The metrics that a function has written into its log.
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

#[tokio::test]
async fn a_largest_input_goes_all_the_way() {
    let stack = Stack::connect().await;
    let text = "word ".repeat(180_000);
    let manifest = stack.run("explain", &fresh("large"), json!({ "text": text })).await;
    assert_eq!(manifest["status"], "SUCCEEDED", "{manifest}");
}

/// A sender may choose any length for a name. A notification shortens it, since it would be too long otherwise.
#[tokio::test]
async fn a_field_of_300_kb_is_rejected_like_any_other() {
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

#[tokio::test]
async fn an_id_of_odd_characters_is_an_id() {
    let stack = Stack::connect().await;
    let id = format!("é☃ \"'\\\n\u{1}/{{{{ x }}}}-{}", fresh("odd"));
    let manifest = stack.explain(&id, "").await;
    assert_eq!((&manifest["status"], &manifest["request_id"]), (&json!("SUCCEEDED"), &json!(id)));
    // The same id with another request: the reason goes out as an attribute, which takes no control characters.
    let other =
        json!({ "workflow": "explain", "id": id, "inputs": { "text": "another" } }).to_string();
    stack.send(&other).await;
    stack.receive(&output("DeadLetterQueueUrl"), |m| m.body() == Some(&other)).await;
}
