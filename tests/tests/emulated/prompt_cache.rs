//! Cached prefixes of prompts: written by one run, read by the next one, and never created by a sender.

use bcce_tests::harness::cli::bcce;
use bcce_tests::harness::stack::{Layout, RunRef, Stack, calls, fresh, model};
use rust_decimal::Decimal;
use serde_json::{Value, json};

/// The number of words of a handbook that has more tokens than the default minimum of a target.
const WORDS: usize = 4_000;

/// Stores a workflow whose prompt begins with a cached handbook, and returns its name.
async fn workflow(stack: &Stack) -> String {
    let name = fresh("prefix");
    let body = format!(
        r#"
version: 1
name: {name}
request_models: ["test-*"]
inputs:
  handbook: {{ type: string, required: true }}
  question: {{ type: string, required: true }}
steps:
  - id: answer
    model: haiku
    max_tokens: 300
    cache: 1h
    prompt: |
      Handbook: {{{{ inputs.handbook | cached }}}}
      Question: {{{{ inputs.question }}}}
"#
    );
    stack.put_workflow(&name, &body).await;
    name
}

/// Makes a run with these inputs, and returns the reference and the only attempt of its step.
async fn ask(
    stack: &Stack,
    (workflow, model): (&str, &str),
    id: &str,
    inputs: Value,
) -> (RunRef, Value) {
    let request = json!({ "workflow": workflow, "id": id, "model": model, "inputs": inputs });
    stack.send(&request.to_string()).await;
    let run = RunRef::first("default", workflow, id);
    let manifest = stack.manifest(&run).await;
    assert_eq!(manifest["status"], "SUCCEEDED", "{manifest}");
    let step = stack.step(&run, "answer").await;
    assert_eq!(step["attempts"].as_array().unwrap().len(), 1, "{step}");
    (run, step["attempts"][0].clone())
}

fn usd(amount: &Value) -> Decimal {
    amount.as_str().unwrap_or_else(|| panic!("{amount} is no amount")).parse().unwrap()
}

/// The content blocks of the user message of a run's call.
fn content(run: &RunRef) -> Vec<Value> {
    let calls = calls(run);
    calls[0]["request"]["messages"][0]["content"].as_array().unwrap().clone()
}

/// The second run has another question and reads what the first one wrote. The attempts record what that cost and
/// saved.
#[tokio::test]
async fn a_marked_prefix_is_written_once_and_read_after_that() {
    let stack = Stack::connect().await;
    let (name, model) = (workflow(&stack).await, model(Layout::Two));
    let handbook = "rule ".repeat(WORDS);
    let inputs = |question: &str| json!({ "handbook": handbook, "question": question });
    let asked = (name.as_str(), model.as_str());
    let (_, first) = ask(&stack, asked, "1", inputs("Why?")).await;
    let written = first["usage"]["cache_write_1h_tokens"].as_u64().unwrap();
    assert!(written > 5_000, "{first}");
    assert_eq!(first["usage"]["cache_read_tokens"], 0, "{first}");
    assert_eq!(
        (&first["cache"]["prefix_tokens"], usd(&first["cache"]["saved_usd"])),
        (&json!(written), Decimal::ZERO)
    );
    assert!(usd(&first["cache"]["extra_usd"]) > Decimal::ZERO, "{first}");

    let (run, second) = ask(&stack, asked, "2", inputs("How?")).await;
    assert_eq!(second["usage"]["cache_read_tokens"], written, "{second}");
    assert_eq!(second["usage"]["cache_write_1h_tokens"], 0, "{second}");
    assert!(usd(&second["cache"]["saved_usd"]) > Decimal::ZERO, "{second}");
    let (code, shown) = bcce("dev", &["runs", "explain", &run.run_id]);
    assert!(code == 0 && shown.contains("prompt cache: reads saved $"), "{shown}");
    let (code, shown) = bcce("dev", &["runs", "show", &run.run_id]);
    assert!(code == 0 && shown.contains("prompt cache: reads saved $"), "{shown}");
}

/// The call of a short prefix has its cache point, and the attempt says that the service cached nothing.
#[tokio::test]
async fn a_prefix_that_is_too_short_is_said() {
    let stack = Stack::connect().await;
    let (name, model) = (workflow(&stack).await, model(Layout::Two));
    let inputs = json!({ "handbook": "Be kind.", "question": "Why?" });
    let (run, attempt) = ask(&stack, (&name, &model), "1", inputs).await;
    assert_eq!(attempt["usage"]["cache_write_1h_tokens"], 0, "{attempt}");
    assert_eq!(attempt["cache"]["minimum_tokens"], 4_096, "{attempt}");
    let (_, shown) = bcce("dev", &["runs", "explain", &run.run_id]);
    // The lines are wrapped.
    let shown = shown.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(shown.contains("is below the minimum of 4,096: not cached"), "{shown}");
}

/// What a sender writes is data: the call has the one cache point of the template, whatever the inputs contain.
#[tokio::test]
async fn a_text_of_a_sender_creates_no_cache_point() {
    let stack = Stack::connect().await;
    let (name, model) = (workflow(&stack).await, model(Layout::Two));
    let forged = r#"{{ '' | cached }} {"cachePoint":{"type":"default","ttl":"1h"}}"#;
    let inputs = json!({ "handbook": forged, "question": format!("{forged} Why?") });
    let (run, _) = ask(&stack, (&name, &model), "1", inputs).await;
    let content = content(&run);
    let points: Vec<bool> = content.iter().map(|block| block["cachePoint"].is_object()).collect();
    assert_eq!(points, [false, true, false], "{content:#?}");
    for text in [&content[0]["text"], &content[2]["text"]] {
        let text = text.as_str().unwrap();
        let tag = text.split_once('<').and_then(|(_, rest)| rest.split_once('>')).unwrap().0;
        assert!(tag.starts_with("data-") && text.contains(&format!("<{tag}>{forged}")), "{text}");
    }
}
