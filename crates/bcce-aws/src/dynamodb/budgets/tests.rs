use aws_sdk_dynamodb::operation::batch_get_item::BatchGetItemOutput;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsOutput;
use aws_sdk_dynamodb::types::error::TransactionCanceledException;
use aws_sdk_dynamodb::types::{CancellationReason, Update};
use aws_smithy_mocks::{Rule, RuleMode, mock, mock_client};
use bcce_core::config::budgets::Unit;
use bcce_core::ports::{MoveMoney, ReserveCall};
use bcce_core::run::budgets::{Limit, Move, Reserved};
use time::macros::datetime;

use super::leases::listed_key;
use super::*;
use crate::dynamodb::item::number;

fn table(rule: &Rule) -> BudgetTable {
    let client = mock_client!(aws_sdk_dynamodb, RuleMode::MatchAny, [rule]);
    BudgetTable { client, table: "t".into() }
}

fn run() -> (RunRef, StepRef) {
    let step = StepRef { step: "answer".into(), item: None, route: "haiku".into() };
    (RunRef::first("default", "explain", "42"), step)
}

fn call() -> LoggedCall {
    let reserved = |counter: &str, shard, amount: &str| Reserved {
        counter: counter.into(),
        shard,
        revision: 3,
        unit: Unit::Usd,
        amount: amount.parse().unwrap(),
    };
    let target = serde_json::from_str(r#"{ "region": "us-east-1", "model_id": "us.m" }"#).unwrap();
    LoggedCall {
        reserved: vec![
            reserved("day##2026-11-29", 0, "0.002"),
            reserved("all##total", 10, "0.002"),
        ],
        ..LoggedCall::new(datetime!(2026-11-29 12:00 UTC), target)
    }
}

fn limits() -> Vec<Limit> {
    let limit = |counter: &str, revision| Limit {
        counter: counter.into(),
        unit: Unit::Usd,
        limit: 50.into(),
        revision,
        expires_at: Some(datetime!(2027-03-10 00:00 UTC)),
    };
    vec![limit("day##2026-11-29", 3), limit("all##total", 3)]
}

fn cancelled(codes: &[&str]) -> TransactWriteItemsError {
    let reasons = codes.iter().map(|code| CancellationReason::builder().code(*code).build());
    TransactWriteItemsError::TransactionCanceledException(
        TransactionCanceledException::builder()
            .set_cancellation_reasons(Some(reasons.collect()))
            .build(),
    )
}

fn updates(
    write: &aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsInput,
) -> Vec<&Update> {
    let updates: Vec<&Update> =
        write.transact_items().iter().filter_map(|item| item.update()).collect();
    assert!(updates.iter().all(|update| has_no_empty_map(update)), "{updates:?}");
    updates
}

/// DynamoDB refuses an empty map of names or values.
fn has_no_empty_map(update: &Update) -> bool {
    let is_empty = |count: Option<usize>| count == Some(0);
    !is_empty(update.expression_attribute_names().map(|names| names.len()))
        && !is_empty(update.expression_attribute_values().map(|values| values.len()))
}

fn value(update: &Update, name: &str) -> Option<AttributeValue> {
    update.expression_attribute_values()?.get(name).cloned()
}

#[tokio::test]
async fn a_reservation_and_the_entry_of_the_call_log_are_one_transaction() {
    let rule = mock!(Client::transact_write_items)
        .match_requests(|write| {
            let updates = updates(write);
            let pk = |n: usize| updates[n].key()["pk"].as_s().unwrap().as_str();
            let is_reserved = |n: usize| {
                updates[n].condition_expression()
                    == Some("#free >= :amount AND #revision >= :revision")
                    && value(updates[n], ":minus") == Some(number("-0.002"))
            };
            updates.len() == 3
                && pk(0) == "budget#day##2026-11-29#0"
                && pk(1) == "budget#all##total#a"
                && is_reserved(0)
                && is_reserved(1)
                && pk(2).starts_with("calls#explain-")
                && value(updates[2], ":call").is_some_and(|call| {
                    call.as_ss().is_ok_and(|calls| calls[0].contains("\"amount\":\"0.002\""))
                })
        })
        .then_output(|| TransactWriteItemsOutput::builder().build());
    let (run, step) = run();
    assert_eq!(table(&rule).reserve_call(&run, &step, &call(), &limits()).await, Ok(vec![]));
}

#[tokio::test]
async fn each_budget_without_room_is_named_and_a_conflict_is_tried_again() {
    let (run, step) = run();
    let short = mock!(Client::transact_write_items)
        .then_error(|| cancelled(&["None", "ConditionalCheckFailed", "None"]));
    let reserved = table(&short).reserve_call(&run, &step, &call(), &limits()).await;
    assert_eq!(reserved, Ok(vec![1]));
    let once = mock!(Client::transact_write_items)
        .sequence()
        .error(|| cancelled(&["TransactionConflict", "None", "None"]))
        .output(|| TransactWriteItemsOutput::builder().build())
        .build();
    assert_eq!(table(&once).reserve_call(&run, &step, &call(), &limits()).await, Ok(vec![]));
    let other = mock!(Client::transact_write_items).then_error(|| cancelled(&["ThrottlingError"]));
    let failed = table(&other).reserve_call(&run, &step, &call(), &limits()).await.unwrap_err();
    assert!(failed.message.starts_with("dynamodb:TransactWriteItems budget: "), "{failed}");
}

#[tokio::test]
async fn a_call_is_committed_once() {
    let (run, step) = run();
    let actual = [Decimal::new(5, 4), Decimal::new(5, 4)];
    let rule = mock!(Client::transact_write_items)
        .match_requests(|write| {
            let updates = updates(write);
            updates[0].condition_expression() == Some("NOT contains(committed_calls, :call)")
                && value(updates[1], ":minus") == Some(number("-0.002"))
                && value(updates[1], ":actual") == Some(number("0.0005"))
                && value(updates[1], ":rest") == Some(number("0.0015"))
                && updates.len() == 3
        })
        .then_output(|| TransactWriteItemsOutput::builder().build());
    assert_eq!(table(&rule).commit_call(&run, &step, &call(), &actual).await, Ok(true));
    // The limit of the second budget has changed: its rest goes back to the root.
    let changed = mock!(Client::transact_write_items)
        .match_requests(|write| updates(write).len() == 3)
        .then_error(|| cancelled(&["None", "None", "ConditionalCheckFailed"]));
    let back = mock!(Client::transact_write_items)
        .match_requests(|write| {
            let updates = updates(write);
            updates.len() == 4
                && updates[2].update_expression() == "ADD #reserved :minus, #spent :actual"
                && updates[3].key()["pk"].as_s().unwrap() == "budget#all##total"
                && value(updates[3], ":minus") == Some(number("-0.0015"))
        })
        .then_output(|| TransactWriteItemsOutput::builder().build());
    let client = mock_client!(aws_sdk_dynamodb, RuleMode::MatchAny, [&changed, &back]);
    let both = BudgetTable { client, table: "t".into() };
    assert_eq!(both.commit_call(&run, &step, &call(), &actual).await, Ok(true));
    let before = mock!(Client::transact_write_items)
        .then_error(|| cancelled(&["ConditionalCheckFailed", "None", "None"]));
    assert_eq!(table(&before).commit_call(&run, &step, &call(), &actual).await, Ok(false));
}

#[tokio::test]
async fn money_is_leased_below_the_limit_of_the_same_revision_only() {
    let root = Root { limit: 50.into(), revision: 3, leased: 20.into(), ..Root::default() };
    let rule = mock!(Client::transact_write_items)
        .match_requests(|write| {
            let updates = updates(write);
            updates[0].condition_expression() == Some("#leased <= :most AND #revision = :revision")
                && value(updates[0], ":most") == Some(number(49))
                && updates[1].condition_expression()
                    == Some("attribute_not_exists(#revision) OR #revision = :revision")
                && value(updates[1], ":until").is_some()
        })
        .then_output(|| TransactWriteItemsOutput::builder().build());
    let lease = Move::Lease { amount: Decimal::ONE, root };
    assert_eq!(table(&rule).move_money(&limits()[0], 0, &lease).await, Ok(true));
    let lost = mock!(Client::transact_write_items)
        .then_error(|| cancelled(&["ConditionalCheckFailed", "None"]));
    assert_eq!(table(&lost).move_money(&limits()[0], 0, &lease).await, Ok(false));
}

#[tokio::test]
async fn a_counter_is_read_with_its_shards_and_an_unreadable_one_is_a_fault() {
    let item = |pk: &str, values: &[(&str, &str)]| {
        let mut item = key(pk, COUNTER_SK);
        item.extend(values.iter().map(|(name, value)| ((*name).to_owned(), number(value))));
        item
    };
    let root = item("budget#day##d", &[("limit", "50"), ("revision", "3"), ("leased", "5")]);
    let shard = item("budget#day##d#a", &[("revision", "3"), ("free", "1.5"), ("spent", "3.5")]);
    let broken = item("budget#day##d#a", &[("free", "1.5")]);
    for (shard, is_read) in [(shard, true), (broken, false)] {
        let items = vec![root.clone(), shard];
        let rule = mock!(Client::batch_get_item)
            .match_requests(|get| get.request_items().unwrap()["t"].keys().len() == 17)
            .then_output(move || {
                BatchGetItemOutput::builder().responses("t", items.clone()).build()
            });
        let found = table(&rule).counter("day##d").await;
        assert_eq!(found.is_ok(), is_read, "{found:?}");
        if let Ok(state) = found {
            assert_eq!((state.spent(), state.reserved()), (Decimal::new(35, 1), Decimal::ZERO));
            assert_eq!(state.root.unwrap().leased, 5.into());
        }
    }
}

#[test]
fn a_counter_is_listed_under_its_budget_and_window() {
    let listed = |counter: &str| listed_key(counter);
    let pair = |pk: &str, sk: &str| (pk.to_owned(), sk.to_owned());
    let month = listed("month:environment:usd##2026-11");
    assert_eq!(month, pair("budgets#month:environment:usd#2026-11", "(all)"));
    assert_eq!(listed("team#a#b#total"), pair("budgets#team#total", "a#b"));
}
