//! Batches that a budget pays. Each test has a workflow of its own.

use bcce_core::batch::{BatchRef, Pause, Way};
use bcce_core::ports::{PartOf, ReadPartCalls};
use bcce_core::run::budgets::CounterState;
use bcce_tests::harness::budgets;
use bcce_tests::harness::cli::bcce;
use bcce_tests::harness::stack::{Stack, fresh, output};
use rust_decimal::Decimal;
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::batch::{lines, manifest, progress, sealed, upload};

/// Registers a workflow with one call of Haiku.
async fn workflow(stack: &Stack, name: &str) {
    let yaml = format!(
        "version: 1\nname: {name}\ninputs:\n  text: {{ type: string, required: true }}\nsteps:\n\
         - {{ id: answer, model: haiku, max_tokens: 100, prompt: \"{{{{ inputs.text }}}}\" }}\n"
    );
    stack.put_workflow(name, &yaml).await;
}

/// Sends a batch of items, the first of which have these scripts.
async fn send(
    stack: &Stack,
    workflow: &str,
    items: usize,
    scripts: &[&str],
    mut spec: Value,
) -> BatchRef {
    let text = "A breaker opens on evidence. ".repeat(40);
    let line = |n: usize| {
        let script = scripts.get(n).copied().unwrap_or_default();
        json!({ "text": format!("{script}\n{text}") }).to_string()
    };
    let items: Vec<String> = (0..items).map(line).collect();
    spec["source"] = json!(upload(stack, &format!("{workflow}.jsonl"), items.join("\n")).await);
    spec["tolerated_failure_percent"] = json!(100);
    stack.send(&json!({ "workflow": workflow, "id": "b", "batch": spec }).to_string()).await;
    BatchRef::first("default", workflow, "b")
}

async fn counter(budget: &str, window: &str) -> CounterState {
    let stack = Stack::connect().await;
    stack.counter(&format!("{budget}:workflow:usd#{budget}#{window}")).await
}

/// Returns how many allowances the first part of a batch has reserved. All of them must be committed.
async fn allowances(batch: &BatchRef) -> usize {
    let config = bcce_aws::chain::sdk_config().await.unwrap();
    let ledger = bcce_aws::dynamodb::Ledger::new(&config, &output("LedgerTable"));
    let part = PartOf { batch: batch.item_of(), part: 1 };
    let calls = ledger.part_calls(&part).await.unwrap();
    assert!(calls.allowances.iter().all(|stored| stored.is_committed), "{calls:?}");
    calls.allowances.len()
}

fn known_cost(manifest: &Value) -> Decimal {
    let totals = &manifest["totals"];
    let cost = totals["cost_usd"].as_str().or(totals["priced_subtotal_usd"].as_str());
    cost.unwrap_or_else(|| panic!("{totals}")).parse().unwrap()
}

/// Sixty items share money for twenty. They spend no more, and each item that could be paid is answered.
#[tokio::test]
async fn the_items_of_a_packed_batch_spend_no_more_than_its_budget() {
    let stack = Stack::connect().await;
    let (name, twin) = (fresh("paid-items"), fresh("paid-one"));
    for workflow_name in [&name, &twin] {
        workflow(&stack, workflow_name).await;
    }
    let one = send(&stack, &twin, 1, &[], json!({})).await;
    let limit = known_cost(&manifest(&stack, &one).await) * Decimal::from(20);
    budgets::put(&stack, &name, "total", &[(&name, &format!("usd: \"{limit}\""))]).await;
    let scripts = ["@model us-east-1: unavailable", "", "@model us-east-1: unavailable"];
    let batch = send(&stack, &name, 60, &scripts, json!({})).await;
    let manifest = manifest(&stack, &batch).await;
    assert_eq!(manifest["opened"]["way"], json!(Way::Packed), "{manifest}");
    let state = counter(&name, "total").await;
    assert_eq!((state.spent(), state.reserved()), (known_cost(&manifest), Decimal::ZERO));
    assert!(state.spent() <= limit, "{} of {limit}", state.spent());
    let left = limit - state.spent();
    let results = lines(&stack, &batch.results_key()).await;
    let errors: Vec<&Value> =
        results.iter().map(|result| &result["error"]).filter(|error| !error.is_null()).collect();
    assert_eq!(manifest["counts"]["succeeded"], 60 - errors.len());
    for error in &errors {
        assert_eq!(error["name"], "Bcce.BudgetExceeded");
        let message = error["message"].as_str().unwrap();
        let (_, needed) = message.split_once("may cost $").unwrap();
        let needed: Decimal = needed.split(';').next().unwrap().parse().unwrap();
        assert!(left < needed, "{left} of {limit} is left: {message}");
    }
    let answered = 60 - errors.len();
    assert!((10..=20).contains(&answered), "{answered} answered");
    allowances(&batch).await;
}

/// The function that works off the part is killed. What it has reserved is committed, with the worst case of the calls
/// that were lost.
#[tokio::test]
async fn a_part_reserves_for_many_items_at_a_time_and_nothing_stays_reserved_after_a_kill() {
    let stack = Stack::connect().await;
    let name = fresh("paid-killed");
    workflow(&stack, &name).await;
    budgets::put(&stack, &name, "month", &[(&name, "usd: 1000")]).await;
    // The slow call is under way when the function is killed, however late that happens on a busy machine.
    let scripts = ["@model *: slow(5000)", "", "", "@model *: kills, answer"];
    let batch = send(&stack, &name, 40, &scripts, json!({})).await;
    let manifest = manifest(&stack, &batch).await;
    assert_eq!(manifest["counts"]["succeeded"], 40, "{manifest}");
    let now = OffsetDateTime::now_utc();
    let month = format!("{:04}-{:02}", now.year(), u8::from(now.month()));
    let state = counter(&name, &month).await;
    assert_eq!(state.reserved(), Decimal::ZERO);
    assert!(state.spent() > known_cost(&manifest), "{} was lost", state.spent());
    let reservations = allowances(&batch).await;
    assert!((2..=6).contains(&reservations), "{reservations} reservations for 40 items");
}

/// The records of a bulk job are reserved before it starts, at its price, and committed when its answers are taken.
#[tokio::test]
async fn a_bulk_job_is_paid_from_the_budget_of_its_workflow() {
    let stack = Stack::connect().await;
    let name = fresh("paid-records");
    workflow(&stack, &name).await;
    budgets::put(&stack, &name, "total", &[(&name, "usd: 1000")]).await;
    let batch = send(&stack, &name, 110, &[], json!({ "mode": "bulk" })).await;
    let manifest = manifest(&stack, &batch).await;
    assert_eq!(manifest["opened"]["mode"], "bulk", "{manifest}");
    assert_eq!(manifest["counts"]["succeeded"], 110, "{manifest}");
    let state = counter(&name, "total").await;
    assert_eq!((state.spent(), state.reserved()), (known_cost(&manifest), Decimal::ZERO));
    assert_eq!(allowances(&batch).await, 1, "one reservation for all records");
}

/// When the money of the day is used up, the batch pauses until the next day instead of failing its items.
#[tokio::test]
async fn a_batch_pauses_when_the_money_of_the_day_is_used_up() {
    let stack = Stack::connect().await;
    let (name, twin) = (fresh("paused"), fresh("paused-one"));
    for workflow_name in [&name, &twin] {
        workflow(&stack, workflow_name).await;
    }
    let one = send(&stack, &twin, 1, &[], json!({})).await;
    let limit = known_cost(&manifest(&stack, &one).await) * Decimal::from(20);
    budgets::put(&stack, &name, "day", &[(&name, &format!("usd: \"{limit}\""))]).await;
    let batch = send(&stack, &name, 60, &[], json!({})).await;
    // Before that, its calls may wait for each other.
    let is_for_the_day = |pause: &Pause| (pause.until.hour(), pause.until.minute()) == (0, 0);
    let pause = async || progress(&batch).await.paused.filter(is_for_the_day);
    let state = async || format!("{:?}", progress(&batch).await);
    let pause = stack.reached("the pause of the batch", pause, state).await;
    assert!(pause.because.starts_with(&format!("budgets.{name}: ")), "{pause:?}");
    let (code, shown) = bcce("dev", &["batch", "status", &batch.batch_id]);
    assert!(code == 0 && shown.contains("paused     until "), "{code} {shown}");
    let (code, shown) = bcce("dev", &["batch", "cancel", &batch.batch_id]);
    assert_eq!(code, 0, "{shown}");
    let manifest = sealed(&stack, &batch).await;
    assert_eq!(manifest["status"], "CANCELLED", "{manifest}");
    let succeeded = manifest["counts"]["succeeded"].as_u64().unwrap();
    assert!((5..=20).contains(&succeeded), "{manifest}");
    assert_eq!(manifest["counts"]["failed"], 0, "{manifest}");
    let day = pause.until.date().previous_day().unwrap().to_string();
    let state = counter(&name, &day).await;
    assert_eq!((state.spent(), state.reserved()), (known_cost(&manifest), Decimal::ZERO));
}
