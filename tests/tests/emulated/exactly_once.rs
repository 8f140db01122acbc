//! A message that is delivered several times: one execution, one call for each step, and one count.

use aws_sdk_dynamodb::types::AttributeValue;
use bcce_core::ledger::usage::usage_pk;
use bcce_core::ledger::{attempt_sk, run_pk};
use bcce_tests::harness::stack::{RunRef, Stack, calls, fresh, output};
use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A message that is sent three times at once, and again after its run is over, leaves one execution, one call, one set
/// of artifacts and one record.
#[tokio::test]
async fn a_message_sent_several_times_is_one_execution_one_call_and_one_record() {
    let stack = Stack::connect().await;
    let id = fresh("three-times");
    let body =
        json!({ "workflow": "explain", "id": id, "inputs": { "text": "A breaker." } }).to_string();
    let (_, _, _) = tokio::join!(stack.send(&body), stack.send(&body), stack.send(&body));
    let run = RunRef::first("default", "explain", &id);
    let manifest = stack.manifest(&run).await;
    // The fourth message is sent after the run is over.
    stack.send(&body).await;
    stack.inbox_is_empty().await;

    let executions =
        stack.sfn.list_executions().state_machine_arn(output("WorkflowArn")).max_results(1000);
    let executions = executions.send().await.unwrap();
    let named = |name: &str| executions.executions().iter().filter(|e| e.name() == name).count();
    assert_eq!(named(&run.execution_name()), 1);
    assert_eq!(named(&format!("{}-r2", run.run_id)), 0);
    assert_eq!(calls(&run).len(), 1, "each step must have one call");
    assert_eq!(stack.keys(&run).await.len(), 5, "request, plan, answer, manifest, signature");

    let records = query(&stack, &run_pk(&run.run_id)).await;
    assert_eq!(records.len(), 1);
    assert_eq!(records[0]["sk"].as_s().unwrap(), &attempt_sk(1));
    assert_eq!(records[0]["status"].as_s().unwrap(), "SUCCEEDED");
    assert_eq!(
        records[0]["cost_usd"].as_n().unwrap(),
        manifest["totals"]["cost_usd"].as_str().unwrap()
    );

    // A run is counted in the shard of its day and id. Other runs may share the shard, so the test only checks that the
    // counter of this model and region has at least one call.
    let line = &manifest["usage_by_step"][0];
    let started =
        OffsetDateTime::parse(manifest["started_at"].as_str().unwrap(), &Rfc3339).unwrap();
    let usage = query(&stack, &usage_pk(started.date(), &run.run_id)).await;
    let is_its = |item: &&Item| {
        ["region", "model_id", "step"].iter().all(|name| {
            item.get(*name).is_some_and(|found| {
                found.as_s().ok() == line[*name].as_str().map(str::to_owned).as_ref()
            })
        })
    };
    let counter = usage.iter().find(is_its).expect("a counter of the step and target");
    assert!(counter["calls"].as_n().unwrap().parse::<u64>().unwrap() >= 1);
}

/// A message that is sent again after its run is over adds nothing to the usage counters.
#[tokio::test]
async fn usage_is_counted_once() {
    let stack = Stack::connect().await;
    let id = fresh("counted");
    // No other test calls opus in us-west-2, so only this run changes the counter.
    let body = json!({ "workflow": "explain", "id": id, "model": "opus",
                       "inputs": { "text": "@model us-east-1: unavailable\nA breaker." } });
    let run = RunRef::first("default", "explain", &id);
    let before = counted(&stack, &run).await;
    for _ in 0..3 {
        stack.send(&body.to_string()).await;
        stack.manifest(&run).await;
        stack.inbox_is_empty().await;
    }
    assert_eq!(counted(&stack, &run).await - before, 1);
}

/// Returns the calls of opus in us-west-2 that the run's shard has counted today.
async fn counted(stack: &Stack, run: &RunRef) -> u64 {
    let pk = usage_pk(OffsetDateTime::now_utc().date(), &run.run_id);
    let items = query(stack, &pk).await;
    let is = |item: &Item, name: &str, value: &str| {
        item.get(name).is_some_and(|found| found.as_s().is_ok_and(|found| found == value))
    };
    let of_opus = items.iter().filter(|item| {
        is(item, "region", "us-west-2") && is(item, "model_id", "us.anthropic.claude-opus-5-5")
    });
    of_opus.map(|item| item["calls"].as_n().unwrap().parse::<u64>().unwrap()).sum()
}

type Item = std::collections::HashMap<String, AttributeValue>;

async fn query(stack: &Stack, pk: &str) -> Vec<Item> {
    let query = stack
        .dynamodb
        .query()
        .table_name(output("LedgerTable"))
        .key_condition_expression("pk = :pk");
    let query = query.expression_attribute_values(":pk", AttributeValue::S(pk.to_owned()));
    query.send().await.unwrap().items.unwrap_or_default()
}
