//! The routing strategies `round-robin`, `latency` and `cost`.

use aws_sdk_dynamodb::types::AttributeValue;
use bcce_core::ledger::target_pk;
use bcce_tests::harness::stack::{Layout, Stack, fresh, model, output};
use bcce_tests::models::model_id;
use futures::StreamExt;
use serde_json::json;

use crate::breakers::{EAST, WEST, calls_of, seen};

/// Stores a workflow of one step with a strategy, and returns its name. `step` has further fields of the step.
async fn workflow(stack: &Stack, strategy: &str, step: &str) -> String {
    let name = fresh(strategy);
    let body = format!(
        "version: 1\nname: {name}\nrequest_models: [\"test-*\"]\nrouting: {{ strategy: {strategy} }}\ninputs:\n  text: {{ type: string }}\nsteps:\n- id: answer\n  model: haiku\n  prompt: \"{{{{ inputs.text }}}}\"\n{step}"
    );
    stack.put_workflow(&name, &body).await;
    name
}

/// Makes a run for each number, several at a time.
async fn runs(
    stack: &Stack,
    workflow: &str,
    model: &str,
    script: &str,
    numbers: std::ops::Range<usize>,
) {
    let runs = futures::stream::iter(numbers).map(async |n| {
        let request = json!({ "workflow": workflow, "id": n.to_string(), "model": model, "inputs": { "text": script } });
        stack.send(&request.to_string()).await;
        let run = bcce_tests::harness::stack::RunRef::first("default", workflow, &n.to_string());
        let manifest = stack.manifest(&run).await;
        assert_eq!(manifest["status"], "SUCCEEDED", "{manifest}");
    });
    runs.buffer_unordered(6).collect::<()>().await;
}

/// Both regions get calls with `round-robin`.
#[tokio::test]
async fn round_robin_calls_both_regions() {
    let stack = Stack::connect().await;
    let (model, workflow) = (model(Layout::Two), workflow(&stack, "round-robin", "").await);
    runs(&stack, &workflow, &model, "", 0..20).await;
    let calls = calls_of(&model);
    let (east, west) = (seen(&calls, EAST), seen(&calls, WEST));
    assert_eq!(east + west, 20);
    // The choice is random. Of 20 fair coins, fewer than 2 show heads, or fewer than 2 show tails, once in 25,000
    // times.
    assert!(east >= 2 && west >= 2, "{east} and {west}");
}

/// Most calls go to the faster region with `latency`, as soon as both regions are measured.
#[tokio::test]
async fn the_latency_strategy_prefers_the_faster_region() {
    let stack = Stack::connect().await;
    let (model, workflow) = (model(Layout::Two), workflow(&stack, "latency", "").await);
    let script = "@model us-east-1: slow(1000)\n@model us-west-2: slow(20)";
    // One step in four calls a target that has too few measurements. So the number of runs until both are measured is
    // random.
    let mut learning = 0;
    while !is_measured(&stack, &model, EAST).await || !is_measured(&stack, &model, WEST).await {
        assert!(learning < 120, "{learning} runs did not measure both regions");
        runs(&stack, &workflow, &model, script, learning..learning + 6).await;
        learning += 6;
    }
    let learnt = calls_of(&model).len();
    runs(&stack, &workflow, &model, script, learning..learning + 20).await;
    let west = seen(&calls_of(&model)[learnt..], WEST);
    assert!(west >= 16, "{west} of 20 calls went to the faster region");
}

/// Returns true if the ledger has enough measurements of a region.
async fn is_measured(stack: &Stack, model: &str, region: &str) -> bool {
    let pk = target_pk(&format!("{region}#{}", model_id("us", model)));
    let query = stack.dynamodb.query().table_name(output("LedgerTable")).consistent_read(true);
    let query = query.key_condition_expression("pk = :pk AND begins_with(sk, :latency)");
    let query = query.expression_attribute_values(":pk", AttributeValue::S(pk));
    let query = query.expression_attribute_values(":latency", AttributeValue::S("latency#".into()));
    let slots = query.send().await.unwrap().items.unwrap_or_default();
    let counts = slots.iter().flatten().filter(|(name, _)| name.starts_with("bucket_"));
    counts.map(|(_, calls)| calls.as_n().unwrap().parse::<u64>().unwrap()).sum::<u64>() >= 5
}

/// The cheaper target gets all calls with `cost`, and the ledger records that its prompt cache is warm.
#[tokio::test]
async fn the_cost_strategy_prefers_the_cheaper_target_and_records_its_cache() {
    let stack = Stack::connect().await;
    let model = model(Layout::Cheaper);
    let step = "  system: Answer in one sentence.\n  cache: 5m\n";
    let workflow = workflow(&stack, "cost", step).await;
    runs(&stack, &workflow, &model, "@model *: cached(1000)", 0..3).await;
    let calls = calls_of(&model);
    assert_eq!((seen(&calls, EAST), seen(&calls, WEST)), (0, 3));
    let point = &calls[0]["request"]["system"][1]["cachePoint"];
    assert_eq!(*point, json!({ "type": "default", "ttl": "5m" }));

    let scan = stack.dynamodb.scan().table_name(output("LedgerTable"));
    let scan = scan.filter_expression("begins_with(pk, :cache)");
    let found = scan.expression_attribute_values(":cache", AttributeValue::S("cache#".into()));
    let items = found.send().await.unwrap().items.unwrap_or_default();
    let attribute = format!("at us-west-2#us.anthropic.claude-cheap-{model}");
    assert!(items.iter().any(|item| item.contains_key(&attribute)), "{items:?}");
}
