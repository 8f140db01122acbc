//! Batch progress and the halt of a batch. The run of each item adds to the progress when it ends.

use bcce_core::base::error::Fault;
use bcce_core::base::usage::Usage;
use bcce_core::batch::{BatchProgress, Halt};
use bcce_core::ledger::{ClosedRun, HALT_SK, progress_pk, progress_sk};
use bcce_core::ports::{HaltBatch, ReadBatchProgress};
use bcce_core::run::ids::ItemOf;
use bcce_core::run::notification::RunStatus;

use super::Ledger;
use super::change::Change;
use super::conditional::Written;
use super::item::{Item, number, number_of, stamp, text, text_of, time_of};
use crate::fault::internal;

/// The prefix of an error counter's name. The name of the error follows.
const ERROR: &str = "error:";

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
    async fn batch_progress(&self, batch: &ItemOf) -> Result<BatchProgress, Fault> {
        let query = self
            .client
            .query()
            .table_name(&self.table)
            .key_condition_expression("pk = :pk")
            .expression_attribute_values(":pk", text(&progress_pk(batch)));
        let output = query.send().await;
        let output = output.map_err(|error| internal("dynamodb:Query progress", &error))?;
        let mut sum = BatchProgress::default();
        output.items().iter().for_each(|item| sum.add(&shard(item)));
        Ok(sum)
    }
}

/// Returns the change that adds a run to the progress of its batch, or `None` if the run belongs to no batch.
pub(super) fn count(closed: &ClosedRun) -> Option<Change> {
    let (manifest, batch) = (&closed.manifest, closed.run.batch.as_ref()?);
    let status = match manifest.status {
        RunStatus::Succeeded => "succeeded",
        RunStatus::Cancelled => "cancelled",
        RunStatus::Running | RunStatus::Failed | RunStatus::Rejected => "failed",
    };
    let (usage, totals) = (manifest.totals.known_usage(), &manifest.totals);
    let mut counters = vec![
        (status.to_owned(), number(1)),
        ("cost_usd".to_owned(), number(totals.known_cost())),
        ("unknown_cost".to_owned(), number(u8::from(totals.cost_usd.is_none()))),
        ("truncated".to_owned(), number(u8::from(manifest.truncated > 0))),
        ("input_tokens".to_owned(), number(usage.input_tokens)),
        ("output_tokens".to_owned(), number(usage.output_tokens)),
        ("cache_read_tokens".to_owned(), number(usage.cache_read_tokens)),
        ("cache_write_5m_tokens".to_owned(), number(usage.cache_write_5m_tokens)),
        ("cache_write_1h_tokens".to_owned(), number(usage.cache_write_1h_tokens)),
    ];
    if let Some(error) = &manifest.error {
        counters.push((format!("{ERROR}{}", error.name), number(1)));
    }
    let key = (progress_pk(batch), progress_sk(&closed.run.run_id));
    Some(Change::adding(key, counters))
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
    }
}

fn halted(item: &Item) -> Option<Halt> {
    let because = text_of(item, "halted_because")?.clone();
    Some(Halt { at: time_of(item, "halted_at")?, because })
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_dynamodb::Client;
    use aws_sdk_dynamodb::operation::query::QueryOutput;
    use aws_sdk_dynamodb::operation::update_item::{UpdateItemError, UpdateItemOutput};
    use aws_sdk_dynamodb::types::error::ConditionalCheckFailedException;
    use aws_smithy_mocks::{mock, mock_client};
    use bcce_core::batch::reference::BatchRef;
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
        let progress = ledger.batch_progress(&batch()).await.unwrap();
        assert_eq!((progress.over(), progress.failed, progress.errors["Bcce.NoTarget"]), (5, 3, 3));
        assert_eq!(progress.cost_usd.to_string(), "1.0");
        assert_eq!(progress.halted, Some(halt()));
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
