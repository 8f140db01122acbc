//! Checks that the targets of the main template's EventBridge rules accept the events that the rules match.

use bcce_core::batch::{StoredBatch, inbox};
use serde_json::{Value, json};

use crate::template::{read, template};

fn rule(name: &str) -> Value {
    template()["Resources"][name]["Properties"].take()
}

/// The rule matches the sample event of an object below `batches/inbox/`, and `dispatch` reads the event as a batch.
#[test]
fn an_object_that_is_dropped_reaches_dispatch_as_a_batch() {
    let sample = read("events/eventbridge/source-uploaded.json");
    let event: Value = serde_json::from_str(&sample).unwrap();
    let rule = rule("DroppedRule");
    assert_eq!(rule["EventPattern"]["source"][0], event["source"]);
    assert_eq!(rule["EventPattern"]["detail-type"][0], event["detail-type"]);
    let prefix = &rule["EventPattern"]["detail"]["object"]["key"][0]["prefix"];
    let key = event["detail"]["object"]["key"].as_str().unwrap();
    assert!(key.starts_with(prefix.as_str().unwrap()), "{prefix}");
    let target = &rule["Targets"][0];
    assert_eq!(target["Arn"], "InboxQueue.Arn");
    // The event is the message, and the rule does not transform it.
    assert!(["Input", "InputPath", "InputTransformer"].iter().all(|key| target[*key].is_null()));
    assert!(inbox::is_batch(&sample));
    let stored = StoredBatch::new(inbox::parse(&sample).unwrap(), "default", "m");
    assert_eq!((stored.workflow.as_str(), stored.request_id.contains(key)), ("explain", true));
}

/// Each bad end of a run or a batch starts the finalize machine. The ends of the finalize machine start nothing, since
/// they would start each other forever.
#[test]
fn the_ends_of_runs_and_batches_are_finalized_and_the_ends_of_finalizing_are_not() {
    let rule = rule("FinalizeRule");
    assert_eq!(rule["Targets"][0]["Arn"], "FinalizeStateMachine");
    assert_eq!(rule["Targets"].as_array().unwrap().len(), 1);
    let pattern = &rule["EventPattern"];
    let machines = json!(["WorkflowStateMachine", "BatchStateMachine"]);
    let status = json!(["ABORTED", "FAILED", "TIMED_OUT"]);
    // The rule does not filter by the input, because an event lacks an input that is large.
    assert_eq!(pattern["detail"], json!({ "stateMachineArn": machines, "status": status }));
    for (sample, machine) in
        [("run-timed-out", "WorkflowStateMachine"), ("batch-stopped", "BatchStateMachine")]
    {
        let sample = read(&format!("events/finalize/{sample}.json"));
        let event: Value = serde_json::from_str(&sample).unwrap();
        assert_eq!(pattern["source"][0], event["source"]);
        assert_eq!(pattern["detail-type"][0], event["detail-type"]);
        assert!(status.as_array().unwrap().contains(&event["detail"]["status"]));
        let properties = template()["Resources"][machine]["Properties"].take();
        let name = properties.get("Name").or(properties.get("StateMachineName")).unwrap();
        let name = name.as_str().unwrap().replace("${AWS::StackName}", "bcce-dev");
        let arn = event["detail"]["stateMachineArn"].as_str().unwrap();
        assert!(arn.ends_with(&format!(":{name}")), "{arn}");
    }
}

/// Only one rule starts a state machine.
#[test]
fn one_rule_starts_a_machine() {
    let resources = template()["Resources"].take();
    let is_rule = |(_, resource): &(&String, &Value)| resource["Type"] == "AWS::Events::Rule";
    let rules = resources.as_object().unwrap().iter().filter(is_rule);
    let starting = rules.filter(|(_, rule)| {
        let arn = rule["Properties"]["Targets"][0]["Arn"].as_str().unwrap();
        arn.ends_with("StateMachine")
    });
    assert_eq!(starting.map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["FinalizeRule"]);
}

/// The daily sweep is invoked with its sample event.
#[test]
fn the_daily_sweep_has_the_event_of_its_sample() {
    let input = rule("DailySweepRule")["Targets"][0]["Input"].take();
    let input: Value = serde_json::from_str(input.as_str().unwrap()).unwrap();
    let sample: Value = serde_json::from_str(&read("events/sweep/daily.json")).unwrap();
    assert_eq!(input, sample);
    assert_eq!(rule("SweepRule")["Targets"][0].get("Input"), None);
}
