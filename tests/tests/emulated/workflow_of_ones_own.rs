//! A workflow that is stored while the stack runs.

use bcce_tests::harness::stack::{RunRef, Stack, calls, fresh};
use serde_json::json;

/// A workflow with two steps runs as soon as it is stored, and each step's settings are in its call: tokens, thinking,
/// effort, system prompt, cache point, metadata and the tags around the data.
#[tokio::test]
async fn a_new_workflow_runs_with_the_settings_of_its_steps() {
    let stack = Stack::connect().await;
    let name = fresh("own");
    let workflow = format!(
        r#"
version: 1
name: {name}
inputs:
  text: {{ type: string, required: true }}
steps:
  - id: first
    model: haiku
    thinking: off
    max_tokens: 300
    system: You are brief.
    cache: 5m
    prompt: "First: {{{{ inputs.text }}}}"
  - id: second
    needs: [first]
    model: sonnet
    effort: low
    prompt: "Second: {{{{ steps.first }}}}"
"#
    );
    stack.put_workflow(&name, &workflow).await;
    let manifest = stack.run(&name, "1", json!({ "text": "hello" })).await;
    assert_eq!(manifest["status"], "SUCCEEDED", "{manifest}");

    let run = RunRef::first("default", &name, "1");
    let calls = calls(&run);
    let first = &calls[0]["request"];
    assert_eq!(first["inferenceConfig"]["maxTokens"], 300);
    assert_eq!(first["additionalModelRequestFields"]["thinking"]["type"], "disabled");
    let asked = first["messages"][0]["content"][0]["text"].as_str().unwrap();
    let tag = asked.split_once("</").and_then(|(_, rest)| rest.split_once('>')).unwrap().0;
    assert!(tag.starts_with("data-") && tag.len() == 37, "{tag}");
    assert!(asked.contains(&format!("<{tag}>hello</{tag}>")), "{asked}");
    assert_eq!(first["system"][0]["text"], "You are brief.");
    // The part that differs between runs comes after the part that is cached.
    assert_eq!(first["system"][1]["cachePoint"]["type"], "default");
    let notification = first["system"].as_array().unwrap().last().unwrap();
    assert!(notification["text"].as_str().unwrap().starts_with(&format!("Text between <{tag}>")));
    assert_eq!(first["requestMetadata"]["run_id"], run.run_id);
    let second = &calls[1]["request"];
    assert_eq!(second["outputConfig"]["effort"], "low");
    let answer = stack.step(&run, "first").await["output"]["text"].as_str().unwrap().to_owned();
    assert!(second["messages"][0]["content"][0]["text"].as_str().unwrap().contains(&answer));
}

/// Reasoning of the model is not part of the answer, and does not count as silence of the target.
#[tokio::test]
async fn reasoning_is_kept_apart_from_the_answer() {
    let stack = Stack::connect().await;
    let id = fresh("thinks");
    let manifest = stack.explain(&id, "@model *: thinks\n@model says: Only this.").await;
    assert_eq!(manifest["status"], "SUCCEEDED", "{manifest}");
    let run = RunRef::first("default", "explain", &id);
    assert_eq!(stack.step(&run, "answer").await["output"]["text"], "Only this.");
}
