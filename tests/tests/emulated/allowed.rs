//! Attacks of senders who decide more than they may: a model of their own, what costs too much, and what their tenant is
//! not allowed. Each is refused before any call.

use bcce_tests::harness::stack::{RunRef, Stack, calls, fresh, output};
use bcce_tests::models::{FORBIDDEN_TO_ALPHA, GUARDED};
use serde_json::{Value, json};

/// Sends a request of a tenant that must be refused, and returns the error of its run.
async fn refused(stack: &Stack, tenant: &str, message: Value) -> Value {
    let inbox = match tenant {
        "default" => output("InboxQueueUrl"),
        tenant => format!("{}-{tenant}", output("InboxQueueUrl")),
    };
    stack.send_to(&inbox, &message.to_string()).await;
    let text = |name: &str| message[name].as_str().unwrap();
    let run = RunRef::first(tenant, text("workflow"), text("id"));
    let manifest = stack.manifest(&run).await;
    assert_eq!(manifest["status"], "FAILED", "{manifest}");
    assert_eq!(calls(&run).len(), 0, "a model was called");
    manifest["error"].clone()
}

fn check(error: &Value, name: &str, expected: &str) {
    let message = error["message"].as_str().unwrap();
    assert_eq!(error["name"], name, "{message}");
    assert!(message.starts_with(expected), "{expected} is missing in {message}");
}

#[tokio::test]
async fn a_model_that_the_workflow_does_not_list_is_refused() {
    let stack = Stack::connect().await;
    let inputs = json!({ "diff": "+x" });
    let message = json!({ "workflow": "code-review", "id": fresh("model"), "model": "opus", "inputs": inputs });
    let error = refused(&stack, "default", message).await;
    let message =
        "model: opus is not among the models that a request may name: code-review allows none";
    check(&error, "Bcce.PolicyViolation", message);
}

/// The workflow was pushed by itself, so that nothing has checked its list against the models.
#[tokio::test]
async fn a_list_that_leads_past_a_guardrail_does_not() {
    let stack = Stack::connect().await;
    let name = fresh("guarded");
    let body = format!(
        "version: 1\nname: {name}\nrequest_models: [haiku]\nsteps:\n- {{ id: a, model: {GUARDED}, prompt: Say yes. }}\n"
    );
    stack.put_workflow(&name, &body).await;
    let error =
        refused(&stack, "default", json!({ "workflow": name, "id": "1", "model": "haiku" })).await;
    let message = format!("model: haiku has no guardrail and {GUARDED} has guardrail pii;");
    check(&error, "Bcce.PolicyViolation", &message);

    let manifest = stack.run(&name, "2", json!({})).await;
    assert_eq!(manifest["status"], "SUCCEEDED", "{manifest}");
    let sent = &calls(&RunRef::first("default", &name, "2"))[0]["request"]["guardrailConfig"];
    assert_eq!(
        (&sent["guardrailIdentifier"], &sent["guardrailVersion"], &sent["name"]),
        (&json!("gr-east"), &json!("1"), &Value::Null)
    );
}

#[tokio::test]
async fn a_message_of_785_kb_for_199_calls_and_their_repairs_is_refused_with_the_figures() {
    let stack = Stack::connect().await;
    let file = json!({ "path": "src/a.rs", "text": "x".repeat(3_900) });
    let inputs = json!({ "files": vec![file; 199] });
    let message = json!({ "workflow": "bug-hunt", "id": fresh("wallet"), "inputs": inputs });
    assert!(message.to_string().len() > 780_000);
    let error = refused(&stack, "default", message).await;
    let message = "ceilings.run_usd: the run may make 399 calls and cost up to $";
    check(&error, "Bcce.BudgetExceeded", message);
    assert!(error["message"].as_str().unwrap().contains("policy.yaml allows $5.00"), "{error}");
}

#[tokio::test]
async fn a_tenant_starts_and_uses_what_its_rule_lists_and_nothing_else() {
    let stack = Stack::connect().await;
    let id = || fresh("alpha");
    let text = json!({ "text": "A breaker opens." });
    #[rustfmt::skip]
    let table = [
        (json!({ "workflow": FORBIDDEN_TO_ALPHA, "id": id(), "inputs": { "diff": "+x" } }), format!("workflow: tenant alpha may not start {FORBIDDEN_TO_ALPHA}; policy.yaml allows only: explain")),
        (json!({ "workflow": "explain", "id": id(), "model": "opus", "inputs": text }), "model: tenant alpha may not use opus; policy.yaml allows only: haiku, test-*".into()),
        (json!({ "workflow": "explain", "id": id(), "tags": { "cost-center": "0815" }, "inputs": text }), "tags.cost-center: must be one of 4711 for tenant alpha".into()),
    ];
    for (message, expected) in table {
        let error = refused(&stack, "alpha", message).await;
        check(&error, "Bcce.PolicyViolation", &expected);
        assert!(
            !error.to_string().contains("default"),
            "what others may do is not in an error: {error}"
        );
    }
    let id = id();
    let allowed = json!({ "workflow": "explain", "id": id, "tags": { "cost-center": "4711" }, "inputs": text });
    stack.send_to(&format!("{}-alpha", output("InboxQueueUrl")), &allowed.to_string()).await;
    let manifest = stack.manifest(&RunRef::first("alpha", "explain", &id)).await;
    assert_eq!(manifest["status"], "SUCCEEDED", "{manifest}");
}
