//! Budgets. Each test has a workflow of its own, to which its budgets apply.

use std::collections::BTreeMap;
use std::sync::LazyLock;

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

/// Adds budgets of a workflow to the document, each with its limit. Functions keep a reading of the configuration of a
/// workflow for seconds, so a test does this before the first run of its workflow.
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
    ledger.counter(&format!("{budget}#{workflow}#total")).await.unwrap()
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
    let (name, twin) = (fresh("shared"), fresh("twin"));
    workflow(&stack, &twin).await;
    let one = usd(&stack.run(&twin, "one", json!({ "text": *TEXT })).await);
    workflow(&stack, &name).await;
    let limit = one * Decimal::from(50);
    put(&stack, &name, &[(&name, &format!("usd: \"{limit}\""))]).await;

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
    // A call reserves more than what is left, so no refused run could have been paid.
    let left = limit - paid;
    let needed = refused.iter().map(|error| amount_after(&text(error), "may cost $"));
    let least = needed.min().unwrap();
    assert!(left < least, "{left} of {limit} is left, a call reserves {least}");
    assert_eq!(answered + refused.len(), 200);
    assert!((30..=50).contains(&answered), "{answered}");
}

/// Returns the amount that follows `before` in a message. Amounts are rounded up there.
fn amount_after(message: &str, before: &str) -> Decimal {
    let (_, rest) = message.split_once(before).unwrap();
    let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
    rest[..digits].trim_end_matches('.').parse().unwrap()
}

/// The tightest of several budgets refuses a run before its first call, and the run says which one it was.
#[tokio::test]
async fn a_run_is_refused_before_its_first_call_and_names_the_tightest_budget() {
    let stack = Stack::connect().await;
    let name = fresh("tight");
    workflow(&stack, &name).await;
    let (wide, tight) = (format!("{name}-wide"), format!("{name}-tight"));
    put(&stack, &name, &[(&wide, "usd: 1000"), (&tight, "tokens: 1000")]).await;
    let run = RunRef::first("default", &name, "a");
    let manifest = stack.run(&name, "a", json!({ "text": "Say yes." })).await;
    let (error, message) = (&manifest["error"]["name"], manifest["error"]["message"].as_str());
    assert_eq!(error, "Bcce.BudgetExceeded", "{manifest}");
    let message = message.unwrap();
    let expected = [
        &format!("budgets.{tight}: the call may cost "),
        "of the 1,000 tokens",
        "0 tokens are spent",
    ];
    assert!(expected.iter().all(|part| message.contains(part)), "{message}");
    assert_eq!(calls(&run), [Value::Null; 0]);
    let state = counter(&wide, &name).await;
    assert_eq!((state.spent(), state.reserved()), (Decimal::ZERO, Decimal::ZERO));
}

/// The function is killed during its first call. The call may have been paid, so it keeps what it has reserved. Its run
/// goes on and spends more, and nothing stays reserved.
#[tokio::test]
async fn a_lost_call_keeps_its_worst_case() {
    let stack = Stack::connect().await;
    let name = fresh("killed");
    workflow(&stack, &name).await;
    put(&stack, &name, &[(&name, "usd: 1000")]).await;
    let text = "@model *: kills, answer\nSay yes.";
    let manifest = stack.run(&name, "a", json!({ "text": text })).await;
    assert_eq!(manifest["status"], "SUCCEEDED", "{manifest}");
    assert_eq!(manifest["steps"][0]["lost_calls"], 1, "{manifest}");
    let known: Decimal =
        manifest["totals"]["priced_subtotal_usd"].as_str().unwrap().parse().unwrap();
    let (amount, logged) = reserved(&stack, &RunRef::first("default", &name, "a")).await;
    assert_eq!(logged, 2, "both calls are in the call log");
    let state = counter(&name, &name).await;
    assert_eq!((state.spent(), state.reserved()), (amount + known, Decimal::ZERO));
}

/// Returns the amount that a call of a run has reserved, and the number of its calls.
async fn reserved(stack: &Stack, run: &RunRef) -> (Decimal, usize) {
    let key = |value: &str| AttributeValue::S(value.to_owned());
    let get = stack.dynamodb.get_item().table_name(output("LedgerTable"));
    let get = get.key("pk", key(&format!("calls#{}#1", run.run_id))).key("sk", key("answer"));
    let item = get.send().await.unwrap().item.unwrap();
    let logged = item["logged_calls"].as_ss().unwrap();
    let call: Value = serde_json::from_str(&logged[0]).unwrap();
    (call["reserved"][0]["amount"].as_str().unwrap().parse().unwrap(), logged.len())
}

/// The items of a batch that a budget pays run in executions, on demand, and reserve like other runs.
#[tokio::test]
async fn a_batch_is_paid_from_the_budget_of_its_workflow() {
    let stack = Stack::connect().await;
    let name = fresh("paid-batch");
    workflow(&stack, &name).await;
    put(&stack, &name, &[(&name, "usd: 1000")]).await;
    let items: Vec<String> = (0..3)
        .map(|n| json!({ "id": format!("i{n}"), "inputs": { "text": "Say yes." } }).to_string())
        .collect();
    let key = format!("batches/uploads/{name}.jsonl");
    let put = stack.s3.put_object().bucket(output("ArtifactBucket")).key(&key);
    put.body(items.join("\n").into_bytes().into()).send().await.unwrap();
    let source = format!("s3://{}/{key}", output("ArtifactBucket"));
    let request =
        json!({ "workflow": name, "id": "b", "batch": { "source": source, "mode": "bulk" } });
    stack.send(&request.to_string()).await;
    let batch = BatchRef::first("default", &name, "b");
    let manifest = stack.eventually("the manifest of the batch", async || {
        stack.object(&batch.manifest_key()).await
    });
    let manifest: Value = serde_json::from_slice(&manifest.await).unwrap();
    assert_eq!(manifest["counts"]["succeeded"], 3, "{manifest}");
    let opened = &manifest["opened"];
    assert_eq!((&opened["mode"], &opened["way"]), (&json!("on_demand"), &json!("executions")));
    assert!(opened["because"].to_string().contains("a budget pays its calls"), "{opened}");
    let state = counter(&name, &name).await;
    assert_eq!((state.spent(), state.reserved()), (usd(&manifest), Decimal::ZERO));
}
