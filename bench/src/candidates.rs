use serde_json::{Value, json};

/// A function to measure.
pub struct Candidate {
    /// The name of the binary.
    pub name: &'static str,
    pub environment: &'static [(&'static str, &'static str)],
    /// Returns the nth event.
    pub event: fn(usize) -> String,
    /// The number of units in one event.
    pub per_event: usize,
    pub unit: &'static str,
    /// Returns true if an answer is correct.
    pub is_right: fn(&Value) -> bool,
}

/// The number of messages in one event of `dispatch`.
const MESSAGES: usize = 10;

/// Returns the functions to measure.
pub fn all() -> [Candidate; 3] {
    [
        Candidate {
            name: "nothing",
            environment: &[],
            event: |_| ISSUE.to_owned(),
            per_event: 1,
            unit: "calls",
            is_right: Value::is_null,
        },
        Candidate {
            name: "webhook",
            environment: &[
                ("BCCE_ENVIRONMENT", "dev"),
                ("BCCE_ARTIFACT_BUCKET", "bucket"),
                ("BCCE_INBOX_QUEUE_URL", "https://sqs.us-east-1.amazonaws.com/000000000000/inbox"),
            ],
            event: |_| ISSUE.to_owned(),
            per_event: 1,
            unit: "calls",
            is_right: |answer| {
                answer["statusCode"] == 202 && answer["body"] != json!("{\"requests\":[]}")
            },
        },
        Candidate {
            name: "dispatch",
            environment: &[
                ("BCCE_ENVIRONMENT", "dev"),
                ("BCCE_ARTIFACT_BUCKET", "bucket"),
                ("BCCE_ARTIFACT_KEY_ARN", "arn:aws:kms:us-east-1:000000000000:key/key"),
                (
                    "BCCE_WORKFLOW_ARN",
                    "arn:aws:states:us-east-1:000000000000:stateMachine:workflow",
                ),
                ("BCCE_BATCH_ARN", "arn:aws:states:us-east-1:000000000000:stateMachine:batch"),
                // Required, but not used: without a limit of runs, `dispatch` does not call the ledger.
                ("BCCE_LEDGER_TABLE", "ledger"),
                ("BCCE_TOPIC_ARN", "arn:aws:sns:us-east-1:000000000000:topic"),
                (
                    "BCCE_DEAD_LETTER_QUEUE_URL",
                    "https://sqs.us-east-1.amazonaws.com/000000000000/dead",
                ),
                ("BCCE_INBOX_NAME", "inbox"),
            ],
            event: batch,
            per_event: MESSAGES,
            unit: "messages",
            is_right: |answer| answer["batchItemFailures"] == json!([]),
        },
    ]
}

/// The example call of GitHub's documentation, with its signature.
const ISSUE: &str = include_str!("../../events/webhook/github-issue-opened.json");
/// The SSM parameter of the webhook source.
pub const SOURCE: &str = include_str!("../../infra/config/dev/webhooks/github.yaml");
/// The secret of the webhook source.
pub const SECRET: &str = "It's a Secret to Everybody";

/// Returns the event number `number` of `dispatch`. Each event has new requests.
fn batch(number: usize) -> String {
    let sample: Value = serde_json::from_str(include_str!("../../events/dispatch/batch.json"))
        .expect("the sample is JSON");
    let message = |n: usize| {
        let mut message = sample["Records"][0].clone();
        let id = format!("{number}-{n}");
        let body =
            json!({ "workflow": "explain", "id": id, "inputs": { "text": "A breaker opens." } });
        message["messageId"] = json!(id);
        message["body"] = json!(body.to_string());
        message["eventSourceARN"] = json!("arn:aws:sqs:us-east-1:000000000000:inbox");
        message
    };
    let records: Vec<Value> = (0..MESSAGES).map(message).collect();
    json!({ "Records": records }).to_string()
}
