//! Faults of records in the ledger.

use aws_sdk_dynamodb::types::AttributeValue;
use bcce_core::ledger::{attempt_sk, run_pk};
use bcce_core::run::ids::RunRef;
use bcce_tests::harness::stack::{fresh, output};
use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::found::{doctor, doctor_with};
use crate::healthy::healthy;

fn text(value: &str) -> AttributeValue {
    AttributeValue::S(value.to_owned())
}

/// The record of a run says RUNNING again although the execution has ended an hour ago.
#[tokio::test]
async fn a_run_that_stays_running_is_named_and_finalized() {
    let stack = healthy().await;
    let id = fresh("stale");
    let run = RunRef::first("default", "explain", &id);
    stack.run("explain", &id, json!({ "text": "A breaker." })).await;
    let mut record = stack.record(&run).await;
    let before = record.clone();
    // No execution has the name of this run, as if Step Functions had forgotten it.
    let gone = RunRef::first("default", "explain", &fresh("gone"));
    let started = (OffsetDateTime::now_utc() - time::Duration::hours(1)).format(&Rfc3339).unwrap();
    for (name, value) in [
        ("pk", run_pk(&gone.run_id)),
        ("sk", attempt_sk(1)),
        ("run_id", gone.run_id.clone()),
        ("request_id", gone.request_id.clone()),
        ("status", "RUNNING".to_owned()),
        ("started_at", started),
    ] {
        record.insert(name.into(), text(&value));
    }
    for closed in ["ended_at", "counted", "error_name"] {
        record.remove(closed);
    }
    let table = output("LedgerTable");
    let put = stack.dynamodb.put_item().table_name(&table).set_item(Some(record.clone()));
    put.send().await.unwrap();
    let found = doctor();
    let delete = stack.dynamodb.delete_item().table_name(&table);
    delete.key("pk", record["pk"].clone()).key("sk", record["sk"].clone()).send().await.unwrap();
    found.one("running", "fail", &gone.run_id, &format!("bcce runs finalize {}", gone.run_id));
    assert!(before.contains_key("ended_at"), "{before:?}");
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
