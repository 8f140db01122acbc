//! Tenants with inboxes of their own: `alpha` and `beta`, stacks of infra/tenant.yaml next to the main one.

use std::cell::RefCell;

use bcce_tests::harness::stack::{RunRef, Stack, fresh, output};
use serde_json::{Value, json};

fn inbox_of(tenant: &str) -> String {
    format!("{}-{tenant}", output("InboxQueueUrl"))
}

fn notifications_of(tenant: &str) -> String {
    let inbox = output("InboxQueueUrl");
    format!("{}-notifications-{tenant}", inbox.strip_suffix("-inbox").unwrap())
}

/// Returns the notifications of a tenant, up to the one of the given request.
async fn notifications_until(stack: &Stack, tenant: &str, request_id: &str) -> Vec<Value> {
    let (queue, all) = (notifications_of(tenant), RefCell::new(Vec::<Value>::new()));
    stack
        .eventually("the tenant's notification", async || {
            let messages = stack.sweep(&queue, 1).await;
            let bodies = messages.iter().map(|message| message.body().unwrap());
            all.borrow_mut()
                .extend(bodies.map(|body| serde_json::from_str::<Value>(body).unwrap()));
            all.borrow()
                .iter()
                .any(|notification| notification["request_id"] == request_id)
                .then_some(())
        })
        .await;
    all.into_inner()
}

/// Two tenants that send the same request get a run each, with artifacts, record and notification under their own name,
/// and no notification of another tenant.
#[tokio::test]
async fn the_same_request_of_two_tenants_is_two_runs_and_each_gets_its_own_notification() {
    let stack = Stack::connect().await;
    let id = fresh("tenants");
    // Neither tenant may get the notifications of these two messages, which the default tenant sends.
    stack.explain(&fresh("default"), "").await;
    stack.send(&format!("no request: {id}")).await;
    let request =
        json!({ "workflow": "explain", "id": id, "inputs": { "text": "A breaker opens." } });
    for tenant in ["alpha", "beta"] {
        stack.send_to(&inbox_of(tenant), &request.to_string()).await;
    }
    for tenant in ["alpha", "beta"] {
        let run = RunRef::first(tenant, "explain", &id);
        let manifest = stack.manifest(&run).await;
        assert_eq!(manifest["status"], "SUCCEEDED", "{manifest}");
        assert_eq!(manifest["tenant"], tenant);
        assert!(run.prefix().starts_with(&format!("runs/{tenant}/")));
        assert_eq!(stack.record(&run).await["tenant"].as_s().unwrap(), tenant);

        let notifications = notifications_until(&stack, tenant, &id).await;
        assert!(
            notifications.iter().any(|notification| notification["run_id"] == run.run_id),
            "{notifications:?}"
        );
        assert!(
            notifications.iter().all(|notification| notification["tenant"] == tenant),
            "{notifications:?}"
        );
    }
    let of_default = RunRef::first("default", "explain", &id).request_key();
    assert!(stack.object(&of_default).await.is_none());
}

/// A message with a field `tenant` is rejected. Its notification and dead letter have the tenant of the inbox.
#[tokio::test]
async fn a_body_that_names_a_tenant_is_refused() {
    let stack = Stack::connect().await;
    let id = fresh("pretender");
    let notifications = stack.listen(&id).await;
    let request = json!({ "workflow": "explain", "id": id, "tenant": "beta",
                          "inputs": { "text": "A breaker opens." } });
    stack.send_to(&inbox_of("alpha"), &request.to_string()).await;
    let notification =
        stack.receive(&notifications, |m| m.body().is_some_and(|b| b.contains(&id))).await;
    let notification: Value = serde_json::from_str(notification.body().unwrap()).unwrap();
    assert_eq!(
        (&notification["status"], &notification["tenant"]),
        (&json!("REJECTED"), &json!("alpha"))
    );
    assert!(
        notification["error"]["message"].as_str().unwrap().starts_with("tenant: is unknown"),
        "{notification}"
    );
    let letters = output("DeadLetterQueueUrl");
    let letter = stack.receive(&letters, |m| m.body().is_some_and(|b| b.contains(&id))).await;
    let attributes = letter.message_attributes().unwrap();
    assert_eq!(attributes["tenant"].string_value(), Some("alpha"));
}
