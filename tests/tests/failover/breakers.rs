//! Reads the breakers in the ledger and the calls in the model's log.

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use bcce_core::failover::breaker::Breaker;
use bcce_core::ledger::{BREAKER_SK, target_pk};
use bcce_tests::harness::stack::{RunRef, Stack, all_calls, calls, output};
use bcce_tests::models::model_id;
use serde_json::Value;

pub const EAST: &str = "us-east-1";
pub const WEST: &str = "us-west-2";
/// The first cool-down of a breaker, from infra/config/dev/routing.yaml.
pub const COOL_DOWN: Duration = Duration::from_secs(5);

/// Returns the breaker of a test's model in a region. Without a record, it is the default, which is closed.
pub async fn breaker(stack: &Stack, model: &str, region: &str) -> Breaker {
    let pk = target_pk(&format!("{region}#{}", model_id("us", model)));
    let get = stack.dynamodb.get_item().table_name(output("LedgerTable")).consistent_read(true);
    let get = get.key("pk", AttributeValue::S(pk));
    let got = get.key("sk", AttributeValue::S(BREAKER_SK.into())).send().await.unwrap();
    let breaker = got.item().and_then(|item| item.get("breaker")?.as_s().ok());
    breaker.map(|text| serde_json::from_str(text).unwrap()).unwrap_or_default()
}

/// Returns every call of a test's model, in order.
pub fn calls_of(model: &str) -> Vec<Value> {
    let is_its = |call: &Value| call["model_id"].as_str().unwrap().ends_with(&format!("-{model}"));
    all_calls().into_iter().filter(is_its).collect()
}

/// Returns how many of the calls went to a region.
pub fn seen(calls: &[Value], region: &str) -> usize {
    calls.iter().filter(|call| call["region"] == region).count()
}

/// Returns the regions that the calls of a run went to, in order.
pub fn regions(run: &RunRef) -> Vec<String> {
    calls(run).iter().map(|call| call["region"].as_str().unwrap().to_owned()).collect()
}
