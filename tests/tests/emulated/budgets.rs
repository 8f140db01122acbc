//! Budgets. Each test has a workflow of its own, to which its budgets apply.

use std::collections::BTreeMap;
use std::sync::{LazyLock, Mutex};

use aws_sdk_dynamodb::types::AttributeValue;
use bcce_core::batch::BatchRef;
use bcce_core::ports::ReadCounter;
use bcce_core::run::budgets::CounterState;
use bcce_tests::harness::stack::{RunRef, Stack, calls, fresh, output};
use rust_decimal::Decimal;
use serde_json::{Value, json};

/// The budgets of all tests, by name. The document has them all.
static BUDGETS: LazyLock<tokio::sync::Mutex<BTreeMap<String, String>>> =
    LazyLock::new(tokio::sync::Mutex::default);

/// Adds budgets of a workflow to the document, each with its limit. Waits until no function reads the document before.
async fn put(stack: &Stack, workflow: &str, limits: &[(&str, &str)]) {
    let mut budgets = BUDGETS.lock().await;
    for (name, limit) in limits {
        let budget = format!("{{ scope: workflow, only: [{workflow}], window: total, {limit} }}");
        budgets.insert((*name).to_owned(), budget);
    }
    let lines: String =
        budgets.iter().map(|(name, budget)| format!("  {name}: {budget}\n")).collect();
    stack.put_budgets(&format!("version: 1\nbudgets:\n{lines}")).await;
}

/// Registers a workflow with one call.
async fn workflow(stack: &Stack, name: &str) {
    let yaml = format!(
        "version: 1\nname: {name}\ninputs:\n  text: {{ type: string, required: true }}\nsteps:\n\
         - {{ id: answer, model: haiku, max_tokens: 100, prompt: \"{{{{ inputs.text }}}}\" }}\n"
    );
    stack.put_workflow(name, &yaml).await;
}

async fn counter(budget: &str, workflow: &str) -> CounterState {
    let config = bcce_aws::chain::sdk_config().await.unwrap();
    let ledger = bcce_aws::dynamodb::Ledger::new(&config, &output("LedgerTable"));
    ledger.budgets().counter(&format!("{budget}#{workflow}#total")).await.unwrap()
}

fn usd(manifest: &Value) -> Decimal {
    manifest["totals"]["cost_usd"].as_str().unwrap().parse().unwrap()
}

/// The text of each request. Its tokens are most of what a call costs.
static TEXT: LazyLock<String> = LazyLock::new(|| "A breaker opens on evidence. ".repeat(400));

/// 200 runs at once share money for 50. They spend at most that, each run that could be paid is answered, and nothing
/// stays reserved.
#[tokio::test]
async fn two_hundred_runs_on_money_for_fifty_spend_no_more() {
    let stack = Stack::connect().await;
    let name = fresh("budget");
    workflow(&stack, &name).await;
    let one = usd(&stack.run(&name, "one", json!({ "text": *TEXT })).await);
    let limit = one * Decimal::from(50);
    put(&stack, &name, &[(&name, &format!("usd: \"{limit}\""))]).await;
    // Functions keep a reading of the configuration for five seconds.
    tokio::time::sleep(std::time::Duration::from_secs(6)).await;

    let ids: Vec<String> = (0..200).map(|n| format!("r{n}")).collect();
    let requests = ids.iter().map(|id| {
        let request = json!({ "workflow": name, "id": id, "inputs": { "text": *TEXT } });
        let stack = &stack;
        async move { stack.send(&request.to_string()).await }
    });
    futures::future::join_all(requests).await;
    let mut refused = Vec::new();
    let (mut paid, mut answered) = (Decimal::ZERO, 0);
    for id in &ids {
        let manifest = stack.manifest(&RunRef::first("default", &name, id)).await;
        paid += usd(&manifest);
        if manifest["status"] == "SUCCEEDED" {
            answered += 1;
        } else {
            refused.push(manifest["error"].clone());
        }
    }
    let state = counter(&name, &name).await;
    assert!(paid <= limit, "{paid} of {limit}");
    assert_eq!((state.spent(), state.reserved()), (paid, Decimal::ZERO));
    let text = |error: &Value| error["message"].as_str().unwrap().to_owned();
    for error in &refused {
        assert_eq!(error["name"], "Bcce.BudgetExceeded", "{error}");
        assert!(text(error).contains(&format!("budgets.{name}: the call may cost $")), "{error}");
    }
    // The call's worst case is more than what is left, so no refused run could have been paid.
    let logged = worst(&stack, &RunRef::first("default", &name, &ids[0])).await;
    let left = limit - paid;
    eprintln!("{answered} of 200 answered, {left} of {limit} left, worst case {logged}, one {one}");
    assert!(left < logged, "{left} is left, a call reserves {logged}");
    assert_eq!(answered + refused.len(), 200);
    assert!((30..=50).contains(&answered), "{answered}");
}

/// Returns what the first call of a run has reserved.
async fn worst(stack: &Stack, run: &RunRef) -> Decimal {
    let logged = logged(stack, run).await;
    let call: Value = serde_json::from_str(&logged[0]).unwrap();
    call["reserved"][0]["amount"].as_str().unwrap().parse().unwrap()
}

async fn logged(stack: &Stack, run: &RunRef) -> Vec<String> {
    let key = |value: &str| AttributeValue::S(value.to_owned());
    let get = stack.dynamodb.get_item().table_name(output("LedgerTable"));
    let get = get.key("pk", key(&format!("calls#{}#1", run.run_id))).key("sk", key("answer"));
    let item = get.send().await.unwrap().item.unwrap_or_default();
    item.get("logged_calls").and_then(|calls| calls.as_ss().ok()).cloned().unwrap_or_default()
}
