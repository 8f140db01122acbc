//! Budgets. Each test has a workflow of its own, to which its budgets apply.

use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_sqs::types::Message;
use bcce_core::run::budgets::CounterState;
use bcce_tests::harness::budgets;
use bcce_tests::harness::cli::bcce;
use bcce_tests::harness::seed::Seed;
use bcce_tests::harness::stack::{
    Layout, RunRef, Stack, calls, fresh, invoke, log, model, output, sized,
};
use rust_decimal::Decimal;
use serde_json::{Value, json};

/// Registers a workflow with one call of Haiku.
async fn workflow(stack: &Stack, name: &str) {
    workflow_by(stack, name, "haiku").await;
}

async fn workflow_by(stack: &Stack, name: &str, model: &str) {
    let yaml = format!(
        "version: 1\nname: {name}\ninputs:\n  text: {{ type: string, required: true }}\nsteps:\n\
         - {{ id: answer, model: {model}, max_tokens: 100, prompt: \"{{{{ inputs.text }}}}\" }}\n"
    );
    stack.put_workflow(name, &yaml).await;
}

async fn counter(budget: &str, workflow: &str) -> CounterState {
    Stack::connect().await.counter(&format!("{budget}:workflow:usd#{workflow}#total")).await
}

fn usd(manifest: &Value) -> Decimal {
    manifest["totals"]["cost_usd"].as_str().unwrap().parse().unwrap()
}

/// A text of which most of a call's cost comes.
fn text(script: &str, times: usize) -> Value {
    json!({ "text": format!("{script}\n{}", "A breaker opens on evidence. ".repeat(times)) })
}

/// What the model does in a run of the test below. The last two are for `make soak`: a killed call keeps its reservation
/// until its run is sealed, and the others wait for it.
const SCRIPTS: [&str; 8] = [
    "",
    "",
    "",
    "",
    "@model us-east-1: unavailable",
    "@model us-east-1: cut",
    "@model *: no-usage",
    "@model *: kills, answer",
];

/// 200 runs at once share money for 50. Some of them fail over, lose a call or never learn what it cost. Together they
/// spend at most the limit, each run that could be paid is answered, and nothing stays reserved.
#[tokio::test]
async fn two_hundred_runs_on_money_for_fifty_spend_no_more() {
    let stack = Stack::connect().await;
    let mut seed = Seed::from_env();
    let scripts = &SCRIPTS[..sized(6, 8)];
    let (name, twin, alias) = (fresh("shared"), fresh("twin"), model(Layout::Two));
    workflow_by(&stack, &twin, &alias).await;
    let one = usd(&stack.run(&twin, "one", text("", 400)).await);
    let limit = one * Decimal::from(50);
    budgets::put(&stack, &name, "total", &[(&name, &format!("usd: \"{limit}\""))]).await;
    workflow_by(&stack, &name, &alias).await;

    let runs: Vec<RunRef> =
        (0..200).map(|n| RunRef::first("default", &name, &format!("r{n}"))).collect();
    let requests = runs.iter().map(|run| {
        let inputs = text(seed.pick(scripts), seed.between(100, 700));
        let request = json!({ "workflow": name, "id": run.request_id, "inputs": inputs });
        let stack = &stack;
        async move { stack.send(&request.to_string()).await }
    });
    futures::future::join_all(requests).await;
    let (mut paid, mut answered, mut refused) = (Decimal::ZERO, 0, Vec::new());
    for run in &runs {
        let manifest = stack.manifest(run).await;
        paid += spent(&stack, run).await;
        match manifest["error"]["name"].as_str() {
            None => answered += 1,
            Some("Bcce.BudgetExceeded") => refused.push(manifest["error"].clone()),
            Some(_) => {}
        }
    }
    let state = counter(&name, &name).await;
    assert!(paid <= limit, "{paid} of {limit}");
    assert_eq!((state.spent(), state.reserved()), (paid, Decimal::ZERO));
    // Each refused call needed more than what is left, so it could not have been paid. Messages round amounts up.
    let left = limit - paid;
    eprintln!("{answered} of 200 answered, {} refused, {left} of {limit} left", refused.len());
    for error in &refused {
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(&format!("budgets.{name}: the call may cost $")), "{error}");
        let needed = amount_after(message, "may cost $");
        assert!(left < needed, "{left} of {limit} is left: {message}");
    }
    assert!(answered >= 10 && refused.len() >= 50, "{answered} answered, {}", refused.len());
}

/// Returns what the calls of a run have spent: their cost, or all that they have reserved if that is unknown.
async fn spent(stack: &Stack, run: &RunRef) -> Decimal {
    let mut attempts = Vec::new();
    for key in [run.step_key("answer", None), run.failure_key("answer", None)] {
        if let Some(body) = stack.object(&key).await {
            let artifact: Value = serde_json::from_slice(&body).unwrap();
            attempts.extend(artifact["attempts"].as_array().unwrap().clone());
        }
    }
    let amount = |value: &Value| value.as_str().map(|text| text.parse::<Decimal>().unwrap());
    let mut sum = Decimal::ZERO;
    for call in logged(stack, run).await {
        let attempt = attempts.iter().find(|attempt| attempt["started_at"] == call["started_at"]);
        let cost = attempt.and_then(|attempt| amount(&attempt["cost_usd"]));
        sum += cost.unwrap_or_else(|| amount(&call["reserved"][0]["amount"]).unwrap());
    }
    sum
}

/// Returns the calls of a run in the call log.
async fn logged(stack: &Stack, run: &RunRef) -> Vec<Value> {
    let key = |value: &str| AttributeValue::S(value.to_owned());
    let get = stack.dynamodb.get_item().table_name(output("LedgerTable"));
    let get = get.key("pk", key(&format!("calls#{}#1", run.run_id))).key("sk", key("answer"));
    let item = get.send().await.unwrap().item.unwrap_or_default();
    let logged = item.get("logged_calls").and_then(|calls| calls.as_ss().ok()).cloned();
    logged.unwrap_or_default().iter().map(|call| serde_json::from_str(call).unwrap()).collect()
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
    budgets::put(&stack, &name, "total", &[(&wide, "usd: 1000"), (&tight, "tokens: 1000")]).await;
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
    budgets::put(&stack, &name, "total", &[(&name, "usd: 1000")]).await;
    let text = "@model *: kills, answer\nSay yes.";
    let manifest = stack.run(&name, "a", json!({ "text": text })).await;
    assert_eq!(manifest["status"], "SUCCEEDED", "{manifest}");
    assert_eq!(manifest["steps"][0]["lost_calls"], 1, "{manifest}");
    let run = RunRef::first("default", &name, "a");
    assert_eq!(logged(&stack, &run).await.len(), 2, "both calls are in the call log");
    let known: Decimal =
        manifest["totals"]["priced_subtotal_usd"].as_str().unwrap().parse().unwrap();
    let (paid, state) = (spent(&stack, &run).await, counter(&name, &name).await);
    assert!(paid > known, "{paid}");
    assert_eq!((state.spent(), state.reserved()), (paid, Decimal::ZERO));
}

/// Invokes the function that watches budgets, as its schedule does.
fn watch() -> Value {
    let event = include_str!("../../../events/watch-budgets/schedule.json");
    invoke("watch-budgets", &serde_json::from_str(event).unwrap())
}

/// A run is refused, because the rest of its budget cannot pay it. The topic says so once, and the metric has it.
#[tokio::test]
async fn a_budget_that_is_used_up_is_told_once() {
    let stack = Stack::connect().await;
    let name = fresh("told");
    workflow(&stack, &name).await;
    budgets::put(&stack, &name, "total", &[(&name, "tokens: 1000")]).await;
    let queue = stack.listen(&name).await;
    let manifest = stack.run(&name, "a", json!({ "text": "Say yes." })).await;
    assert_eq!(manifest["error"]["name"], "Bcce.BudgetExceeded", "{manifest}");
    for _ in 0..2 {
        let watched = watch();
        assert!(watched["counters"].as_u64() >= Some(1), "{watched}");
    }
    let alerts = stack.eventually("the alert", async || {
        let messages = stack.sweep(&queue, 1).await;
        let alerts = messages.iter().filter_map(alert_of);
        let alerts: Vec<Value> = alerts.filter(|alert| alert["budget"] == name).collect();
        (!alerts.is_empty()).then_some(alerts)
    });
    let [alert] = alerts.await.try_into().expect("the alert was sent twice");
    assert_eq!((&alert["percent"], &alert["refused"]), (&json!(100), &json!(true)), "{alert}");
    assert_eq!((&alert["limit"], &alert["spent"]), (&json!("1000"), &json!("0")), "{alert}");
    assert_eq!((&alert["scope"], &alert["value"]), (&json!("workflow"), &json!(name)), "{alert}");
    let written = log("watch-budgets");
    assert!(written.contains("BudgetUsed"), "{written}");
}

/// Returns the alert in a message of the topic, or `None` for another message.
fn alert_of(message: &Message) -> Option<Value> {
    let alert: Value = serde_json::from_str(message.body()?).ok()?;
    (alert["kind"] == "budget").then_some(alert)
}

/// Runs a workflow under new ids until `is` holds for a manifest. A new limit takes effect within seconds.
async fn run_until(
    stack: &Stack,
    workflow: &str,
    prefix: &str,
    is: impl Fn(&Value) -> bool,
) -> Value {
    for n in 0..30 {
        let manifest = stack.run(workflow, &format!("{prefix}{n}"), text("", 10)).await;
        if is(&manifest) {
            return manifest;
        }
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    }
    panic!("no run of {workflow} has this outcome");
}

/// A limit that is lowered below what is spent refuses further calls. What is spent stays, and nothing is reserved.
#[tokio::test]
async fn a_limit_below_what_is_spent_refuses_further_calls() {
    let stack = Stack::connect().await;
    let name = fresh("lowered");
    workflow(&stack, &name).await;
    budgets::put(&stack, &name, "total", &[(&name, "usd: 1000")]).await;
    stack.run(&name, "first", text("", 10)).await;
    budgets::put(&stack, &name, "total", &[(&name, "usd: \"0.000001\"")]).await;
    let is_refused = |manifest: &Value| manifest["status"] == "FAILED";
    let manifest = run_until(&stack, &name, "lower", is_refused).await;
    assert_eq!(manifest["error"]["name"], "Bcce.BudgetExceeded", "{manifest}");
    let message = manifest["error"]["message"].as_str().unwrap();
    assert!(message.contains("of the $0.0001 of"), "{message}"); // rounded up
    let state = counter(&name, &name).await;
    assert!(state.spent() > Decimal::new(1, 6) && state.reserved().is_zero(), "{state:?}");
    assert_eq!(state.root.unwrap().limit, Decimal::new(1, 6));
}

/// A run that was refused keeps its plan. It goes on when another run has brought the higher limit to the ledger.
#[tokio::test]
async fn a_refused_run_is_retried_under_a_higher_limit() {
    let stack = Stack::connect().await;
    let name = fresh("raised");
    workflow(&stack, &name).await;
    budgets::put(&stack, &name, "total", &[(&name, "tokens: 200")]).await;
    let refused = stack.run(&name, "refused", text("", 10)).await;
    assert_eq!(refused["error"]["name"], "Bcce.BudgetExceeded", "{refused}");
    budgets::put(&stack, &name, "total", &[(&name, "tokens: 1000000")]).await;
    run_until(&stack, &name, "higher", |manifest| manifest["status"] == "SUCCEEDED").await;
    let run = RunRef::first("default", &name, "refused");
    let (code, shown) = bcce("dev", &["runs", "retry", &run.run_id]);
    assert_eq!(code, 0, "{shown}");
    let again = RunRef { attempt_no: 2, ..run.clone() };
    assert_eq!(stack.manifest(&again).await["status"], "SUCCEEDED");
    assert_eq!(calls(&run).len(), 1, "the first attempt made no call");
    assert!(counter_of_tokens(&name).await.reserved().is_zero());
}

async fn counter_of_tokens(name: &str) -> CounterState {
    Stack::connect().await.counter(&format!("{name}:workflow:tokens#{name}#total")).await
}
