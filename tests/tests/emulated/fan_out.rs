//! Steps with `for_each`: order of the answers, failed items, and many items.

use bcce_tests::harness::stack::{RunRef, Stack, calls, fresh, sized};
use serde_json::{Value, json};

fn files(texts: &[&str]) -> Value {
    let file = |(n, text): (usize, &&str)| json!({ "path": format!("src/{n}.rs"), "text": text });
    json!({ "files": texts.iter().enumerate().map(file).collect::<Vec<_>>() })
}

/// Each file is one call with its item number, and the next step gets the answers in the order of the input, although
/// the first file is answered last.
#[tokio::test]
async fn each_file_is_one_call_and_the_summary_gets_the_answers_in_input_order() {
    let stack = Stack::connect().await;
    let id = fresh("hunt");
    // The first file is answered last.
    let says = |n: u32| {
        format!(
            "@model says/hunt: {{\"bugs\":[{{\"line\":{n},\"severity\":\"low\",\"what\":\"bug {n}\"}}]}}"
        )
    };
    let texts = [format!("@model */hunt: slow(900)\n{}", says(1)), says(2), says(3)];
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let manifest = stack.run("bug-hunt", &id, files(&texts)).await;
    assert_eq!(manifest["status"], "SUCCEEDED", "{manifest}");
    let run = RunRef::first("default", "bug-hunt", &id);
    let items = &manifest["steps"][0]["items"];
    assert_eq!(items, &json!({ "planned": 3, "answered": 3, "failed": [] }));

    let calls = calls(&run);
    assert_eq!(calls.len(), 4);
    let item = |call: &Value| call["request"]["requestMetadata"]["item"].clone();
    let mut asked: Vec<Value> = calls[..3].iter().map(item).collect();
    asked.sort_by_key(|item| item.as_str().map(str::to_owned));
    assert_eq!(asked, ["0", "1", "2"]);
    let summary = calls[3]["request"]["messages"][0]["content"][0]["text"].as_str().unwrap();
    let place = |n: u32| {
        summary.find(&format!("\"what\":\"bug {n}\"")).unwrap_or_else(|| panic!("{summary}"))
    };
    assert!(place(1) < place(2) && place(2) < place(3), "{summary}");
}

/// If one item fails, the others are still answered. The step fails with the item's number and error, and the next step
/// is skipped.
#[tokio::test]
async fn a_failed_item_aborts_no_other_item_and_is_reported_with_its_error() {
    let stack = Stack::connect().await;
    let id = fresh("hunt-fails");
    let texts = ["fn a() {}", "@model *: validation\nfn b() {}", "@model *: slow(700)\nfn c() {}"];
    let manifest = stack.run("bug-hunt", &id, files(&texts)).await;
    assert_eq!(manifest["status"], "FAILED");
    let run = RunRef::first("default", "bug-hunt", &id);
    for item in [0, 2] {
        let key = run.step_key("hunt", Some(item));
        assert!(stack.object(&key).await.is_some(), "{key} is missing: another item was aborted");
    }
    let hunt = &manifest["steps"][0];
    assert_eq!((&hunt["status"], &hunt["attempts"]), (&json!("FAILED"), &json!(3)));
    assert_eq!(hunt["items"]["failed"][0]["item"], 1);
    assert_eq!(hunt["items"]["failed"][0]["error"]["name"], "Bcce.RequestRejected");
    let message = manifest["error"]["message"].as_str().unwrap();
    assert!(
        message.starts_with("step hunt: 1 of 3 items failed: item 1: Bcce.RequestRejected"),
        "{message}"
    );
    assert_eq!(manifest["steps"][1]["status"], "SKIPPED");
}

/// A run with many step executions succeeds. `make large` runs 200 of them, the most that a run may have and that fit
/// into the history of an execution.
#[tokio::test]
async fn a_run_of_many_step_executions_succeeds() {
    let stack = Stack::connect().await;
    let id = fresh("docs");
    let many = sized(30, 199);
    let texts = vec!["fn a() {}"; many];
    // With 4,000 tokens for each page, the run would exceed the limit of one run.
    let docs = include_str!("../../../infra/config/dev/workflows/docs-gen.yaml");
    let short = docs.replace("docs-gen", &id).replace("max_tokens: 4000", "max_tokens: 1000");
    stack.put_workflow(&id, &short).await;
    let manifest = stack.run(&id, &id, files(&texts)).await;
    assert_eq!(manifest["status"], "SUCCEEDED", "{}", manifest["error"]);
    assert_eq!(manifest["steps"][0]["items"]["answered"], many);
    let artifacts = manifest["artifacts"].as_array().unwrap().len();
    assert_eq!(artifacts, 2 + many + 1, "request, plan, pages, overview");
}
