//! Calls the functions of a run one after the other, as the state machine does, but without retries.

use bcce_core::base::json::to_json;
use bcce_core::run::request::{Request, StoredRequest};
use bcce_tests::harness::stack::{Stack, fresh, output};
use serde_json::{Value, json};

use crate::signed::{Call, Caller};

/// The function that failed, and its error.
#[derive(Debug)]
pub struct Broke {
    pub function: &'static str,
    pub because: String,
}

/// Stores the request of a workflow with one step, and calls the functions until the run is counted.
pub async fn walk(root: &Caller, stack: &Stack) -> Result<(), Broke> {
    let request =
        json!({ "workflow": "explain", "id": fresh("walk"), "inputs": { "text": "A breaker." } });
    let request = StoredRequest::new(Request::parse(&request.to_string()).unwrap(), "default", "1");
    let reference = request.run();
    let body = to_json(&request).unwrap();
    let put = stack.s3.put_object().bucket(output("ArtifactBucket")).key(reference.request_key());
    put.if_none_match("*").body(body.into()).send().await.unwrap();
    let run = serde_json::to_value(&reference).unwrap();
    through(root, started(run, &stack.arn(&reference))).await
}

/// Adds the fields that a state machine adds to the reference of a run or batch.
pub fn started(mut reference: Value, execution_arn: &str) -> Value {
    let now = time::OffsetDateTime::now_utc();
    let now = now.format(&time::format_description::well_known::Rfc3339).unwrap();
    reference["execution_arn"] = json!(execution_arn);
    reference["started_at"] = json!(now);
    reference
}

/// Calls the functions of a run whose request is stored, until the run is counted.
pub async fn through(root: &Caller, run: Value) -> Result<(), Broke> {
    let plan = invoke(root, "prepare", &json!({ "run": run })).await?;
    assert_eq!(plan["outcome"], "planned", "{plan}");
    let step = &plan["waves"][0]["steps"][0];
    let route = &plan["routes"][step["route"].as_str().unwrap()];
    let deadline = &plan["deadline"];
    let routed = json!({ "run_id": run["run_id"], "step": step, "route": route, "deadline": deadline,
                         "attempts": [], "decisions": [] });
    let routed = invoke(root, "failover-router", &routed).await?;
    let asked = json!({ "run": run, "step": step, "plan_sha256": plan["plan_sha256"], "deadline": deadline,
                        "next": routed["next"], "attempts": [], "decisions": routed["decisions"] });
    let answered = invoke(root, "invoke", &asked).await?;
    assert_eq!(answered["outcome"], "answered", "{answered}");
    let sealed = invoke(root, "persist-artifact", &json!({ "run": run })).await?;
    assert_eq!(sealed["notification"]["status"], "SUCCEEDED", "{sealed}");
    let owner = &run["execution_arn"];
    let counted =
        json!({ "run": run, "manifest": sealed["manifest"], "notification_owner": owner });
    let counted = invoke(root, "emit-metrics", &counted).await?;
    assert_eq!(counted["counted"], true);
    Ok(())
}

/// Invokes `dispatch` with new messages of a run and a batch, a message that is not a request, and the first two again.
pub async fn dispatch(root: &Caller) -> Result<(), Broke> {
    // The run lacks an input and is refused at once, since its result does not matter here.
    let new = json!({ "workflow": "explain", "id": fresh("dispatch"), "inputs": {} }).to_string();
    let source = "s3://bucket/batches/a.jsonl";
    let batch =
        json!({ "workflow": "explain", "id": fresh("dispatch"), "batch": { "source": source } })
            .to_string();
    for bodies in [vec![new.as_str(), &batch, "no request"], vec![new.as_str(), &batch]] {
        let records: Vec<Value> = bodies.iter().map(|body| message(body)).collect();
        let response = invoke(root, "dispatch", &json!({ "Records": records })).await?;
        if response["batchItemFailures"] != json!([]) {
            return Err(Broke { function: "dispatch", because: response.to_string() });
        }
    }
    Ok(())
}

/// Invokes `webhook` with a signed call of a new source, whose document is in S3.
pub async fn webhook(root: &Caller, stack: &Stack) -> Result<(), Broke> {
    let source = fresh("source");
    stack.put_webhook(&source, GITHUB).await;
    let sample = include_str!("../../../events/webhook/github-issue-opened.json");
    let mut call: Value = serde_json::from_str(sample).unwrap();
    call["rawPath"] = json!(format!("/hooks/{source}"));
    replace_instances(root, "webhook").await;
    let answer = stack.eventually("a source that is known", async || {
        let answer = invoke(root, "webhook", &call).await;
        let is_unknown = answer.as_ref().is_ok_and(|response| response["statusCode"] == 404);
        (!is_unknown).then_some(answer)
    });
    let response = answer.await?;
    if response["statusCode"] != 202 {
        return Err(Broke { function: "webhook", because: response.to_string() });
    }
    Ok(())
}

/// Changes the configuration of a function, so that new instances without cached documents take its calls. An instance
/// lists the sources at most once in half a minute.
async fn replace_instances(root: &Caller, function: &str) {
    let path = format!("/2015-03-31/functions/{}-{function}/configuration", output("BCCE_STACK"));
    // The emulator replaces the instances even if the setting has the value that it had before.
    let setting = json!({ "Timeout": 10 });
    let answer = root.call(Call::put("lambda", path, setting.to_string())).await;
    assert_eq!(answer.status, 200, "{function}: {}", answer.body);
}

/// A webhook source whose requests are refused at once, since the result of the run does not matter here.
const GITHUB: &str = "version: 1
provider: github
secrets: [github]
rules: [{ id: opened, workflow: no-such-workflow, inputs: { text: '{{ body.issue.title }}' } }]
";

/// Returns an SQS record of the inbox with this body.
fn message(body: &str) -> Value {
    let sample = include_str!("../../../events/dispatch/batch.json");
    let mut message = serde_json::from_str::<Value>(sample).unwrap()["Records"][0].take();
    message["messageId"] = json!(fresh("message"));
    message["body"] = json!(body);
    message["eventSourceARN"] =
        json!(format!("arn:aws:sqs:us-east-1:000000000000:{}-inbox", output("BCCE_STACK")));
    message
}

/// Invokes a function and returns its response. The error is that of the function.
pub async fn invoke(root: &Caller, function: &'static str, event: &Value) -> Result<Value, Broke> {
    let path = format!("/2015-03-31/functions/{}-{function}/invocations", output("BCCE_STACK"));
    let answer = root.call(Call::post("lambda", path, event.to_string())).await;
    assert_eq!(answer.status, 200, "{function}: {}", answer.body);
    if answer.function_failed {
        return Err(Broke { function, because: answer.body });
    }
    Ok(serde_json::from_str(&answer.body).unwrap())
}
