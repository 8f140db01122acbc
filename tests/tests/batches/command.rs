//! `bcce batch`, called as a script calls it: arguments, exit codes and outputs.

use std::path::{Path, PathBuf};

use bcce_core::batch::reference::BatchRef;
use bcce_tests::harness::cli::{ROOT, bcce};
use bcce_tests::harness::stack::{Layout, Stack, fresh, model, output, release};
use serde_json::{Value, json};

use crate::batch::{lines, manifest, status, upload};

/// Stores a workflow with one step, whose prompt is the input `text`.
async fn workflow(stack: &Stack, name: &str) {
    let model = model(Layout::Two);
    let step = format!(
        "- {{ id: answer, model: {model}, prompt: \"{{{{ inputs.text }}}}\", max_tokens: 100 }}"
    );
    let inputs =
        "inputs:\n  text: { type: string, required: true }\n  lang: { type: string, default: en }";
    let body = format!("version: 1\nname: {name}\n{inputs}\nsteps:\n{step}\n");
    stack.put_workflow(name, &body).await;
}

/// Writes a file and returns its path.
fn file(name: &str, body: impl AsRef<[u8]>) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, body).unwrap();
    path
}

fn sample(name: &str) -> String {
    format!("{ROOT}/events/batch/{name}")
}

/// Calls `bcce batch`, checks its exit code and returns its output.
fn batch(args: &[&str], code: i32) -> String {
    let (ended, text) = bcce("dev", &[&["batch"], args].concat());
    assert_eq!(ended, code, "{args:?}: {text}");
    text
}

/// Returns the first JSON object in a text.
fn json_of(text: &str) -> Value {
    let from = text.find('{').unwrap_or_else(|| panic!("no JSON in {text}"));
    serde_json::Deserializer::from_str(&text[from..]).into_iter().next().unwrap().unwrap()
}

/// Returns the batch that was sent, whose id is on a line of `text`.
fn sent(text: &str, workflow: &str) -> BatchRef {
    let batch_id =
        text.lines().find(|line| line.contains("-batch-")).unwrap_or_else(|| panic!("{text}"));
    BatchRef { batch_id: batch_id.into(), ..BatchRef::first("default", workflow, "") }
}

/// `bcce batch` checks a CSV file, sends it once, watches it, prints its results and outputs, and verifies it. Sending
/// the file again finds the same batch, and a changed outputs file is reported.
#[tokio::test]
async fn a_file_is_checked_sent_once_watched_and_its_results_are_read() {
    let stack = Stack::connect().await;
    let name = fresh("letters");
    workflow(&stack, &name).await;
    let file = sample("letters.csv");
    let submit = |more: &[&str], code: i32| {
        let args = [
            "submit",
            &name,
            &file,
            "--map",
            "text=Body",
            "--map",
            "lang=item.lang",
            "--item-id",
            "nr",
        ];
        batch(&[&args, more].concat(), code)
    };
    let looked = json_of(&submit(&["--dry-run", "--json", "--mode", "bulk"], 0));
    assert_eq!((&looked["items"], &looked["rejected"]), (&json!(5), &json!(2)), "{looked}");
    let found: Vec<&Value> =
        looked["first_rejected"].as_array().unwrap().iter().map(|r| &r["line"]).collect();
    assert_eq!(found, [5, 6]);
    assert_eq!(looked["estimate"]["output_tokens_most"], 300);
    assert!(looked["estimate"]["rule"].as_str().unwrap().contains("not run in bulk"), "{looked}");
    assert!(batch(&["list", "--workflow", &name], 0).contains("no such batch"));

    let text = submit(&[], 0);
    for part in [
        "2 of 5 items are rejected",
        "line 5: line: has 2 fields",
        "line 6: id: is already used by line 4",
    ] {
        assert!(text.contains(part), "{part} is missing in {text}");
    }
    let sent = sent(&text, &name);
    let id = sent.batch_id.as_str();
    let text = batch(&["status", id, "--watch"], 1);
    for part in [
        "5 items, 2 of them rejected",
        "on demand",
        "3 of 3 ended",
        "PARTIAL: 3 of 5 items succeeded, 2 rejected",
        "results",
    ] {
        assert!(text.contains(part), "{part} is missing in {text}");
    }
    let again = submit(&[], 0);
    assert!(again.contains("was sent before") && again.contains(id), "{again}");
    assert!(batch(&["list", "--workflow", &name, "--json"], 0).matches("batch_id").count() == 1);

    let status = json_of(&batch(&["status", id, "--json"], 0));
    assert_eq!(
        (&status["status"], &status["progress"]["succeeded"]),
        (&json!("PARTIAL"), &json!(3))
    );
    let results = lines_of(&batch(&["results", id], 0));
    assert_eq!(results, lines(&stack, &sent.results_key()).await);
    let failed = lines_of(&batch(&["results", id, "--failed"], 0));
    let found: Vec<&Value> = failed.iter().map(|result| &result["status"]).collect();
    assert_eq!(found, ["REJECTED", "REJECTED"]);
    let outputs = lines_of(&batch(&["outputs", id], 0));
    let ids: Vec<&Value> = outputs.iter().map(|output| &output["id"]).collect();
    assert_eq!(ids, ["1", "2", "5"]);
    assert!(batch(&["verify", id], 0).contains("verified: PARTIAL"));
    let refused = batch(&["retry", id], 2);
    assert!(refused.contains("2 items were rejected"), "{refused}");
    let refused = batch(&["cancel", id], 2);
    assert!(refused.contains("has already ended: PARTIAL"), "{refused}");

    let put = stack.s3.put_object().bucket(output("ArtifactBucket")).key(sent.outputs_key());
    put.body(b"{}\n".to_vec().into()).send().await.unwrap();
    assert!(batch(&["verify", id], 1).contains("has the digest"));
    assert!(batch(&["outputs", id], 1).contains("does not have the digest"));
}

/// Returns the JSON value of each line.
fn lines_of(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Two concurrent retries start one further attempt, which runs the failed item only.
#[tokio::test]
async fn concurrent_retries_start_one_attempt_that_runs_the_failed_items() {
    let stack = Stack::connect().await;
    let name = fresh("again");
    workflow(&stack, &name).await;
    let rows = [
        json!({ "id": "good", "text": "fine" }),
        json!({ "id": "bad", "text": "@model *: validation, answer\nonce" }),
    ];
    let file = file(&format!("{name}.jsonl"), rows.map(|row| row.to_string()).join("\n"));
    let text = batch(&["submit", &name, file.to_str().unwrap(), "--wait"], 1);
    assert!(text.contains("1 of 2 items succeeded, 1 failed"), "{text}");
    let first =
        BatchRef { batch_id: batch_in(&text).into(), ..BatchRef::first("default", &name, "") };
    let id = first.batch_id.clone();
    let both = [(); 2].map(|()| {
        let id = id.clone();
        std::thread::spawn(move || bcce("dev", &["batch", "retry", &id, "--wait"]))
    });
    let mut ended: Vec<(i32, String)> =
        both.into_iter().map(|retry| retry.join().unwrap()).collect();
    ended.sort();
    assert_eq!(ended[0].0, 0, "{ended:?}");
    assert!([0, 2].contains(&ended[1].0), "{ended:?}");
    let sealed = manifest(&stack, &first.retry().unwrap()).await;
    assert_eq!(
        (&sealed["status"], &sealed["counts"]["succeeded"]),
        (&json!("SUCCEEDED"), &json!(2))
    );
    let before = lines_of(&batch(&["results", &id, "--failed", "--attempt", "1"], 0));
    assert_eq!(before[0]["id"], "bad");
    assert_eq!(batch(&["results", &id, "--failed"], 0), "");
    assert!(batch(&["status", &id], 0).contains("attempt 2"));
    assert!(batch(&["verify", &id, "--attempt", "1"], 0).contains("manifest-1.json"));
    assert!(batch(&["retry", &id], 2).contains("every item succeeded"));
    std::fs::remove_file(file).unwrap();
}

/// Returns the first batch id in a text.
fn batch_in(text: &str) -> &str {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
    words.into_iter().find(|word| word.contains("-batch-")).unwrap_or_else(|| panic!("{text}"))
}

/// `bcce batch finalize` seals a batch that was stopped, while the EventBridge rule finalizes it as well.
#[tokio::test]
async fn bcce_batch_finalize_seals_a_stopped_batch() {
    let stack = Stack::connect().await;
    let name = fresh("finalized");
    workflow(&stack, &name).await;
    let rows: Vec<String> = (0..4)
        .map(|n| json!({ "text": format!("@model *: held({name})\nnumber {n}") }).to_string())
        .collect();
    let file = file(&format!("{name}.jsonl"), rows.join("\n"));
    let text = batch(&["submit", &name, file.to_str().unwrap(), "--concurrency", "2"], 0);
    let sent = sent(&text, &name);
    let id = sent.batch_id.as_str();
    stack
        .eventually("a batch under way", async || {
            let (code, text) = bcce("dev", &["batch", "status", id, "--json"]);
            (code == 0 && json_of(&text)["status"] == "RUNNING").then_some(())
        })
        .await;
    assert!(batch(&["cancel", id, "--no-wait"], 0).contains("is stopped"));
    let aborted = async || status(&stack, &sent).await.filter(|status| status == "ABORTED");
    stack.eventually("the end of the execution", aborted).await;
    let finalized = {
        let id = id.to_owned();
        std::thread::spawn(move || batch(&["finalize", &id], 0))
    };
    // The EventBridge rule and the command have each started the finalize machine.
    stack.finalizing(id, 2).await;
    release(&name);
    let text = finalized.join().unwrap();
    assert!(text.contains("is finalized: CANCELLED"), "{text}");
    std::fs::remove_file(file).unwrap();
}

/// `bcce batch cancel` stops a batch and waits until it is sealed. A retry then runs the items that are left.
#[tokio::test]
async fn a_batch_is_cancelled_and_can_be_retried() {
    let stack = Stack::connect().await;
    let name = fresh("stopped");
    workflow(&stack, &name).await;
    let rows: Vec<String> = (0..4)
        .map(|n| json!({ "text": format!("@model *: held({name})\nnumber {n}") }).to_string())
        .collect();
    let file = file(&format!("{name}.jsonl"), rows.join("\n"));
    let text = batch(&["submit", &name, file.to_str().unwrap(), "--concurrency", "2"], 0);
    let sent = sent(&text, &name);
    let id = sent.batch_id.as_str();
    stack
        .eventually("a batch under way", async || {
            let (code, text) = bcce("dev", &["batch", "status", id, "--json"]);
            (code == 0 && json_of(&text)["status"] == "RUNNING").then_some(())
        })
        .await;
    let refused = batch(&["retry", id], 2);
    assert!(refused.contains("is running, as attempt 1"), "{refused}");
    let refused = batch(&["finalize", id], 2);
    assert!(refused.contains("is running"), "{refused}");
    let cancelled = {
        let id = id.to_owned();
        std::thread::spawn(move || batch(&["cancel", &id], 0))
    };
    // The command waits for the runs that are under way when the batch is stopped.
    let aborted = async || status(&stack, &sent).await.filter(|status| status == "ABORTED");
    stack.eventually("the end of the execution", aborted).await;
    release(&name);
    let text = cancelled.join().unwrap();
    assert!(text.contains("is CANCELLED and sealed"), "{text}");
    for verb in ["cancel", "finalize"] {
        let refused = batch(&[verb, id], 2);
        assert!(refused.contains("CANCELLED"), "{refused}");
    }
    let sealed = stack.object(&sent.manifest_key()).await.unwrap();
    let sealed: Value = serde_json::from_slice(&sealed).unwrap();
    assert_eq!(sealed["status"], "CANCELLED");
    // The runs that were under way may have been the last ones.
    if sealed["counts"]["succeeded"] == 4 {
        assert!(batch(&["retry", id], 2).contains("every item succeeded"));
    } else {
        let text = batch(&["retry", id, "--wait"], 0);
        assert!(text.contains("4 of 4 items succeeded"), "{text}");
    }
    std::fs::remove_file(file).unwrap();
}

/// A source in another bucket is copied to the artifact bucket. Below a prefix each object is an item, and other
/// objects make another batch.
#[tokio::test]
async fn a_source_in_another_bucket_is_copied_and_objects_below_a_prefix_are_items() {
    let stack = Stack::connect().await;
    let name = fresh("brought");
    workflow(&stack, &name).await;
    stack.s3.create_bucket().bucket(&name).send().await.unwrap();
    let put = stack.s3.put_object().bucket(&name).key("a b/letters.csv");
    put.body(std::fs::read(sample("letters.csv")).unwrap().into()).send().await.unwrap();
    let uri = format!("s3://{name}/a b/letters.csv");
    let map = ["--map", "text=Body", "--item-id", "nr", "--wait"];
    let text = batch(&[&["submit", &name, &uri], &map[..]].concat(), 1);
    assert!(text.contains("3 of 5 items succeeded, 2 rejected"), "{text}");
    let missing = batch(&["submit", &name, &format!("s3://{name}/gone.csv")], 2);
    assert!(missing.contains("there is no s3://"), "{missing}");

    for (key, text) in [("a.md", "First."), ("b/c.md", "Second."), ("empty.md", "")] {
        upload(&stack, &format!("{name}/{key}"), text).await;
    }
    let uri = format!("s3://{}/batches/uploads/{name}/", output("ArtifactBucket"));
    let submit = |more: &[&str], code: i32| {
        batch(&[&["submit", &name, &uri, "--map", "text=item.text"], more].concat(), code)
    };
    let looked = submit(&["--dry-run"], 0);
    for part in [
        "2 items from",
        "empty.md: object: is empty",
        "longest item: b/c.md, 7 bytes",
        "Objects were not read",
    ] {
        assert!(looked.contains(part), "{part} is missing in {looked}");
    }
    let text = submit(&["--wait"], 1);
    assert!(text.contains("2 of 3 items succeeded, 1 rejected"), "{text}");
    assert!(submit(&[], 0).contains("was sent before"));
    upload(&stack, &format!("{name}/d.md"), "Third.").await;
    assert!(
        !submit(&[], 0).contains("was sent before"),
        "a batch with other objects must be another batch"
    );
}

/// An unusable file, an unknown workflow or a used id exits with 2 and an explanation, and no batch is sent.
#[tokio::test]
async fn an_invalid_batch_is_refused_and_nothing_is_sent() {
    let stack = Stack::connect().await;
    let name = fresh("refused");
    workflow(&stack, &name).await;
    let cases: [(&str, &[u8], &str); 5] = [
        ("empty.jsonl", b"\n\n", "has no items"),
        ("utf16.jsonl", b"\xff\xfe{\0}\0", "is UTF-16"),
        ("zipped.csv", b"\x1f\x8b\x08\0", "gzip"),
        ("wrong.jsonl", b"{\"txt\":\"a\"}\n{}\n", "2 items, all rejected"),
        ("names.csv", b"text,text\na,b\n", "the same name"),
    ];
    for (file_name, body, expected) in cases {
        let file = file(&format!("{name}-{file_name}"), body);
        let args = ["submit", &name, file.to_str().unwrap()];
        let refused = batch(&args, 2);
        assert!(refused.contains(expected), "{file_name}: {refused}");
        std::fs::remove_file(file).unwrap();
    }
    let known = ["submit", "no-such-workflow", &sample("explain.jsonl")];
    assert!(batch(&known, 2).contains("the workflows are "));
    let used = ["submit", "explain", &sample("explain.jsonl"), "--id", &name];
    batch(&used, 0);
    stack
        .eventually("the batch", async || {
            let other = [&used[..], &["--tag", "a=b"]].concat();
            let (code, text) = bcce("dev", &[&["batch"], &other[..]].concat());
            (code == 2 && text.contains("was used before")).then_some(())
        })
        .await;
    let unknown = batch(&["status", "explain-batch-00000000000000000000000000000000"], 2);
    assert!(unknown.contains("there is no batch"), "{unknown}");
    assert!(batch(&["list", "--workflow", &name], 0).contains("no such batch"));
}
