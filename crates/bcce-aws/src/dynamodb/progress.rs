//! Batch progress and the halt of a batch. A run with its own execution adds to the progress when it ends, a packed run
//! when its part is counted. Until then, the part has its own progress.

use std::collections::BTreeSet;

use aws_sdk_dynamodb::types::AttributeValue;
use bcce_core::base::error::Fault;
use bcce_core::base::usage::Usage;
use bcce_core::batch::{BatchProgress, Halt};
use bcce_core::ledger::{
    CANCEL, ClosedRun, CountedPart, HALT_SK, PART, STOP_SK, progress_pk, progress_sk,
};
use bcce_core::ports::{HaltBatch, ReadBatchProgress};
use bcce_core::run::ids::ItemOf;
use time::OffsetDateTime;

use super::Ledger;
use super::change::Change;
use super::conditional::Written;
use super::item::{Item, number, number_of, stamp, text, text_of, time_of};
use super::parts::part_at;
use crate::fault::internal;

/// The prefix of an error counter's name. The name of the error follows.
const ERROR: &str = "error:";
/// The attribute with the parts whose runs a shard counts, a set of numbers.
const COUNTED_PARTS: &str = "parts";

impl HaltBatch for Ledger {
    async fn halt(&self, batch: &ItemOf, owner: &str, halt: &Halt) -> Result<bool, Fault> {
        let update = self
            .client
            .update_item()
            .table_name(&self.table)
            .key("pk", text(&progress_pk(batch)))
            .key("sk", text(HALT_SK))
            .update_expression("SET halted_at = :at, halted_by = :by, halted_because = :because")
            .condition_expression("attribute_not_exists(halted_by) OR halted_by = :by")
            .expression_attribute_values(":at", text(&stamp(halt.at)))
            .expression_attribute_values(":because", text(&halt.because))
            .expression_attribute_values(":by", text(owner));
        let written = Written::of("dynamodb:UpdateItem halt", update.send().await)?;
        Ok(written.is_done())
    }
}

impl ReadBatchProgress for Ledger {
    async fn batch_progress(
        &self,
        batch: &ItemOf,
        now: OffsetDateTime,
    ) -> Result<BatchProgress, Fault> {
        let query = self
            .client
            .query()
            .table_name(&self.table)
            .key_condition_expression("pk = :pk")
            .expression_attribute_values(":pk", text(&progress_pk(batch)));
        let pages = query.into_paginator().items().send();
        let items: Result<Vec<Item>, _> = Box::pin(pages.collect()).await;
        sum(&items.map_err(|error| internal("dynamodb:Query progress", &error))?, now)
    }
}

/// Adds up the items of a batch's progress.
fn sum(items: &[Item], now: OffsetDateTime) -> Result<BatchProgress, Fault> {
    // A part is deleted when it is counted. A reader may see the shard as of after it, and the part as of before it.
    let counted: BTreeSet<u32> = items.iter().flat_map(counted_parts).collect();
    let mut sum = BatchProgress::default();
    for item in items {
        let sk = text_of(item, "sk").map_or("", String::as_str);
        if let Some(part) = sk.strip_prefix(PART) {
            if !part.parse().is_ok_and(|part| counted.contains(&part)) {
                sum.add(&part_at(item, now)?);
            }
        } else if let Some(run_id) = sk.strip_prefix(CANCEL) {
            sum.cancelled_runs.insert(run_id.to_owned());
        } else if sk == STOP_SK {
            sum.is_stopped = true;
        } else {
            sum.add(&shard(item));
        }
    }
    Ok(sum)
}

/// Returns the change that adds a run to the progress of its batch, or `None` if the run belongs to no batch.
pub(super) fn count_run(closed: &ClosedRun) -> Option<Change> {
    let batch = closed.run.batch.as_ref()?;
    let mut progress = BatchProgress::default();
    progress.count(&closed.manifest);
    let key = (progress_pk(batch), progress_sk(&closed.run.run_id));
    Some(Change::adding(key, counters(&progress)))
}

/// Returns the change that adds the runs of a part to the progress of its batch.
pub(super) fn count_part(counted: &CountedPart) -> Change {
    let (batch, part) = (&counted.batch, counted.manifest.part);
    let mut counters = counters(&counted.manifest.progress);
    counters.push((COUNTED_PARTS.to_owned(), AttributeValue::Ns(vec![part.to_string()])));
    let key = (progress_pk(&batch.item_of()), progress_sk(&batch.part_id(part)));
    Change::adding(key, counters)
}

fn counters(progress: &BatchProgress) -> Vec<(String, AttributeValue)> {
    let usage = &progress.usage;
    let counts = [
        ("succeeded", progress.succeeded),
        ("failed", progress.failed),
        ("cancelled", progress.cancelled),
        ("unknown_cost", progress.unknown_cost),
        ("truncated", progress.truncated),
        ("input_tokens", usage.input_tokens),
        ("output_tokens", usage.output_tokens),
        ("cache_read_tokens", usage.cache_read_tokens),
        ("cache_write_5m_tokens", usage.cache_write_5m_tokens),
        ("cache_write_1h_tokens", usage.cache_write_1h_tokens),
    ];
    let counts = counts.map(|(name, count)| (name.to_owned(), count)).into_iter();
    let errors = progress.errors.iter().map(|(name, count)| (format!("{ERROR}{name}"), *count));
    let counts = counts.chain(errors).filter(|(_, count)| *count > 0);
    let counts = counts.map(|(name, count)| (name, number(count)));
    counts.chain([("cost_usd".to_owned(), number(progress.cost_usd))]).collect()
}

/// Returns the parts whose runs a shard counts.
fn counted_parts(shard: &Item) -> impl Iterator<Item = u32> {
    let parts = shard.get(COUNTED_PARTS).and_then(|value| value.as_ns().ok());
    parts.into_iter().flatten().filter_map(|part| part.parse().ok())
}

/// Reads one shard of a batch's progress, or the item that records the halt.
fn shard(item: &Item) -> BatchProgress {
    let count = |name: &str| number_of(item, name).unwrap_or_default();
    let errors = item.keys().filter_map(|name| {
        let error = name.strip_prefix(ERROR)?;
        Some((error.to_owned(), count(name)))
    });
    BatchProgress {
        succeeded: count("succeeded"),
        failed: count("failed"),
        cancelled: count("cancelled"),
        cost_usd: number_of(item, "cost_usd").unwrap_or_default(),
        unknown_cost: count("unknown_cost"),
        truncated: count("truncated"),
        usage: Usage {
            input_tokens: count("input_tokens"),
            output_tokens: count("output_tokens"),
            cache_read_tokens: count("cache_read_tokens"),
            cache_write_5m_tokens: count("cache_write_5m_tokens"),
            cache_write_1h_tokens: count("cache_write_1h_tokens"),
        },
        errors: errors.collect(),
        halted: halted(item),
        ..BatchProgress::default()
    }
}

fn halted(item: &Item) -> Option<Halt> {
    let because = text_of(item, "halted_because")?.clone();
    Some(Halt { at: time_of(item, "halted_at")?, because })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dynamodb::item::key;
    use crate::dynamodb::parts::progress_attributes;
    use aws_sdk_dynamodb::Client;
    use aws_sdk_dynamodb::operation::query::QueryOutput;
    use aws_sdk_dynamodb::operation::update_item::{UpdateItemError, UpdateItemOutput};
    use aws_sdk_dynamodb::types::error::ConditionalCheckFailedException;
    use aws_smithy_mocks::{RuleMode, mock, mock_client};
    use bcce_core::batch::Rate;
    use bcce_core::batch::packed::PartProgress;
    use bcce_core::batch::reference::BatchRef;
    use bcce_core::ledger::part_sk;
    use time::macros::datetime;

    fn batch() -> ItemOf {
        BatchRef::first("default", "explain", "42").item_of()
    }

    fn halt() -> Halt {
        let at = datetime!(2026-11-01 12:00 UTC);
        Halt { at, because: "3 items failed (limit: 2)".into() }
    }

    fn refused() -> UpdateItemError {
        let exception = ConditionalCheckFailedException::builder().build();
        UpdateItemError::ConditionalCheckFailedException(exception)
    }

    #[tokio::test]
    async fn the_shards_of_a_batchs_progress_add_up_and_errors_are_by_name() {
        let shard = |failed: u64| {
            Item::from([
                ("failed".to_owned(), number(failed)),
                ("succeeded".to_owned(), number(1)),
                ("cost_usd".to_owned(), number("0.5")),
                ("error:Bcce.NoTarget".to_owned(), number(failed)),
            ])
        };
        let halted = Item::from([
            ("sk".to_owned(), text(HALT_SK)),
            ("halted_at".to_owned(), text("2026-11-01T12:00:00Z")),
            ("halted_because".to_owned(), text("3 items failed (limit: 2)")),
        ]);
        let items = vec![halted, shard(1), shard(2)];
        let rule = mock!(Client::query)
            .match_requests(|query| {
                let values = query.expression_attribute_values().unwrap();
                values[":pk"]
                    .as_s()
                    .is_ok_and(|pk| pk.starts_with("progress#explain-batch-") && pk.ends_with("#1"))
            })
            .then_output(move || QueryOutput::builder().set_items(Some(items.clone())).build());
        let ledger = Ledger { client: mock_client!(aws_sdk_dynamodb, [&rule]), table: "t".into() };
        let progress = ledger.batch_progress(&batch(), halt().at).await.unwrap();
        assert_eq!((progress.over(), progress.failed, progress.errors["Bcce.NoTarget"]), (5, 3, 3));
        assert_eq!(progress.cost_usd.to_string(), "1.0");
        assert_eq!(progress.halted, Some(halt()));
    }

    fn numbered(
        sk: &str,
        attributes: impl IntoIterator<Item = (&'static str, AttributeValue)>,
    ) -> Item {
        let attributes = attributes.into_iter().map(|(name, value)| (name.to_owned(), value));
        attributes.chain([("sk".to_owned(), text(sk))]).collect()
    }

    #[tokio::test]
    async fn parts_under_way_count_and_the_owned_ones_have_a_rate() {
        let part = |n, succeeded: u64, until| {
            let runs = BatchProgress { succeeded, ..BatchProgress::default() };
            let rate = Rate { calls: 4, most: 8, throttled: vec!["us-east-1 us.m".into()] };
            let progress = PartProgress { runs, rate };
            numbered(&part_sk(n), progress_attributes(&progress, until).unwrap())
        };
        let (over, later) = (halt().at, halt().at + time::Duration::SECOND);
        let taken = numbered(&part_sk(4), []);
        let pages = [
            vec![part(1, 1, later), part(2, 10, over), taken],
            vec![
                numbered("cancel#explain-1", []),
                numbered(STOP_SK, []),
                numbered("progress#0", [("failed", number(100))]),
            ],
        ];
        let page = |n: usize| {
            let next = (n == 0).then(|| key("progress#b#1", "part#000004"));
            QueryOutput::builder()
                .set_items(Some(pages[n].clone()))
                .set_last_evaluated_key(next)
                .build()
        };
        let [first, second] = [page(0), page(1)];
        let first = mock!(Client::query)
            .match_requests(|query| query.exclusive_start_key().is_none())
            .then_output(move || first.clone());
        let second = mock!(Client::query)
            .match_requests(|query| query.exclusive_start_key().is_some())
            .then_output(move || second.clone());
        let client = mock_client!(aws_sdk_dynamodb, RuleMode::MatchAny, [&first, &second]);
        let ledger = Ledger { client, table: "t".into() };
        let progress = ledger.batch_progress(&batch(), halt().at).await.unwrap();
        assert_eq!((progress.succeeded, progress.failed), (11, 100));
        let throttled = vec!["us-east-1 us.m".to_owned()];
        assert_eq!(progress.rate, Some(Rate { calls: 4, most: 8, throttled }));
        assert!(progress.is_stopped);
        assert_eq!(progress.cancelled_runs, ["explain-1".to_owned()].into());
    }

    #[test]
    fn a_part_that_a_shard_counts_does_not_count_twice() {
        let runs = BatchProgress { failed: 2, ..BatchProgress::default() };
        let part = PartProgress { runs, rate: Rate::default() };
        let part = progress_attributes(&part, halt().at).unwrap();
        let counts = |counted: &str| {
            let counted = AttributeValue::Ns(vec!["1".into(), counted.into()]);
            let shard = numbered("progress#0", [(COUNTED_PARTS, counted), ("failed", number(9))]);
            sum(&[numbered(&part_sk(12), part.clone()), shard], halt().at).unwrap().failed
        };
        assert_eq!((counts("2"), counts("12")), (11, 9));
    }

    #[test]
    fn a_part_that_cannot_be_read_is_a_fault() {
        let item = numbered(&part_sk(1), [("runs", text("{"))]);
        let fault = sum(&[item], halt().at).unwrap_err();
        assert!(fault.message.contains("part#000001"), "{fault}");
    }

    #[tokio::test]
    async fn one_execution_owns_the_notification_of_a_halt_and_may_repeat_the_call() {
        let mine = mock!(Client::update_item)
            .match_requests(|update| {
                update.condition_expression()
                    == Some("attribute_not_exists(halted_by) OR halted_by = :by")
            })
            .then_output(|| UpdateItemOutput::builder().build());
        let others = mock!(Client::update_item).then_error(refused);
        for (rule, expected) in [(mine, true), (others, false)] {
            let client = mock_client!(aws_sdk_dynamodb, [&rule]);
            let ledger = Ledger { client, table: "t".into() };
            assert_eq!(ledger.halt(&batch(), "me", &halt()).await, Ok(expected));
        }
    }
}
