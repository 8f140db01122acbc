use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::transact_write_items::{
    TransactWriteItemsError, TransactWriteItemsOutput,
};
use aws_sdk_dynamodb::operation::update_item::{UpdateItemError, UpdateItemOutput};
use aws_sdk_dynamodb::types::CancellationReason;
use aws_sdk_dynamodb::types::error::{
    ConditionalCheckFailedException, TransactionCanceledException,
};
use aws_smithy_mocks::{Rule, RuleMode, mock, mock_client};
use bcce_core::base::error::ErrorName;
use bcce_core::call::attempt::Attempt;
use bcce_core::ledger::usage::Allocation;
use bcce_core::run::manifest::StepUsage;
use bcce_core::standby::canary::CallResult;
use time::macros::datetime;

use super::*;

fn ledger(rule: &Rule) -> Ledger {
    let client = mock_client!(aws_sdk_dynamodb, RuleMode::MatchAny, [rule]);
    Ledger { client, table: "t".into() }
}

fn claim() -> LastCall {
    LastCall { started_at: datetime!(2026-11-30 12:00 UTC), result: None, unanswered: 1 }
}

fn counted() -> CountedCalls {
    let attempt: Attempt = serde_json::from_str(
        r#"{ "target": { "region": "us-east-1", "model_id": "us.m" }, "kind": "first", "outcome": "failed",
             "started_at": "2026-11-30T12:00:00Z", "latency_ms": 1, "usage": null, "cost_usd": null }"#,
    )
    .unwrap();
    let usage = StepUsage::of_call("canary", &attempt, None, None);
    CountedCalls { allocation: Allocation::default(), usage }
}

fn recorded() -> LastCall {
    let (error, cause) = (ErrorName::TargetRejected, "us.m: denied".to_owned());
    LastCall { result: Some(CallResult::Failed { error, cause, advice: None }), ..claim() }
}

#[tokio::test]
async fn a_call_is_claimed_over_the_one_that_was_read_or_over_none() {
    let rule = mock!(Client::update_item)
        .match_requests(|update| {
            update.condition_expression() == Some("#called_at = :before")
                && update.expression_attribute_values().unwrap().contains_key(":before")
        })
        .then_output(|| UpdateItemOutput::builder().build());
    assert!(ledger(&rule).claim_canary_call("k", Some(&claim()), &claim()).await.unwrap());
    let rule = mock!(Client::update_item)
        .match_requests(|update| {
            update.condition_expression().unwrap().starts_with("attribute_not_exists(#canary_call)")
        })
        .then_error(|| {
            let refused = ConditionalCheckFailedException::builder().build();
            UpdateItemError::ConditionalCheckFailedException(refused)
        });
    assert!(!ledger(&rule).claim_canary_call("k", None, &claim()).await.unwrap());
}

#[tokio::test]
async fn a_result_replaces_its_claim_and_counts_in_one_transaction() {
    let rule = mock!(Client::transact_write_items)
        .match_requests(|write| {
            let items = write.transact_items();
            let record = items[0].update().unwrap();
            let claim = &record.expression_attribute_values().unwrap()[":claim"];
            let counter = items[1].update().unwrap();
            record.condition_expression() == Some("#canary_call = :claim")
                && claim.as_s().unwrap().contains(r#""result":null"#)
                && counter.key()["pk"].as_s().unwrap().starts_with("usage#2026-11-30#")
        })
        .then_output(|| TransactWriteItemsOutput::builder().build());
    ledger(&rule).record_canary_call("k", &claim(), &recorded(), &counted()).await.unwrap();
}

/// The answer to the first try was lost, so the SDK or the function tries again.
#[tokio::test]
async fn a_result_that_is_recorded_is_not_counted_again() {
    let rule = mock!(Client::transact_write_items).then_error(|| {
        let reason = CancellationReason::builder().code("ConditionalCheckFailed").build();
        let cancelled = TransactionCanceledException::builder().cancellation_reasons(reason);
        TransactWriteItemsError::TransactionCanceledException(cancelled.build())
    });
    let again = ledger(&rule).record_canary_call("k", &claim(), &recorded(), &counted()).await;
    assert_eq!(again, Ok(()));
}

#[tokio::test]
async fn no_finding_removes_the_set_because_an_empty_one_is_refused() {
    let rule = mock!(Client::update_item)
        .match_requests(|update| {
            let values = update.expression_attribute_values().unwrap();
            update.update_expression().unwrap().ends_with(" REMOVE #reported")
                && values.len() == 2
                && values[":read"].as_n().unwrap() == "4"
        })
        .then_output(|| UpdateItemOutput::builder().build());
    let read = ReportedFindings { revision: 4, ..ReportedFindings::default() };
    let none = BTreeSet::new();
    assert!(ledger(&rule).write_reported_findings(&read, &none).await.unwrap());
}
