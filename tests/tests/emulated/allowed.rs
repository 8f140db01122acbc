//! Requests for more than the sender may have: a model of the sender's choice, a cost above the limit, and what the
//! rule of the tenant does not list. Each one is refused before any call.

use bcce_tests::harness::stack::{RunRef, Stack, calls, fresh, output};
use bcce_tests::models::{FORBIDDEN_TO_ALPHA, GUARDED};
use serde_json::{Value, json};

/// Sends a request of a tenant, checks that its run fails without a call, and returns the error of the run.
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
    assert_eq!(calls(&run).len(), 0, "a refused run must not call a model");
    manifest["error"].clone()
}

/// Checks the name of an error and the beginning of its message.
fn check(error: &Value, name: &str, expected: &str) {
    let message = error["message"].as_str().unwrap();
    assert_eq!(error["name"], name, "{message}");
    assert!(message.starts_with(expected), "{expected} is missing in {message}");
}

/// A request may name only a model that the workflow lists in `request_models`.
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

/// A request cannot replace a model that has a guardrail by one without it, even if the workflow lists that model. The
/// workflow was stored without `bcce config push`, so nothing has checked its list. A run on the workflow's own model
/// sends the guardrail.
#[tokio::test]
async fn a_request_cannot_choose_a_model_without_the_guardrail_of_the_workflow() {
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

/// A message of more than 780 KB whose worst case is 399 calls, including repairs, exceeds the limit of one run. The
/// error has the number of calls, their cost and the limit.
#[tokio::test]
async fn a_run_above_its_limit_is_refused_with_the_figures() {
    let stack = Stack::connect().await;
    let file = json!({ "path": "src/a.rs", "text": "x".repeat(3_900) });
    let inputs = json!({ "files": vec![file; 199] });
    let message = json!({ "workflow": "bug-hunt", "id": fresh("wallet"), "inputs": inputs });
    assert!(message.to_string().len() > 780_000);
    let error = refused(&stack, "default", message).await;
    let message = "budgets.one-run: the run may make 399 calls and cost up to $";
    check(&error, "Bcce.BudgetExceeded", message);
    assert!(error["message"].as_str().unwrap().contains("the limit is $5.00"), "{error}");
}

/// A tenant with a rule in `policy.yaml` is refused any other workflow, model or tag value, and a request within the
/// rule succeeds.
#[tokio::test]
async fn a_tenant_may_use_only_what_its_rule_lists() {
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
            "an error must not reveal what other tenants may do: {error}"
        );
    }
    let id = id();
    let allowed = json!({ "workflow": "explain", "id": id, "tags": { "cost-center": "4711" }, "inputs": text });
    stack.send_to(&format!("{}-alpha", output("InboxQueueUrl")), &allowed.to_string()).await;
    let manifest = stack.manifest(&RunRef::first("alpha", "explain", &id)).await;
    assert_eq!(manifest["status"], "SUCCEEDED", "{manifest}");
}
