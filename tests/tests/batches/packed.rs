//! Packed batches: the runs of items without executions of their own, and what the command shows of them.

use bcce_core::batch::BatchRef;
use bcce_tests::harness::cli::bcce;
use bcce_tests::harness::stack::{Layout, RunRef, Stack, calls, fresh, model, release};
use rust_decimal::Decimal;
use serde_json::{Value, json};

use crate::batch::{lines, manifest, progress, run_of, statuses, upload};

/// Sends a batch of `explain` over these texts with a model of its own.
async fn send(stack: &Stack, name: &str, texts: &[String], mut spec: Value) -> BatchRef {
    let id = fresh(name);
    let items: Vec<String> = texts.iter().map(|text| json!({ "text": text }).to_string()).collect();
    spec["source"] = json!(upload(stack, &format!("{id}.jsonl"), items.join("\n")).await);
    let model = model(Layout::Two);
    let message = json!({ "workflow": "explain", "id": id, "model": model, "batch": spec });
    stack.send(&message.to_string()).await;
    BatchRef::first("default", "explain", &id)
}

/// Runs `bcce runs <verb> <run>` and checks its exit code.
fn runs(verb: &[&str], run: &RunRef, code: i32) -> String {
    let (ended, text) = bcce("dev", &[&["runs"], verb, &[run.run_id.as_str()]].concat());
    assert_eq!(ended, code, "{verb:?}: {text}");
    text
}

fn cost(of: &Value) -> Decimal {
    of["cost_usd"].as_str().unwrap_or_else(|| panic!("{of}")).parse().unwrap()
}

/// The command shows, explains, prints and verifies the run of an item as any other run, and a retry of it is an
/// execution that keeps its plan.
#[tokio::test]
async fn the_run_of_an_item_is_a_run_like_any_other() {
    let stack = Stack::connect().await;
    let texts = [
        "@model *: answer(whole)\nnumber 1.".to_owned(),
        "@model *: validation, answer(healed)\nnumber 2.".to_owned(),
        "number 3.".to_owned(),
    ];
    let batch = send(&stack, "packed", &texts, json!({})).await;
    let sealed = manifest(&stack, &batch).await;
    assert_eq!(
        (&sealed["status"], &sealed["opened"]["way"]),
        (&json!("PARTIAL"), &json!("packed"))
    );
    let because = sealed["opened"]["because"].to_string();
    assert!(because.contains("the items are packed"), "{because}");
    let results = lines(&stack, &batch.results_key()).await;
    let (whole, failed) = (run_of(&results[0]), run_of(&results[1]));
    assert!(runs(&["show"], &whole, 0).contains("SUCCEEDED"));
    assert!(runs(&["explain"], &whole, 0).contains("us-east-1"));
    assert!(runs(&["output"], &whole, 0).contains("whole"));
    let verified = runs(&["verify"], &whole, 0);
    assert!(verified.contains("verified"), "{verified}");
    assert!(runs(&["show"], &failed, 0).contains("Bcce.RequestRejected"));
    assert!(runs(&["retry"], &whole, 2).contains("succeeded"));

    runs(&["retry", "--wait"], &failed, 0);
    assert!(runs(&["output"], &failed, 0).contains("healed"));
    runs(&["verify"], &failed, 0);
    assert_eq!(calls(&failed).len(), 2);
    let shown = runs(&["show"], &failed, 0);
    assert!(shown.contains("earlier    run attempt 1"), "{shown}");
    // The retry of the batch finds the run that succeeded meanwhile.
    let (code, text) = bcce("dev", &["batch", "retry", &batch.batch_id, "--wait"]);
    assert_eq!(code, 0, "{text}");
    assert_eq!(calls(&failed).len(), 2);
    let (code, text) = bcce("dev", &["batch", "verify", &batch.batch_id]);
    assert_eq!(code, 0, "{text}");
}

/// The functions that work off a part are ended in the middle of their calls. Every item is over once, only calls in
/// flight are made again, and these are counted.
#[tokio::test]
async fn a_part_whose_function_is_ended_goes_on_with_what_is_stored() {
    let stack = Stack::connect().await;
    let text = |n: usize| match n {
        7 => format!("@model *: kills, answer\nnumber {n}."),
        _ => format!("@model *: slow(300)\nnumber {n}."),
    };
    let texts: Vec<String> = (1..=30).map(text).collect();
    let batch = send(&stack, "ended", &texts, json!({ "concurrency": 4 })).await;
    let sealed = manifest(&stack, &batch).await;
    assert_eq!(
        (&sealed["status"], &sealed["counts"]["succeeded"]),
        (&json!("SUCCEEDED"), &json!(30))
    );
    let results = lines(&stack, &batch.results_key()).await;
    let (mut seen, mut lost) = (0, 0);
    for result in &results {
        seen += calls(&run_of(result)).len();
        lost += usize::from(result["totals"]["cost_usd"].is_null());
    }
    assert!(lost > 0 && seen > 30, "{seen} calls, {lost} runs with lost calls");
    let part = lines(&stack, &batch.part_runs_key(1)).await;
    let counted: u64 = part
        .iter()
        .flat_map(|run| run["usage_by_model"].as_array().unwrap())
        .map(|line| line["calls"].as_u64().unwrap())
        .sum();
    assert_eq!(counted, seen as u64, "each call that the model received is counted once");
    let known: Decimal = results
        .iter()
        .map(|result| {
            let totals = &result["totals"];
            let known = totals["cost_usd"].as_str().or(totals["priced_subtotal_usd"].as_str());
            known.unwrap().parse::<Decimal>().unwrap()
        })
        .sum();
    let progress = progress(&batch).await;
    assert_eq!((progress.succeeded, progress.cost_usd.normalize()), (30, known.normalize()));
    assert_eq!(progress.unknown_cost, lost as u64);
}

/// The batch slows down at throttles. Other runs may call the target all the time, since no breaker opens.
#[tokio::test]
async fn a_batch_slows_down_for_a_target_that_throttles_before_its_breaker_opens() {
    let stack = Stack::connect().await;
    let text = |n: usize| match n % 4 {
        0 => format!("@model us-east-1: throttle\nnumber {n}."),
        _ => format!("@model *: slow(200)\nnumber {n}."),
    };
    let texts: Vec<String> = (1..=60).map(text).collect();
    let batch = send(&stack, "throttled", &texts, json!({ "concurrency": 20 })).await;
    let sealed = manifest(&stack, &batch).await;
    assert_eq!(
        (&sealed["status"], &sealed["counts"]["succeeded"]),
        (&json!("SUCCEEDED"), &json!(60))
    );
    let results = lines(&stack, &batch.results_key()).await;
    let regions = |n: usize| -> Vec<Value> {
        calls(&run_of(&results[n - 1])).iter().map(|call| call["region"].clone()).collect()
    };
    assert_eq!(regions(4), ["us-east-1", "us-west-2"]);
    // Fifteen throttles would open a breaker that hears of them. The last items still call the first target.
    assert_eq!(regions(59), ["us-east-1"]);
}

/// A person cancels the run of an item whose call is under way: the call is awaited and counted, and the other items go
/// on.
#[tokio::test]
async fn the_run_of_an_item_is_cancelled_by_itself() {
    let stack = Stack::connect().await;
    let hold = fresh("cancelled");
    let texts = [
        format!("@model us-east-1: held({hold}), unavailable\nnumber 1."),
        format!("@model *: held({hold})\nnumber 2."),
        format!("@model *: held({hold})\nnumber 3."),
    ];
    let batch = send(&stack, "cancel-one", &texts, json!({ "concurrency": 2 })).await;
    let item = |n: u64| -> RunRef {
        let request_id = format!("{}/{n}", batch.batch_id);
        RunRef::first("default", "explain", &request_id)
    };
    let started = || async { (calls(&item(2)).len() == 1).then_some(()) };
    stack.eventually("the call of the second item", started).await;
    let third = item(3);
    let cancel =
        std::thread::spawn(move || bcce("dev", &["runs", "cancel", &third.run_id, "--no-wait"]));
    let (code, text) = cancel.join().unwrap();
    assert_eq!(code, 0, "{text}");
    let progress = || async {
        let (_, status) = bcce("dev", &["batch", "status", &batch.batch_id]);
        status.contains("calls at a time").then_some(status)
    };
    let status = stack.eventually("the rate of the batch", progress).await;
    assert!(status.contains("2 of 2 calls at a time"), "{status}");
    // The function sees the order within three seconds.
    tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    release(&hold);
    let sealed = manifest(&stack, &batch).await;
    assert_eq!(sealed["counts"]["cancelled"], 1, "{sealed}");
    assert_eq!(statuses(&stack, &batch).await[2], "3 CANCELLED");
    assert_eq!(calls(&item(3)).len(), 0);
    let results = lines(&stack, &batch.results_key()).await;
    assert_eq!(cost(&results[2]["totals"]), Decimal::ZERO);
}
