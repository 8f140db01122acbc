//! Faults that end within the retries.

use std::time::Instant;

use bcce_tests::harness::proxy::Fault::{self, AnswerLost, Conflict, Error, Reset, Silence};
use bcce_tests::harness::proxy::{Faults, REFUSED, after};
use bcce_tests::harness::stack::{Stack, fresh};

use crate::ending::{self, workflow};

/// A description, the number of calls that pass first, the operation, the number of faults, and their kind.
type Case = (&'static str, usize, &'static str, usize, Fault);

const CASES: &[Case] = &[
    ("S3 throttles the request", 0, PUT, 1, Error("SlowDown", 503)),
    (
        "Step Functions throttles until the message is received again",
        0,
        START,
        5,
        Error(THROTTLED, 400),
    ),
    ("the execution is started and the answer is lost", 0, START, 1, AnswerLost),
    ("SSM throttles until Step Functions calls again", 0, READ, 4, Error(THROTTLED, 400)),
    ("SSM is silent", 0, READ, 1, Silence),
    ("S3 fails while the request is read", 0, "s3:GetObject", 1, Error("InternalError", 500)),
    ("DynamoDB throttles the run's record", 0, RECORD, 1, Error(EXCEEDED, 400)),
    ("the run's record is there and the answer is lost", 0, RECORD, 1, AnswerLost),
    ("S3 fails while the answer is stored", 2, PUT, 1, Error("InternalError", 500)),
    ("the answer is stored and the answer of S3 is lost", 2, PUT, 1, AnswerLost),
    ("another writer writes the manifest", 3, PUT, 2, Error("ConditionalRequestConflict", 409)),
    ("the connection breaks at the manifest", 3, PUT, 1, Reset),
    ("KMS fails", 0, SIGN, 1, Error("KMSInternalException", 500)),
    ("KMS refuses until Step Functions calls again", 0, SIGN, 1, REFUSED),
    ("the signature is made and the answer is lost", 0, SIGN, 1, AnswerLost),
    ("DynamoDB throttles the count", 0, COUNT, 1, Error(THROTTLED, 400)),
    (
        "the run is counted and the answer is lost until Step Functions calls again",
        0,
        COUNT,
        4,
        AnswerLost,
    ),
    ("another transaction writes the counters", 0, COUNT, 1, Conflict),
];

const PUT: &str = "s3:PutObject";
const START: &str = "stepfunctions:StartExecution";
const READ: &str = "ssm:GetParameters";
const RECORD: &str = "dynamodb:PutItem";
const SIGN: &str = "kms:Sign";
const COUNT: &str = "dynamodb:TransactWriteItems";
const THROTTLED: &str = "ThrottlingException";
const EXCEEDED: &str = "ProvisionedThroughputExceededException";

/// The run has one execution, one call, one manifest with its signature, one count and one notification, whatever fault
/// occurs.
#[tokio::test]
async fn a_temporary_fault_only_delays_a_run() {
    let faults = Faults::none().await;
    let stack = Stack::connect().await;
    let notifications = stack.listen(&fresh("late")).await;
    let mut wrong = Vec::new();
    for (name, pass, operation, times, fault) in CASES {
        let started = Instant::now();
        let workflow = workflow(&stack).await;
        faults.are(&after(*pass, operation, *times, *fault));
        let ending = ending::of(&stack, &workflow, &notifications).await;
        if let Err(what) = ending.is_whole() {
            wrong.push(format!("{name}: {what}"));
        }
        if faults.fired() != *times {
            wrong.push(format!("{name}: {} faults, expected {times}", faults.fired()));
        }
        eprintln!("{:5.1} s  {name}", started.elapsed().as_secs_f64());
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
