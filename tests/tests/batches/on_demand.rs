//! Every item a run of its own.

use serde_json::{Value, json};

use crate::batch::{lines, run, upload};
use crate::stack::{Stack, calls, fresh};

#[tokio::test]
async fn the_good_items_of_a_manifest_run_and_the_bad_ones_are_listed() {
    let stack = Stack::connect().await;
    let id = fresh("mixed");
    let manifest = format!(
        "\u{feff}{}\n{}\nnot JSON\n{}\n{}\n",
        json!({ "id": "one", "text": "first" }),
        json!({ "id": "two", "inputs": { "text": "second", "audience": "child" } }),
        json!({ "id": "one", "text": "again" }),
        json!({ "txt": "wrong" }),
    );
    let source = upload(&stack, &format!("{id}.jsonl"), manifest).await;
    let (batch, sealed) = run(&stack, "explain", &id, json!({ "source": source })).await;
    assert_eq!(sealed["status"], "PARTIAL", "{sealed}");
    let counts = json!({ "items": 5, "succeeded": 2, "failed": 0, "cancelled": 0, "rejected": 3, "skipped": 0, "running": 0 });
    assert_eq!(sealed["counts"], counts);
    let results = lines(&stack, &batch.results_key()).await;
    let told: Vec<String> = results
        .iter()
        .map(|r| {
            format!(
                "{} {} {}",
                r["line"],
                r["status"].as_str().unwrap(),
                r["error"]["message"].as_str().unwrap_or("")
            )
        })
        .collect();
    let expected = [
        "1 SUCCEEDED ",
        "2 SUCCEEDED ",
        "3 REJECTED line: is not JSON: expected ident at line 1 column 2",
        "4 REJECTED id: is that of line 1 as well",
        "5 REJECTED inputs.txt: is not an input of this workflow; it has: audience, text; inputs.text: is required",
    ];
    assert_eq!(told, expected);
    let outputs = lines(&stack, &batch.outputs_key()).await;
    let ids: Vec<&Value> = outputs.iter().map(|output| &output["id"]).collect();
    assert_eq!(ids, ["one", "two"]);
    for result in &results[..2] {
        let run_id = result["run_id"].as_str().unwrap();
        let run = crate::stack::RunRef {
            run_id: run_id.into(),
            ..crate::stack::RunRef::first("default", "explain", "")
        };
        assert_eq!(calls(&run).len(), 1, "{result}");
    }
}

/// Fifteen of 500 are no requests, and from the 200th to the 350th on the first region is down.
#[tokio::test]
async fn five_hundred_items_with_broken_ones_outlast_a_region() {
    let stack = Stack::connect().await;
    let id = fresh("large");
    let line = |n: usize| {
        match n {
        n if n % 34 == 5 => match n % 3 {
            0 => "{\"text\": ".to_owned(),
            1 => json!({ "id": format!("i{n}"), "txt": "wrong" }).to_string(),
            _ => json!({ "id": "i1", "text": "again" }).to_string(),
        },
        200..350 => json!({ "id": format!("i{n}"), "text": format!("@model us-east-1: unavailable\nnumber {n}") }).to_string(),
        n => json!({ "id": format!("i{n}"), "text": format!("number {n}") }).to_string(),
    }
    };
    let manifest: Vec<String> = (1..=500).map(line).collect();
    let source = upload(&stack, &format!("{id}.jsonl"), manifest.join("\n")).await;
    let started = std::time::Instant::now();
    let (batch, sealed) = run(&stack, "explain", &id, json!({ "source": source })).await;
    println!("{:?}", started.elapsed());
    assert_eq!(sealed["status"], "PARTIAL", "{sealed}");
    println!("{sealed}");
    let results = lines(&stack, &batch.results_key()).await;
    println!("{}", results.len());
}
