use std::sync::{Arc, Mutex};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::query::QueryOutput;
use aws_sdk_dynamodb::operation::transact_write_items::{
    TransactWriteItemsError, TransactWriteItemsOutput,
};
use aws_sdk_dynamodb::types::error::TransactionCanceledException;
use aws_sdk_dynamodb::types::{CancellationReason, Update};
use aws_smithy_mocks::{RuleMode, mock, mock_client};
use time::macros::date;

use super::*;
use crate::dynamodb::item::key;

const DAY: Date = date!(2026 - 11 - 01);

fn allocation() -> Allocation {
    let cost_tags = [("team".to_owned(), "search".to_owned())].into();
    Allocation { tenant: "default".into(), workflow: "explain".into(), cost_tags }
}

fn calls(step: &str) -> CountedCalls {
    let usage = Usage { input_tokens: 700, output_tokens: 30, ..Usage::default() };
    let times = |times: &[u64]| {
        let mut histogram = Histogram::default();
        times.iter().for_each(|time| histogram.record(*time));
        histogram
    };
    CountedCalls {
        allocation: allocation(),
        usage: StepUsage {
            day: DAY,
            step: step.into(),
            tier: "flex".into(),
            long_prompt: true,
            line: UsageLine {
                region: "us-east-1".into(),
                model_id: "us.m".into(),
                profile_model: Some("anthropic.m".into()),
                runs: 0,
                calls: 3,
                failed_calls: 1,
                unknown_calls: 1,
                unpriced_calls: 1,
                lost_calls: 1,
                totals: Totals::counted(usage, "0.00165".parse().unwrap(), (1, 1), "us.m"),
                ..UsageLine::default()
            },
            detail: Detail {
                failed_cost_usd: "0.00001".parse().unwrap(),
                cache_saved_usd: "0.2".parse().unwrap(),
                cache_extra_usd: "0.1".parse().unwrap(),
                errors: [("Bcce.TargetBroken".to_owned(), 1)].into(),
                first_token: times(&[120, 121]),
                answer: times(&[900, 4_000]),
                answer_tokens: times(&[12, 300]),
                cut_answers: 1,
                failed_over_ms: 41,
            },
        },
    }
}

fn runs() -> CountedRuns {
    let errors = [("Bcce.NoTarget".to_owned(), 2)].into();
    let runs = RunCounts { succeeded: 5, failed: 2, cancelled: 0, errors };
    let platform = Charge::ALL.into_iter().zip(1..).collect();
    CountedRuns { allocation: allocation(), day: DAY, runs, platform, platform_runs: 6 }
}

/// Returns the item that the first of `changes` creates.
fn item(change: Change) -> Item {
    let mut item = key(&change.key.0, &change.key.1);
    for (place, name) in change.names {
        item.insert(name, change.values[&place.replace('#', ":")].clone());
    }
    item
}

fn reading(items: Vec<Item>) -> Ledger {
    let rule = mock!(Client::query)
        .match_requests(|query| query.consistent_read() == Some(false))
        .then_output(move || QueryOutput::builder().set_items(Some(items.clone())).build());
    let client = mock_client!(aws_sdk_dynamodb, RuleMode::MatchAny, [&rule]);
    Ledger { client, table: "t".into() }
}

#[tokio::test]
async fn a_counter_is_read_as_it_was_counted() {
    let counted = ToCount { calls: vec![calls("answer")], runs: vec![runs()] };
    let items = changes("r", &counted).into_iter().map(item).collect();
    let found = reading(items).usage(DAY, '0').await.unwrap();
    assert_eq!((found.calls, found.runs), (counted.calls, counted.runs));
    assert!(found.unknown.is_empty());
}

/// An earlier version has counted neither the lengths of answers nor the time of calls that failed over.
#[tokio::test]
async fn a_counter_of_an_earlier_version_has_no_lengths_of_answers() {
    let counted = ToCount { calls: vec![calls("answer")], runs: vec![] };
    let mut before = changes("r", &counted).into_iter().map(item).next().unwrap();
    before.retain(|name, _| !["o12", "o49", "cut_answers", "failed_over_ms"].contains(&&**name));
    let found = reading(vec![before]).usage(DAY, '0').await.unwrap();
    let mut expected = calls("answer");
    let detail = &mut expected.usage.detail;
    (detail.answer_tokens, detail.cut_answers, detail.failed_over_ms) = Default::default();
    assert_eq!((found.calls, found.unknown.len()), (vec![expected], 0));
}

/// Another version of this program, or another program, may write to the table.
#[tokio::test]
async fn items_that_are_not_counters_are_named_and_not_read_as_zero() {
    let counted = ToCount { calls: vec![calls("answer")], runs: vec![] };
    let good = changes("r", &counted).into_iter().map(item).next().unwrap();
    let mut text_as_cost = good.clone();
    text_as_cost.insert("cost_usd".into(), text("a dollar"));
    let mut more_lost_than_failed = good.clone();
    more_lost_than_failed.insert("lost_calls".into(), number(2));
    let mut text_as_bucket = good.clone();
    text_as_bucket.insert("a62".into(), text("two"));
    let mut without_tenant = good.clone();
    without_tenant.remove("tenant");
    let mut of_before = key("usage#2026-11-01#0", "us-east-1#us.m");
    of_before.insert("calls".into(), number(1));
    let of_runs = ToCount { calls: vec![], runs: vec![runs()] };
    let mut more_stated_than_runs = item(changes("r", &of_runs).remove(0));
    more_stated_than_runs.insert(PLATFORM_RUNS.into(), number(8));
    let items = vec![
        text_as_cost,
        without_tenant,
        of_before,
        more_lost_than_failed,
        text_as_bucket,
        more_stated_than_runs,
        good,
    ];
    let found = reading(items).usage(DAY, '0').await.unwrap();
    assert_eq!((found.calls.len(), found.runs.len(), found.unknown.len()), (1, 0, 6));
    assert_eq!(found.unknown[2], "usage#2026-11-01#0 us-east-1#us.m");
}

/// A write costs a unit for each KB.
#[test]
fn a_counter_of_a_step_costs_two_write_units_at_most_and_one_of_runs_costs_one() {
    let mut busy = calls("correctness");
    busy.usage.line.model_id = "us.anthropic.claude-haiku-4-5-20251001-v1:0".into();
    // Thousands of answers from a fifth of a second to three minutes.
    let detail = &mut busy.usage.detail;
    (200..20_000).step_by(100).for_each(|time| detail.first_token.record(time));
    (1_000..180_000).step_by(500).for_each(|time| detail.answer.record(time));
    (100..4_000).step_by(10).for_each(|tokens| detail.answer_tokens.record(tokens));
    let counted = ToCount { calls: vec![busy], runs: vec![runs()] };
    let size = |name: &String, value: &AttributeValue| {
        let text = value.as_s().or(value.as_n()).map_or(8, String::len);
        name.len() + text
    };
    // The counts of a busy day are longer.
    let most = |change| {
        let item = item(change);
        let bytes: usize = item.iter().map(|(name, value)| size(name, value)).sum();
        bytes + item.len() * 4
    };
    let bytes: Vec<usize> = changes("r", &counted).into_iter().map(most).collect();
    assert!((1_024..2_048).contains(&bytes[0]) && bytes[1] < 1_024, "{bytes:?} on a busy day");
}

/// DynamoDB refuses a longer expression, and then the part of a batch would never be counted.
#[test]
fn the_update_of_a_counter_fits_however_much_the_calls_of_a_part_differ() {
    let mut mixed = calls("correctness");
    // Each bucket from a tenth of a second to ten minutes, and from 8 to 64,000 tokens.
    let detail = &mut mixed.usage.detail;
    (100..600_000).for_each(|time| detail.first_token.record(time));
    (100..600_000).for_each(|time| detail.answer.record(time));
    (8..64_000).for_each(|tokens| detail.answer_tokens.record(tokens));
    let counted = ToCount { calls: vec![mixed], runs: vec![] };
    let change = changes("r", &counted).remove(0);
    let bytes = change.update.len();
    assert!(bytes <= 4_096, "{bytes} bytes for {} names", change.names.len());
}

/// The keys that each transaction writes, in order.
type Written = Arc<Mutex<Vec<Vec<String>>>>;

fn writing(written: &Written, is_refused: fn(&[String]) -> bool) -> Ledger {
    let keys = |writes: &[aws_sdk_dynamodb::types::TransactWriteItem]| -> Vec<String> {
        let updates = writes.iter().filter_map(|write| write.update());
        let key = |update: &Update| {
            let part = |name: &str| update.key()[name].as_s().unwrap().clone();
            format!("{} {}", part("pk"), part("sk"))
        };
        updates.map(key).collect()
    };
    let log = written.clone();
    let refused = mock!(Client::transact_write_items)
        .match_requests(move |write| is_refused(&keys(write.transact_items())))
        .then_error(|| {
            let refused = CancellationReason::builder().code("ConditionalCheckFailed").build();
            let exception = TransactionCanceledException::builder().cancellation_reasons(refused);
            TransactWriteItemsError::TransactionCanceledException(exception.build())
        });
    let done = mock!(Client::transact_write_items)
        .match_requests(move |write| {
            log.lock().unwrap().push(keys(write.transact_items()));
            true
        })
        .then_output(|| TransactWriteItemsOutput::builder().build());
    let client = mock_client!(aws_sdk_dynamodb, RuleMode::MatchAny, [&refused, &done]);
    Ledger { client, table: "t".into() }
}

async fn count(ledger: &Ledger, steps: usize) -> usize {
    let calls = (0..steps).map(|n| calls(&format!("step-{n}"))).collect();
    let counted = ToCount { calls, runs: vec![runs()] };
    let marker_key = |piece: usize| ("counted#r#1".to_owned(), format!("usage#{piece}"));
    ledger.count_usage("r", &counted, marker_key).await.unwrap().len()
}

#[tokio::test]
async fn usage_that_one_transaction_does_not_hold_is_counted_in_pieces_with_markers() {
    for (steps, pieces, left) in [(95, vec![], 96), (96, vec![97], 1), (250, vec![97, 97], 59)] {
        let written = Written::default();
        assert_eq!(count(&writing(&written, |_| false), steps).await, left, "{steps} steps");
        let written = written.lock().unwrap();
        assert_eq!(written.iter().map(Vec::len).collect::<Vec<_>>(), pieces);
        for (n, piece) in written.iter().enumerate() {
            assert_eq!(piece[0], format!("counted#r#1 usage#{n}"));
        }
    }
}

#[tokio::test]
async fn a_piece_that_was_counted_before_is_not_counted_again() {
    let written = Written::default();
    let ledger = writing(&written, |keys| keys[0].ends_with("usage#0"));
    assert_eq!(count(&ledger, 250).await, 59);
    let written = written.lock().unwrap();
    assert_eq!(
        written.iter().map(|keys| keys[0].as_str()).collect::<Vec<_>>(),
        ["counted#r#1 usage#1"]
    );
}
