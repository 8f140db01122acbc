//! What the fault proxy does to the functions' calls.

use serde_json::{Value, json};

use crate::proxy::Fault::{self, Conflict, Error, Reset, WordLost};
use crate::proxy::{REFUSED, rule};
use crate::seed::Seed;

/// Operation, how often at the most, how.
type Row = (&'static str, usize, Fault);

/// Mended by the SDK's own tries, nearly always.
const PASSING: &[Row] = &[
    ("s3:PutObject", 20, Error("SlowDown", 503)),
    ("s3:PutObject", 10, Error("InternalError", 500)),
    ("s3:PutObject", 5, Error("ConditionalRequestConflict", 409)),
    ("s3:PutObject", 10, Reset),
    ("s3:PutObject", 20, WordLost),
    ("s3:GetObject", 15, Error("InternalError", 500)),
    ("s3:GetObject", 10, Reset),
    ("s3:ListObjectsV2", 5, Error("SlowDown", 503)),
    ("dynamodb:PutItem", 10, Error(EXCEEDED, 400)),
    ("dynamodb:PutItem", 10, WordLost),
    ("dynamodb:BatchGetItem", 10, Error("InternalServerError", 500)),
    ("dynamodb:TransactWriteItems", 10, Error("ThrottlingException", 400)),
    ("dynamodb:TransactWriteItems", 10, Conflict),
    ("dynamodb:TransactWriteItems", 20, WordLost),
    ("dynamodb:UpdateItem", 5, WordLost),
    ("kms:Sign", 5, Error("KMSInternalException", 500)),
    ("kms:Sign", 5, WordLost),
];

/// Those that a function fails over, or that come before a run.
const FAILING: &[Row] = &[
    ("stepfunctions:StartExecution", 60, Error("ThrottlingException", 400)),
    ("stepfunctions:StartExecution", 20, WordLost),
    ("s3:PutObject", 8, REFUSED),
    ("s3:GetObject", 4, REFUSED),
    ("dynamodb:TransactWriteItems", 4, REFUSED),
    ("kms:Sign", 3, REFUSED),
    ("ssm:GetParameters", 5, Error("ThrottlingException", 400)),
    ("sns:Publish", 3, Error("InternalError", 500)),
    ("sns:Publish", 2, REFUSED),
    ("sqs:SendMessage", 2, REFUSED),
    ("sqs:SendMessage", 2, WordLost),
    ("sqs:ChangeMessageVisibility", 4, Error("InternalError", 500)),
];

const EXCEEDED: &str = "ProvisionedThroughputExceededException";

pub fn all(seed: &mut Seed) -> Value {
    let mut rows: Vec<&Row> = PASSING.iter().chain(FAILING).collect();
    seed.shuffle(&mut rows);
    rules(seed, &rows)
}

pub fn passing(seed: &mut Seed) -> Value {
    rules(seed, &PASSING.iter().collect::<Vec<_>>())
}

/// Each hurts one call and then lets some pass: how many is the seed's. What the calls are, the machine decides.
fn rules(seed: &mut Seed, rows: &[&Row]) -> Value {
    let spread = |(operation, times, fault): &&Row| {
        let mut rule = rule(operation, *times, *fault);
        // The messages that are no request are few.
        let rare = ["sns:Publish", "sqs:SendMessage"].contains(operation);
        let passes = if rare { seed.between(1, 4) } else { seed.between(8, 40) };
        rule["sequence"] = json!({ "fail": 1, "pass": passes });
        rule
    };
    Value::Array(rows.iter().map(spread).collect())
}
