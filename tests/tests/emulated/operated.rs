//! The commands of an operator: `bcce runs retry`, `cancel` and `finalize`, and `bcce dlq`.

use bcce_tests::harness::cli::bcce;
use bcce_tests::harness::stack::{Layout, RunRef, Stack, calls, fresh, model, output, release};
use serde_json::{Value, json};

/// Two concurrent retries of a failed run start one further attempt. It calls only the step that had failed, and has
/// only the cost of that call.
#[tokio::test]
async fn a_retry_of_a_failed_run_does_not_repeat_finished_steps() {
    let stack = Stack::connect().await;
    let name = fresh("retried");
    let notifications = stack.listen(&name).await;
    let model = model(Layout::Two);
    let steps = format!(
        "- {{ id: first, model: {model}, prompt: one }}\n- {{ id: second, model: {model}, prompt: \"@model *: validation, answer\", needs: [first] }}"
    );
    stack.put_workflow(&name, &format!("version: 1\nname: {name}\nsteps:\n{steps}\n")).await;
    stack.send(&json!({ "workflow": name, "id": "1" }).to_string()).await;
    let run = RunRef::first("default", &name, "1");
    assert_eq!(stack.manifest(&run).await["status"], "FAILED");
    stack.finalized(&run).await;
    let paid_before = calls(&run).len();

    let both = [(); 2].map(|()| {
        let id = run.run_id.clone();
        std::thread::spawn(move || bcce("dev", &["runs", "retry", &id, "--wait"]))
    });
    let mut ended: Vec<(i32, String)> =
        both.into_iter().map(|retry| retry.join().unwrap()).collect();
    ended.sort();
    // The second command found the same attempt, or came after its end.
    let (code, text) = &ended[0];
    assert_eq!(*code, 0, "{ended:?}");
    assert!(text.contains("runs output"), "{text}");
    assert!([0, 2].contains(&ended[1].0), "{ended:?}");

    let retry = run.retry().unwrap();
    let manifest = stack.manifest(&retry).await;
    assert_eq!((&manifest["status"], &manifest["attempt_no"]), (&json!("SUCCEEDED"), &json!(2)));
    assert_eq!(calls(&run).len() - paid_before, 1, "the finished step must not be called again");
    let second = stack.step(&run, "second").await;
    assert_eq!(manifest["totals"]["cost_usd"], second["cost_usd"]);
    assert_eq!(manifest["usage_by_model"][0]["calls"], 1);
    assert_eq!(manifest["usage_by_model"].as_array().unwrap().len(), 1);
    let record = stack.record(&retry).await;
    assert_eq!(record["status"].as_s().unwrap(), "SUCCEEDED");
    assert_eq!(record["manifest"].as_s().unwrap(), &retry.manifest_key());
    assert_eq!(stack.record(&run).await["status"].as_s().unwrap(), "FAILED");
    let notification = stack
        .receive(&notifications, |m| {
            m.body().is_some_and(|body| body.contains(&run.run_id) && body.contains("SUCCEEDED"))
        })
        .await;
    let notification: Value = serde_json::from_str(notification.body().unwrap()).unwrap();
    assert_eq!(notification["manifest"], retry.manifest_key());

    for (verb, part) in [
        ("show", "attempt 1"),
        ("explain", "second"),
        ("output", ""),
        ("verify", "verified: SUCCEEDED"),
        ("follow", "runs output"),
    ] {
        let (code, output) = bcce("dev", &["runs", verb, &run.run_id]);
        assert!(code == 0 && output.contains(part), "{verb}: {output}");
    }
    let (code, output) = bcce("dev", &["runs", "retry", &run.run_id]);
    assert!(code == 2 && output.contains("nothing to retry"), "{output}");
}

/// `bcce runs cancel` stops a run and waits until it is sealed. A retry finds the answer of the call that was under
/// way.
#[tokio::test]
async fn a_run_is_cancelled_and_can_be_retried() {
    let stack = Stack::connect().await;
    let name = fresh("cancelled");
    let model = model(Layout::Two);
    let steps = format!(
        "- {{ id: first, model: {model}, prompt: \"@model *: held({name})\" }}\n- {{ id: second, model: {model}, prompt: x, needs: [first] }}"
    );
    stack.put_workflow(&name, &format!("version: 1\nname: {name}\nsteps:\n{steps}\n")).await;
    stack.send(&json!({ "workflow": name, "id": "1" }).to_string()).await;
    let run = RunRef::first("default", &name, "1");
    stack.eventually("the first call", async || calls(&run).pop()).await;
    let (code, output) = bcce("dev", &["runs", "retry", &run.run_id]);
    assert!(code == 2 && output.contains("is running, as attempt 1"), "{output}");
    let (code, output) = bcce("dev", &["runs", "finalize", &run.run_id]);
    assert!(code == 2 && output.contains("is running"), "{output}");
    let cancelled = {
        let id = run.run_id.clone();
        std::thread::spawn(move || bcce("dev", &["runs", "cancel", &id, "--json"]))
    };
    // The command waits for the call that is under way when the run is stopped.
    stack.stopped(&run).await;
    release(&name);
    let (code, output) = cancelled.join().unwrap();
    assert!(code == 0 && output.contains("\"status\": \"CANCELLED\""), "{code}: {output}");
    assert_eq!(stack.manifest(&run).await["status"], "CANCELLED");
    for verb in ["cancel", "finalize"] {
        let (code, output) = bcce("dev", &["runs", verb, &run.run_id]);
        assert!(code == 2 && output.contains("CANCELLED"), "{output}");
    }
    let (code, output) = bcce("dev", &["runs", "retry", &run.run_id, "--wait"]);
    assert_eq!(code, 0, "{output}");
    assert_eq!(calls(&run).len(), 2, "the retry must find the answer of the first step");
}

/// `bcce runs finalize` seals a run that was stopped. EventBridge starts the finalize machine for the same end, and
/// both leave one manifest.
#[tokio::test]
async fn bcce_runs_finalize_seals_a_stopped_run() {
    let stack = Stack::connect().await;
    let name = fresh("finalized");
    let model = model(Layout::Two);
    let steps = format!(
        "- {{ id: first, model: {model}, prompt: \"@model *: held({name})\" }}\n- {{ id: second, model: {model}, prompt: x, needs: [first] }}"
    );
    stack.put_workflow(&name, &format!("version: 1\nname: {name}\nsteps:\n{steps}\n")).await;
    stack.send(&json!({ "workflow": name, "id": "1" }).to_string()).await;
    let run = RunRef::first("default", &name, "1");
    stack.eventually("the first call", async || calls(&run).pop()).await;
    let (code, text) = bcce("dev", &["runs", "cancel", &run.run_id, "--no-wait"]);
    assert!(code == 0 && text.contains("is stopped"), "{code}: {text}");
    stack.stopped(&run).await;
    let finalized = {
        let id = run.run_id.clone();
        std::thread::spawn(move || bcce("dev", &["runs", "finalize", &id]))
    };
    // The EventBridge rule and the command have each started the finalize machine.
    stack.finalizing(&run.run_id, 2).await;
    release(&name);
    let (code, text) = finalized.join().unwrap();
    assert!(code == 0 && text.contains("is finalized: CANCELLED"), "{code}: {text}");
    assert_eq!(stack.manifest(&run).await["status"], "CANCELLED");
}

/// Receiving a message hides it from other readers. So the tests that read the dead letters run one at a time, and
/// repeat a command while another test has hidden the message.
static LETTERS: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// Repeats a command until it exits with `code` and prints `expected`.
async fn letters(stack: &Stack, args: &[&str], code: i32, expected: &str) {
    let what = format!("{args:?} with {expected}");
    stack
        .eventually(&what, async || {
            let (ended, output) = bcce("dev", args);
            (ended == code && output.contains(expected)).then_some(())
        })
        .await;
}

/// `bcce dlq` lists a dead letter, shows it, redrives it and drops it. A message without an id has the id of its SQS
/// message as request id, and keeps that id after a redrive, which makes it a new message.
#[tokio::test]
async fn a_dead_letter_is_listed_redriven_and_dropped() {
    let _guard = LETTERS.lock().await;
    let stack = Stack::connect().await;
    let name = fresh("letter");
    let body = json!({ "workflow": name, "no_such_field": name }).to_string();
    let message_id = stack.send(&body).await;
    let listed = async || {
        let (code, output) = bcce("dev", &["dlq", "list", "--workflow", &name, "--json"]);
        assert_eq!(code, 0, "{output}");
        let from = output.find('[').unwrap();
        let letters: Vec<Value> = serde_json::Deserializer::from_str(&output[from..])
            .into_iter()
            .next()
            .unwrap()
            .unwrap();
        letters.into_iter().next()
    };
    let letter = stack.eventually("the dead letter", listed).await;
    assert_eq!((&letter["tenant"], &letter["request_id"]), (&json!("default"), &json!(message_id)));
    let id = letter["message_id"].as_str().unwrap();
    letters(&stack, &["dlq", "show", id, "--body"], 0, &body).await;
    let all = ["dlq", "redrive", "--all", "--workflow", &name, "--dry-run"];
    letters(&stack, &all, 0, "would send 1 dead letter back").await;
    letters(&stack, &[&all[..], &["--json"]].concat(), 0, "\"sent\": []").await;
    letters(&stack, &["dlq", "redrive", id], 0, "sent 1 dead letter back").await;

    // The message is still invalid. It becomes a dead letter again, under a new message id and with the old request id.
    let again = stack.eventually("the dead letter again", listed).await;
    assert_ne!(again["message_id"], letter["message_id"]);
    assert_eq!(again["request_id"], json!(message_id));
    let id = again["message_id"].as_str().unwrap();
    letters(&stack, &["dlq", "drop", id], 2, "would drop 1 dead letter").await;
    letters(&stack, &["dlq", "drop", id, "--yes", "--json"], 0, "\"dropped\": 1").await;
    assert_eq!(listed().await, None);
    letters(&stack, &["dlq", "drop", id, "--yes"], 2, "no such dead letter").await;
}

/// A redrive that is killed after sending leaves the message in both queues. The request runs once all the same. The
/// message has no reason, like one that SQS itself moved after 100 receives.
#[tokio::test]
async fn a_dead_letter_that_is_redriven_twice_runs_once() {
    let _guard = LETTERS.lock().await;
    let stack = Stack::connect().await;
    let name = fresh("twice");
    stack
        .put_workflow(
            &name,
            &format!(
                "version: 1\nname: {name}\nsteps:\n- {{ id: only, model: haiku, prompt: x }}\n"
            ),
        )
        .await;
    let body = json!({ "workflow": name }).to_string();
    let attribute = |value: &str| {
        let attribute = aws_sdk_sqs::types::MessageAttributeValue::builder().data_type("String");
        attribute.string_value(value).build().unwrap()
    };
    // The copy that was sent before the redrive was killed, and the dead letter that it had not deleted.
    for queue in ["InboxQueueUrl", "DeadLetterQueueUrl"] {
        let send = stack.sqs.send_message().queue_url(output(queue)).message_body(&body);
        let send = send.message_attributes("bcce_request_id", attribute("first"));
        send.message_attributes("tenant", attribute("default")).send().await.unwrap();
    }
    let run = RunRef::first("default", &name, "first");
    assert_eq!(stack.manifest(&run).await["status"], "SUCCEEDED");
    let all = ["dlq", "redrive", "--all", "--workflow", &name];
    letters(&stack, &all, 0, "sent 1 dead letter back").await;
    stack.inbox_is_empty().await;
    assert_eq!(calls(&run).len(), 1);
    let list = stack.sfn.list_executions().state_machine_arn(output("WorkflowArn"));
    let listed = list.max_results(1000).send().await.unwrap();
    let of_it = listed.executions().iter().filter(|one| one.name().starts_with(&name));
    assert_eq!(of_it.count(), 1);
}
