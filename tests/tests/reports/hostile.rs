//! Reports whose texts try to become markup: ids, tags, answers, and messages of the model service.

use bcce_tests::harness::browser::hostile_texts;
use bcce_tests::harness::stack::{Layout, RunRef, Stack, fresh, model};
use serde_json::{Map, Value, json};

use crate::batches::{manifest, send};
use crate::pages::Pages;

/// The longest value and the greatest number of tags.
const TAG_CHARS: usize = 1_024;
const TAGS: usize = 11;

/// The model answers with each of the texts.
pub async fn answers(stack: &Stack, pages: &Pages) {
    let run = run(stack, "answers", "@model *: answer", "SUCCEEDED").await;
    has_texts(&pages.of_run("hostile-answers", &run, &[]));
}

/// The service refuses the calls with each of the texts.
pub async fn errors(stack: &Stack, pages: &Pages) {
    let run = run(stack, "errors", "@model *: refused-saying", "FAILED").await;
    has_texts(&pages.of_run("hostile-errors", &run, &["Bcce.RequestRejected"]));
}

/// Each text is the id of an item, and the service refuses it with the same text.
pub async fn batch(stack: &Stack, pages: &Pages) {
    let line = |(n, text): (usize, &String)| {
        let script = ["@model *: refused-saying", "@model *: slow(500)"][n % 2];
        json!({ "id": text, "text": scripted(script, text) })
    };
    let lines: Vec<Value> = hostile_texts().iter().enumerate().map(line).collect();
    let spec = json!({ "tolerated_failure_percent": 100 });
    let batch = send(stack, "<script>window.__pwned=1</script>", &lines, spec).await;
    let manifest = manifest(stack, &batch).await;
    assert_eq!(manifest["counts"]["rejected"], 0, "{manifest}");
    has_texts(&pages.of_batch("hostile-batch", &batch.batch_id, &[]));
}

/// Runs a workflow that asks with each text. Its id and its tags are such texts as well.
async fn run(stack: &Stack, name: &str, script: &str, status: &str) -> RunRef {
    let workflow = fresh(&format!("hostile-{name}"));
    let model = model(Layout::Two);
    let step = format!(
        "- {{ id: answer, for_each: inputs.texts, model: {model}, max_tokens: 400, prompt: \"{{{{ item }}}}\" }}"
    );
    let inputs = "inputs: { texts: { type: list, required: true } }";
    stack
        .put_workflow(
            &workflow,
            &format!("version: 1\nname: {workflow}\n{inputs}\nsteps:\n{step}\n"),
        )
        .await;
    let id = "\"><img src=x onerror=window.__pwned=1>";
    let prompts: Vec<String> = hostile_texts().iter().map(|text| scripted(script, text)).collect();
    let request =
        json!({ "workflow": workflow, "id": id, "tags": tags(), "inputs": { "texts": prompts } });
    stack.send(&request.to_string()).await;
    let run = RunRef::first("default", &workflow, id);
    let manifest = stack.manifest(&run).await;
    assert_eq!(manifest["status"], status, "{manifest}");
    run
}

/// Returns a prompt that has the model say a text. A line break is written as `\n`.
fn scripted(script: &str, text: &str) -> String {
    format!("{script}\n@model says: {}", text.replace('\\', "\\\\").replace('\n', "\\n"))
}

/// Returns as many tags as a request may have, with all texts that a tag may have.
fn tags() -> Map<String, Value> {
    let texts: Vec<String> =
        hostile_texts().into_iter().filter(|text| !text.contains(char::is_control)).collect();
    let values = texts.chunks(texts.len().div_ceil(TAGS)).map(|texts| texts.concat());
    let tag = |(key, value): (&String, String)| {
        assert!(value.chars().count() <= TAG_CHARS, "{value}");
        (key.clone(), Value::from(value))
    };
    texts.iter().zip(values).map(tag).collect()
}

/// Checks that a page shows one of the texts, so that opening it shows something.
fn has_texts(page: &str) {
    assert!(page.contains("__pwned"), "the page has none of the texts");
}
