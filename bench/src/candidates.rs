use serde_json::{Value, json};

pub struct Candidate {
    /// Of the binary.
    pub name: &'static str,
    pub environment: &'static [(&'static str, &'static str)],
    /// The nth event.
    pub event: fn(usize) -> String,
    /// What one event counts for.
    pub per_event: usize,
    pub unit: &'static str,
    pub is_right: fn(&Value) -> bool,
}

const MESSAGES: usize = 10;

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
                // Without a limit of runs, nothing is asked of it.
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

/// GitHub's documented call, with its signature.
const ISSUE: &str = include_str!("../../events/webhook/github-issue-opened.json");
/// What SSM has for it.
pub const SOURCE: &str = include_str!("../../infra/config/dev/webhooks/github.yaml");
pub const SECRET: &str = "It's a Secret to Everybody";

/// New requests each time.
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
