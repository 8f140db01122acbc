use serde_json::{Value, json};

use crate::signed::Caller;
use crate::stack::{RunRef, Stack, fresh};

/// From the message to the notice with no more than the template's roles.
#[tokio::test]
async fn the_roles_suffice_for_runs_that_succeed_and_fail_and_for_messages_that_are_no_request() {
    let _turn = crate::TURN.lock().await;
    crate::make_up_for_the_emulator(&Caller::root()).await;
    let stack = Stack::connect().await;
    let notices = stack.listen(&fresh("enforced")).await;
    for (script, status) in [("", "SUCCEEDED"), ("@model *: denied", "FAILED")] {
        let id = fresh("enforced");
        let manifest = stack.explain(&id, script).await;
        assert_eq!(manifest["status"], status, "{manifest}");
        assert_eq!(notice(&stack, &notices, &id).await["status"], status);
        assert!(
            stack.object(&RunRef::first("default", "explain", &id).signature_key()).await.is_some()
        );
    }
    let id = fresh("enforced");
    stack.send(&json!({ "workflow": "explain", "id": id }).to_string()).await;
    let refused = notice(&stack, &notices, &id).await;
    assert!(["REJECTED", "FAILED"].contains(&refused["status"].as_str().unwrap()), "{refused}");
}

async fn notice(stack: &Stack, queue: &str, id: &str) -> Value {
    let message =
        stack.receive(queue, |message| message.body().is_some_and(|body| body.contains(id)));
    serde_json::from_str(message.await.body().unwrap()).unwrap()
}
