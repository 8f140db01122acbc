//! Faults of records in the ledger.

use aws_sdk_dynamodb::types::AttributeValue;
use bcce_aws::dynamodb::Ledger;
use bcce_core::batch::{BatchRef, BatchRun};
use bcce_core::ledger::{OpenedBatch, attempt_sk, batch_pk, listing_pk, run_pk};
use bcce_core::ports::OpenBatch;
use bcce_core::run::ids::RunRef;
use bcce_tests::harness::stack::{fresh, output};
use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::found::{doctor, doctor_with};
use crate::healthy::healthy;
use crate::many::{AGE, delete};

fn text(value: &str) -> AttributeValue {
    AttributeValue::S(value.to_owned())
}

/// A record says RUNNING for an hour, and Step Functions has no execution of the run. `--fix` finalizes it.
#[tokio::test]
async fn a_run_that_stays_running_is_named_and_finalized() {
    let stack = healthy().await;
    let id = fresh("closed");
    stack.run("explain", &id, json!({ "text": "A breaker." })).await;
    let mut record = stack.record(&RunRef::first("default", "explain", &id)).await;
    let gone = RunRef::first("default", "explain", &fresh("gone"));
    let started = OffsetDateTime::now_utc() - time::Duration::hours(1);
    for (name, value) in [
        ("pk", run_pk(&gone.run_id)),
        ("listing", listing_pk(started, &gone.run_id)),
        ("run_id", gone.run_id.clone()),
        ("request_id", gone.request_id.clone()),
        ("execution_arn", stack.arn(&gone)),
        ("status", "RUNNING".to_owned()),
        ("started_at", started.format(&Rfc3339).unwrap()),
    ] {
        record.insert(name.into(), text(&value));
    }
    // What only a closed record has.
    record.retain(|name, _| !["ended_at", "counted", "error_name"].contains(&name.as_str()));
    let put = stack.dynamodb.put_item().table_name(output("LedgerTable"));
    put.set_item(Some(record)).send().await.unwrap();
    let remedy = format!("bcce runs finalize {}", gone.run_id);
    doctor().one("running", "fail", &gone.run_id, &remedy);
    doctor_with(&["--fix", "--yes"], &[]).nothing();
}

/// A record says RUNNING for two days, and Step Functions has no execution of the batch.
#[tokio::test]
async fn a_batch_that_stays_running_is_named() {
    let stack = healthy().await;
    let reference = BatchRef::first("default", "explain", &fresh("stale"));
    let batch = BatchRun {
        execution_arn: output("BatchArn"),
        started_at: OffsetDateTime::now_utc() - AGE,
        reference: reference.clone(),
    };
    let opened = json!({
        "version": 1, "items": 1, "rejected": 0, "to_run": 1, "parts": 1, "mode": "on_demand", "because": [],
        "source": { "uri": "s3://b/k.csv", "format": "csv", "bytes": 9 }, "concurrency": 1, "allowed_failures": 0,
    });
    let opened = serde_json::from_value(opened).unwrap();
    let config = bcce_aws::chain::sdk_config().await.unwrap();
    let ledger = Ledger::new(&config, &output("LedgerTable"));
    ledger.open_batch(&OpenedBatch { batch, opened }).await.unwrap();
    let id = &reference.batch_id;
    let found = doctor();
    delete(&stack, &(batch_pk(id), attempt_sk(1))).await;
    found.one("running", "fail", id, &format!("bcce batch finalize {id}"));
    doctor().nothing();
}

#[tokio::test]
async fn foreign_items_do_not_stop_the_checks() {
    let stack = healthy().await;
    let day = OffsetDateTime::now_utc().date();
    let (table, key) = (output("LedgerTable"), fresh("foreign"));
    for digit in "0123456789abcdef".chars() {
        let put =
            stack.dynamodb.put_item().table_name(&table).item("pk", text(&format!("{key}{digit}")));
        let put = put.item("sk", text("x")).item("started_at", text("not a time"));
        let listing = text(&bcce_core::ledger::listing_shard(day, digit));
        put.item("listing", listing).item("status", text("RUNNING")).send().await.unwrap();
    }
    doctor_with(&["--verbose"], &[]).nothing();
}
