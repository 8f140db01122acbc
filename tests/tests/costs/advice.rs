//! Runs two batches, and checks that `bcce metrics advice` says what to change about them, and nothing else.

use bcce_core::batch::BatchRef;
use bcce_tests::harness::cli::bcce;
use bcce_tests::harness::stack::{Stack, output};
use rust_decimal::Decimal;
use serde_json::{Value, json};

/// A workflow with a step whose `max_tokens` is far too large, one whose cache has no effect, and a healthy one.
const ADVISED: &str = "version: 1
name: advised
inputs:
  text: { type: string, required: true }
steps:
  - { id: wide, model: haiku, thinking: off, max_tokens: 8000, prompt: \"{{ inputs.text }}\" }
  - id: cached
    model: haiku
    thinking: off
    max_tokens: 100
    cache: 5m
    system: Answer in one sentence.
    prompt: \"{{ inputs.text }}\"
  - { id: healthy, model: haiku, thinking: off, max_tokens: 100, prompt: \"{{ inputs.text }}\" }
";

/// The number of items of each batch: as many as advice about a step needs, and a bulk job.
const ITEMS: usize = 100;

/// Runs a batch of items that are answered with a text of so many words. Returns its id and its manifest.
async fn batch(
    stack: &Stack,
    workflow: &str,
    words: usize,
    model: Option<&str>,
) -> (String, Value) {
    let answer = vec!["word"; words].join(" ");
    let item = |n: usize| {
        let text = format!("@model says: {answer}\nItem {n}.");
        json!({ "id": format!("a{n}"), "inputs": { "text": text } }).to_string()
    };
    let lines: Vec<String> = (0..ITEMS).map(item).collect();
    let key = format!("batches/uploads/{workflow}-advice.jsonl");
    let put = stack.s3.put_object().bucket(output("ArtifactBucket")).key(&key);
    put.body(lines.join("\n").into_bytes().into()).send().await.unwrap();
    let source = format!("s3://{}/{key}", output("ArtifactBucket"));
    let mut message =
        json!({ "workflow": workflow, "id": "advice", "batch": { "source": source } });
    if let Some(model) = model {
        message["model"] = json!(model);
    }
    stack.send(&message.to_string()).await;
    let batch = BatchRef::first("default", workflow, "advice");
    let manifest = stack.eventually("the manifest of the batch", async || {
        stack.object(&batch.manifest_key()).await
    });
    let manifest: Value = serde_json::from_slice(&manifest.await).unwrap();
    assert_eq!(manifest["counts"]["succeeded"], ITEMS, "{manifest}");
    (batch.batch_id, manifest)
}

/// Checks the advice about steps and about batches. It runs after the sums by hand, because its calls are in no sum.
pub async fn is_given(stack: &Stack) {
    stack.put_workflow("advised", ADVISED).await;
    batch(stack, "advised", 4, None).await;
    steps_are_compared();
    let (batch_id, manifest) = batch(stack, "explain", 60, Some("opus")).await;
    batches_are_compared(&batch_id, &manifest);
    no_advice_says_so();
}

fn steps_are_compared() {
    let report = crate::printed("advice", &["--workflow", "advised"]);
    let advice = report["advice"].as_array().unwrap();
    let kinds: Vec<[&str; 2]> = advice
        .iter()
        .map(|advice| [advice["kind"].as_str().unwrap(), advice["about"]["step"].as_str().unwrap()])
        .collect();
    assert_eq!(kinds, [["max_tokens", "wide"], ["unused_cache", "cached"]], "{report}");
    let (change, figures) = (&advice[0]["change"], &advice[0]["figures"]);
    assert_eq!((&change["from"], &change["to"]), (&json!(8_000), &json!(100)), "{report}");
    assert_eq!(change["key"], "steps.wide.max_tokens");
    // Four words have six tokens.
    assert_eq!((&figures["answers"], &figures["p99_tokens"]), (&json!(ITEMS), &json!(6)));
    let reserved = 8_000 + figures["mean_prompt_tokens"].as_u64().unwrap();
    assert_eq!(figures["reserved_tokens"], reserved);
    assert_eq!((&report["examined_steps"], &report["too_few"]), (&json!(3), &json!([])));
    let (code, text) = bcce("dev", &["metrics", "advice", "--workflow", "advised"]);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("1. max_tokens of advised.wide is far above its answers"), "{text}");
    assert!(
        text.contains("in workflows/advised.yaml, set steps.wide.max_tokens to 100."),
        "{text}"
    );
}

/// The mix has run other batches of `explain`: one in bulk, and one on demand with too few items for a job.
fn batches_are_compared(batch_id: &str, manifest: &Value) {
    let report = crate::printed("advice", &["--workflow", "explain"]);
    let advice = report["advice"].as_array().unwrap();
    let bulk = advice.iter().find(|advice| advice["kind"] == "bulk");
    let bulk = bulk.unwrap_or_else(|| panic!("there is no advice about bulk: {report}"));
    assert_eq!(bulk["figures"]["batches"], json!([batch_id]), "{report}");
    let usd = |value: &Value| value.as_str().unwrap().parse::<Decimal>().unwrap();
    let cost = usd(&manifest["totals"]["cost_usd"]);
    assert_eq!(usd(&bulk["figures"]["on_demand_usd"]), cost, "{report}");
    assert_eq!(usd(&bulk["usd"]) * Decimal::TWO, cost, "{report}");
    assert_eq!(bulk["change"]["to"], "auto");
}

fn no_advice_says_so() {
    let day = ["metrics", "advice", "--period", "2020-01-01"];
    let (code, text) = bcce("dev", &day);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("no advice: no step has 100 answers or more in these days"), "{text}");
}
