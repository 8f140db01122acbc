//! Runs whose execution ended before it had closed them, and what the finalize machine does about them.

use bcce_tests::harness::stack::{RunRef, Stack, calls, fresh, invoke, output, release};
use serde_json::{Value, json};

const TIMED_OUT: &str = include_str!("../../../events/finalize/run-timed-out.json");

/// A run whose execution is stopped during its first call ends as `CANCELLED`, with one notification. The call
/// continues and is paid, so the manifest has its answer and cost.
#[tokio::test]
async fn a_run_that_is_stopped_by_hand_is_sealed_counted_and_notified_once() {
    let stack = Stack::connect().await;
    let name = fresh("stopped");
    let notifications = stack.listen(&name).await;
    let steps = format!(
        "- {{ id: first, model: haiku, prompt: \"@model *: held({name})\" }}\n- {{ id: second, model: haiku, prompt: x, needs: [first] }}"
    );
    stack.put_workflow(&name, &format!("version: 1\nname: {name}\nsteps:\n{steps}\n")).await;
    stack.send(&json!({ "workflow": name, "id": "1" }).to_string()).await;
    let run = RunRef::first("default", &name, "1");
    stack.eventually("the first call", async || calls(&run).pop()).await;
    stack.sfn.stop_execution().execution_arn(stack.arn(&run)).send().await.unwrap();
    release(&name);

    let manifest = stack.manifest(&run).await;
    assert_eq!((&manifest["status"], manifest.get("error")), (&json!("CANCELLED"), None));
    let statuses: Vec<&str> =
        (0..2).filter_map(|n| manifest["steps"][n]["status"].as_str()).collect();
    assert_eq!(statuses, ["SUCCEEDED", "SKIPPED"]);
    let answer = run.step_key("first", None);
    let listed = manifest["artifacts"].as_array().unwrap();
    assert!(listed.iter().any(|artifact| artifact["key"] == answer), "{listed:#?}");
    assert_ne!(manifest["totals"]["cost_usd"], "0", "the answered call must be counted");
    assert_eq!(calls(&run).len(), 1);

    stack.finalized(&run).await;
    assert_eq!(stack.record(&run).await["status"].as_s().unwrap(), "CANCELLED");
    assert_eq!(notifications_of(&stack, &notifications, &run).await, ["CANCELLED"]);
}

/// A run that fails in its own machine is already sealed, counted and notified. The finalize machine, which its end
/// starts, sends no second notification.
#[tokio::test]
async fn a_run_that_sealed_its_own_failure_is_not_notified_again() {
    let stack = Stack::connect().await;
    let id = fresh("failed");
    let notifications = stack.listen(&id).await;
    let manifest = stack.explain(&id, "@model *: validation").await;
    assert_eq!(manifest["status"], "FAILED");
    let run = RunRef::first("default", "explain", &id);
    stack.finalized(&run).await;
    assert_eq!(notifications_of(&stack, &notifications, &run).await, ["FAILED"]);
}

/// A run that timed out or exceeded a limit of Step Functions is finalized and notified once, although its event
/// arrives twice. The emulator has no time-out and no limits of executions, so the test sends recorded events.
#[tokio::test]
async fn a_run_that_timed_out_or_exceeded_a_limit_is_finalized_once() {
    let stack = Stack::connect().await;
    for (status, error, expected) in [
        ("TIMED_OUT", Value::Null, "the execution timed out"),
        (
            "FAILED",
            json!("States.DataLimitExceeded"),
            "the execution ended with States.DataLimitExceeded",
        ),
    ] {
        let id = fresh("killed");
        let notifications = stack.listen(&id).await;
        let run = RunRef::first("default", "explain", &id);
        let mut event: Value = serde_json::from_str(TIMED_OUT).unwrap();
        let detail = &mut event["detail"];
        detail["input"] = json!(serde_json::to_string(&run).unwrap());
        detail["executionArn"] = json!(stack.arn(&run));
        detail["status"] = json!(status);
        detail["error"] = error;
        detail["cause"] = json!("it quotes the state: hunter2");
        for _ in 0..2 {
            let start = stack.sfn.start_execution().state_machine_arn(output("FinalizeArn"));
            start.input(event.to_string()).send().await.unwrap();
        }
        stack.finalized(&run).await;
        let manifest = stack.object(&run.manifest_key()).await.unwrap();
        let manifest: Value = serde_json::from_slice(&manifest).unwrap();
        assert_eq!(manifest["status"], "FAILED");
        assert_eq!(manifest["error"], json!({ "name": "Bcce.Internal", "message": expected }));
        assert_eq!(stack.record(&run).await["status"].as_s().unwrap(), "FAILED");
        assert_eq!(notifications_of(&stack, &notifications, &run).await, ["FAILED"]);
    }
}

/// If the event of an execution's end has no `error` and `cause`, the machine reads them from the execution, because
/// AWS does not document that the event contains them.
#[tokio::test]
async fn details_that_the_event_lacks_are_read_from_the_execution() {
    let stack = Stack::connect().await;
    let id = fresh("uncounted");
    let run = RunRef::first("default", "explain", &id);
    let input = serde_json::to_string(&run).unwrap();
    let cause = "the run is sealed but could not be counted";
    let fail = json!({ "Type": "Fail", "Error": "Bcce.Internal", "Cause": cause });
    let definition = json!({ "StartAt": "Uncounted", "States": { "Uncounted": fail } });
    let machine = stack
        .sfn
        .create_state_machine()
        .name(fresh("failing"))
        .role_arn("arn:aws:iam::000000000000:role/failing");
    let machine = machine.definition(definition.to_string()).send().await.unwrap();
    let execution = stack.sfn.start_execution().state_machine_arn(machine.state_machine_arn());
    let execution = execution.input(&input).send().await.unwrap();
    let arn = execution.execution_arn();
    stack
        .eventually("its end", async || {
            let found = stack.sfn.describe_execution().execution_arn(arn).send().await.unwrap();
            (found.status().as_str() == "FAILED").then_some(())
        })
        .await;

    let mut event: Value = serde_json::from_str(TIMED_OUT).unwrap();
    let detail = event["detail"].as_object_mut().unwrap();
    detail.retain(|field, _| !["error", "cause"].contains(&field.as_str()));
    detail.extend([
        ("input".to_owned(), json!(input)),
        ("executionArn".to_owned(), json!(arn)),
        ("status".to_owned(), json!("FAILED")),
    ]);
    let start = stack.sfn.start_execution().state_machine_arn(output("FinalizeArn"));
    start.input(event.to_string()).send().await.unwrap();
    stack.finalized(&run).await;
    let manifest = stack.object(&run.manifest_key()).await.unwrap();
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();
    assert_eq!(manifest["error"], json!({ "name": "Bcce.Internal", "message": cause }));
}

/// The finalize machine of a run is stopped, so the run stays RUNNING, as it does if the event of its end is lost. A
/// sweep leaves the run alone as long as it is being finalized. The next one finalizes it, and a third finds nothing.
#[tokio::test]
async fn a_run_that_nobody_finalized_is_swept_once() {
    let stack = Stack::connect().await;
    let name = fresh("swept");
    let notifications = stack.listen(&name).await;
    let steps = format!(
        "- {{ id: first, model: haiku, prompt: \"@model *: held({name})\" }}\n- {{ id: second, model: haiku, prompt: x, needs: [first] }}"
    );
    stack.put_workflow(&name, &format!("version: 1\nname: {name}\nsteps:\n{steps}\n")).await;
    stack.send(&json!({ "workflow": name, "id": "1" }).to_string()).await;
    let run = RunRef::first("default", &name, "1");
    stack.eventually("the first call", async || calls(&run).pop()).await;
    stack.sfn.stop_execution().execution_arn(stack.arn(&run)).send().await.unwrap();
    stack.finalizing(&run.run_id, 1).await;
    let sweep = || {
        let swept = invoke("sweep", &json!({ "older_than_s": 0, "only": run.run_id }));
        assert_eq!(swept["is_complete"], true, "{swept}");
        ["checked", "finalized", "left"].map(|field| swept[field].as_u64())
    };
    assert_eq!(sweep(), [Some(1), Some(0), Some(1)], "it is being finalized");

    stop_finalizing(&stack, &run).await;
    release(&name);
    assert_eq!(stack.record(&run).await["status"].as_s().unwrap(), "RUNNING");
    assert_eq!(sweep(), [Some(1), Some(1), Some(0)]);
    stack.finalized(&run).await;
    assert_eq!(stack.record(&run).await["status"].as_s().unwrap(), "CANCELLED");
    assert_eq!(sweep(), [Some(1), Some(0), Some(0)], "its record is closed");
    assert_eq!(stack.finalizations(&run.run_id).await.len(), 2);
    assert_eq!(calls(&run).len(), 1);
    assert_eq!(notifications_of(&stack, &notifications, &run).await, ["CANCELLED"]);
}

/// Stops the executions of the finalize machine that finalize a run.
async fn stop_finalizing(stack: &Stack, run: &RunRef) {
    let list = stack.sfn.list_executions().state_machine_arn(output("FinalizeArn"));
    let listed = list.status_filter("RUNNING".into()).send().await.unwrap();
    for execution in listed.executions() {
        let arn = execution.execution_arn();
        let described = stack.sfn.describe_execution().execution_arn(arn).send().await.unwrap();
        if described.input().unwrap_or_default().contains(&run.run_id) {
            stack.sfn.stop_execution().execution_arn(arn).send().await.unwrap();
        }
    }
}

/// Returns the status of each notification of a run.
async fn notifications_of(stack: &Stack, queue: &str, run: &RunRef) -> Vec<String> {
    let messages = stack.sweep(queue, 60).await;
    let notifications =
        messages.iter().map(|m| serde_json::from_str::<Value>(m.body().unwrap()).unwrap());
    let of_run = notifications.filter(|notification| notification["run_id"] == run.run_id);
    of_run.map(|notification| notification["status"].as_str().unwrap().to_owned()).collect()
}
