//! Items whose answers were cut by `max_tokens`: they succeed, and the batch reports that the answers are incomplete.

use bcce_tests::harness::cli::bcce;
use bcce_tests::harness::stack::{Layout, Stack, fresh, model};
use serde_json::{Value, json};

use crate::batch::{lines, progress, run, upload};

/// The manifest, results, outputs, ledger, notification and `bcce batch status` all report the one answer that was cut.
#[tokio::test]
async fn items_with_answers_cut_by_max_tokens_are_counted_and_shown() {
    let stack = Stack::connect().await;
    let (model, id) = (model(Layout::Two), fresh("cut"));
    let item = |script: &str| json!({ "text": format!("{script}\nSay something of many words.") });
    let items: Vec<Value> = vec![item("@model *: max-tokens"), item("@model *: answer")];
    let body: String = items.iter().map(|item| format!("{item}\n")).collect();
    let source = upload(&stack, &format!("{id}.jsonl"), body).await;
    let queue = stack.listen(&fresh("cut-batch")).await;
    let workflow = fresh("say");
    let step = format!("- {{ id: a, model: {model}, prompt: \"{{{{ inputs.text }}}}\" }}");
    let inputs = "inputs:\n  text: { type: string, required: true }";
    let yaml = format!("version: 1\nname: {workflow}\n{inputs}\nsteps:\n{step}\n");
    stack.put_workflow(&workflow, &yaml).await;
    let (batch, manifest) = run(&stack, &workflow, &id, json!({ "source": source })).await;
    let counts = &manifest["counts"];
    assert_eq!((&counts["succeeded"], &counts["truncated"]), (&json!(2), &json!(1)), "{manifest}");
    for key in [batch.results_key(), batch.outputs_key()] {
        let lines = lines(&stack, &key).await;
        let cut = lines.iter().map(|line| line.get("truncated"));
        assert_eq!(cut.collect::<Vec<_>>(), [Some(&json!(1)), None], "{key}");
    }
    assert_eq!(progress(&batch).await.truncated, 1);
    let of_batch = |body: &str| body.contains(&batch.batch_id);
    let notification = stack.receive(&queue, |message| message.body().is_some_and(of_batch)).await;
    let notification: Value = serde_json::from_str(notification.body().unwrap()).unwrap();
    assert_eq!(notification["counts"]["truncated"], 1);
    let (_, output) = bcce("dev", &["batch", "status", &batch.batch_id]);
    assert!(output.contains("2 of 2 items succeeded, 1 cut by max_tokens"), "{output}");
}
