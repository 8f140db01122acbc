//! The trace of a run: its id in the run record and in each log line, and the spans of its calls.
//!
//! The local stack passes trace headers on as AWS does, and plays the X-Ray daemon. Whether X-Ray shows the trace, and
//! links it to the one of a webhook, can be seen only on AWS.

use std::collections::BTreeSet;

use bcce_tests::harness::cli::bcce;
use bcce_tests::harness::stack::{Layout, RunRef, Stack, calls, fresh, model, output};
use serde_json::{Value, json};

/// Returns the spans of a run that the functions sent, in the order of their start.
fn spans(run: &RunRef) -> Vec<Value> {
    let url = format!("{}/_bcce/spans", output("AWS_ENDPOINT_URL"));
    let mut response = ureq::get(&url).call().unwrap();
    let body = response.body_mut().with_config().limit(1 << 26).read_to_string().unwrap();
    let spans: Vec<Value> = serde_json::from_str(&body).unwrap();
    let is_of_run = |span: &Value| span["annotations"]["bcce_run_id"] == run.run_id;
    let mut spans: Vec<Value> = spans.into_iter().filter(is_of_run).collect();
    spans.sort_by(|a, b| {
        a["start_time"].as_f64().unwrap().total_cmp(&b["start_time"].as_f64().unwrap())
    });
    spans
}

/// Returns the log lines of a run as `bcce runs logs --json` prints them, once the run is sealed.
async fn lines(stack: &Stack, run: &RunRef) -> Vec<Value> {
    // The emulator writes the lines of a function after its answer.
    let read = async || {
        let (code, output) = bcce("dev", &["runs", "logs", &run.run_id, "--json"]);
        assert_eq!(code, 0, "{output}");
        let lines = output.lines().filter_map(|line| serde_json::from_str(line).ok());
        let lines: Vec<Value> = lines.collect();
        lines.iter().any(|line| line["function"] == "persist-artifact").then_some(lines)
    };
    stack.eventually("the log line of persist-artifact", read).await
}

/// `dispatch` starts the execution in its own trace, and the functions of the execution belong to that trace.
#[tokio::test]
async fn the_run_record_the_log_lines_and_the_spans_of_a_run_name_one_trace() {
    let stack = Stack::connect().await;
    let name = fresh("traced");
    let step = format!(
        "- {{ id: answer, model: {}, prompt: \"@model us-east-1: unavailable\" }}",
        model(Layout::Two)
    );
    stack.put_workflow(&name, &format!("version: 1\nname: {name}\nsteps:\n{step}\n")).await;
    stack.send(&json!({ "workflow": name, "id": "1" }).to_string()).await;
    let run = RunRef::first("default", &name, "1");
    assert_eq!(stack.manifest(&run).await["status"], "SUCCEEDED");

    let (code, output) = bcce("dev", &["runs", "show", &run.run_id, "--json"]);
    assert_eq!(code, 0, "{output}");
    let shown: Value = serde_json::from_str(&output).unwrap();
    let id = shown["records"][0]["trace_id"].as_str().unwrap().to_owned();
    let (code, output) = bcce("dev", &["runs", "show", &run.run_id]);
    assert!(code == 0 && output.contains(&id), "{id} is missing: {output}");

    let lines = lines(&stack, &run).await;
    let mut functions = BTreeSet::new();
    for line in &lines {
        assert_eq!(line["line"]["trace_id"], id, "{line}");
        functions.insert(line["function"].as_str().unwrap());
    }
    for function in ["dispatch", "invoke", "persist-artifact"] {
        assert!(functions.contains(function), "{function} has no line: {functions:?}");
    }

    let spans = spans(&run);
    assert_eq!(spans.len(), calls(&run).len(), "{spans:?}");
    let [first, second] = &spans[..] else { panic!("{spans:?}") };
    for span in [first, second] {
        assert_eq!(span["trace_id"], id);
        assert!(!span.to_string().contains("@model"), "{span}");
    }
    assert_eq!(first["metadata"]["default"]["bcce.region"], "us-east-1");
    assert_eq!(
        (&first["annotations"]["error_type"], &first["fault"]),
        (&json!("Bcce.TargetUnavailable"), &json!(true))
    );
    let answered = &second["metadata"]["default"];
    assert_eq!(answered["gen_ai.response.finish_reasons"], json!(["end_turn"]));
    let artifact = stack.step(&run, "answer").await;
    let usage = &artifact["usage"];
    assert_eq!(answered["gen_ai.usage.output_tokens"], usage["output_tokens"], "{artifact}");
}

/// Two runs have two traces, although one function process may have handled both.
#[tokio::test]
async fn another_run_has_another_trace() {
    let stack = Stack::connect().await;
    let mut ids = BTreeSet::new();
    for _ in 0..2 {
        let id = fresh("trace");
        stack.explain(&id, "A breaker.").await;
        let record = stack.record(&RunRef::first("default", "explain", &id)).await;
        ids.insert(record["trace_id"].as_s().unwrap().clone());
    }
    assert_eq!(ids.len(), 2, "{ids:?}");
}
