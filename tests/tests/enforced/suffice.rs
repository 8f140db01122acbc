//! Runs and batches with the permissions of the templates only.

use bcce_core::batch::BatchRef;
use bcce_tests::harness::budgets::with_budgets;
use bcce_tests::harness::stack::{RunRef, Stack, calls, fresh, output, release};
use serde_json::{Value, json};

use crate::signed::Caller;

/// A run that succeeds, a run that fails and a request that is refused are processed from the message to the
/// notification.
#[tokio::test]
async fn the_roles_suffice_for_runs_that_succeed_fail_or_are_refused() {
    let _guard = crate::ONE_AT_A_TIME.lock().await;
    crate::make_up_for_the_emulator(&Caller::root()).await;
    let stack = Stack::connect().await;
    let notifications = stack.listen(&fresh("enforced")).await;
    for (script, status) in [("", "SUCCEEDED"), ("@model *: denied", "FAILED")] {
        let id = fresh("enforced");
        let manifest = stack.explain(&id, script).await;
        assert_eq!(manifest["status"], status, "{manifest}");
        assert_eq!(notification(&stack, &notifications, &id).await["status"], status);
        assert!(
            stack.object(&RunRef::first("default", "explain", &id).signature_key()).await.is_some()
        );
    }
    let id = fresh("enforced");
    stack.send(&json!({ "workflow": "explain", "id": id }).to_string()).await;
    let refused = notification(&stack, &notifications, &id).await;
    assert!(["REJECTED", "FAILED"].contains(&refused["status"].as_str().unwrap()), "{refused}");
}

/// A run that a budget pays is processed, although its first call is lost: `invoke` reserves, and `persist-artifact`
/// commits the lost call.
#[tokio::test]
async fn the_roles_suffice_for_a_run_that_a_budget_pays() {
    let _guard = crate::ONE_AT_A_TIME.lock().await;
    crate::make_up_for_the_emulator(&Caller::root()).await;
    let stack = Stack::connect().await;
    let name = fresh("paid");
    let workflow = format!(
        "version: 1\nname: {name}\ninputs:\n  text: {{ type: string }}\nsteps:\n\
         - {{ id: answer, model: haiku, max_tokens: 100, prompt: \"{{{{ inputs.text }}}}\" }}\n"
    );
    stack.put_workflow(&name, &workflow).await;
    let budget = format!("{{ scope: workflow, only: [{name}], window: total, usd: 1 }}");
    stack.put_budgets(&with_budgets(&[(name.clone(), budget)].into())).await;
    let text = "@model *: kills, answer\nSay yes.";
    let manifest = stack.run(&name, "a", json!({ "text": text })).await;
    assert_eq!(manifest["status"], "SUCCEEDED", "{manifest}");
    assert_eq!(manifest["steps"][0]["lost_calls"], 1, "{manifest}");
    let state = stack.counter(&format!("{name}:workflow:usd#{name}#total")).await;
    assert!(state.reserved().is_zero() && !state.spent().is_zero(), "{state:?}");
}

/// Batches of a file and of objects are processed from the message to the notification.
#[tokio::test]
async fn the_roles_suffice_for_batches() {
    let _guard = crate::ONE_AT_A_TIME.lock().await;
    crate::make_up_for_the_emulator(&Caller::root()).await;
    let stack = Stack::connect().await;
    let notifications = stack.listen(&fresh("enforced")).await;
    let (bucket, folder) =
        (output("ArtifactBucket"), format!("batches/uploads/{}", fresh("enforced")));
    let line = json!({ "text": "A breaker." }).to_string();
    for (key, body) in [("rows.jsonl", line.as_str()), ("docs/a.txt", "A breaker.")] {
        let put = stack.s3.put_object().bucket(&bucket).key(format!("{folder}/{key}"));
        put.body(body.as_bytes().to_vec().into()).send().await.unwrap();
    }
    let uri = format!("s3://{bucket}/{folder}");
    for batch in [
        json!({ "source": format!("{uri}/rows.jsonl") }),
        json!({ "source": format!("{uri}/docs/"), "map": { "text": "{{ item.text }}" } }),
    ] {
        let id = fresh("enforced");
        stack.send(&json!({ "workflow": "explain", "id": id, "batch": batch }).to_string()).await;
        let notification_text = notification(&stack, &notifications, &id).await;
        assert_eq!(notification_text["status"], "SUCCEEDED", "{notification_text}");
        assert_eq!(
            (&notification_text["counts"]["succeeded"], &notification_text["run_id"]),
            (&json!(1), &Value::Null)
        );
        let batch = BatchRef::first("default", "explain", &id);
        for key in [batch.signature_key(), batch.outputs_key()] {
            assert!(stack.object(&key).await.is_some(), "{key}");
        }
    }
}

/// A batch in bulk mode is processed: records, the job, its answers, and a run on demand for the record that the job
/// loses.
#[tokio::test]
async fn the_roles_suffice_for_a_batch_in_bulk() {
    let _guard = crate::ONE_AT_A_TIME.lock().await;
    crate::make_up_for_the_emulator(&Caller::root()).await;
    let stack = Stack::connect().await;
    let (id, bucket) = (fresh("enforced"), output("ArtifactBucket"));
    let notifications = stack.listen(&id).await;
    let key = format!("batches/uploads/{id}.jsonl");
    let line = |n: u32| match n {
        1 => json!({ "text": "@bulk lost\nA breaker." }).to_string(),
        n => json!({ "text": format!("Breaker {n}.") }).to_string(),
    };
    let lines: Vec<String> = (1..=101).map(line).collect();
    let put = stack.s3.put_object().bucket(&bucket).key(&key);
    put.body(lines.join("\n").into_bytes().into()).send().await.unwrap();
    let batch = json!({ "source": format!("s3://{bucket}/{key}"), "mode": "bulk" });
    stack.send(&json!({ "workflow": "explain", "id": id, "batch": batch }).to_string()).await;
    let notification_text = notification(&stack, &notifications, &id).await;
    assert_eq!(notification_text["status"], "SUCCEEDED", "{notification_text}");
    let batch = BatchRef::first("default", "explain", &id);
    let sealed = stack.object(&batch.manifest_key()).await.unwrap();
    let sealed: Value = serde_json::from_slice(&sealed).unwrap();
    assert_eq!(sealed["bulk"][0]["status"], "Completed", "{sealed}");
}

/// The finalize machine seals, counts and notifies about a run and a batch whose executions are stopped.
#[tokio::test]
async fn the_roles_suffice_to_finalize_runs_and_batches() {
    let _guard = crate::ONE_AT_A_TIME.lock().await;
    crate::make_up_for_the_emulator(&Caller::root()).await;
    let stack = Stack::connect().await;
    let notifications = stack.listen(&fresh("enforced")).await;
    let (id, bucket) = (fresh("enforced"), output("ArtifactBucket"));
    let text = format!("@model *: held({id})\nA breaker.");
    let run = json!({ "workflow": "explain", "id": id, "inputs": { "text": text } });
    stack.send(&run.to_string()).await;
    let run = RunRef::first("default", "explain", &id);
    stack.eventually("the call of the run", async || calls(&run).pop()).await;
    stack.sfn.stop_execution().execution_arn(stack.arn(&run)).send().await.unwrap();

    let key = format!("batches/uploads/{id}.jsonl");
    let put = stack.s3.put_object().bucket(&bucket).key(&key);
    put.body(json!({ "text": text }).to_string().into_bytes().into()).send().await.unwrap();
    let batch_id = fresh("enforced");
    let batch = json!({ "source": format!("s3://{bucket}/{key}") });
    let message = json!({ "workflow": "explain", "id": batch_id, "batch": batch });
    stack.send(&message.to_string()).await;
    let batch = BatchRef::first("default", "explain", &batch_id);
    let places = batch.places_key(1);
    stack.eventually(&places, async || stack.object(&places).await).await;
    let machine = output("BatchArn").replacen(":stateMachine:", ":execution:", 1);
    let execution = format!("{machine}:{}", batch.execution_name());
    stack.sfn.stop_execution().execution_arn(execution).send().await.unwrap();
    release(&id);
    // The only step of the run is answered after the stop. So the run has its result and ends as `SUCCEEDED`.
    for (id, status, signature) in
        [(id, "SUCCEEDED", run.signature_key()), (batch_id, "CANCELLED", batch.signature_key())]
    {
        assert_eq!(notification(&stack, &notifications, &id).await["status"], status);
        assert!(stack.object(&signature).await.is_some(), "{signature}");
    }
}

/// Waits for the notification that contains `id`.
async fn notification(stack: &Stack, queue: &str, id: &str) -> Value {
    let message =
        stack.receive(queue, |message| message.body().is_some_and(|body| body.contains(id)));
    serde_json::from_str(message.await.body().unwrap()).unwrap()
}
