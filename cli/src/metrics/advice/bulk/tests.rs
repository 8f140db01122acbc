use bcce_core::batch::BatchRequest;
use serde_json::Value;
use time::macros::datetime;

use super::*;
use crate::metrics::advice::samples::{OLD_HAIKU, answers, cached, configuration};

fn stored(batch: Value) -> StoredBatch {
    let mut batch = batch;
    batch["source"] = json!("s3://bucket/a.jsonl");
    let request = json!({ "workflow": "review", "id": "1", "batch": batch });
    StoredBatch::new(BatchRequest::parse(&request.to_string()).unwrap(), "default", "")
}

fn usage(cost: &str) -> StepUsage {
    let mut usage = answers(&[(100, 500)], 1_000).usage;
    usage.line.totals.cost_usd = Some(cost.parse().unwrap());
    usage
}

fn measured(
    batch: Value,
    items: u64,
    configuration: &Configuration,
    usage: &[StepUsage],
) -> Option<MeasuredBatch> {
    let item = json!({ "n": 1, "line": 1, "id": "1", "inputs": {} });
    let ran = Ran {
        batch: &stored(batch),
        item: &serde_json::from_value(item).unwrap(),
        items,
        started_at: datetime!(2026-11-28 12:00 UTC),
        usage,
    };
    ran.measured(configuration, "us-east-1")
}

fn costs_of(usage: StepUsage) -> (String, String) {
    let found = measured(json!({}), 100, &configuration(""), &[usage]).unwrap();
    (found.usd.normalize().to_string(), found.usd_in_bulk.normalize().to_string())
}

fn pair(cost: &str, in_bulk: &str) -> (String, String) {
    (cost.to_owned(), in_bulk.to_owned())
}

#[test]
fn a_batch_on_demand_is_compared_with_half_the_price() {
    let configuration = configuration("");
    let found = measured(json!({}), 100, &configuration, &[usage("3"), usage("4")]).unwrap();
    assert_eq!((found.workflow.as_str(), found.items), ("review", 100));
    assert_eq!((found.usd, found.usd_in_bulk), (Decimal::from(7), Decimal::new(35, 1)));
}

#[test]
fn a_batch_that_could_not_have_run_in_bulk_is_left_out() {
    let configuration = configuration("");
    let is_left_out = |batch, items, configuration: &Configuration| {
        measured(batch, items, configuration, &[usage("3")]).is_none()
    };
    assert!(!is_left_out(json!({}), 100, &configuration));
    assert!(is_left_out(json!({}), 99, &configuration), "a job needs 100 records");
    for mode in ["bulk", "auto"] {
        let batch = json!({ "mode": mode });
        assert!(is_left_out(batch, 100, &configuration), "{mode} was asked for and not possible");
    }
    let deadline = |at: &str| json!({ "deadline": at });
    assert!(is_left_out(deadline("2026-11-28T13:00:00Z"), 100, &configuration));
    assert!(!is_left_out(deadline("2026-11-28T18:00:00Z"), 100, &configuration));
}

#[test]
fn the_documents_decide_whether_a_job_can_take_the_items() {
    let is_left_out = |change: fn(&mut Configuration)| {
        let mut changed = configuration("");
        change(&mut changed);
        measured(json!({}), 100, &changed, &[usage("3")]).is_none()
    };
    assert!(is_left_out(|changed| {
        let step = changed.template.steps[0].clone();
        changed.template.steps.push(step);
    }));
    assert!(is_left_out(|changed| changed.policy.allowed_models = vec!["anthropic.other".into()]));
    let mut other = configuration("");
    other
        .models
        .models
        .get_mut("haiku")
        .unwrap()
        .targets
        .retain(|listed| listed.target.region != "us-east-1");
    assert_eq!(
        measured(json!({}), 100, &other, &[usage("3")]),
        None,
        "no target in the stack's region"
    );
}

#[test]
fn only_calls_at_the_price_of_the_bulk_target_count() {
    assert_eq!(costs_of(usage("3")), pair("3", "1.5"));
    let mut other = usage("3");
    other.line.model_id = OLD_HAIKU.into();
    assert_eq!(costs_of(other), pair("0", "0"));
    let tier = StepUsage { tier: "flex".into(), ..usage("3") };
    assert_eq!(costs_of(tier), pair("0", "0"));
    let before = StepUsage { day: time::macros::date!(2020 - 01 - 01), ..usage("3") };
    assert_eq!(costs_of(before), pair("0", "0"), "there is no price of that day");
    let mut elsewhere = usage("3");
    elsewhere.line.region = "us-west-2".into();
    assert_eq!(costs_of(elsewhere), pair("3", "1.5"), "another region has the same price");
}

#[test]
fn a_bulk_job_does_not_have_what_the_cache_saves() {
    let calls = answers(&[(100, 500)], 1_000);
    let usage = cached(calls, (1_000, "0.1"), (9_000, "0.5")).usage;
    assert_eq!(costs_of(usage), pair("1", "0.7"), "half of 1 + 0.5 - 0.1");
}
