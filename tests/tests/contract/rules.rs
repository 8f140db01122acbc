//! The rules of the main template: what they let through is what their targets take.

use bcce_core::batch::inbox;
use bcce_core::batch::{BatchRef, StoredBatch};
use serde_json::{Value, json};

use crate::template::{read, template};

fn rule(name: &str) -> Value {
    template()["Resources"][name]["Properties"].take()
}

#[test]
fn an_object_that_is_dropped_reaches_dispatch_as_a_batch() {
    let sample = read("events/eventbridge/manifest-dropped.json");
    let event: Value = serde_json::from_str(&sample).unwrap();
    let rule = rule("DroppedRule");
    assert_eq!(rule["EventPattern"]["source"][0], event["source"]);
    assert_eq!(rule["EventPattern"]["detail-type"][0], event["detail-type"]);
    let prefix = &rule["EventPattern"]["detail"]["object"]["key"][0]["prefix"];
    let key = event["detail"]["object"]["key"].as_str().unwrap();
    assert!(key.starts_with(prefix.as_str().unwrap()), "{prefix}");
    let target = &rule["Targets"][0];
    assert_eq!(target["Arn"], "InboxQueue.Arn");
    // The event is the message: nothing is made of it on the way.
    assert!(["Input", "InputPath", "InputTransformer"].iter().all(|key| target[*key].is_null()));
    assert!(inbox::is_batch(&sample));
    let stored = StoredBatch::new(inbox::parse(&sample).unwrap(), "default", "m");
    assert_eq!((stored.workflow.as_str(), stored.request_id.contains(key)), ("explain", true));
}

/// The machine that settles a batch is the batch's own: an end of the settling must start nothing.
#[test]
fn the_end_of_a_batch_is_settled_and_the_end_of_its_settling_is_not() {
    let rule = rule("BatchEndedRule");
    let pattern = &rule["EventPattern"]["detail"];
    assert_eq!(pattern["stateMachineArn"], json!(["BatchStateMachine"]));
    assert_eq!(pattern["status"], json!(["ABORTED", "FAILED", "TIMED_OUT"]));
    let prefix = pattern["input"][0]["prefix"].as_str().unwrap();
    let batch = BatchRef::first("default", "explain", "42");
    let batch = serde_json::to_string(&batch.retry().unwrap()).unwrap();
    assert!(batch.starts_with(prefix), "{batch}");
    // What EventBridge sends, and what somebody would send in its place.
    for field in ["version", "detail-type", "detail"] {
        let end = json!({ field: "0", "detail": { "input": batch } }).to_string();
        assert!(!end.starts_with(prefix), "{end}");
    }
}
