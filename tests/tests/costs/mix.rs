//! Runs a mix of everything that a cost can depend on.

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use bcce_core::batch::BatchRef;
use bcce_tests::harness::cli::{ROOT, bcce};
use bcce_tests::harness::stack::{RunRef, Stack, create_profile, output};
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};

/// A workflow whose first step writes a draft with Sonnet and whose second step must answer in JSON.
const VERDICT: &str = "version: 1
name: verdict
inputs:
  text: { type: string }
steps:
  - { id: draft, model: sonnet, max_tokens: 500, prompt: \"{{ inputs.text }}\" }
  - id: verdict
    needs: [draft]
    model: haiku
    max_tokens: 200
    prompt: \"{{ inputs.text }} {{ steps.draft }}\"
    output: { type: json, schema: { type: object, additionalProperties: false } }
";

/// Scripts for the model, each of which a run of `explain` gets, with the value of the tag `team`.
const SCRIPTS: [(&str, Option<&str>); 16] = [
    ("", Some("search")),
    ("", Some("payments")),
    ("", Some("a team that is not listed")),
    ("", None),
    ("@model *: cached(5000)", Some("search")),
    ("@model *: writes-5m(3000)", Some("search")),
    ("@model *: writes-1h(2000)", Some("payments")),
    ("@model *: cached(150000)", Some("payments")),
    ("@model us-east-1: unavailable", Some("search")),
    ("@model us-east-1: cut", Some("search")),
    ("@model *: no-usage", None),
    ("@model *: tier(flex)", Some("payments")),
    ("@model *: tier(reserved)", Some("payments")),
    ("@model *: kills, answer", Some("search")),
    ("@model *: validation", Some("search")),
    ("@model *: filtered", Some("payments")),
];

/// Runs the mix and waits for its manifests. Returns the number of runs.
pub async fn run(stack: &Stack) -> usize {
    push_configuration();
    let mut runs = vec![before_the_change(stack).await];
    for (n, (script, team)) in SCRIPTS.iter().enumerate() {
        let text = format!("{script}\nA breaker opens on evidence.");
        runs.push(
            send(stack, "default", "explain", &n.to_string(), json!({ "text": text }), *team).await,
        );
    }
    for n in 0..6 {
        let team = (n % 2 == 0).then_some("search");
        let id = n.to_string();
        let diff = include_str!("../../../events/workflow/sample.diff");
        runs.push(send(stack, "alpha", "code-review", &id, json!({ "diff": diff }), team).await);
        let text = json!({ "text": format!("Item {n}.") });
        runs.push(send(stack, "alpha", "explain", &id, text, team).await);
    }
    for n in 0..6 {
        // The answer of the second step is JSON, or text that stays text when it is repaired.
        let script = if n % 2 == 0 { "@model says/verdict: No verdict.\n" } else { "" };
        let text = json!({ "text": format!("{script}Item {n}.") });
        runs.push(send(stack, "default", "verdict", &n.to_string(), text, Some("search")).await);
    }
    for run in &runs {
        stack.manifest(run).await;
    }
    runs.len() + batch(stack, "bulk", 100).await + batch(stack, "on_demand", 12).await
}

/// Returns the time of a call that was made yesterday, before the price of Sonnet 5.5 changed.
pub fn early_call() -> String {
    static AT: LazyLock<String> = LazyLock::new(|| {
        let yesterday = OffsetDateTime::now_utc().date() - Duration::DAY;
        format!("{yesterday}T23:59:59.5Z")
    });
    AT.clone()
}

/// Returns the price file of `dev` in which the price of Sonnet 5.5 has changed today.
fn prices(shipped: &str) -> String {
    let (before, sonnet) = shipped.split_once("  anthropic.claude-sonnet-5-5:").unwrap();
    let today = OffsetDateTime::now_utc().date();
    let sonnet = sonnet.replacen("from: 2026-10-07", &format!("from: {today}"), 1);
    format!("{before}  anthropic.claude-sonnet-5-5:{sonnet}")
}

/// Returns the ARN of the application inference profile that calls Haiku 5.5 from us-east-1.
pub fn profile() -> &'static str {
    static ARN: LazyLock<String> =
        LazyLock::new(|| create_profile("us-east-1", "us.anthropic.claude-haiku-5-5"));
    &ARN
}

/// Pushes the configuration of `dev` with a cost tag, with a price that changes today, with the workflow `verdict`, and
/// with an application inference profile as the first target of `haiku`.
fn push_configuration() {
    let (shipped, pushed) =
        (Path::new(ROOT).join("infra/config/dev"), Path::new(ROOT).join(".local/costs/config"));
    let _ = fs::remove_dir_all(&pushed);
    fs::create_dir_all(pushed.join("workflows")).unwrap();
    let models = fs::read_to_string(shipped.join("models.yaml")).unwrap();
    let (first, own) =
        ("model_id: us.anthropic.claude-haiku-5-5", format!("model_id: \"{}\"", profile()));
    assert!(models.contains(first));
    let models = models.replacen(first, &own, 1);
    fs::write(pushed.join("models.yaml"), models).unwrap();
    let files = ["policy.yaml", "prices.yaml", "routing.yaml"];
    let workflows = ["explain", "code-review"].map(|name| format!("workflows/{name}.yaml"));
    for file in files.map(str::to_owned).into_iter().chain(workflows) {
        fs::copy(shipped.join(&file), pushed.join(&file)).unwrap();
    }
    let policy = fs::read_to_string(shipped.join("policy.yaml")).unwrap();
    let policy = format!("{policy}\ncost_tags: {{ team: [search, payments] }}\n");
    fs::write(pushed.join("policy.yaml"), policy).unwrap();
    let shipped = fs::read_to_string(shipped.join("prices.yaml")).unwrap();
    fs::write(pushed.join("prices.yaml"), prices(&shipped)).unwrap();
    fs::write(pushed.join("workflows/verdict.yaml"), VERDICT).unwrap();
    let (code, text) = bcce("dev", &["config", "push", pushed.to_str().unwrap()]);
    assert_eq!(code, 0, "{text}");
    assert!(
        text.contains("new        /bcce/dev/profiles")
            || text.contains("changed    /bcce/dev/profiles"),
        "{text}"
    );
}

async fn send(
    stack: &Stack,
    tenant: &str,
    workflow: &str,
    id: &str,
    inputs: Value,
    team: Option<&str>,
) -> RunRef {
    let tags = team.map(|team| json!({ "team": team })).unwrap_or(json!({}));
    let request = json!({ "workflow": workflow, "id": id, "inputs": inputs, "tags": tags });
    let inbox = output("InboxQueueUrl");
    let inbox = if tenant == "default" { inbox } else { format!("{inbox}-{tenant}") };
    stack.send_to(&inbox, &request.to_string()).await;
    RunRef::first(tenant, workflow, id)
}

/// Runs `verdict` with a draft that a call before the change of prices has answered, as if the run had been under way
/// since then.
async fn before_the_change(stack: &Stack) -> RunRef {
    let text = json!({ "text": "@model */draft: cached(40000)\nAn early item." });
    let model = send(stack, "default", "verdict", "model", text.clone(), None).await;
    stack.manifest(&model).await;
    let run = RunRef::first("default", "verdict", "early");
    let mut draft = stack.step(&model, "draft").await;
    draft["run_id"] = json!(run.run_id);
    let attempt = &mut draft["attempts"][0];
    attempt["started_at"] = json!(early_call());
    // 40,000 tokens of the cache cost 0.22 dollars per million instead of 0.11.
    let cost: rust_decimal::Decimal = attempt["cost_usd"].as_str().unwrap().parse().unwrap();
    attempt["cost_usd"] = json!((cost + rust_decimal::Decimal::new(44, 4)).to_string());
    draft["cost_usd"] = attempt["cost_usd"].clone();
    let put =
        stack.s3.put_object().bucket(output("ArtifactBucket")).key(run.step_key("draft", None));
    let put = put.body(draft.to_string().into_bytes().into()).if_none_match("*");
    put.send().await.unwrap();
    send(stack, "default", "verdict", "early", text, Some("payments")).await
}

/// Runs a batch of `explain` and returns the number of its runs.
async fn batch(stack: &Stack, mode: &str, items: usize) -> usize {
    let teams = [json!({ "team": "search" }), json!({ "team": "payments" }), json!({})];
    let item = |n: usize| {
        json!({ "id": format!("i{n}"), "inputs": { "text": format!("number {n}.") }, "tags": teams[n % 3] })
            .to_string()
    };
    let lines: Vec<String> = (0..items).map(item).collect();
    let key = format!("batches/uploads/{mode}.jsonl");
    let put = stack.s3.put_object().bucket(output("ArtifactBucket")).key(&key);
    put.body(lines.join("\n").into_bytes().into()).send().await.unwrap();
    let source = format!("s3://{}/{key}", output("ArtifactBucket"));
    let message = json!({ "workflow": "explain", "id": mode, "batch": { "source": source, "mode": mode, "items_may_set": ["tags"] } });
    stack.send(&message.to_string()).await;
    let batch = BatchRef::first("default", "explain", mode);
    let manifest = stack.eventually("the manifest of the batch", async || {
        stack.object(&batch.manifest_key()).await
    });
    let manifest: Value = serde_json::from_slice(&manifest.await).unwrap();
    assert_eq!(manifest["counts"]["succeeded"], items, "{manifest}");
    items
}
