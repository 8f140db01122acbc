//! Inputs, prompts and answers: they are in the encrypted artifacts and nowhere else.

use aws_sdk_sqs::types::Message;
use bcce_tests::harness::cli::bcce;
use bcce_tests::harness::stack::{RunRef, Stack, fresh, log, output};
use serde_json::{Value, json};

/// Unique texts, one in each place: a value that is sent, the text of a prompt, and the answer of a model.
struct Markers {
    sent: String,
    asked: String,
    said: String,
}

impl Markers {
    /// Returns the markers that a text contains.
    fn in_text(&self, text: &str) -> Vec<&str> {
        let all = [&self.sent, &self.asked, &self.said];
        all.into_iter()
            .filter(|marker| text.contains(marker.as_str()))
            .map(String::as_str)
            .collect()
    }
}

/// No marker is in a log, an execution history, the ledger, a notification, the reason of a dead letter, the name of an
/// object or the output of `bcce runs show` and `follow`. The test first checks that the artifacts have the markers, so
/// that it can find them at all.
#[tokio::test]
async fn inputs_prompts_and_answers_are_in_no_log_history_or_message() {
    let stack = Stack::connect().await;
    let name = fresh("marked");
    let notifications = stack.listen(&name).await;
    let markers = Markers {
        sent: format!("sent{name}"),
        asked: format!("asked{name}"),
        said: format!("said{name}"),
    };
    let (runs, letter) = provoke(&stack, &name, &markers).await;

    // The artifacts must have the markers. Otherwise the rest of the test would show nothing.
    let artifacts = artifacts(&stack, &runs[0]).await;
    assert_eq!(
        markers.in_text(&artifacts).len(),
        2,
        "the artifacts must have the sent and the said marker"
    );
    // The plan has the prompt, which contains the text that the model is asked to say.
    let plan = stack.object(&runs[0].plan_key()).await.unwrap();
    assert_eq!(
        markers.in_text(&String::from_utf8(plan).unwrap()).len(),
        3,
        "the plan must have all markers"
    );

    let mut places = vec![
        ("the ledger", ledger(&stack).await),
        ("a notification", bodies(&stack.sweep(&notifications, 60).await)),
        ("the reason of a dead letter", format!("{:?}", letter.message_attributes())),
        ("names of objects", object_names(&stack).await),
    ];
    for run in &runs {
        places.push(("a history", history(&stack, run).await));
        places.push(("`runs show`", bcce("dev", &["runs", "show", &run.run_id]).1));
        places
            .push(("`runs show --json`", bcce("dev", &["runs", "show", "--json", &run.run_id]).1));
        places.push(("`runs follow`", bcce("dev", &["runs", "follow", &run.run_id]).1));
    }
    for function in FUNCTIONS {
        let log = log(function);
        assert!(
            log.contains(&name) || SILENT.contains(function),
            "the log of {function} has nothing about these runs"
        );
        places.push(("the log of a function", log));
    }
    let emulator = std::path::Path::new(&output("LOCAL_LOGS")).join("emulator.log");
    places.push(("the emulator's log", std::fs::read_to_string(emulator).unwrap()));
    for (place, text) in &places {
        let found = markers.in_text(text);
        assert!(found.is_empty(), "{found:?} in {place}");
        let looked_at = !text.is_empty() || *place == "the log of a function";
        assert!(looked_at, "{place} is empty, so the test shows nothing for it");
    }
}

const FUNCTIONS: &[&str] =
    &["dispatch", "prepare", "failover-router", "invoke", "persist-artifact", "emit-metrics"];
/// Functions whose log may have nothing about a run. The router returns what it decides.
const SILENT: &[&str] = &["failover-router"];

/// Makes runs that succeed and fail, and a rejected message: each way in which a text could be revealed.
async fn provoke(stack: &Stack, name: &str, markers: &Markers) -> (Vec<RunRef>, Message) {
    let Markers { sent, asked, said } = markers;
    let says = |text: &str| format!("@model says: {text}\\n");
    let workflow = |kind: &str, step: &str| {
        let prompt = format!("{}{asked} {{{{ inputs.text }}}}", says(said));
        format!(
            "version: 1\nname: {name}{kind}\ninputs: {{ text: {{ type: string }} }}\nsteps:\n- id: a\n  model: haiku\n  prompt: \"{prompt}\"\n  {step}\n"
        )
    };
    let schema = "output: { type: json, schema: { type: object } }";
    let kinds = [("-right", ""), ("-no-json", schema), ("-refused", "")];
    // All workflows are stored before the first request, because dispatch lists the names at most once in ten seconds.
    for (kind, step) in kinds {
        stack.put_workflow(&format!("{name}{kind}"), &workflow(kind, step)).await;
    }
    let mut runs = Vec::new();
    for (kind, _) in kinds {
        let text = if kind == "-refused" { json!([sent]) } else { json!(sent) };
        let run = RunRef::first("default", &format!("{name}{kind}"), "1");
        let manifest = stack.run(&run.workflow, "1", json!({ "text": text })).await;
        assert_eq!(manifest["status"] == "SUCCEEDED", kind == "-right", "{manifest}");
        runs.push(run);
    }
    let failing = stack.explain(&format!("{name}-rejected"), "@model *: validation").await;
    assert_eq!(failing["status"], "FAILED");
    let body =
        json!({ "workflow": "explain", "tags": { "team": [sent] }, "inputs": sent }).to_string();
    stack.send(&body).await;
    let letters = output("DeadLetterQueueUrl");
    let letter = stack.receive(&letters, |m| m.body() == Some(&body)).await;
    (runs, letter)
}

async fn artifacts(stack: &Stack, run: &RunRef) -> String {
    let step = stack.step(run, "a").await;
    let request = stack.object(&run.request_key()).await.unwrap();
    format!("{step}{}", String::from_utf8(request).unwrap())
}

async fn ledger(stack: &Stack) -> String {
    let scan = stack.dynamodb.scan().table_name(output("LedgerTable")).into_paginator().items();
    let items: Result<Vec<_>, _> = scan.send().collect().await;
    format!("{:?}", items.unwrap())
}

async fn object_names(stack: &Stack) -> String {
    let list = stack.s3.list_objects_v2().bucket(output("ArtifactBucket")).into_paginator();
    let pages: Result<Vec<_>, _> = list.send().collect().await;
    let pages = pages.unwrap();
    pages.iter().flat_map(|page| page.contents()).filter_map(|object| object.key()).collect()
}

fn bodies(messages: &[Message]) -> String {
    messages.iter().filter_map(Message::body).collect()
}

/// Returns everything that Step Functions stores about an execution.
async fn history(stack: &Stack, run: &RunRef) -> String {
    let arn = stack.arn(run);
    let execution = stack.sfn.describe_execution().execution_arn(&arn).send().await.unwrap();
    let events = stack.sfn.get_execution_history().execution_arn(&arn).into_paginator().items();
    let events: Result<Vec<_>, _> = events.send().collect().await;
    let ends = json!([execution.input(), execution.output(), execution.error(), execution.cause()]);
    format!("{ends}{:?}", events.unwrap()) + &Value::from(execution.name()).to_string()
}
