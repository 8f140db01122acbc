//! A run that stays RUNNING among many other records.

use aws_sdk_dynamodb::types::{AttributeValue, DeleteRequest, PutRequest, WriteRequest};
use bcce_aws::dynamodb::Ledger;
use bcce_core::ledger::{OpenedRun, attempt_sk, listing_pk, run_pk};
use bcce_core::ports::OpenRun;
use bcce_core::run::ids::{Run, RunRef};
use bcce_tests::harness::stack::{Stack, fresh, output};
use time::{Duration, OffsetDateTime};

use crate::found::doctor;
use crate::healthy::healthy;

/// The number of items that DynamoDB writes in one call.
const WRITTEN_AT_A_TIME: usize = 25;

/// The age of the planted records, which is longer than any run takes.
pub const AGE: Duration = Duration::days(2);

/// The key of an item.
pub type Key = (String, String);

fn text(value: &str) -> AttributeValue {
    AttributeValue::S(value.to_owned())
}

/// Removes a planted record.
pub async fn delete(stack: &Stack, (pk, sk): &Key) {
    let delete = stack.dynamodb.delete_item().table_name(output("LedgerTable"));
    delete.key("pk", text(pk)).key("sk", text(sk)).send().await.unwrap();
}

/// Records a run that is under way for two days and whose execution nobody has started.
async fn stale(stack: &Stack) -> (RunRef, Key) {
    let reference = RunRef::first("default", "explain", &fresh("stale"));
    let started_at = OffsetDateTime::now_utc() - AGE;
    let run =
        Run { execution_arn: stack.arn(&reference), reference: reference.clone(), started_at };
    let config = bcce_aws::chain::sdk_config().await.unwrap();
    let ledger = Ledger::new(&config, &output("LedgerTable"));
    ledger.open(&OpenedRun { run, trace_id: None }).await.unwrap();
    let key = (run_pk(&reference.run_id), attempt_sk(1));
    (reference, key)
}

/// Items of another program in the table neither end the command nor hide a run.
#[tokio::test]
async fn foreign_items_do_not_end_the_command() {
    let stack = healthy().await;
    let (run, key) = stale(&stack).await;
    let listing = listing_pk(OffsetDateTime::now_utc() - AGE, &run.run_id);
    let foreign = ("foreign#1".to_owned(), "x".to_owned());
    let put = stack.dynamodb.put_item().table_name(output("LedgerTable"));
    let put = put.item("pk", text(&foreign.0)).item("sk", text(&foreign.1));
    let put = put.item("listing", text(&listing)).item("started_at", text("not a time"));
    put.send().await.unwrap();
    let found = doctor();
    delete(&stack, &key).await;
    delete(&stack, &foreign).await;
    found.one("running", "fail", &run.run_id, "bcce runs finalize");
    doctor().nothing();
}

/// Ten thousand runs that have ended do not hide the one that has not.
#[tokio::test]
async fn ten_thousand_runs_are_looked_through() {
    let stack = healthy().await;
    let (run, key) = stale(&stack).await;
    let get = stack.dynamodb.get_item().table_name(output("LedgerTable"));
    let get = get.key("pk", text(&key.0)).key("sk", text(&key.1)).send().await;
    let item = get.unwrap().item.unwrap();
    let ids: Vec<String> =
        (0..10_000).map(|n| RunRef::first("default", "explain", &n.to_string()).run_id).collect();
    let started_at = OffsetDateTime::now_utc() - AGE;
    let put = |id: &String| {
        let mut item = item.clone();
        let listing = listing_pk(started_at, id);
        for (name, value) in [("pk", run_pk(id)), ("run_id", id.clone()), ("listing", listing)] {
            item.insert(name.into(), AttributeValue::S(value));
        }
        item.insert("status".into(), text("SUCCEEDED"));
        let put = PutRequest::builder().set_item(Some(item)).build().unwrap();
        WriteRequest::builder().put_request(put).build()
    };
    let remove = |id: &String| {
        let remove = DeleteRequest::builder().key("pk", text(&run_pk(id)));
        let remove = remove.key("sk", text(&attempt_sk(1))).build().unwrap();
        WriteRequest::builder().delete_request(remove).build()
    };
    write(&stack, ids.iter().map(put).collect()).await;
    let found = doctor();
    write(&stack, ids.iter().map(remove).collect()).await;
    delete(&stack, &key).await;
    found.one("running", "fail", &run.run_id, "bcce runs finalize");
    doctor().nothing();
}

async fn write(stack: &Stack, requests: Vec<WriteRequest>) {
    for requests in requests.chunks(WRITTEN_AT_A_TIME) {
        let write = stack.dynamodb.batch_write_item();
        write.request_items(output("LedgerTable"), requests.to_vec()).send().await.unwrap();
    }
}
