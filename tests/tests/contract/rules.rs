//! The rules of the main template: what they let through is what their targets take.

use bcce_core::batch::{BatchRef, BatchRequest, StoredBatch};
use serde_json::{Value, json};

use crate::template::{read, template};

/// The bucket itself refuses a second writer of what says what a batch was to be, and what came of it.
#[test]
fn what_a_batch_is_judged_by_is_written_once() {
    let policy =
        template()["Resources"]["ArtifactBucketPolicy"]["Properties"]["PolicyDocument"].take();
    let statements = policy["Statement"].as_array().unwrap();
    let once = statements.iter().find(|s| s["Sid"] == "ArtifactsAreWrittenOnce").unwrap();
    let patterns: Vec<&str> =
        once["Resource"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    let is_covered = |key: &str| {
        patterns.iter().any(|pattern| {
            let pattern = pattern.strip_prefix("${ArtifactBucket.Arn}/").unwrap();
            let mut rest = key;
            let mut parts = pattern.split('*');
            let is_begun = parts.next().is_some_and(|part| rest.starts_with(part));
            is_begun
                && parts.all(|part| match rest.find(part) {
                    Some(at) => {
                        rest = &rest[at + part.len()..];
                        true
                    }
                    None => false,
                })
        })
    };
    let batch = BatchRef::first("default", "explain", "42");
    for key in [batch.request_key(), batch.manifest_key(), batch.signature_key()] {
        assert!(is_covered(&key), "{key}");
    }
    // What a second call writes again.
    for key in [batch.opened_key(), batch.part_key(1), batch.places_key(1), batch.results_key()] {
        assert!(!is_covered(&key), "{key}");
    }
}

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
    assert!(BatchRequest::is_meant_by(&sample));
    let stored = StoredBatch::new(BatchRequest::parse(&sample).unwrap(), "default", "m");
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
