//! The response cache. Each test has a workflow of its own.

use bcce_core::batch::BatchRef;
use bcce_tests::harness::cli::bcce;
use bcce_tests::harness::stack::{RunRef, Stack, calls, fresh, output};
use serde_json::{Value, json};

/// Registers a workflow whose step uses the response cache, and returns its name.
async fn workflow(stack: &Stack, name: &str) -> String {
    let name = fresh(name);
    let yaml = format!(
        "version: 1\nname: {name}\ninputs:\n  text: {{ type: string, required: true }}\nsteps:\n\
         - {{ id: answer, model: haiku, max_tokens: 100, response_cache: 7d, prompt: \"{{{{ inputs.text }}}}\" }}\n"
    );
    stack.put_workflow(&name, &yaml).await;
    name
}

/// Returns a text of a test's own: the workflow is no part of what the cache compares.
fn text(workflow: &str) -> Value {
    json!({ "text": format!("A breaker opens on evidence. {workflow}") })
}

/// The same text twice is one call. The second run succeeds at no cost, points to the first one, and verifies.
#[tokio::test]
async fn the_same_request_under_another_id_makes_no_call() {
    let stack = Stack::connect().await;
    let name = workflow(&stack, "asked-twice").await;
    let [first, second] = ["one", "two"].map(|id| RunRef::first("default", &name, id));
    let of_first = stack.run(&name, "one", text(&name)).await;
    let of_second = stack.run(&name, "two", text(&name)).await;
    assert_eq!(of_second["status"], "SUCCEEDED", "{of_second}");
    assert_eq!((calls(&first).len(), calls(&second).len()), (1, 0));
    assert_ne!(of_first["totals"]["cost_usd"], "0");
    assert_eq!(of_second["totals"]["cost_usd"], "0");
    assert_eq!(
        (&of_second["steps"][0]["attempts"], &of_second["steps"][0]["cached"]),
        (&json!(0), &json!(1))
    );

    let [one, two] = [stack.step(&first, "answer").await, stack.step(&second, "answer").await];
    assert_eq!(one["output"], two["output"]);
    assert_eq!((&two["attempts"], &two["cost_usd"]), (&json!([]), &json!("0")));
    let artifacts = of_first["artifacts"].as_array().unwrap();
    let key = first.step_key("answer", None);
    let listed = artifacts.iter().find(|artifact| artifact["key"] == *key).unwrap();
    let from = &two["cached_from"];
    assert_eq!((&from["key"], &from["run_id"]), (&json!(key), &json!(first.run_id)));
    assert_eq!(from["sha256"], listed["sha256"]);

    for (command, part) in [
        ("verify", "verified: SUCCEEDED"),
        ("explain", "no call was made: answered from the response cache"),
        ("show", "answered from the response cache, by run"),
        ("output", two["output"]["text"].as_str().unwrap()),
    ] {
        let (code, printed) = bcce("dev", &["runs", command, &second.run_id]);
        assert!(code == 0 && printed.contains(part), "{command}: {printed}");
    }
}

/// The entry ends with the artifact that it names.
#[tokio::test]
async fn an_erased_answer_is_asked_for_again() {
    let stack = Stack::connect().await;
    let name = workflow(&stack, "erased").await;
    let first = RunRef::first("default", &name, "one");
    stack.run(&name, "one", text(&name)).await;
    let delete = stack.s3.delete_object().bucket(output("ArtifactBucket"));
    delete.key(first.step_key("answer", None)).send().await.unwrap();
    let second = RunRef::first("default", &name, "two");
    stack.run(&name, "two", text(&name)).await;
    assert_eq!(calls(&second).len(), 1);
    // The second answer has replaced the entry.
    let third = RunRef::first("default", &name, "three");
    stack.run(&name, "three", text(&name)).await;
    assert_eq!(calls(&third).len(), 0);
    let from = &stack.step(&third, "answer").await["cached_from"];
    assert_eq!(from["run_id"], second.run_id);
}

#[tokio::test]
async fn another_tenant_makes_its_own_call() {
    let stack = Stack::connect().await;
    let name = workflow(&stack, "two-tenants").await;
    stack.run(&name, "one", text(&name)).await;
    let request = json!({ "workflow": name, "id": "one", "inputs": text(&name) }).to_string();
    stack.send_to(&format!("{}-beta", output("InboxQueueUrl")), &request).await;
    let run = RunRef::first("beta", &name, "one");
    let manifest = stack.manifest(&run).await;
    assert_eq!(manifest["status"], "SUCCEEDED", "{manifest}");
    assert_eq!(calls(&run).len(), 1);
    assert_eq!(stack.step(&run, "answer").await.get("cached_from"), None);
}

/// Runs a batch of the same two texts, and returns its manifest.
async fn batch(stack: &Stack, name: &str, id: &str) -> Value {
    let item = |text: &str| json!({ "id": text, "inputs": { "text": text } }).to_string();
    let key = format!("batches/uploads/{name}-{id}.jsonl");
    let put = stack.s3.put_object().bucket(output("ArtifactBucket")).key(&key);
    let body = [item("a"), item("b")].join("\n");
    put.body(body.into_bytes().into()).send().await.unwrap();
    let source = format!("s3://{}/{key}", output("ArtifactBucket"));
    let batch = json!({ "source": source, "mode": "on_demand" });
    stack.send(&json!({ "workflow": name, "id": id, "batch": batch }).to_string()).await;
    let key = BatchRef::first("default", name, id).manifest_key();
    let manifest = stack.eventually("the manifest of the batch", async || stack.object(&key).await);
    serde_json::from_slice(&manifest.await).unwrap()
}

/// The answers of a packed batch answer another batch, and a run with an execution.
#[tokio::test]
async fn a_packed_batch_answers_another_one_and_a_run() {
    let stack = Stack::connect().await;
    let name = workflow(&stack, "packed").await;
    let [first, second] = [batch(&stack, &name, "one").await, batch(&stack, &name, "two").await];
    assert_eq!(first["opened"]["way"], "packed", "{first}");
    for manifest in [&first, &second] {
        assert_eq!(manifest["counts"]["succeeded"], 2, "{manifest}");
    }
    assert_ne!(first["totals"]["cost_usd"], "0", "{first}");
    assert_eq!(second["totals"]["cost_usd"], "0", "{second}");
    let run = RunRef::first("default", &name, "alone");
    stack.run(&name, "alone", json!({ "text": "a" })).await;
    assert_eq!(calls(&run).len(), 0);
    let from = &stack.step(&run, "answer").await["cached_from"];
    assert!(from["segment"].as_str().unwrap().ends_with(".segment.jsonl"), "{from}");
}
