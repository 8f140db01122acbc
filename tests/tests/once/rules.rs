//! The rules of the fault proxy for the calls of the functions.

use bcce_tests::harness::proxy::Fault::{self, AnswerLost, Conflict, Error, Reset};
use bcce_tests::harness::proxy::{REFUSED, rule};
use serde_json::{Value, json};

use bcce_tests::harness::seed::Seed;

/// The operation, the average number of calls between two faults, the most faults, and the kind of fault.
type Row = (&'static str, usize, usize, Fault);

/// Faults that the SDK's own retries nearly always overcome.
const PASSING: &[Row] = &[
    ("s3:PutObject", 80, 20, Error("SlowDown", 503)),
    ("s3:PutObject", 150, 10, Error("InternalError", 500)),
    ("s3:PutObject", 200, 5, Error("ConditionalRequestConflict", 409)),
    ("s3:PutObject", 150, 10, Reset),
    ("s3:PutObject", 80, 20, AnswerLost),
    ("s3:GetObject", 200, 15, Error("InternalError", 500)),
    ("s3:GetObject", 250, 10, Reset),
    ("s3:ListObjectsV2", 40, 5, Error("SlowDown", 503)),
    ("dynamodb:PutItem", 25, 10, Error(EXCEEDED, 400)),
    ("dynamodb:PutItem", 25, 10, AnswerLost),
    ("dynamodb:UpdateItem", 25, 10, AnswerLost),
    ("dynamodb:BatchGetItem", 25, 10, Error("InternalServerError", 500)),
    ("dynamodb:Query", 25, 5, Error("InternalServerError", 500)),
    ("dynamodb:TransactWriteItems", 25, 10, Error("ThrottlingException", 400)),
    ("dynamodb:TransactWriteItems", 25, 10, Conflict),
    ("dynamodb:TransactWriteItems", 15, 20, AnswerLost),
    ("kms:Sign", 40, 5, Error("KMSInternalException", 500)),
    ("kms:Sign", 40, 5, AnswerLost),
];

/// Faults that make a function fail, or that happen before a run exists.
const FAILING: &[Row] = &[
    ("stepfunctions:StartExecution", 16, 40, Error("ThrottlingException", 400)),
    ("stepfunctions:StartExecution", 40, 20, AnswerLost),
    ("s3:PutObject", 150, 10, REFUSED),
    ("s3:GetObject", 400, 6, REFUSED),
    ("dynamodb:TransactWriteItems", 50, 5, REFUSED),
    ("kms:Sign", 60, 4, REFUSED),
    ("ssm:GetParameters", 4, 5, Error("ThrottlingException", 400)),
    ("sns:Publish", 4, 3, Error("InternalError", 500)),
    ("sns:Publish", 6, 2, REFUSED),
    ("sqs:SendMessage", 5, 2, REFUSED),
    ("sqs:SendMessage", 5, 2, AnswerLost),
    ("sqs:ChangeMessageVisibility", 4, 4, Error("InternalError", 500)),
];

const EXCEEDED: &str = "ProvisionedThroughputExceededException";

/// Returns the rules for all faults, in random order.
pub fn all(seed: &mut Seed) -> Value {
    let mut rows: Vec<&Row> = PASSING.iter().chain(FAILING).collect();
    seed.shuffle(&mut rows);
    rules(seed, &rows)
}

/// Returns the rules for the faults that the SDK's retries overcome.
pub fn passing(seed: &mut Seed) -> Value {
    rules(seed, &PASSING.iter().collect::<Vec<_>>())
}

/// Returns a rule for each row. It makes one call fail and then lets about as many pass as the row says, a number that
/// the seed decides. Which calls these are depends on the timing of the machine.
fn rules(seed: &mut Seed, rows: &[&Row]) -> Value {
    let spread = |(operation, one_of, times, fault): &&Row| {
        let mut rule = rule(operation, *times, *fault);
        let passes = seed.between(one_of / 2, one_of * 3 / 2);
        rule["sequence"] = json!({ "fail": 1, "pass": passes });
        rule
    };
    Value::Array(rows.iter().map(spread).collect())
}
