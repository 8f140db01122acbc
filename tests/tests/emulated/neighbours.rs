//! A tenant that sends more than it may have under way, and a tenant that sends a single request at the same time.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_sqs::types::QueueAttributeName;
use bcce_core::ledger::slots_pk;
use bcce_core::run::slots::Lane;
use bcce_tests::harness::stack::{RunRef, Stack, fresh, invoke, output, release};
use serde_json::{Value, json};

/// `TenantMaximumRuns` of the local stack.
const LIMIT: u32 = 1_000;

/// Takes a slot of `weight` for `holder`, which is no run, as if the tenant had that many runs under way.
async fn hold(stack: &Stack, tenant: &str, holder: &str, weight: u32) {
    let text = |value: &str| AttributeValue::S(value.to_owned());
    let put = stack.dynamodb.put_item().table_name(output("LedgerTable"));
    let put = put
        .item("pk", text(&slots_pk(Lane::Runs, tenant)))
        .item("sk", text(holder))
        .item("weight", AttributeValue::N(weight.to_string()))
        .item("taken_at", text("2026-01-01T00:00:00Z"))
        .item("expires_at", AttributeValue::N("4102444800".into()));
    put.send().await.unwrap();
}

/// Releases the slot of `holder`.
async fn let_go(stack: &Stack, tenant: &str, holder: &str) {
    let delete = stack.dynamodb.delete_item().table_name(output("LedgerTable"));
    let delete = delete.key("pk", AttributeValue::S(slots_pk(Lane::Runs, tenant)));
    delete.key("sk", AttributeValue::S(holder.to_owned())).send().await.unwrap();
}

/// Returns the holders of the tenant's slots.
async fn holders(stack: &Stack, tenant: &str) -> Vec<String> {
    let query = stack.dynamodb.query().table_name(output("LedgerTable")).consistent_read(true);
    let query = query.key_condition_expression("pk = :pk");
    let pk = AttributeValue::S(slots_pk(Lane::Runs, tenant));
    let got = query.expression_attribute_values(":pk", pk).send().await.unwrap();
    let holder = |item: &HashMap<String, AttributeValue>| item["sk"].as_s().unwrap().clone();
    got.items().iter().map(holder).collect()
}

async fn is_started(stack: &Stack, run: &RunRef) -> bool {
    stack.sfn.describe_execution().execution_arn(stack.arn(run)).send().await.is_ok()
}

async fn send(stack: &Stack, tenant: &str, id: &str, text: &str) -> RunRef {
    let queue = format!("{}-{tenant}", output("InboxQueueUrl"));
    let request = json!({ "workflow": "explain", "id": id, "inputs": { "text": text } });
    stack.send_to(&queue, &request.to_string()).await;
    RunRef::first(tenant, "explain", id)
}

/// A tenant with two free slots sends six requests: two start, and the others wait. A request of another tenant runs
/// meanwhile. The waiting requests run later, and none becomes a dead letter.
#[tokio::test]
async fn a_tenant_above_its_limit_waits_and_another_tenant_does_not() {
    let stack = Stack::connect().await;
    let id = fresh("flood");
    let others = format!("{id}-others");
    hold(&stack, "alpha", &others, LIMIT - 2).await;
    let held = format!("@model *: held({id})\nA breaker opens.");
    let mut flood = Vec::new();
    for n in 0..6 {
        flood.push(send(&stack, "alpha", &format!("{id}-{n}"), &held).await);
    }
    let started = async || {
        let mut started = Vec::new();
        for run in &flood {
            if is_started(&stack, run).await {
                started.push(run.clone());
            }
        }
        started
    };
    stack.eventually("two runs", async || (started().await.len() == 2).then_some(())).await;
    // The run of the other tenant ends while the first tenant's requests still wait.
    let neighbour = send(&stack, "beta", &id, "A breaker opens.").await;
    assert_eq!(stack.manifest(&neighbour).await["status"], "SUCCEEDED");
    assert_eq!(started().await.len(), 2, "the other requests must wait");
    release(&id);
    for run in started().await {
        assert_eq!(stack.manifest(&run).await["status"], "SUCCEEDED");
    }
    let_go(&stack, "alpha", &others).await;
    for run in &flood {
        assert_eq!(stack.manifest(run).await["status"], "SUCCEEDED");
    }
    stack
        .eventually("the end of the slots", async || {
            let holders = holders(&stack, "alpha").await;
            (!holders.iter().any(|holder| flood.iter().any(|run| run.execution_name() == *holder)))
                .then_some(())
        })
        .await;
    let letters = stack.sweep(&output("DeadLetterQueueUrl"), 1).await;
    assert!(!letters.iter().any(|letter| letter.body().unwrap_or_default().contains(&id)));
}

/// Invokes `dispatch` with a message, as the poller of SQS does, and returns the failures that it reports.
fn dispatch(message: &Value) -> Vec<Value> {
    let response = invoke("dispatch", &json!({ "Records": [message] }));
    response["batchItemFailures"].as_array().unwrap_or_else(|| panic!("{response}")).clone()
}

/// Returns how many messages of a queue are delayed.
async fn delayed(stack: &Stack, queue: &str) -> usize {
    let name = QueueAttributeName::ApproximateNumberOfMessagesDelayed;
    let get = stack.sqs.get_queue_attributes().queue_url(queue).attribute_names(name.clone());
    get.send().await.unwrap().attributes().unwrap()[&name].parse().unwrap()
}

/// A waiting message is replaced by a delayed copy from its 50th receive on. Otherwise SQS would make it a dead letter
/// after 100 receives.
#[tokio::test]
async fn a_message_that_has_waited_long_is_replaced_by_a_copy() {
    let stack = Stack::connect().await;
    let (id, tenant) = (fresh("renewed"), "gamma");
    hold(&stack, tenant, &id, LIMIT).await;
    let sample = include_str!("../../../events/dispatch/batch.json");
    let mut message = serde_json::from_str::<Value>(sample).unwrap()["Records"][0].take();
    message["messageId"] = json!(id);
    message["body"] = json!(r#"{"workflow":"explain","inputs":{"text":"A breaker opens."}}"#);
    let inbox = format!("{}-inbox-{tenant}", output("BCCE_STACK"));
    message["eventSourceARN"] = json!(format!("arn:aws:sqs:us-east-1:000000000000:{inbox}"));
    let queue = format!("{}-{tenant}", output("InboxQueueUrl"));
    for (receives, comes_again, copies) in [("49", 1, 0), ("50", 0, 1), ("99", 0, 2)] {
        message["attributes"]["ApproximateReceiveCount"] = json!(receives);
        assert_eq!(dispatch(&message).len(), comes_again, "after {receives} receives");
        assert_eq!(delayed(&stack, &queue).await, copies, "after {receives} receives");
    }
    // Both copies arrive in some minutes and start one run. The slot has to be free then.
    let_go(&stack, tenant, &id).await;
}
