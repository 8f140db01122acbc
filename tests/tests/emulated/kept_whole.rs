//! Data that must not be lost on the way: tags with characters that Bedrock refuses, and the mark of an answer that was
//! cut.

use bcce_tests::harness::cli::bcce;
use bcce_tests::harness::stack::{Layout, RunRef, Stack, calls, fresh, model};
use serde_json::{Value, json};

/// Tags may have any text. The manifest and the record keep them unchanged, and `requestMetadata` gets a copy with the
/// characters and the length that Bedrock accepts.
#[tokio::test]
async fn a_tag_may_have_any_text_and_is_stored_unchanged() {
    let stack = Stack::connect().await;
    let (model, id) = (model(Layout::Two), fresh("tagged"));
    let tags = json!({ "branch": "fix/größe", "title": "feat(x): a\nb", "long": "x".repeat(300) });
    let request = json!({
        "workflow": "explain", "id": id, "model": model, "tags": tags, "inputs": { "text": "x" },
    });
    stack.send(&request.to_string()).await;
    let run = RunRef::first("default", "explain", &id);
    let manifest = stack.manifest(&run).await;
    assert_eq!((&manifest["status"], &manifest["tags"]), (&json!("SUCCEEDED"), &tags));
    let metadata = &calls(&run)[0]["request"]["requestMetadata"];
    assert_eq!(metadata["branch"], "fix/gr__e");
    assert_eq!(metadata["title"], "feat_x_: a b");
    assert_eq!(metadata["long"], "x".repeat(256));
    assert_eq!(metadata["run_id"], run.run_id);
    let (code, output) = bcce("dev", &["runs", "show", &run.run_id, "--json"]);
    let shown: Value =
        serde_json::from_str(&output).unwrap_or_else(|error| panic!("{error}: {output}"));
    assert_eq!((code, &shown["records"][0]["tags"]), (0, &tags));

    let id = fresh("tagged");
    let branch = ["--tag", "branch=fix/größe", "--tag", "title=feat(x)"];
    let submit = ["submit", "explain", "-i", "text=x", "--model", &model, "--id", &id, "--wait"];
    let (code, output) = bcce("dev", &[&submit[..], &branch].concat());
    assert_eq!(code, 0, "{output}");
}

/// Returns a workflow of three steps. All have the same prompt, and scripts may name one of them.
fn three_steps(name: &str) -> String {
    let model = model(Layout::Two);
    let step = |id: &str, more: &str| {
        format!("- {{ id: {id}, model: {model}, prompt: \"{{{{ inputs.text }}}}\"{more} }}\n")
    };
    let inputs = "inputs:\n  text: { type: string, required: true }";
    let steps =
        [step("first", ""), step("second", ", needs: [first]"), step("third", ", needs: [second]")];
    format!("version: 1\nname: {name}\n{inputs}\nsteps:\n{}", steps.concat())
}

/// The manifest, the notification, `bcce runs list` and `bcce runs show` report that `max_tokens` cut an answer.
#[tokio::test]
async fn an_answer_cut_by_max_tokens_is_reported_wherever_a_run_is_shown() {
    let stack = Stack::connect().await;
    let name = fresh("three");
    stack.put_workflow(&name, &three_steps(&name)).await;
    let queue = stack.listen(&fresh("cut")).await;
    let text = "@model */first: max-tokens\nSay something of many words.";
    let manifest = stack.run(&name, "1", json!({ "text": text })).await;
    assert_eq!((&manifest["status"], &manifest["truncated"]), (&json!("SUCCEEDED"), &json!(1)));
    let by_step = manifest["steps"].as_array().unwrap().iter().map(|step| step.get("truncated"));
    assert_eq!(by_step.collect::<Vec<_>>(), [Some(&json!(1)), None, None]);
    let run = RunRef::first("default", &name, "1");
    let of_run = |body: &str| body.contains(&run.run_id);
    let notification = stack.receive(&queue, |message| message.body().is_some_and(of_run)).await;
    let notification: Value = serde_json::from_str(notification.body().unwrap()).unwrap();
    assert_eq!(
        (&notification["status"], &notification["truncated"]),
        (&json!("SUCCEEDED"), &json!(1))
    );
    let (_, output) = bcce("dev", &["runs", "list", "--workflow", &name]);
    assert!(output.contains("  1 answer cut by max_tokens"), "{output}");
    let (_, output) = bcce("dev", &["runs", "show", &run.run_id]);
    assert_eq!(output.matches("the answer was cut by max_tokens").count(), 1, "{output}");
}
