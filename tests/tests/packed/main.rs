//! Shows that each item of a packed batch is over once and that every call is counted, whatever fails.
//!
//! `make once` starts the suite on a local stack of its own with a fault proxy. While the items run, the functions of
//! parts are killed, S3, DynamoDB and KMS fail now and then, and a region fails for the middle third of the items. Some
//! items are broken. A batch runs on demand and another one in bulk, whose job leaves some records over. `make soak`
//! runs it with ten thousand items.
//!
//! All random choices come from one number, which is printed. `BCCE_SEED` repeats them.

mod checks;

use std::sync::atomic::{AtomicBool, Ordering};

use bcce_core::batch::BatchRef;
use bcce_tests::harness::kills;
use bcce_tests::harness::proxy::Fault::{self, AnswerLost, Conflict, Error, Reset};
use bcce_tests::harness::proxy::{Faults, REFUSED, rule};
use bcce_tests::harness::seed::Seed;
use bcce_tests::harness::stack::{Stack, fresh, output, sized};
use serde_json::{Value, json};

use checks::{Before, Found};

/// The operation, the average number of calls between two faults, the most faults, and the kind of fault.
type Row = (&'static str, usize, usize, Fault);

const FAULTS: &[Row] = &[
    ("s3:PutObject", 10, 20, Error("SlowDown", 503)),
    ("s3:PutObject", 15, 20, AnswerLost),
    ("s3:GetObject", 15, 20, Reset),
    ("s3:ListObjectsV2", 5, 10, Error("SlowDown", 503)),
    ("dynamodb:UpdateItem", 10, 20, AnswerLost),
    ("dynamodb:UpdateItem", 15, 20, Error("ProvisionedThroughputExceededException", 400)),
    ("dynamodb:PutItem", 20, 40, Error("InternalServerError", 500)),
    ("dynamodb:PutItem", 25, 40, AnswerLost),
    ("dynamodb:BatchWriteItem", 5, 20, Error("InternalServerError", 500)),
    ("dynamodb:Query", 15, 20, Error("InternalServerError", 500)),
    ("dynamodb:TransactWriteItems", 2, 10, Conflict),
    ("dynamodb:TransactWriteItems", 3, 10, AnswerLost),
    ("kms:Sign", 3, 10, Error("KMSInternalException", 500)),
    ("kms:Sign", 4, 10, AnswerLost),
    ("s3:PutObject", 60, 5, REFUSED),
    ("dynamodb:UpdateItem", 60, 4, REFUSED),
];

/// Every item is over once, only calls in flight are made again, and the costs of the items, the batch and the ledger
/// are the same.
#[tokio::test]
async fn every_item_of_a_packed_batch_is_over_once_whatever_fails() {
    let mut seed = Seed::from_env();
    let faults = Faults::none().await;
    let stack = Stack::connect().await;
    on_demand(&stack, &faults, &mut seed).await;
    in_bulk(&stack, &faults, &mut seed).await;
}

async fn on_demand(stack: &Stack, faults: &Faults, seed: &mut Seed) {
    let (items, functions) = (sized(400, 10_000), ["run-part", "collect-part"]);
    let line = |n: usize| {
        let is_down = (items / 3..items * 2 / 3).contains(&n);
        let kills = n % (items / sized(3, 12)) == items / 30;
        match (kills, is_down) {
            (true, _) => "@model *: kills, answer",
            (false, true) => "@model us-east-1: unavailable",
            (false, false) => "@model *: slow(100)",
        }
    };
    let found = storm(stack, faults, seed, ("on_demand", items), line, (&functions, sized(2, 6)));
    let lost = checks::all(&found.await, items);
    assert!(lost > 0, "the kills hit no call");
}

/// A sixth of the records are leftovers of the job.
async fn in_bulk(stack: &Stack, faults: &Faults, seed: &mut Seed) {
    let items = sized(300, 10_000);
    let functions = ["render-part", "take-part", "run-part", "collect-part"];
    let line = |n: usize| {
        let is_down = (items / 3..items * 2 / 3).contains(&n);
        match (n % 12, is_down) {
            (3, true) => "@bulk lost\n@model us-east-1: unavailable",
            (3, false) => "@bulk lost\n@model *: slow(100)",
            (9, _) if n % (items / sized(2, 6)) < 12 => "@bulk error(429)\n@model *: kills, answer",
            (9, _) => "@bulk error(429)",
            _ => "",
        }
    };
    let found = storm(stack, faults, seed, ("bulk", items), line, (&functions, sized(8, 16)));
    checks::all(&found.await, items);
}

/// Runs a batch while functions are killed and services fail. `line` returns the script of an item, and `functions` are
/// killed at most `kills` times.
async fn storm(
    stack: &Stack,
    faults: &Faults,
    seed: &mut Seed,
    (mode, items): (&str, usize),
    line: impl Fn(usize) -> &'static str,
    (functions, kills): (&[&str], usize),
) -> Found {
    let before = Before::now(stack).await;
    let batch = send(stack, mode, items, line).await;
    // open-batch makes a few calls only, and gives up after six tries. The parts are what the faults are for.
    let key = batch.opened_key();
    let opened = async || match stack.object(&batch.manifest_key()).await {
        Some(refused) => panic!(
            "{} {}",
            String::from_utf8_lossy(&refused),
            bcce_tests::harness::stack::log("open-batch")
        ),
        None => stack.object(&key).await,
    };
    stack.eventually(&key, opened).await;
    let mut rows: Vec<&Row> = FAULTS.iter().collect();
    seed.shuffle(&mut rows);
    faults.are(&rules(seed, &rows));
    let over = AtomicBool::new(false);
    let mut random = seed.split();
    let end = async {
        let manifest = sealed(stack, &batch).await;
        over.store(true, Ordering::Relaxed);
        manifest
    };
    let killing = kills::at_random(&mut random, functions, kills, &over);
    let (manifest, ()) = tokio::join!(end, killing);
    assert!(faults.fired() > 10, "only {} faults", faults.fired());
    faults.are(&json!([]));
    Found::of(stack, &batch, manifest, before).await
}

/// Returns whether item `n` is broken, which is three percent of them.
fn is_broken(n: usize) -> bool {
    n % 33 == 5
}

/// Sends a batch. `script` returns the script of an item.
async fn send(
    stack: &Stack,
    mode: &str,
    items: usize,
    script: impl Fn(usize) -> &'static str,
) -> BatchRef {
    let id = fresh("storm");
    let line = |n: usize| match is_broken(n) {
        true => json!({ "txt": "wrong" }).to_string(),
        false => json!({ "text": format!("{}\nnumber {n}.", script(n)) }).to_string(),
    };
    let lines: Vec<String> = (1..=items).map(line).collect();
    let (bucket, key) = (output("ArtifactBucket"), format!("batches/uploads/{id}.jsonl"));
    let put = stack.s3.put_object().bucket(&bucket).key(&key);
    put.body(lines.join("\n").into_bytes().into()).send().await.unwrap();
    let source = format!("s3://{bucket}/{key}");
    let batch = json!({ "source": source, "mode": mode, "concurrency": 40 });
    let message = json!({ "workflow": "explain", "id": id, "batch": batch });
    stack.send(&message.to_string()).await;
    BatchRef::first("default", "explain", &id)
}

/// Waits for the manifest of the batch.
async fn sealed(stack: &Stack, batch: &BatchRef) -> Value {
    let key = batch.manifest_key();
    let state = async || {
        let prefix = batch.prefix();
        let list = stack.s3.list_objects_v2().bucket(output("ArtifactBucket")).prefix(prefix);
        let pages = list.into_paginator().send().collect::<Result<Vec<_>, _>>().await.unwrap();
        let objects: i32 = pages.iter().map(|page| page.key_count().unwrap_or_default()).sum();
        format!("{objects} objects, {} calls", bcce_tests::harness::stack::all_calls().len())
    };
    // The batch's record is closed after its manifest is stored.
    let arn = output("BatchArn").replacen(":stateMachine:", ":execution:", 1);
    let arn = format!("{arn}:{}", batch.execution_name());
    let over = async || {
        let execution = stack.sfn.describe_execution().execution_arn(&arn).send().await.ok()?;
        let is_over = execution.status().as_str() != "RUNNING";
        if is_over { stack.object(&key).await } else { None }
    };
    let body = stack.reached(&key, over, state).await;
    serde_json::from_slice(&body).unwrap()
}

/// Returns a rule for each row. It makes one call fail and then lets about as many pass as the row says, a number that
/// the seed decides. Which calls these are depends on the timing of the machine.
fn rules(seed: &mut Seed, rows: &[&Row]) -> Value {
    let spread = |(operation, one_of, times, fault): &&Row| {
        let mut rule = rule(operation, *times, *fault);
        let passes = seed.between(one_of.div_ceil(2), one_of * 3 / 2);
        rule["sequence"] = json!({ "fail": 1, "pass": passes });
        rule
    };
    Value::Array(rows.iter().map(spread).collect())
}
