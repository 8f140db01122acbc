//! Aliases whose targets are models of different generations. The scripted model refuses for each one what Bedrock
//! refuses.

use bcce_core::call::parameters::json_output;
use bcce_core::config::template::Template;
use bcce_tests::harness::stack::{Layout, RunRef, Stack, fresh, model};
use serde_json::{Value, json};

use crate::breakers::{EAST, WEST, breaker, calls_of, regions};

const REQUEST: &str = "Bcce.RequestRejected";

/// A workflow of one step, with a schema of which the service accepts only a part.
const WISHES: &str = r#"version: 1
name: NAME
inputs:
  text: { type: string, required: true }
steps:
- id: answer
  model: MODEL
  prompt: "{{ inputs.text }}"
  STEP
  output:
    type: json
    schema:
      # Runs share what they learn about a schema, so each run has its own.
      title: NAME
      type: object
      required: [minimum]
      properties:
        minimum: { type: integer, minimum: 1, maximum: 9 }
        notes: { type: array, minItems: 2, uniqueItems: true, items: { type: string, maxLength: 20 } }
"#;

struct Ended {
    manifest: Value,
    /// The artifact of the step: its answer, or its failure.
    record: Value,
    run: RunRef,
    model: String,
}

impl Ended {
    fn attempts(&self) -> &Vec<Value> {
        self.record["attempts"].as_array().unwrap()
    }

    /// Returns the requests that the model received, in order.
    fn requests(&self) -> Vec<Value> {
        calls_of(&self.model).into_iter().map(|call| call["request"].clone()).collect()
    }

    /// Returns how an attempt adapted the call.
    fn adapted(&self, attempt: usize) -> Vec<&str> {
        let adapted = self.attempts()[attempt]["adapted"].as_array();
        adapted.into_iter().flatten().map(|line| line.as_str().unwrap()).collect()
    }
}

/// Runs [`WISHES`] under a new name on a new alias. `step` has further fields of the step.
async fn run(stack: &Stack, layout: Layout, step: &str, script: &str) -> Ended {
    let (model, name) = (model(layout), fresh("generations"));
    let body = WISHES.replace("NAME", &name).replace("MODEL", &model).replace("STEP", step);
    stack.put_workflow(&name, &body).await;
    let text = format!("{script}\n@model says: {{\"minimum\": 4}}\nSay it.");
    let manifest = stack.run(&name, &name, json!({ "text": text })).await;
    let run = RunRef::first("default", &name, &name);
    let key = match manifest["status"].as_str() {
        Some("SUCCEEDED") => run.step_key("answer", None),
        _ => run.failure_key("answer", None),
    };
    let record = stack.object(&key).await.unwrap_or_else(|| panic!("{key}: {manifest}"));
    Ended { record: serde_json::from_slice(&record).unwrap(), manifest, run, model }
}

/// When a call fails over to another generation, each target gets the settings that it takes, and the attempts list
/// what was changed.
#[tokio::test]
async fn a_failover_to_another_generation_adapts_the_call() {
    let stack = Stack::connect().await;
    let wishes = "effort: max\n  temperature: 0.5\n  max_tokens: 100000";
    let east = "@model us-east-1: unavailable";
    let ended = run(&stack, Layout::Mixed, wishes, east).await;
    assert_eq!(ended.manifest["status"], "SUCCEEDED", "{}", ended.manifest);
    let requests = ended.requests();
    assert_eq!(requests[0]["additionalModelRequestFields"]["thinking"]["type"], "adaptive");
    assert_eq!(requests[0]["outputConfig"]["effort"], "max");
    assert_eq!(requests[0]["inferenceConfig"], json!({ "maxTokens": 100_000 }));
    assert_eq!(requests[1]["additionalModelRequestFields"], Value::Null);
    assert_eq!(requests[1]["outputConfig"]["effort"], Value::Null);
    let inference = &requests[1]["inferenceConfig"];
    assert_eq!(
        (&inference["maxTokens"], inference["temperature"].is_f64()),
        (&json!(64_000), true)
    );
    assert_eq!(ended.adapted(0), ["temperature 0.5 is left out: the target takes none"]);
    assert_eq!(
        ended.adapted(1),
        ["effort max is left out: the target takes none", "max_tokens 100000 is sent as 64000"]
    );
}

/// If a prompt is too long for the first target, the call moves to a target with a longer context. If there is none,
/// the step fails.
#[tokio::test]
async fn a_prompt_too_long_for_one_generation_goes_to_the_other() {
    let stack = Stack::connect().await;
    let ended = run(&stack, Layout::Reversed, "", "@model us-east-1: too-long").await;
    assert_eq!(ended.manifest["status"], "SUCCEEDED", "{}", ended.manifest);
    assert_eq!(regions(&ended.run), [EAST, WEST]);
    assert_eq!(ended.attempts()[0]["error"], REQUEST);
    assert_eq!(ended.attempts()[0]["cause"], "context_too_long");
    // In the other order, the second target takes no longer prompts.
    let ended = run(&stack, Layout::Mixed, "", "@model us-east-1: too-long").await;
    assert_eq!(ended.manifest["error"]["name"], REQUEST);
    assert_eq!(regions(&ended.run), [EAST]);
}

/// The service gets the schema without the keywords that it refuses. The answer is still checked against the whole
/// schema.
#[tokio::test]
async fn the_service_gets_the_part_of_a_schema_that_it_takes() {
    let stack = Stack::connect().await;
    let ended = run(&stack, Layout::Mixed, "thinking: off", "@model *: answer").await;
    assert_eq!(ended.manifest["status"], "SUCCEEDED", "{}", ended.manifest);
    let pointer = "/outputConfig/textFormat/structure/jsonSchema/schema";
    let sent = ended.requests()[0].pointer(pointer).unwrap().as_str().unwrap().to_owned();
    let sent: Value = serde_json::from_str(&sent).unwrap();
    assert_eq!(sent["properties"]["minimum"]["type"], "integer");
    assert_eq!(sent["properties"]["minimum"]["minimum"], Value::Null);
    assert_eq!(sent["additionalProperties"], false);
    // The answer 10 fits the schema that was sent, and is above the maximum of the whole schema.
    let ended = run(&stack, Layout::Mixed, "", "@model *: answer({\"minimum\": 10})").await;
    assert_eq!(ended.manifest["error"]["name"], "Bcce.OutputInvalid", "{}", ended.manifest);
    let message = ended.manifest["error"]["message"].as_str().unwrap();
    assert!(message.contains("/properties/minimum/maximum"), "{message}");
}

/// If the service refuses a schema as too large, the call is repeated with the schema in the prompt, and so is each
/// further call of the step.
#[tokio::test]
async fn a_schema_that_is_too_large_for_the_service_moves_into_the_prompt() {
    let stack = Stack::connect().await;
    let script = "@model us-east-1: grammar, unavailable";
    let ended = run(&stack, Layout::Mixed, "", script).await;
    assert_eq!(ended.manifest["status"], "SUCCEEDED", "{}", ended.manifest);
    assert_eq!(regions(&ended.run), [EAST, EAST, WEST]);
    let has_schema = |request: &Value| request["outputConfig"]["textFormat"].is_object();
    let names_schema = |request: &Value| request["system"].to_string().contains("JSON schema");
    let seen: Vec<_> = ended.requests().iter().map(|r| (has_schema(r), names_schema(r))).collect();
    assert_eq!(seen, [(true, false), (false, true), (false, true)]);
    assert_eq!(ended.attempts()[0]["cause"], "grammar_too_large");
    assert!(
        ended.adapted(2)[0].contains("the service refused it before"),
        "{:?}",
        ended.adapted(2)
    );
}

/// A target of this layout is given up after two seconds of silence, but not while the service may be compiling a new
/// schema. If a shorter limit of the step ends the call, no failure is counted in the target's breaker.
#[tokio::test]
async fn a_target_may_be_silent_longer_while_it_compiles_a_new_schema() {
    let stack = Stack::connect().await;
    let ended = run(&stack, Layout::Quick, "", "@model us-east-1: slow(3000)").await;
    assert_eq!(ended.manifest["status"], "SUCCEEDED", "{}", ended.manifest);
    assert_eq!(regions(&ended.run), [EAST]);
    // The step has its own limit, which is shorter than the compilation takes.
    let own = "routing: { timeouts: { new_schema_s: 1 } }";
    let ended = run(&stack, Layout::Quick, own, "@model us-east-1: slow(3000)").await;
    assert_eq!(regions(&ended.run), [EAST, WEST]);
    assert_eq!(breaker(&stack, &ended.model, EAST).await.failures, 0);
}

/// If thinking uses all of `max_tokens`, the error says so and names the field to raise.
#[tokio::test]
async fn the_error_says_that_thinking_used_all_tokens() {
    let stack = Stack::connect().await;
    let ended = run(&stack, Layout::Mixed, "max_tokens: 300", "@model *: only-thinks").await;
    assert_eq!(ended.manifest["error"]["name"], "Bcce.OutputInvalid", "{}", ended.manifest);
    let message = ended.manifest["error"]["message"].as_str().unwrap();
    for part in ["max_tokens = 300", "thinking used all of them", "raise steps.answer.max_tokens"] {
        assert!(message.contains(part), "{part} is missing in {message}");
    }
}

/// The workflow of these tests is valid and has a schema. Without one, the tests of schemas would show nothing.
#[test]
fn the_workflow_of_these_tests_has_a_schema() {
    let template = Template::parse(&WISHES.replace("  STEP\n", "")).unwrap();
    assert!(json_output(&template.steps[0]).unwrap().schema.is_some());
}
