//! Reports whose texts try to become markup: ids, tags, answers, and messages of the model service.

use bcce_tests::harness::browser::{escaped, hostile_texts};
use bcce_tests::harness::cli::bcce;
use bcce_tests::harness::stack::{Layout, RunRef, Stack, fresh, model};
use serde_json::{Map, Value, json};

use crate::batches::{manifest, send};
use crate::pages::Pages;

/// The request id of the runs.
const REQUEST_ID: &str = "\"><img src=x onerror=window.__pwned=1>";
/// The longest value and the greatest number of tags.
const TAG_CHARS: usize = 1_024;
const TAGS: usize = 11;
/// The number of items that a list of a batch's report has.
const LISTED: usize = 10;
/// The beginning of each answer. Nothing else has it.
const ANSWER: &str = "an answer of the model: ";

/// The model answers with each of the texts. The page has the tags, and no answer.
pub async fn answers(stack: &Stack, pages: &Pages) {
    let answers: Vec<String> =
        hostile_texts().iter().map(|text| format!("{ANSWER}{text}")).collect();
    let run = run(stack, "answers", "@model *: answer", &answers, "SUCCEEDED").await;
    let (code, output) = bcce("dev", &["runs", "output", &run.run_id]);
    assert!(code == 0 && output.contains(ANSWER), "{code}: {output}");
    let page = pages.of_run("hostile-answers", &run, &[]);
    has_request_id_and_tags(&page);
    assert!(!page.contains(ANSWER.trim_end()), "hostile-answers.html has an answer");
}

/// The service refuses the calls with each of the texts. The page has all of them, and the tags.
pub async fn errors(stack: &Stack, pages: &Pages) {
    let run = run(stack, "errors", "@model *: refused-saying", &hostile_texts(), "FAILED").await;
    let page = pages.of_run("hostile-errors", &run, &["Bcce.RequestRejected"]);
    has_request_id_and_tags(&page);
    for text in hostile_texts() {
        let message = format!("ValidationException (400): {}</span>", escaped(&text));
        assert!(page.contains(&message), "hostile-errors.html does not have {message}");
    }
}

/// Each text is the id of an item, and the service refuses every second item with the same text. The page has the ids of
/// the items that it lists.
pub async fn batch(stack: &Stack, pages: &Pages) {
    let line = |(n, text): (usize, &String)| {
        let script = ["@model *: refused-saying", "@model *: slow(500)"][n % 2];
        json!({ "id": text, "text": scripted(script, text) })
    };
    let lines: Vec<Value> = hostile_texts().iter().enumerate().map(line).collect();
    let spec = json!({ "tolerated_failure_percent": 100 });
    let id = "<script>alert()</script>";
    let batch = send(stack, id, &lines, spec).await;
    let manifest = manifest(stack, &batch).await;
    assert_eq!(manifest["counts"]["rejected"], 0, "{manifest}");
    let page = pages.of_batch("hostile-batch", &batch.batch_id, &[&escaped(id)]);
    let texts = hostile_texts();
    // The first item fails, so it is the example.
    let example = format!("<dt>item</dt><dd>{}</dd>", escaped(&texts[0]));
    assert!(page.contains(&example), "hostile-batch.html does not have {example}");
    let is_listed =
        |text: &&String| page.contains(&format!("<span class=\"strong\">{}</span>", escaped(text)));
    let listed = texts.iter().filter(is_listed).count();
    assert!(listed >= LISTED, "hostile-batch.html lists {listed} items");
}

/// Runs a workflow that has the model say each of the texts. Its id and its tags are hostile as well.
async fn run(stack: &Stack, name: &str, script: &str, texts: &[String], status: &str) -> RunRef {
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
    let prompts: Vec<String> = texts.iter().map(|text| scripted(script, text)).collect();
    let request = json!({ "workflow": workflow, "id": REQUEST_ID, "tags": tags(), "inputs": { "texts": prompts } });
    stack.send(&request.to_string()).await;
    let run = RunRef::first("default", &workflow, REQUEST_ID);
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

/// Checks that the page of a run shows the request id and each tag as a text, so that opening it shows something.
fn has_request_id_and_tags(page: &str) {
    let tags = tags();
    assert_eq!(tags.len(), TAGS);
    let tag = |(name, value): (&String, &Value)| format!("{name}={}", value.as_str().unwrap());
    for text in tags.iter().map(tag) {
        assert!(page.contains(&escaped(&text)), "the page does not have the tag {text}");
    }
    let request = format!("<dt>request</dt><dd>{}</dd>", escaped(REQUEST_ID));
    assert!(page.contains(&request), "the page does not have {request}");
}
