//! Makes, under a role, the calls that an AWS service makes under it.

use bcce_tests::harness::stack::output;
use serde_json::{Value, json};

use crate::roles::Role;
use crate::signed::{Call, Caller};

/// A receipt handle that is not valid. The poller receives each message before a test can. If a call fails because of
/// the handle, its permission was granted.
const NO_RECEIPT: &str = "not a receipt";

/// Makes the calls that an action is for. Returns the answer of the first call that is refused as the error.
pub async fn act(root: &Caller, role: &Role, action: &str) -> Result<(), String> {
    let caller = role.assume(root).await;
    for call in calls(role, action) {
        let answer = caller.call(call).await;
        if answer.is_refused() {
            return Err(answer.body);
        }
        let taken = answer.status < 300 || answer.body.contains("ReceiptHandleIsInvalid");
        assert!(taken, "{action} of {}: {} {}", role.name, answer.status, answer.body);
    }
    Ok(())
}

/// Returns the calls that an action is for.
fn calls(role: &Role, action: &str) -> Vec<Call> {
    match action {
        "sqs:ReceiveMessage" => of_each_inbox("AmazonSQS.ReceiveMessage", &json!({})),
        "sqs:GetQueueAttributes" => of_each_inbox("AmazonSQS.GetQueueAttributes", &json!({})),
        "sqs:DeleteMessage" => {
            of_each_inbox("AmazonSQS.DeleteMessage", &json!({ "ReceiptHandle": NO_RECEIPT }))
        }
        "sqs:ChangeMessageVisibility" => {
            let later = json!({ "ReceiptHandle": NO_RECEIPT, "VisibilityTimeout": 600 });
            of_each_inbox("AmazonSQS.ChangeMessageVisibility", &later)
        }
        "s3:ListBucket" => {
            let path =
                format!("/{}?list-type=2&prefix=runs%2F&max-keys=1", output("ArtifactBucket"));
            vec![Call::get("s3", path)]
        }
        "s3:PutObject" => vec![Call::put("s3", note(), "a note".into())],
        // Step Functions reads an object that it wrote itself.
        "s3:GetObject" => {
            vec![Call::put("s3", note(), "a note".into()), Call::get("s3", note())]
        }
        "bedrock:InvokeModelWithResponseStream" => {
            let path = "/model/anthropic.claude-opus-5/invoke-with-response-stream".into();
            let body =
                json!({ "messages": [{ "role": "user", "content": "Hello" }], "max_tokens": 1 });
            vec![Call::post("bedrock", path, body.to_string())]
        }
        "lambda:InvokeFunction" => functions_of(role)
            .iter()
            .map(|name| {
                let path =
                    format!("/2015-03-31/functions/{}-{name}/invocations", output("BCCE_STACK"));
                Call::post("lambda", path, "{}".into()).with("x-amz-invocation-type", "DryRun")
            })
            .collect(),
        // Without the event of an execution's end, the machine fails in its first state.
        "states:StartExecution" => {
            let start = json!({ "stateMachineArn": output("FinalizeArn"), "input": "{}" });
            vec![Call::json("states", "AWSStepFunctions.StartExecution", &start)]
        }
        "dynamodb:BatchGetItem" => {
            let keys = json!({ "Keys": [target()] });
            let get = json!({ "RequestItems": { output("LedgerTable"): keys } });
            vec![Call::json("dynamodb", "DynamoDB_20120810.BatchGetItem", &get)]
        }
        "dynamodb:PutItem" => {
            let put = json!({ "TableName": output("LedgerTable"), "Item": target() });
            vec![Call::json("dynamodb", "DynamoDB_20120810.PutItem", &put)]
        }
        "dynamodb:UpdateItem" => {
            // AWS also checks the names of the attributes.
            let attribute = if role.name == "OpenItemRole" { "halted_at" } else { "expires_at" };
            let update = json!({
                "TableName": output("LedgerTable"),
                "Key": key(role),
                "UpdateExpression": format!("SET {attribute} = :now"),
                "ExpressionAttributeValues": { ":now": { "N": "0" } },
            });
            vec![Call::json("dynamodb", "DynamoDB_20120810.UpdateItem", &update)]
        }
        "dynamodb:DeleteItem" => {
            let delete = json!({ "TableName": output("LedgerTable"), "Key": {
                "pk": { "S": "slot#alpha#runs" }, "sk": { "S": "nobody" },
            } });
            vec![Call::json("dynamodb", "DynamoDB_20120810.DeleteItem", &delete)]
        }
        // The message becomes a dead letter.
        "sqs:SendMessage" => {
            of_each_inbox("AmazonSQS.SendMessage", &json!({ "MessageBody": "no request" }))
        }
        "sns:Publish" => {
            let topic = output("NotificationsTopicArn");
            let publish = [
                ("Action", "Publish"),
                ("Version", "2010-03-31"),
                ("TopicArn", &topic),
                ("Message", "{}"),
            ];
            vec![Call::form("sns", &publish)]
        }
        _ => panic!("no call is known for {action}: add it to `calls`"),
    }
}

/// Returns a call for the inbox of the default tenant, and one for the inbox of a stack of tenant.yaml.
fn of_each_inbox(target: &str, rest: &Value) -> Vec<Call> {
    let inbox = output("InboxQueueUrl");
    let queues = [format!("{inbox}-alpha"), inbox].map(|url| json!({ "QueueUrl": url }));
    queues.iter().map(|queue| Call::json("sqs", target, &merged(queue, rest))).collect()
}

/// Returns the path of an object where Step Functions writes the results of a batch's child executions.
fn note() -> String {
    format!("/{}/batches/runs/default/no-batch/children-1/note.json", output("ArtifactBucket"))
}

/// Returns a key of the ledger that the role may write.
fn key(role: &Role) -> Value {
    match role.name {
        "OpenItemRole" => json!({ "pk": { "S": "progress#no-batch#1" }, "sk": { "S": "halt" } }),
        _ => target(),
    }
}

/// Returns the key of a target's breaker in the ledger.
fn target() -> Value {
    json!({ "pk": { "S": "target#eu-west-3#nobody" }, "sk": { "S": "breaker" } })
}

/// Returns the folder names of the functions that the role's state machine calls.
fn functions_of(role: &Role) -> Vec<String> {
    let path =
        format!("{}/../statemachines/{}.asl.json", env!("CARGO_MANIFEST_DIR"), role.function());
    let machine = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let names = machine.split("${").skip(1).filter_map(|rest| rest.split('}').next());
    let functions = names.filter_map(|name| name.strip_suffix("FunctionArn"));
    functions.map(crate::roles::kebab).collect()
}

fn merged(one: &Value, other: &Value) -> Value {
    let mut merged = one.clone();
    merged.as_object_mut().unwrap().extend(other.as_object().unwrap().clone());
    merged
}
