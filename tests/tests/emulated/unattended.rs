//! Runs that start without a person: infra/schedule.yaml and infra/object-created.yaml, stacks next to the main one.

use bcce_tests::harness::stack::{RunRef, Stack, fresh, output};
use serde_json::{Value, json};

/// A schedule sends a request, which runs with the inputs and tags of the schedule. The emulator does not replace the
/// placeholder for the scheduled time in the id; only AWS does.
#[tokio::test]
async fn a_schedule_starts_a_run_with_its_inputs_and_tags() {
    let stack = Stack::connect().await;
    let mut schedule = weekly("GET", "");
    // The emulator accepts a time in the past and starts the schedule at once.
    schedule["ScheduleExpression"] = json!("at(2026-01-01T00:00:00)");
    schedule["State"] = json!("ENABLED");
    weekly("PUT", &schedule.to_string());

    let run = RunRef::first("default", "explain", "weekly/<aws.scheduler.scheduled-time>");
    let manifest = stack.manifest(&run).await;
    assert_eq!(manifest["status"], "SUCCEEDED", "{manifest}");
    assert_eq!(manifest["tags"]["team"], "payments");
    let request: Value =
        serde_json::from_slice(&stack.object(&run.request_key()).await.unwrap()).unwrap();
    assert_eq!(request["inputs"]["audience"], "developer");
}

/// Calls the API of the Scheduler for the schedule `weekly`. The project has no SDK client for the Scheduler.
fn weekly(method: &str, body: &str) -> Value {
    let url = format!("{}/schedules/{}-weekly", output("AWS_ENDPOINT_URL"), output("BCCE_STACK"));
    let request = http::Request::builder().method(method).uri(url).header(
        "authorization",
        "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/scheduler/aws4_request",
    );
    let answer = ureq::run(request.body(body.to_owned()).unwrap());
    serde_json::from_str(&answer.unwrap().body_mut().read_to_string().unwrap()).unwrap()
}

const ON_UPLOAD: &str = r#"
version: 1
name: on-upload
inputs:
  created: { type: object, required: true }
steps:
  - id: answer
    model: haiku
    max_tokens: 100
    prompt: "What is {{ inputs.created.object.key }}?"
"#;

/// An object below the prefix `reports/` starts a run with the event's details as input. An object below another prefix
/// starts none.
#[tokio::test]
async fn an_object_that_is_put_under_the_prefix_starts_a_run() {
    let stack = Stack::connect().await;
    stack.put_workflow("on-upload", ON_UPLOAD).await;
    let name = fresh("upload");
    let notifications = stack.listen(&name).await;
    let bucket = format!("{}-uploads", output("BCCE_STACK"));
    for folder in ["elsewhere", "reports"] {
        let put = stack.s3.put_object().bucket(&bucket).key(format!("{folder}/{name}.txt"));
        put.body(b"hello".to_vec().into()).send().await.unwrap();
    }
    let notification =
        stack.receive(&notifications, |m| m.body().is_some_and(|b| b.contains("on-upload"))).await;
    let notification: Value = serde_json::from_str(notification.body().unwrap()).unwrap();
    assert_eq!(notification["status"], "SUCCEEDED", "{notification}");

    let id = notification["request_id"].as_str().unwrap();
    let run = RunRef::first("default", "on-upload", id);
    let request: Value =
        serde_json::from_slice(&stack.object(&run.request_key()).await.unwrap()).unwrap();
    let created = &request["inputs"]["created"];
    assert_eq!(created["bucket"]["name"], bucket);
    assert_eq!(created["object"]["key"], format!("reports/{name}.txt"));

    stack.inbox_is_empty().await;
    let runs = stack.s3.list_objects_v2().bucket(output("ArtifactBucket"));
    let runs = runs.prefix("runs/default/on-upload-").send().await.unwrap();
    let keys = runs.contents().iter().map(|object| object.key().unwrap());
    for key in keys.filter(|key| key.ends_with("/request.json")) {
        let request = String::from_utf8(stack.object(key).await.unwrap()).unwrap();
        assert!(!request.contains("elsewhere/"), "{request}");
    }
}
