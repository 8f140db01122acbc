//! Batches whose execution ended badly, and what the finalize machine does about them.

use bcce_core::batch::BatchRef;
use bcce_tests::harness::stack::{Stack, fresh, output, release};
use serde_json::{Value, json};

use crate::batch::{arn, manifest, sealed, status, upload};

/// A batch whose execution is stopped is sealed as `CANCELLED`. There is one notification, although the event of the
/// end arrives three times. Each item is answered after the stop.
#[tokio::test]
async fn a_stopped_batch_is_sealed_and_notified_once() {
    const ITEMS: usize = 6;
    let stack = Stack::connect().await;
    let id = fresh("stopped");
    let notifications = stack.listen(&id).await;
    let items: Vec<String> = (0..ITEMS)
        .map(|n| json!({ "text": format!("@model *: held({id})\n{n}") }).to_string())
        .collect();
    let source = upload(&stack, &format!("{id}.jsonl"), items.join("\n")).await;
    let message = json!({ "workflow": "explain", "id": id, "batch": { "source": source } });
    stack.send(&message.to_string()).await;
    let batch = BatchRef::first("default", "explain", &id);
    let key = batch.places_key(1);
    stack.eventually(&key, async || stack.object(&key).await).await;
    let stop = stack.sfn.stop_execution().execution_arn(arn(&batch));
    stop.cause("by hand").send().await.unwrap();
    release(&id);
    let sealed = sealed(&stack, &batch).await;
    assert_eq!(
        (&sealed["status"], &sealed["counts"]["items"]),
        (&json!("CANCELLED"), &json!(ITEMS)),
        "{sealed}"
    );
    assert_eq!(status(&stack, &batch).await.as_deref(), Some("ABORTED"));
    let first = finalized(&stack, &arn(&batch), 1).await.remove(0);
    // EventBridge may deliver the event more than once.
    for _ in 0..2 {
        let again = stack.sfn.start_execution().state_machine_arn(output("FinalizeArn"));
        again.input(&first).send().await.unwrap();
    }
    finalized(&stack, &arn(&batch), 3).await;
    assert_eq!(notifications_of(&stack, &notifications, &batch).await, ["CANCELLED"]);
}

/// A batch that fails with an error of BCCE has already sealed itself and sent its notification. The finalize machine
/// sends no second one.
#[tokio::test]
async fn a_batch_that_sealed_its_own_failure_is_not_notified_again() {
    let stack = Stack::connect().await;
    let id = fresh("empty");
    let notifications = stack.listen(&id).await;
    let source = upload(&stack, &format!("{id}.jsonl"), "\n").await;
    let message = json!({ "workflow": "explain", "id": id, "batch": { "source": source } });
    stack.send(&message.to_string()).await;
    let batch = BatchRef::first("default", "explain", &id);
    assert_eq!(manifest(&stack, &batch).await["status"], "FAILED");
    finalized(&stack, &arn(&batch), 1).await;
    assert_eq!(notifications_of(&stack, &notifications, &batch).await, ["FAILED"]);
}

/// The finalize machine finalizes a failed batch unless its error begins with `Bcce.`, because then the batch has
/// sealed itself. The event may lack the error and a large input, so the machine reads both from the execution.
#[tokio::test]
async fn a_batch_is_finalized_unless_it_failed_with_an_error_of_bcce() {
    let stack = Stack::connect().await;
    for (error, is_in_event, next) in [
        ("Bcce.Internal", true, "Finalized"),
        ("Unsealed", true, "OpenBatch"),
        ("Bcce.TooManyFailures", false, "Finalized"),
        ("Unsealed", false, "OpenBatch"),
    ] {
        let batch = BatchRef::first("default", "explain", &fresh("ended"));
        let input = serde_json::to_string(&batch).unwrap();
        let mut detail = json!({
            "executionArn": arn(&batch), "status": "FAILED",
            "startDate": 1_793_534_400_000_u64, "stopDate": 1_793_534_408_500_u64,
        });
        if is_in_event {
            detail["error"] = json!(error);
            detail["input"] = json!(input);
        } else {
            detail["executionArn"] = json!(failed_with(&stack, error, &input).await);
        }
        let start = stack.sfn.start_execution().state_machine_arn(output("FinalizeArn"));
        let start = start.input(json!({ "detail": detail }).to_string()).send().await.unwrap();
        let behind = stack.eventually(next, async || {
            let history = stack.sfn.get_execution_history().execution_arn(start.execution_arn());
            let history = history.send().await.unwrap();
            let entered = history.events().iter().filter_map(|e| e.state_entered_event_details());
            let entered = entered.map(|state| state.name().to_owned());
            entered.skip_while(|state| state != "IsAlreadySealed?").nth(1)
        });
        assert_eq!(behind.await, next, "{error}");
    }
}

/// An execution of the finalize machine that fails starts no further one. Otherwise failing executions would start each
/// other forever.
#[tokio::test]
async fn a_failed_execution_of_the_finalize_machine_starts_no_other() {
    let stack = Stack::connect().await;
    // The event names an execution that does not exist, and its input names neither a run nor a batch.
    let nothing = BatchRef::first("default", "explain", &fresh("nothing"));
    let detail = json!({
        "executionArn": arn(&nothing), "status": "FAILED", "input": "{}",
        "startDate": 1_793_534_400_000_u64, "stopDate": 1_793_534_408_500_u64,
    });
    let start = stack.sfn.start_execution().state_machine_arn(output("FinalizeArn"));
    let failing = start.input(json!({ "detail": detail }).to_string()).send().await.unwrap();
    let ended = async || {
        let execution = stack.sfn.describe_execution().execution_arn(failing.execution_arn());
        (execution.send().await.unwrap().status().as_str() == "FAILED").then_some(())
    };
    stack.eventually("its end", ended).await;
    // When the later event of this batch has been handled, an event of the failed execution would have been as well.
    let batch = BatchRef::first("default", "explain", &fresh("later"));
    let start = stack.sfn.start_execution().state_machine_arn(output("BatchArn"));
    let start = start.name(batch.execution_name()).input(serde_json::to_string(&batch).unwrap());
    start.send().await.unwrap();
    let _ = stack.sfn.stop_execution().execution_arn(arn(&batch)).send().await;
    finalized(&stack, &arn(&batch), 1).await;
    let machine = output("FinalizeArn").replacen(":stateMachine:", ":execution:", 1);
    assert_eq!(stack.finalizations(&machine).await, []);
}

/// Waits until an execution was finalized `times` times, and returns the inputs of the finalize machine. Fails if it
/// was finalized more often.
async fn finalized(stack: &Stack, arn: &str, times: usize) -> Vec<String> {
    let found = stack.eventually("the end of the finalize machine", async || {
        let found = stack.finalizations(arn).await;
        (found.len() >= times && found.iter().all(|(_, is_over)| *is_over)).then_some(found)
    });
    let found: Vec<String> = found.await.into_iter().map(|(input, _)| input).collect();
    assert_eq!(found.len(), times, "{found:?}");
    found
}

/// Returns the status of each notification of a batch.
async fn notifications_of(stack: &Stack, queue: &str, batch: &BatchRef) -> Vec<String> {
    let messages = stack.sweep(queue, 60).await;
    let bodies = messages.iter().map(|message| message.body().unwrap());
    let notifications = bodies.map(|body| serde_json::from_str::<Value>(body).unwrap());
    let of_batch = notifications.filter(|notification| notification["batch_id"] == batch.batch_id);
    of_batch.map(|notification| notification["status"].as_str().unwrap().to_owned()).collect()
}

/// Returns the ARN of an execution that failed with `error`, of a machine that only fails.
async fn failed_with(stack: &Stack, error: &str, input: &str) -> String {
    let fail = json!({ "Type": "Fail", "Error": error, "Cause": "why" });
    let definition = json!({ "StartAt": "Failed", "States": { "Failed": fail } });
    let machine = stack.sfn.create_state_machine().name(fresh("failing"));
    let machine = machine.role_arn("arn:aws:iam::000000000000:role/failing");
    let machine = machine.definition(definition.to_string()).send().await.unwrap();
    let execution = stack.sfn.start_execution().state_machine_arn(machine.state_machine_arn());
    let arn = execution.input(input).send().await.unwrap().execution_arn;
    stack
        .eventually(&arn, async || {
            let found = stack.sfn.describe_execution().execution_arn(&arn).send().await.unwrap();
            (found.status().as_str() == "FAILED").then_some(())
        })
        .await;
    arn
}
