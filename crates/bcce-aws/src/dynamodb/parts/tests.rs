use super::*;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::get_item::GetItemOutput;
use aws_sdk_dynamodb::operation::put_item::PutItemOutput;
use aws_sdk_dynamodb::operation::query::QueryOutput;
use aws_sdk_dynamodb::operation::transact_write_items::{
    TransactWriteItemsError, TransactWriteItemsOutput,
};
use aws_sdk_dynamodb::operation::update_item::{UpdateItemError, UpdateItemOutput};
use aws_sdk_dynamodb::types::error::{
    ConditionalCheckFailedException, TransactionCanceledException,
};
use aws_sdk_dynamodb::types::{CancellationReason, TransactWriteItem};
use aws_smithy_mocks::{Rule, mock, mock_client};
use bcce_core::base::error::ErrorName;
use bcce_core::base::target::Target;
use bcce_core::batch::Rate;
use bcce_core::batch::manifest::Sums;
use bcce_core::batch::packed::{PartManifest, PartOutcome};
use bcce_core::batch::reference::{BatchRef, BatchRun};
use bcce_core::ledger::CountedPart;
use bcce_core::ports::{Closed, CountPart};
use bcce_core::run::artifact::ArtifactRef;
use bcce_core::run::call_log::LoggedCall;
use bcce_core::run::manifest::{RunCounts, TaggedUsage};
use time::macros::datetime;

const NOW: OffsetDateTime = datetime!(2026-11-01 12:00 UTC);
const UNTIL_THEN: OffsetDateTime = datetime!(2026-11-01 12:00:10.5 UTC);

fn ledger(rule: &Rule) -> Ledger {
    Ledger { client: mock_client!(aws_sdk_dynamodb, [rule]), table: "t".into() }
}

fn batch() -> BatchRef {
    BatchRef::first("default", "explain", "42")
}

fn part() -> PartOf {
    PartOf { batch: batch().item_of(), part: 7 }
}

fn owned(owner: &str) -> Item {
    [("owned_by".to_owned(), text(owner)), (super::UNTIL.to_owned(), milliseconds(UNTIL_THEN))]
        .into()
}

fn refused(by: Item) -> UpdateItemError {
    let refusal = ConditionalCheckFailedException::builder().set_item(Some(by)).build();
    UpdateItemError::ConditionalCheckFailedException(refusal)
}

fn is_of_the_part(key: &Item) -> bool {
    key["pk"].as_s().is_ok_and(|pk| pk.starts_with("progress#explain-batch-"))
        && key["sk"] == text("part#000007")
}

#[tokio::test]
async fn a_part_is_taken_unless_another_function_owns_it_now() {
    for (before, is_first) in [(None, true), (Some(Item::new()), true), (Some(owned("b")), false)] {
        let rule = mock!(Client::update_item)
            .match_requests(|update| {
                let values = update.expression_attribute_values().unwrap();
                is_of_the_part(update.key().unwrap())
                    && update.condition_expression().unwrap().contains("owned_until <= :now")
                    && values[":now"] == number(1_793_534_400_000_i64)
                    && values[":until"] == number(1_793_534_410_500_i64)
                    && update.return_values() == Some(&ReturnValue::AllOld)
            })
            .then_output(move || {
                UpdateItemOutput::builder().set_attributes(before.clone()).build()
            });
        let taken = ledger(&rule).take_part(&part(), "a", NOW, UNTIL_THEN).await;
        assert_eq!(taken, Ok(PartTaken::Mine { is_first }));
    }
    let rule = mock!(Client::update_item).then_error(|| refused(owned("b")));
    let taken = ledger(&rule).take_part(&part(), "a", NOW, UNTIL_THEN).await;
    assert_eq!(taken, Ok(PartTaken::Others { until: UNTIL_THEN }));
    let rule = mock!(Client::update_item).then_error(|| refused(Item::new()));
    assert!(ledger(&rule).take_part(&part(), "a", NOW, UNTIL_THEN).await.is_err());
}

#[tokio::test]
async fn only_the_owner_keeps_a_part_and_replaces_its_progress() {
    let rule = mock!(Client::update_item)
        .match_requests(|update| {
            let values = update.expression_attribute_values().unwrap();
            let is_set = |name: &str, json: &str| values[name].as_s().unwrap().contains(json);
            is_of_the_part(update.key().unwrap())
                && update.condition_expression() == Some("owned_by = :owner")
                && update.update_expression().unwrap().starts_with("SET ")
                && values[":owner"] == text("a")
                && is_set(":runs", r#""succeeded":3"#)
                && is_set(":rate", r#""calls":4"#)
        })
        .then_output(|| UpdateItemOutput::builder().build());
    let runs = BatchProgress { succeeded: 3, ..BatchProgress::default() };
    let progress = PartProgress { runs, rate: Rate { calls: 4, ..Rate::default() } };
    let kept = ledger(&rule).keep_part(&part(), "a", UNTIL_THEN, &progress).await;
    assert_eq!(kept, Ok(true));
    let rule = mock!(Client::update_item).then_error(|| refused(owned("b")));
    let kept = ledger(&rule).keep_part(&part(), "a", UNTIL_THEN, &progress).await;
    assert_eq!(kept, Ok(false));
}

#[tokio::test]
async fn the_owner_of_a_part_is_read_consistently() {
    for (item, expected) in [
        (None, Ok(None)),
        (Some(owned("a")), Ok(Some(UNTIL_THEN))),
        (Some(key("progress#b#1", "part#000007")), Err(ErrorName::Internal)),
    ] {
        let rule = mock!(Client::get_item)
            .match_requests(|get| {
                get.consistent_read() == Some(true) && is_of_the_part(get.key().unwrap())
            })
            .then_output(move || GetItemOutput::builder().set_item(item.clone()).build());
        let until = ledger(&rule).part_owned_until(&part()).await;
        assert_eq!(until.map_err(|fault| fault.name), expected);
    }
}

fn started(n: u64) -> StartedCall {
    let (region, model_id) = ("us-east-1".into(), "us.m".into());
    let target = Target { account: None, region, model_id, guardrail: None };
    StartedCall { n, step: "answer".into(), allowance: None, call: LoggedCall::new(NOW, target) }
}

#[tokio::test]
async fn several_calls_are_logged_in_one_item_that_expires() {
    let rule = mock!(Client::put_item)
        .match_requests(|put| {
            let item = put.item().unwrap();
            let pk = item["pk"].as_s().unwrap();
            pk.starts_with("calls#explain-batch-")
                && pk.ends_with("#1#000007")
                && item["sk"] == text("a#3")
                && item["expires_at"] == number(NOW.unix_timestamp() + 7 * 86_400)
        })
        .then_output(|| PutItemOutput::builder().build());
    let ledger = ledger(&rule);
    let calls = [started(1), started(2)];
    assert_eq!(ledger.log_calls(&part(), "a", 3, &calls).await, Ok(()));
    assert_eq!(ledger.log_calls(&part(), "a", 4, &[]).await, Ok(()));
    assert_eq!(rule.num_calls(), 1, "without a call there is nothing to log");
}

#[tokio::test]
async fn started_calls_are_read_back_and_unreadable_ones_are_a_fault() {
    let unreadable = text(r#"[{"n":1}]"#);
    for (written, known) in
        [(json(&[started(1), started(2)]).unwrap(), Some(4)), (unreadable, None)]
    {
        let item = |owner: &str| {
            let mut item = key("calls#b#1#000007", owner);
            item.insert(CALLS.to_owned(), written.clone());
            item
        };
        let items = vec![item("a#1"), item("b#1")];
        let rule = mock!(Client::query)
            .match_requests(|query| query.consistent_read() == Some(true))
            .then_output(move || QueryOutput::builder().set_items(Some(items.clone())).build());
        let calls = ledger(&rule).part_calls(&part()).await.ok().map(|calls| calls.started);
        assert_eq!(calls.as_ref().map(Vec::len), known);
        if let Some(calls) = calls {
            assert_eq!(calls[1], started(2));
        }
    }
}

#[tokio::test]
async fn a_stop_and_a_cancelled_run_lie_beside_the_progress() {
    let is_in_progress = |item: &Item, sk: &str| {
        item["pk"].as_s().unwrap().starts_with("progress#") && item["sk"] == text(sk)
    };
    let stop = mock!(Client::update_item)
        .match_requests(move |update| {
            is_in_progress(update.key().unwrap(), "stop")
                && update.update_expression() == Some("SET #stopped_at = :stopped_at")
        })
        .then_output(|| UpdateItemOutput::builder().build());
    let cancel = mock!(Client::put_item)
        .match_requests(move |put| is_in_progress(put.item().unwrap(), "cancel#explain-1"))
        .then_output(|| PutItemOutput::builder().build());
    let batch = batch().item_of();
    assert_eq!(ledger(&stop).stop_batch(&batch, NOW).await, Ok(()));
    let cancelled = ledger(&cancel).cancel_packed_run(&batch, "explain-1").await;
    assert_eq!(cancelled, Ok(()));
}

fn counted() -> CountedPart {
    let run = BatchRun { reference: batch(), execution_arn: "arn".into(), started_at: NOW };
    let of = |team: &str, succeeded| TaggedUsage {
        cost_tags: [("team".to_owned(), team.to_owned())].into(),
        runs: RunCounts { succeeded, ..RunCounts::default() },
        steps: vec![],
    };
    let manifest = PartManifest::seal(PartOutcome {
        batch: &run,
        part: 7,
        leaves: vec![[0; 32]; 3],
        results: ArtifactRef::of("results".into(), b""),
        outputs: ArtifactRef::of("outputs".into(), b""),
        sums: Sums::none(),
        without_budget: 0,
        progress: BatchProgress { succeeded: 3, ..BatchProgress::default() },
        usage_by_model: vec![],
        usage_by_tags: vec![of("search", 1), of("risk", 2)],
        ended_at: NOW,
    });
    CountedPart { batch: run, manifest }
}

/// Returns the value that an update adds to a counter.
fn added(write: &TransactWriteItem, counter: &str) -> Option<AttributeValue> {
    let update = write.update().unwrap();
    let names = update.expression_attribute_names().unwrap();
    let (place, _) = names.iter().find(|(_, name)| *name == counter)?;
    Some(update.expression_attribute_values().unwrap()[&place.replace('#', ":")].clone())
}

#[tokio::test]
async fn a_part_is_counted_and_its_progress_deleted_in_one_transaction() {
    let rule = mock!(Client::transact_write_items)
        .match_requests(|transaction| {
            let writes = transaction.transact_items();
            let pk = |n: usize| writes[n].update().unwrap().key()["pk"].as_s().unwrap();
            let marker = writes[0].update().unwrap();
            writes.len() == 5
                && pk(0).starts_with("counted#explain-batch-")
                && marker.key()["sk"] == text("000007")
                && marker.condition_expression() == Some("attribute_not_exists(#ended_at)")
                && pk(1).starts_with("progress#explain-batch-")
                && added(&writes[1], "succeeded") == Some(number(3))
                && added(&writes[1], "failed").is_none()
                && added(&writes[1], "parts") == Some(AttributeValue::Ns(vec!["7".into()]))
                && pk(2).starts_with("usage#2026-11-01#")
                && added(&writes[2], "succeeded") == Some(number(1))
                && added(&writes[3], "succeeded") == Some(number(2))
                && is_of_the_part(writes[4].delete().unwrap().key())
        })
        .then_output(|| TransactWriteItemsOutput::builder().build());
    assert_eq!(ledger(&rule).count_part(&counted()).await, Ok(Closed::Now));
}

#[tokio::test]
async fn a_part_is_counted_once() {
    let rule = mock!(Client::transact_write_items).then_error(|| {
        let refused = CancellationReason::builder().code("ConditionalCheckFailed").build();
        let exception = TransactionCanceledException::builder().cancellation_reasons(refused);
        TransactWriteItemsError::TransactionCanceledException(exception.build())
    });
    let before = Closed::Before { notification_owner: None };
    assert_eq!(ledger(&rule).count_part(&counted()).await, Ok(before));
}
