//! Batches on demand: each item is a run.

use bcce_core::batch::{BatchRef, BatchRequest, StoredBatch};
use bcce_tests::harness::stack::{Layout, Stack, calls, fresh, model, output, sized};
use serde_json::{Value, json};

use crate::batch::{lines, run, run_of, statuses, upload};

/// While us-east-1 fails for the middle third of the items, us-west-2 answers them, and the invalid items are rejected.
/// Every other item succeeds with its own answer, and the totals equal the sum of the runs. `make large` runs 500
/// items.
#[tokio::test]
async fn a_batch_with_invalid_items_survives_the_outage_of_a_region() {
    let items = sized(40, 500);
    let stack = Stack::connect().await;
    let id = fresh("large");
    let is_broken = |n: &usize| n % 34 == 5 || *n == 10;
    let is_down = |n: usize| (items / 3..items * 2 / 3).contains(&n);
    let broken: Vec<usize> = (1..=items).filter(is_broken).collect();
    let good = items - broken.len();
    let line = |n: usize| match (is_broken(&n), n % 3, n) {
        (true, 0, _) => "{\"text\": ".to_owned(),
        (true, 1, n) => json!({ "id": format!("i{n}"), "txt": "wrong" }).to_string(),
        (true, ..) => json!({ "id": "i1", "text": "again" }).to_string(),
        (false, _, n) if is_down(n) => {
            let text = format!("@model us-east-1: unavailable\nnumber {n}");
            json!({ "id": format!("i{n}"), "text": text }).to_string()
        }
        (false, ..) => json!({ "id": format!("i{n}"), "text": format!("number {n}") }).to_string(),
    };
    let manifest: Vec<String> = (1..=items).map(line).collect();
    let source = upload(&stack, &format!("{id}.jsonl"), manifest.join("\n")).await;
    let model = model(Layout::Two);
    let message =
        json!({ "workflow": "explain", "id": id, "model": model, "batch": { "source": source } });
    stack.send(&message.to_string()).await;
    let batch = bcce_core::batch::BatchRef::first("default", "explain", &id);
    let sealed = crate::batch::manifest(&stack, &batch).await;

    let expected = json!({ "items": items, "succeeded": good, "failed": 0, "cancelled": 0, "rejected": broken.len(), "skipped": 0, "running": 0 });
    assert_eq!((&sealed["counts"], &sealed["status"]), (&expected, &json!("PARTIAL")), "{sealed}");
    assert_eq!(sealed["errors"], json!({ "Bcce.InvalidRequest": broken.len() }));
    let results = lines(&stack, &batch.results_key()).await;
    let outputs = lines(&stack, &batch.outputs_key()).await;
    let rejected = results.iter().filter(|result| result["status"] == "REJECTED");
    assert_eq!(rejected.map(|r| r["line"].as_u64().unwrap() as usize).collect::<Vec<_>>(), broken);
    // Results are in the order of the source, and each output is the answer to its own item.
    let places: Vec<usize> =
        results.iter().map(|result| result["n"].as_u64().unwrap() as usize).collect();
    assert_eq!(places, (1..=items).collect::<Vec<_>>());
    for output in &outputs {
        let number = format!("number {}", output["line"]);
        assert!(output["output"].as_str().unwrap().contains(&number), "{output}");
    }
    assert_eq!(outputs.len(), good);
    // The totals are the sum over the runs, and equal the batch progress that `bcce batch status` reads.
    let cost =
        |of: &Value| of["cost_usd"].as_str().unwrap().parse::<rust_decimal::Decimal>().unwrap();
    let sum: rust_decimal::Decimal =
        results.iter().filter(|r| r["run_id"].is_string()).map(|r| cost(&r["totals"])).sum();
    assert_eq!(cost(&sealed["totals"]), sum);
    let progress = crate::batch::progress(&batch).await;
    assert_eq!(
        (progress.succeeded, progress.failed, progress.cost_usd.normalize()),
        (good as u64, 0, sum)
    );
    // If the first region was down, the second one answered, with one call.
    let moved = &results[items / 2 - 1];
    let regions: Vec<Value> =
        calls(&run_of(moved)).iter().map(|call| call["region"].clone()).collect();
    assert_eq!(regions.last(), Some(&json!("us-west-2")), "{moved}");
    assert!(regions.len() <= 2, "{regions:?}");
}

/// Valid lines of a JSONL file run, and each invalid one is rejected with its line and the reason.
#[tokio::test]
async fn valid_items_run_and_invalid_ones_are_rejected_with_the_reason() {
    let stack = Stack::connect().await;
    let id = fresh("mixed");
    let mut manifest = format!(
        "\u{feff}{}\n{}\nnot JSON\n{}\n{}\n",
        json!({ "id": "one", "text": "first" }),
        json!({ "id": "two", "inputs": { "text": "second", "audience": "child" } }),
        json!({ "id": "one", "text": "again" }),
        json!({ "txt": "wrong" }),
    )
    .into_bytes();
    manifest.extend(b"{\"text\":\"\xff\"}\n");
    manifest.extend(json!({ "id": "long", "text": "x".repeat(300_000) }).to_string().bytes());
    let source = upload(&stack, &format!("{id}.jsonl"), manifest).await;
    let (batch, sealed) = run(&stack, "explain", &id, json!({ "source": source })).await;
    assert_eq!(sealed["status"], "PARTIAL", "{sealed}");
    let expected = [
        "1 SUCCEEDED",
        "2 SUCCEEDED",
        "3 REJECTED line: is not JSON: expected ident at line 1 column 2",
        "4 REJECTED id: is already used by line 1",
        "5 REJECTED inputs.txt: is not an input of this workflow; it has: audience, text; inputs.text: is required",
        "6 REJECTED line: is not UTF-8, at byte 10",
        "7 SUCCEEDED",
    ];
    assert_eq!(statuses(&stack, &batch).await, expected);
    let outputs = lines(&stack, &batch.outputs_key()).await;
    let ids: Vec<&Value> = outputs.iter().map(|output| &output["id"]).collect();
    assert_eq!(ids, ["one", "two", "long"]);
}

/// `map` and `item_id` apply to the rows of a CSV file, and a row with another number of fields is rejected.
#[tokio::test]
async fn rows_of_a_csv_file_are_mapped_and_ragged_rows_are_rejected() {
    let stack = Stack::connect().await;
    let id = fresh("csv");
    let manifest = "nr,Long text\n7,\"first,\nin two lines\"\n8\n9,third,and more\n10,fourth\n";
    let source = upload(&stack, &format!("{id}.csv"), manifest).await;
    let spec = json!({ "source": source, "item_id": "{{ item.nr }}", "map": { "text": "{{ item['Long text'] }}" } });
    let (batch, sealed) = run(&stack, "explain", &id, spec).await;
    assert_eq!(sealed["status"], "PARTIAL", "{sealed}");
    let expected = [
        "2 SUCCEEDED",
        "4 REJECTED line: has 1 field, the first line names 2",
        "5 REJECTED line: has 3 fields, the first line names 2",
        "6 SUCCEEDED",
    ];
    assert_eq!(statuses(&stack, &batch).await, expected);
    let results = lines(&stack, &batch.results_key()).await;
    assert_eq!((&results[0]["id"], &results[3]["id"]), (&json!("7"), &json!("10")));
    let asked = calls(&run_of(&results[0]))[0]["request"].to_string();
    assert!(asked.contains("first,\\nin two lines"), "{asked}");
}

/// Each object below a prefix is an item, in the order of the keys. An empty object and one that is not UTF-8 are
/// rejected.
#[tokio::test]
async fn every_object_under_a_prefix_is_an_item() {
    let stack = Stack::connect().await;
    let id = fresh("objects");
    for (name, body) in [
        ("a.md", &b"the first"[..]),
        ("b/c.md", b"the second"),
        ("empty.md", b""),
        ("latin1.md", b"caf\xe9"),
    ] {
        upload(&stack, &format!("{id}/{name}"), body).await;
    }
    let source = format!(
        "s3://{}/batches/uploads/{id}/",
        bcce_tests::harness::stack::output("ArtifactBucket")
    );
    let map = json!({ "text": "{{ item.text }} ({{ item.key }})" });
    let (batch, sealed) =
        run(&stack, "explain", &id, json!({ "source": source, "map": map })).await;
    assert_eq!(sealed["status"], "PARTIAL", "{sealed}");
    let expected = [
        "1 SUCCEEDED",
        "2 SUCCEEDED",
        "3 REJECTED object: is empty",
        "4 REJECTED object: is not UTF-8, at byte 4",
    ];
    assert_eq!(statuses(&stack, &batch).await, expected);
    let outputs = lines(&stack, &batch.outputs_key()).await;
    assert_eq!((&outputs[0]["id"], &outputs[1]["id"]), (&json!("a.md"), &json!("b/c.md")));
    assert!(
        outputs[1]["output"]
            .as_str()
            .unwrap()
            .contains(&format!("the second (batches/uploads/{id}/b/c.md)")),
        "{outputs:?}"
    );
}

/// Step Functions does not document every error name with which it refuses an execution. An item whose start fails with
/// an unlisted name is started later and succeeds. A copy of the machine whose first try names a missing workflow
/// machine shows it.
#[tokio::test]
async fn an_item_whose_start_fails_with_an_unlisted_error_is_started_later() {
    let stack = Stack::connect().await;
    let machine = stack.sfn.describe_state_machine().state_machine_arn(output("BatchArn"));
    let machine = machine.send().await.unwrap();
    let mut definition: Value = serde_json::from_str(machine.definition()).unwrap();
    let items = &mut definition["States"]["RunItems"]["ItemProcessor"]["States"];
    let workflow = &mut items["RunItem"]["Arguments"]["StateMachineArn"];
    let right = workflow.as_str().unwrap().to_owned();
    *workflow = json!(format!("{{% $exists($states.input.tries) ? '{right}' : '{right}-none' %}}"));
    let refusing = stack.sfn.create_state_machine().name(fresh("refusing"));
    let refusing = refusing.role_arn(machine.role_arn()).definition(definition.to_string());
    let refusing = refusing.send().await.unwrap();

    // Each item of a workflow that fans out has an execution.
    let workflow = fresh("fanned-out");
    let step = "- { id: part, for_each: inputs.parts, model: haiku, prompt: \"{{ item }}\" }";
    let inputs = "inputs:\n  parts: { type: list, required: true }";
    let yaml = format!("version: 1\nname: {workflow}\n{inputs}\nsteps:\n{step}\n");
    stack.put_workflow(&workflow, &yaml).await;
    let id = fresh("refused-at-first");
    let source = upload(&stack, &format!("{id}.jsonl"), "{\"parts\": [\"one\", \"two\"]}").await;
    let message = json!({ "workflow": workflow, "id": id, "batch": { "source": source } });
    let batch = BatchRef::first("default", &workflow, &id);
    let request = BatchRequest::parse(&message.to_string()).unwrap();
    let stored = serde_json::to_vec(&StoredBatch::new(request, "default", "-")).unwrap();
    let put = stack.s3.put_object().bucket(output("ArtifactBucket")).key(batch.request_key());
    put.body(stored.into()).send().await.unwrap();
    let start = stack.sfn.start_execution().state_machine_arn(refusing.state_machine_arn());
    start.input(serde_json::to_string(&batch).unwrap()).send().await.unwrap();
    let key = batch.manifest_key();
    let sealed = stack.eventually(&key, async || stack.object(&key).await).await;
    let sealed: Value = serde_json::from_slice(&sealed).unwrap();
    assert_eq!(
        (&sealed["status"], &sealed["counts"]["succeeded"]),
        (&json!("SUCCEEDED"), &json!(1))
    );
    assert_eq!(sealed["opened"]["way"], "executions");
}
