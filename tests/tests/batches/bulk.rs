//! Batches in bulk mode: the records of a bulk job are answered first, and its leftovers run on demand.

use bcce_core::batch::{BatchRef, BatchRequest, StoredBatch};
use bcce_tests::harness::cli::bcce;
use bcce_tests::harness::stack::{Layout, RunRef, Stack, calls, fresh, model, output};
use rust_decimal::Decimal;
use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

use crate::batch::{
    arn, lines, manifest, packed_object, packed_run, run_of, sealed, status, upload,
};

/// Sends a batch of `explain` over these texts, with the further fields `spec`.
async fn send(stack: &Stack, name: &str, texts: &[String], spec: Value) -> BatchRef {
    let items: Vec<String> = texts.iter().map(|text| json!({ "text": text }).to_string()).collect();
    send_lines(stack, "explain", name, &items, spec).await
}

/// Sends a batch of a workflow over the given lines, with the further fields `spec`.
async fn send_lines(
    stack: &Stack,
    workflow: &str,
    name: &str,
    items: &[String],
    mut spec: Value,
) -> BatchRef {
    let id = fresh(name);
    spec["source"] = json!(upload(stack, &format!("{id}.jsonl"), items.join("\n")).await);
    spec["concurrency"] = json!(50);
    let model = model(Layout::Two);
    let message = json!({ "workflow": workflow, "id": id, "model": model, "batch": spec });
    stack.send(&message.to_string()).await;
    BatchRef::first("default", workflow, &id)
}

/// Stores a workflow whose answers have to be JSON, and returns its name. Its timeouts are long: on a busy machine a call
/// could time out otherwise, and its cost would be unknown.
async fn json_workflow(stack: &Stack) -> String {
    let workflow = fresh("verdict");
    let template = format!(
        "version: 1\nname: {workflow}\nrequest_models: [\"test-*\"]\ninputs:\n  text: {{ type: string }}\nsteps:\n- {{ id: answer, model: haiku, prompt: \"{{{{ inputs.text }}}}\", output: {{ type: json }} }}\nrouting: {{ timeouts: {{ first_token_s: 120, stall_s: 120 }} }}\n"
    );
    stack.put_workflow(&workflow, &template).await;
    workflow
}

/// Returns `items` texts. The first ones begin with these scripts.
fn texts(items: usize, scripts: &[&str]) -> Vec<String> {
    let text = |n: usize| match scripts.get(n - 1) {
        Some(script) => format!("{script}\nnumber {n}."),
        None => format!("number {n}."),
    };
    (1..=items).map(text).collect()
}

fn cost(totals: &Value) -> Decimal {
    totals["cost_usd"].as_str().unwrap_or_else(|| panic!("{totals}")).parse().unwrap()
}

/// Returns the time in `seconds` seconds, as RFC 3339.
fn in_seconds(seconds: i64) -> String {
    (OffsetDateTime::now_utc() + Duration::seconds(seconds)).format(&Rfc3339).unwrap()
}

/// Returns the sum of a metric over the parts of a batch.
fn metric(batch: &BatchRef, name: &str) -> u64 {
    let log = bcce_tests::harness::stack::log("collect-part");
    let pages = serde_json::Deserializer::from_str(&log).into_iter::<Vec<Value>>();
    let events = pages.flat_map(|page| page.unwrap());
    let documents = events.filter_map(|event| {
        serde_json::from_str::<Value>(event["message"].as_str().unwrap_or_default()).ok()
    });
    let its = documents.filter(|document| document["batch_id"] == batch.batch_id);
    its.filter_map(|document| document[name].as_u64()).sum()
}

/// Returns for each call of an item's run whether it was a stream. The call of a bulk record is not.
fn streams(result: &Value) -> Vec<bool> {
    calls(&run_of(result)).iter().map(|call| call["stream"].as_bool().unwrap()).collect()
}

/// A bulk batch has an answer for each valid item, with runs that are sealed and counted as on demand, and costs half
/// as much.
#[tokio::test]
async fn a_bulk_batch_answers_every_item_at_half_the_price_of_on_demand() {
    let stack = Stack::connect().await;
    let mut items: Vec<String> =
        texts(120, &[]).iter().map(|text| json!({ "text": text }).to_string()).collect();
    items.push("not JSON".into());
    let batch = send_lines(&stack, "explain", "bulk", &items, json!({ "mode": "bulk" })).await;
    let sealed = manifest(&stack, &batch).await;
    assert_eq!(
        (&sealed["counts"]["succeeded"], &sealed["counts"]["rejected"]),
        (&json!(120), &json!(1)),
        "{sealed}"
    );
    assert_eq!(sealed["opened"]["mode"], "bulk");
    let job = &sealed["bulk"][0];
    assert_eq!((&job["status"], &job["given"]), (&json!("Completed"), &json!(120)), "{sealed}");
    let outputs = lines(&stack, &batch.outputs_key()).await;
    assert_eq!(outputs.len(), 120);
    for output in &outputs {
        let number = format!("number {}.", output["line"]);
        assert!(output["output"].as_str().unwrap().contains(&number), "{output}");
    }
    let results = lines(&stack, &batch.results_key()).await;
    assert!(results[..120].iter().all(|result| streams(result) == [false]));
    let sum: Decimal = results[..120].iter().map(|result| cost(&result["totals"])).sum();
    let progress = crate::batch::progress(&batch).await;
    assert_eq!((progress.succeeded, progress.cost_usd.normalize()), (120, sum));
    assert_eq!(cost(&sealed["totals"]), sum);

    let run = run_of(&results[6]);
    // The comparison needs a model with the same price.
    let (id, model) = (fresh("single"), model(Layout::Two));
    let inputs = json!({ "text": "number 7." });
    let request = json!({ "workflow": "explain", "id": id, "model": model, "inputs": inputs });
    stack.send(&request.to_string()).await;
    let on_demand = stack.manifest(&RunRef::first("default", "explain", &id)).await;
    assert_eq!(cost(&results[6]["totals"]) * Decimal::TWO, cost(&on_demand["totals"]));
    let packed = packed_run(&stack, &batch, 7).await;
    let step = packed_object(&packed, &run.step_key("answer", None));
    assert_eq!(
        (&step["attempts"][0]["kind"], &step["attempts"].as_array().unwrap().len()),
        (&json!("bulk"), &1)
    );
    for verb in ["show", "verify", "explain"] {
        let (code, output) = bcce("dev", &["runs", verb, &run.run_id]);
        assert_eq!(code, 0, "{verb}: {output}");
        assert!(verb != "explain" || output.contains("model-invocation-job"), "{output}");
    }
    assert_eq!(stack.keys(&run).await, Vec::<String>::new(), "a packed run has no objects");
    assert_eq!(metric(&batch, "RunsSucceeded"), 120);
}

/// Records that a job did not process, lost, failed or answered with invalid JSON run on demand. The run of a failed
/// record has the cost of both calls.
#[tokio::test]
async fn leftovers_of_a_bulk_job_run_on_demand() {
    let stack = Stack::connect().await;
    let workflow = json_workflow(&stack).await;
    // The job processes the last records first, and its time ends before the first three.
    let scripts = [
        "@bulk partial(3)\n@model says: 1",
        "@model says: 2",
        "@model says: 3",
        "@bulk error(429)\n@model says: 4",
        "@bulk lost\n@model says: 5",
        "@model *: answer(no), answer(6)",
    ];
    let says: Vec<String> = (7..=110).map(|n| format!("@model says: {n}")).collect();
    let scripts: Vec<&str> = scripts.into_iter().chain(says.iter().map(String::as_str)).collect();
    let items: Vec<String> =
        texts(110, &scripts).iter().map(|text| json!({ "text": text }).to_string()).collect();
    let spec = json!({ "mode": "auto" });
    let batch = send_lines(&stack, &workflow, "leftovers", &items, spec).await;
    let sealed = manifest(&stack, &batch).await;
    assert_eq!(sealed["status"], "SUCCEEDED", "{sealed}");
    assert_eq!(sealed["bulk"][0]["status"], "PartiallyCompleted", "{sealed}");
    let outputs = lines(&stack, &batch.outputs_key()).await;
    let said: Vec<u64> = outputs.iter().map(|output| output["output"].as_u64().unwrap()).collect();
    assert_eq!(said, (1..=110).collect::<Vec<_>>());
    let results = lines(&stack, &batch.results_key()).await;
    for (n, expected) in [
        (1, vec![true]),
        (3, vec![true]),
        (4, vec![true]),
        (6, vec![false, true]),
        (7, vec![false]),
    ] {
        assert_eq!(streams(&results[n - 1]), expected, "item {n}");
    }
    // The run also has the cost of the record that gave no valid answer.
    let run = run_of(&results[5]);
    let (failed, answered) = (run.record_failure_key("answer"), run.step_key("answer", None));
    let packed = packed_run(&stack, &batch, 6).await;
    let (failed, answered) = (packed_object(&packed, &failed), packed_object(&packed, &answered));
    assert_eq!(failed["error"]["name"], "Bcce.OutputInvalid");
    assert!(cost(&failed) > Decimal::ZERO);
    assert_eq!(cost(&results[5]["totals"]), cost(&failed) + cost(&answered));
    let (code, output) = bcce("dev", &["runs", "verify", &run.run_id]);
    assert_eq!(code, 0, "{output}");
}

/// If 99 of 100 records fail, ten of them run on demand first. All ten succeed, so the others run too.
#[tokio::test]
async fn if_nearly_all_records_fail_a_sample_runs_before_the_other_leftovers() {
    let stack = Stack::connect().await;
    let scripts = ["@bulk error(400)"; 99];
    let texts = texts(100, &scripts);
    let batch = send(&stack, "fault", &texts, json!({ "mode": "bulk" })).await;
    let sealed = manifest(&stack, &batch).await;
    assert_eq!(sealed["status"], "SUCCEEDED", "{sealed}");
    let leftovers = &sealed["bulk"][0]["leftovers"];
    assert_eq!((&leftovers["failed"], &leftovers["verdict"]), (&json!(99), &json!("on_demand")));
    let sample = json!({ "items": 10, "answered": 10, "failed": 0 });
    assert_eq!(leftovers["sample"], sample, "{sealed}");
    let results = counted(&stack, &batch, &sealed).await;
    assert!(results[..99].iter().all(|result| streams(result) == [true]));
    assert_eq!(streams(&results[99]), [false]);
    let key = batch.sample_key();
    let sampled: Vec<u64> =
        lines(&stack, &key).await.iter().map(|place| place["n"].as_u64().unwrap()).collect();
    let first = |result: &&Value| sampled.contains(&result["n"].as_u64().unwrap());
    let started = |result: &Value| {
        let call = &calls(&run_of(result))[0];
        call["at_ms"].as_u64().unwrap_or_else(|| panic!("{call}"))
    };
    let (sample, rest): (Vec<&Value>, Vec<&Value>) = results[..99].iter().partition(first);
    let last = sample.into_iter().map(started).max().unwrap();
    assert!(rest.into_iter().all(|result| started(result) > last), "the sample must run first");
}

/// Returns true if an item was not run, because the sample of its job had failed.
fn is_held(result: &&Value) -> bool {
    result["error"]["message"].as_str().unwrap_or_default().contains("do not run")
}

/// If the sample fails as well, the other 90 items fail without a call at the full price, with the reason.
#[tokio::test]
async fn if_the_sample_fails_too_the_other_leftovers_do_not_run() {
    let stack = Stack::connect().await;
    let texts = texts(100, &["@model *: validation"; 100]);
    let batch = send(&stack, "records", &texts, json!({ "mode": "bulk" })).await;
    let sealed = manifest(&stack, &batch).await;
    assert_eq!((&sealed["status"], &sealed["counts"]["failed"]), (&json!("FAILED"), &json!(100)));
    let leftovers = &sealed["bulk"][0]["leftovers"];
    assert_eq!(leftovers["verdict"], "held", "{sealed}");
    let results = lines(&stack, &batch.results_key()).await;
    let (held, ran): (Vec<&Value>, Vec<&Value>) = results.iter().partition(is_held);
    assert_eq!((ran.len(), held.len()), (10, 90));
    let on_demand = ran.iter().flat_map(|result| streams(result)).filter(|stream| *stream);
    assert_eq!(on_demand.count(), 10, "each item of the sample must be called once");
    let why = "job 1 of the batch: 100 of 100 records failed, the first with Bcce.RequestRejected; on demand 0 of a sample of 10 succeeded: the other 90 do not run";
    for result in held {
        assert_eq!(result["error"], json!({ "name": "Bcce.TooManyFailures", "message": why }));
        assert_eq!((cost(&result["totals"]), streams(result)), (Decimal::ZERO, vec![false]));
    }
    assert!(sealed["error"]["message"].as_str().unwrap().contains("the other 90 do not run"));
    let (code, printed) = bcce("dev", &["batch", "status", &batch.batch_id]);
    assert_eq!(code, 0, "{printed}");
    assert!(printed.contains("on demand 0 of a sample of 10 succeeded"), "{printed}");
}

/// Each record is charged and its answer is not JSON, in the job and on demand. The batch counts the job's cost once,
/// and a retry counts only its own calls.
#[tokio::test]
async fn the_cost_of_records_that_do_not_run_again_is_counted_once() {
    let stack = Stack::connect().await;
    let workflow = json_workflow(&stack).await;
    let texts = texts(100, &["@model *: answer(no)"; 100]);
    let items: Vec<String> = texts.iter().map(|text| json!({ "text": text }).to_string()).collect();
    let spec = json!({ "mode": "bulk", "tolerated_failure_percent": 100 });
    let batch = send_lines(&stack, &workflow, "charged", &items, spec).await;
    let sealed = manifest(&stack, &batch).await;
    assert_eq!(sealed["bulk"][0]["leftovers"]["verdict"], "held", "{sealed}");
    let results = counted(&stack, &batch, &sealed).await;
    let held: Vec<&Value> = results.iter().filter(is_held).collect();
    assert_eq!(held.len(), 90);
    for result in &held {
        assert_eq!((&result["status"], streams(result)), (&json!("FAILED"), vec![false]));
        assert!(cost(&result["totals"]) > Decimal::ZERO, "{result}");
    }
    let run = run_of(held[0]);
    let (code, output) = bcce("dev", &["runs", "verify", &run.run_id]);
    assert_eq!(code, 0, "{output}");
    assert_eq!(metric(&batch, "RunsFailed"), 100);

    let (code, output) = bcce("dev", &["batch", "retry", &batch.batch_id]);
    assert_eq!(code, 0, "{output}");
    let retried = batch.retry().unwrap();
    let sealed = crate::batch::sealed(&stack, &retried).await;
    for result in counted(&stack, &retried, &sealed).await {
        assert_eq!((&result["status"], &result["attempt_no"]), (&json!("FAILED"), &json!(2)));
        let key = RunRef { attempt_no: 2, ..run_of(&result) }.failure_key("answer", None);
        let packed = packed_run(&stack, &retried, result["n"].as_u64().unwrap()).await;
        let failure = packed_object(&packed, &key);
        assert_eq!(
            cost(&result["totals"]),
            cost(&failure),
            "attempt 2 must not count the job: {result}"
        );
    }
}

/// Returns the results of a batch of 100 items. Checks that the manifest and the ledger have the sum of their costs.
async fn counted(stack: &Stack, batch: &BatchRef, sealed: &Value) -> Vec<Value> {
    let results = lines(stack, &batch.results_key()).await;
    let sum: Decimal = results.iter().map(|result| cost(&result["totals"])).sum();
    let progress = crate::batch::progress(batch).await;
    assert_eq!((progress.over(), progress.cost_usd), (100, sum), "{sealed}");
    assert_eq!(
        (&sealed["counts"]["failed"], cost(&sealed["totals"])),
        (&json!(progress.failed), sum)
    );
    assert_eq!(sealed["totals"]["usage"], serde_json::to_value(progress.usage).unwrap());
    results
}

/// If a whole job fails or the service refuses it, a sample of ten items runs on demand, and then the others.
#[tokio::test]
async fn if_a_job_fails_or_is_refused_a_sample_runs_and_then_every_item() {
    let stack = Stack::connect().await;
    let table = [
        ("@bulk invalid", json!("Failed"), "not valid"),
        ("@bulk refused(quota)", Value::Null, "ServiceQuotaExceededException"),
    ];
    let mut batches = Vec::new();
    for (script, status, message) in table {
        let spec = json!({ "mode": "bulk" });
        let batch = send(&stack, "whole", &texts(100, &[script]), spec).await;
        batches.push((batch, status, message));
    }
    for (batch, status, message) in batches {
        let sealed = manifest(&stack, &batch).await;
        assert_eq!(
            (&sealed["status"], &sealed["counts"]["succeeded"]),
            (&json!("SUCCEEDED"), &json!(100)),
            "{sealed}"
        );
        let job = &sealed["bulk"][0];
        assert_eq!(job["status"], status, "{sealed}");
        assert!(job["message"].as_str().unwrap().contains(message), "{sealed}");
        let sample = json!({ "items": 10, "answered": 10, "failed": 0 });
        assert_eq!(job["leftovers"]["sample"], sample, "{sealed}");
        let results = lines(&stack, &batch.results_key()).await;
        assert!(results.iter().all(|result| streams(result) == [true]));
    }
}

/// A job that does not end is stopped at the deadline of the batch. Its processed records are kept and the others run
/// on demand.
#[tokio::test]
async fn a_job_that_never_ends_is_stopped_at_the_deadline_and_its_leftovers_run_on_demand() {
    let stack = Stack::connect().await;
    let spec = json!({ "mode": "bulk", "deadline": in_seconds(20) });
    let batch = send(&stack, "never", &texts(101, &["@bulk never"]), spec).await;
    let sealed = manifest(&stack, &batch).await;
    assert_eq!(
        (&sealed["status"], &sealed["bulk"][0]["status"]),
        (&json!("SUCCEEDED"), &json!("Stopped")),
        "{sealed}"
    );
    let results = lines(&stack, &batch.results_key()).await;
    assert_eq!((streams(&results[0]), streams(&results[1])), (vec![true], vec![false]));
}

/// If the execution of a batch is stopped, its job is stopped too, and the records that it had processed become runs
/// that succeeded.
#[tokio::test]
async fn stopping_a_batch_stops_its_job_and_keeps_the_processed_records() {
    let stack = Stack::connect().await;
    let texts = texts(101, &["@bulk never"]);
    let batch = send(&stack, "halted", &texts, json!({ "mode": "bulk" })).await;
    let key = batch.jobs_key();
    stack
        .eventually("a job at work", async || {
            let jobs: Value = serde_json::from_slice(&stack.object(&key).await?).unwrap();
            (jobs["jobs"][0]["status"] == "InProgress").then_some(())
        })
        .await;
    stack.sfn.stop_execution().execution_arn(arn(&batch)).send().await.unwrap();
    let sealed = sealed(&stack, &batch).await;
    assert_eq!(
        (&sealed["status"], &sealed["bulk"][0]["status"]),
        (&json!("CANCELLED"), &json!("Stopped")),
        "{sealed}"
    );
    let counts = &sealed["counts"];
    assert_eq!((&counts["succeeded"], &counts["skipped"]), (&json!(100), &json!(1)), "{sealed}");
    assert_eq!(status(&stack, &batch).await.as_deref(), Some("ABORTED"));
}

/// While the status of the jobs cannot be read, no item runs on demand, because a job may still process it. Otherwise
/// both would be paid. A copy of the machine with a missing function and short waits shows it.
#[tokio::test]
async fn no_item_runs_on_demand_while_the_status_of_the_jobs_is_unknown() {
    let stack = Stack::connect().await;
    let machine = stack.sfn.describe_state_machine().state_machine_arn(output("BatchArn"));
    let machine = machine.send().await.unwrap();
    let mut definition: Value = serde_json::from_str(machine.definition()).unwrap();
    let bulk_job = &mut definition["States"]["BulkJob"];
    bulk_job["Arguments"]["FunctionName"] = json!(format!("{}-none", output("BatchArn")));
    bulk_job["Retry"] = json!([]);
    let unseen = bulk_job["Catch"][0]["Output"].as_str().unwrap();
    bulk_job["Catch"][0]["Output"] = json!(unseen.replace("[1800, ", "[1, "));
    let over = "$millis() < $states.input.opened.jobs_over_ms";
    let choice = &mut definition["States"]["JobsFinished?"]["Choices"][0]["Condition"];
    *choice = choice
        .as_str()
        .unwrap()
        .replace(over, &format!("({over} and $states.input.unseen < 3)"))
        .into();
    let blind = stack.sfn.create_state_machine().name(fresh("blind")).role_arn(machine.role_arn());
    let blind = blind.definition(definition.to_string()).send().await.unwrap();

    let id = fresh("unseen");
    let items: Vec<String> =
        texts(100, &[]).iter().map(|text| json!({ "text": text }).to_string()).collect();
    let source = upload(&stack, &format!("{id}.jsonl"), items.join("\n")).await;
    let spec = json!({ "mode": "bulk", "source": source });
    let message =
        json!({ "workflow": "explain", "id": id, "model": model(Layout::Two), "batch": spec });
    let request = BatchRequest::parse(&message.to_string()).unwrap();
    let batch = BatchRef::first("default", "explain", &id);
    let stored = serde_json::to_vec(&StoredBatch::new(request, "default", "-")).unwrap();
    let put = stack.s3.put_object().bucket(output("ArtifactBucket")).key(batch.request_key());
    put.body(stored.into()).send().await.unwrap();
    let start = stack.sfn.start_execution().state_machine_arn(blind.state_machine_arn());
    let start = start.input(serde_json::to_string(&batch).unwrap()).send().await.unwrap();
    let sealed = sealed(&stack, &batch).await;
    assert_eq!(
        (&sealed["status"], &sealed["bulk"]),
        (&json!("SUCCEEDED"), &Value::Null),
        "{sealed}"
    );
    let history = stack.sfn.get_execution_history().execution_arn(start.execution_arn());
    let history = history.max_results(1_000).send().await.unwrap();
    let entered = history.events().iter().filter_map(|event| event.state_entered_event_details());
    let bulk =
        entered.map(|state| state.name()).filter(|name| ["BulkJob", "TakeParts"].contains(name));
    assert_eq!(bulk.collect::<Vec<_>>(), ["BulkJob", "BulkJob", "BulkJob", "TakeParts"]);
}

/// A batch with two steps, a near deadline or too few items runs on demand, and its manifest has the reason.
#[tokio::test]
async fn a_batch_that_cannot_run_in_bulk_runs_on_demand_with_the_reason() {
    let stack = Stack::connect().await;
    let workflow = fresh("two-steps");
    let template = format!(
        "version: 1\nname: {workflow}\nrequest_models: [\"test-*\"]\ninputs:\n  text: {{ type: string }}\nsteps:\n- {{ id: one, model: haiku, prompt: \"{{{{ inputs.text }}}}\" }}\n- {{ id: two, model: haiku, prompt: \"{{{{ steps.one }}}}\", needs: [one] }}\n"
    );
    stack.put_workflow(&workflow, &template).await;
    let auto = json!({ "mode": "auto", "deadline": in_seconds(1_800) });
    let (bulk, two) = (json!({ "mode": "bulk" }), [json!({ "text": "one" }).to_string()]);
    let table = [
        (
            send_lines(&stack, &workflow, "steps", &two, bulk.clone()).await,
            "not in bulk: the workflow has 2 steps",
        ),
        (send(&stack, "near", &texts(2, &[]), auto).await, "not in bulk: the deadline leaves 4"),
        (
            send(&stack, "few", &texts(2, &[]), bulk).await,
            "not in bulk: a bulk job needs at least 100",
        ),
    ];
    for (batch, expected) in table {
        let sealed = manifest(&stack, &batch).await;
        let opened = &sealed["opened"];
        assert_eq!(
            (&sealed["status"], &opened["mode"]),
            (&json!("SUCCEEDED"), &json!("on_demand")),
            "{sealed}"
        );
        assert!(opened["because"][0].as_str().unwrap().starts_with(expected), "{sealed}");
    }
}
