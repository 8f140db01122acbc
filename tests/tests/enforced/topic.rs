//! SNS topics of the account that send requests to the inbox.

use bcce_tests::harness::stack::{RunRef, Stack, fresh, output};
use serde_json::json;

use crate::signed::{Call, Caller};

const VERSION: (&str, &str) = ("Version", "2010-03-31");

/// A message of a topic in this account becomes a request in the main inbox. The inbox of a tenant does not accept it.
#[tokio::test]
async fn a_topic_of_this_account_sends_to_the_main_inbox_but_not_to_that_of_a_tenant() {
    let _guard = crate::ONE_AT_A_TIME.lock().await;
    let root = Caller::root();
    crate::make_up_for_the_emulator(&root).await;
    let stack = Stack::connect().await;
    let id = fresh("topic");
    let create = [("Action", "CreateTopic"), VERSION, ("Name", &id)];
    let created = root.call(Call::form("sns", &create)).await;
    let topic = created.between("<TopicArn>", "<")[0];
    let inbox = format!("arn:aws:sqs:us-east-1:000000000000:{}-inbox", output("BCCE_STACK"));
    for queue in [format!("{inbox}-alpha"), inbox] {
        let subscribe = [
            ("Action", "Subscribe"),
            VERSION,
            ("TopicArn", topic),
            ("Protocol", "sqs"),
            ("Endpoint", &queue),
            ("Attributes.entry.1.key", "RawMessageDelivery"),
            ("Attributes.entry.1.value", "true"),
        ];
        let answer = root.call(Call::form("sns", &subscribe)).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
    let request = json!({ "workflow": "explain", "id": id, "inputs": { "text": "A breaker." } });
    let request = request.to_string();
    let publish = [("Action", "Publish"), VERSION, ("TopicArn", topic), ("Message", &request)];
    let answer = root.call(Call::form("sns", &publish)).await;
    assert_eq!(answer.status, 200, "{}", answer.body);

    let manifest = stack.manifest(&RunRef::first("default", "explain", &id)).await;
    assert_eq!(manifest["status"], "SUCCEEDED", "{manifest}");
    let of_tenant = RunRef::first("alpha", "explain", &id).request_key();
    assert!(
        stack.object(&of_tenant).await.is_none(),
        "the inbox of a tenant must not accept messages of topics"
    );
}
