//! Batches: their records, and the tally that the runs of their items add to as they end.

use std::collections::HashMap;

use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValuesOnConditionCheckFailure};
use bcce_core::base::error::{ErrorName, Fault};
use bcce_core::base::usage::Usage;
use bcce_core::batch::reference::{BatchRef, BatchRun};
use bcce_core::batch::{BatchProgress, BatchStatus, Halt};
use bcce_core::ledger::{
    BatchRecord, ClosedBatch, ClosedRun, HALT_SK, OpenedBatch, attempt_sk, batch_pk, batches_pk,
    progress_pk, progress_sk,
};
use bcce_core::ports::{CloseBatch, Closed, HaltBatch, OpenBatch, Opened, ReadBatchProgress};
use bcce_core::run::ids::ItemOf;
use bcce_core::run::notice::RunStatus;

use super::{Change, Item, Ledger, moment, notification_owner, number, stamp, text};
use crate::fault::internal;

/// Of a counter of errors: the name follows.
const ERROR: &str = "error:";

impl Ledger {
    /// Every attempt at a batch, oldest first.
    pub async fn batch_attempts(&self, batch_id: &str) -> Result<Vec<BatchRecord>, Fault> {
        let query = self.client.query().table_name(&self.table).consistent_read(true);
        let query = query.key_condition_expression("pk = :pk");
        let got = query.expression_attribute_values(":pk", text(&batch_pk(batch_id))).send().await;
        let got = got.map_err(|error| internal("dynamodb:Query batch", &error))?;
        let mut records: Vec<BatchRecord> = got.items().iter().filter_map(record).collect();
        records.sort_by_key(|record| record.attempt_no);
        Ok(records)
    }

    /// The newest `most` batches of one shard of one day (see `batches_shard`).
    pub async fn listed_batches(&self, shard: &str, most: i32) -> Result<Vec<BatchRecord>, Fault> {
        let items = self.newest(shard, most).await?;
        Ok(items.iter().filter_map(record).collect())
    }
}

impl OpenBatch for Ledger {
    async fn open_batch(&self, opened: &OpenedBatch) -> Result<Opened, Fault> {
        let mut item = identity(&opened.batch, BatchStatus::Running);
        let mode = serde_json::to_value(opened.opened.mode).unwrap_or_default();
        item.extend([
            ("items".to_owned(), number(opened.opened.items)),
            ("rejected".to_owned(), number(opened.opened.rejected)),
            ("to_run".to_owned(), number(opened.opened.to_run)),
            ("allowed_failures".to_owned(), number(opened.opened.allowed_failures)),
            ("mode".to_owned(), text(mode.as_str().unwrap_or_default())),
        ]);
        let put = self.client.put_item().table_name(&self.table).set_item(Some(item));
        let put = put.condition_expression("attribute_not_exists(pk)");
        let put = put
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        match put.send().await {
            Ok(_) => Ok(Opened::Open),
            Err(error) => match error.as_service_error() {
                Some(PutItemError::ConditionalCheckFailedException(before)) => {
                    let is_over = before.item().is_some_and(|item| item.contains_key("ended_at"));
                    Ok(if is_over { Opened::Over } else { Opened::Open })
                }
                _ => Err(internal("dynamodb:PutItem batch", &error)),
            },
        }
    }
}

impl CloseBatch for Ledger {
    async fn close_batch(&self, closed: &ClosedBatch) -> Result<Closed, Fault> {
        let change = closing(closed);
        let update = self.client.update_item().table_name(&self.table);
        let update = update
            .key("pk", text(&change.key.0))
            .key("sk", text(&change.key.1))
            .update_expression(change.update)
            .set_condition_expression(change.condition.map(str::to_owned))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .set_expression_attribute_names(Some(change.names))
            .set_expression_attribute_values(Some(change.values));
        match update.send().await {
            Ok(_) => Ok(Closed::Now),
            Err(error) => match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(before)) => {
                    Ok(Closed::Before {
                        notification_owner: before.item().and_then(notification_owner),
                    })
                }
                _ => Err(internal("dynamodb:UpdateItem batch", &error)),
            },
        }
    }

    async fn take_batch_over(&self, batch: &BatchRef, from: &str, to: &str) -> Result<bool, Fault> {
        self.hand_over((batch_pk(&batch.batch_id), attempt_sk(batch.attempt_no)), from, to).await
    }
}

impl HaltBatch for Ledger {
    async fn halt(
        &self,
        batch: &ItemOf,
        notification_owner: &str,
        halt: &Halt,
    ) -> Result<bool, Fault> {
        let update = self.client.update_item().table_name(&self.table);
        let update = update
            .key("pk", text(&progress_pk(batch)))
            .key("sk", text(HALT_SK))
            .update_expression(
                "SET halted_at = :at, halted_by = :notification_owner, halted_because = :because",
            )
            .condition_expression(
                "attribute_not_exists(halted_by) OR halted_by = :notification_owner",
            )
            .expression_attribute_values(":at", text(&stamp(halt.at)))
            .expression_attribute_values(":because", text(&halt.because))
            .expression_attribute_values(":notification_owner", text(notification_owner));
        match update.send().await {
            Ok(_) => Ok(true),
            Err(error) => match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(_)) => Ok(false),
                _ => Err(internal("dynamodb:UpdateItem batch", &error)),
            },
        }
    }
}

impl ReadBatchProgress for Ledger {
    async fn batch_progress(&self, batch: &ItemOf) -> Result<BatchProgress, Fault> {
        let query = self.client.query().table_name(&self.table);
        let query = query
            .key_condition_expression("pk = :pk")
            .expression_attribute_values(":pk", text(&progress_pk(batch)));
        let got = query.send().await;
        let got = got.map_err(|error| internal("dynamodb:Query tally", &error))?;
        let mut sum = BatchProgress::default();
        got.items().iter().for_each(|item| sum.add(&tally(item)));
        Ok(sum)
    }
}

/// What a run adds to its batch, in the transaction that counts it.
pub(super) fn tallying(closed: &ClosedRun) -> Option<Change> {
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
    Some(Change::adding(key, &counters))
}

fn tally(item: &Item) -> BatchProgress {
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
    let string = |name: &str| item.get(name).and_then(|value| value.as_s().ok());
    let because = string("halted_because")?.clone();
    Some(Halt { at: moment(string("halted_at")?)?, because })
}

/// The record is written whole, so that it is right even when the batch was refused before it was opened.
fn closing(closed: &ClosedBatch) -> Change {
    let (manifest, batch) = (&closed.manifest, &closed.batch);
    let mut item = identity(batch, manifest.status);
    let key = (batch_pk(&batch.batch_id), attempt_sk(batch.attempt_no));
    item.retain(|name, _| name != "pk" && name != "sk");
    item.insert("ended_at".into(), text(&stamp(manifest.ended_at)));
    item.insert("manifest".into(), text(&closed.manifest_key));
    item.insert("manifest_sha256".into(), text(&closed.manifest_sha256));
    item.insert("notification_owner".into(), text(&closed.notification_owner));
    if let Some(error) = &manifest.error {
        item.insert("error_name".into(), text(error.name.as_str()));
        item.insert("error_message".into(), text(&error.message));
    }
    Change::setting(key, item, Some("attribute_not_exists(#ended_at)"))
}

fn identity(batch: &BatchRun, status: BatchStatus) -> Item {
    [
        ("pk", batch_pk(&batch.batch_id)),
        ("sk", attempt_sk(batch.attempt_no)),
        ("listing", batches_pk(batch.started_at, &batch.batch_id)),
        ("started_at", stamp(batch.started_at)),
        ("batch_id", batch.batch_id.clone()),
        ("tenant", batch.tenant.clone()),
        ("workflow", batch.workflow.clone()),
        ("request_id", batch.request_id.clone()),
        ("execution_arn", batch.execution_arn.clone()),
        ("status", status.as_str().to_owned()),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), text(&value)))
    .chain([("attempt_no".to_owned(), number(batch.attempt_no))])
    .collect()
}

fn record(item: &HashMap<String, AttributeValue>) -> Option<BatchRecord> {
    let string = |name: &str| item.get(name).and_then(|value| value.as_s().ok()).cloned();
    Some(BatchRecord {
        batch_id: string("batch_id")?,
        attempt_no: number_of(item, "attempt_no")?,
        tenant: string("tenant")?,
        workflow: string("workflow")?,
        request_id: string("request_id")?,
        execution_arn: string("execution_arn")?,
        status: serde_json::from_value(string("status")?.into()).ok()?,
        started_at: moment(&string("started_at")?)?,
        ended_at: string("ended_at").and_then(|at| moment(&at)),
        items: number_of(item, "items").unwrap_or_default(),
        rejected: number_of(item, "rejected").unwrap_or_default(),
        to_run: number_of(item, "to_run").unwrap_or_default(),
        mode: string("mode")
            .and_then(|mode| serde_json::from_value(mode.into()).ok())
            .unwrap_or_default(),
        allowed_failures: number_of(item, "allowed_failures").unwrap_or_default(),
        manifest: string("manifest"),
        error_name: string("error_name")
            .filter(|name| ErrorName::ALL.iter().any(|known| known.as_str() == name)),
        error_message: string("error_message"),
    })
}

fn number_of<T: std::str::FromStr>(item: &Item, name: &str) -> Option<T> {
    item.get(name)?.as_n().ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_dynamodb::Client;
    use aws_sdk_dynamodb::operation::query::QueryOutput;
    use aws_sdk_dynamodb::operation::update_item::UpdateItemOutput;
    use aws_sdk_dynamodb::types::error::ConditionalCheckFailedException;
    use aws_smithy_mocks::{mock, mock_client};
    use bcce_core::batch::BatchManifest;
    use bcce_core::batch::manifest::{Outcome, Sums};
    use time::macros::datetime;

    fn batch() -> BatchRun {
        let reference = BatchRef::first("default", "explain", "42");
        let started_at = datetime!(2026-11-01 12:00 UTC);
        BatchRun { reference, execution_arn: "arn".into(), started_at }
    }

    fn halt() -> Halt {
        let at = datetime!(2026-11-01 12:00 UTC);
        Halt { at, because: "3 items failed, 2 may".into() }
    }

    fn refused() -> UpdateItemError {
        let exception = ConditionalCheckFailedException::builder().build();
        UpdateItemError::ConditionalCheckFailedException(exception)
    }

    #[tokio::test]
    async fn the_shards_of_a_tally_add_up_and_errors_are_by_name() {
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
            ("halted_because".to_owned(), text("3 items failed, 2 may")),
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
        let tally = ledger.batch_progress(&batch().item_of()).await.unwrap();
        assert_eq!((tally.over(), tally.failed, tally.errors["Bcce.NoTarget"]), (5, 3, 3));
        assert_eq!(tally.cost_usd.to_string(), "1.0");
        assert_eq!(tally.halted, Some(halt()));
    }

    #[tokio::test]
    async fn one_tells_of_a_halt_and_may_do_so_again() {
        let mine = mock!(Client::update_item)
            .match_requests(|update| {
                update.condition_expression()
                    == Some("attribute_not_exists(halted_by) OR halted_by = :notification_owner")
            })
            .then_output(|| UpdateItemOutput::builder().build());
        let others = mock!(Client::update_item).then_error(refused);
        for (rule, expected) in [(mine, true), (others, false)] {
            let client = mock_client!(aws_sdk_dynamodb, [&rule]);
            let ledger = Ledger { client, table: "t".into() };
            assert_eq!(ledger.halt(&batch().item_of(), "me", &halt()).await, Ok(expected));
        }
    }

    #[test]
    fn a_record_reads_back_as_it_was_written() {
        let mut item = identity(&batch(), BatchStatus::Running);
        item.insert("items".into(), number(500));
        item.insert("mode".into(), text("bulk"));
        let read = record(&item).unwrap();
        assert_eq!((read.batch_id, read.items), (batch().batch_id.clone(), 500));
        assert_eq!((read.status, read.ended_at), (BatchStatus::Running, None));
        assert_eq!(read.mode, bcce_core::batch::Mode::Bulk);
        item.remove("tenant");
        assert_eq!(record(&item), None);
    }

    #[tokio::test]
    async fn who_closes_a_batch_is_on_its_record_and_told_to_the_next() {
        let closed = ClosedBatch {
            batch: batch(),
            manifest: sealed(),
            manifest_key: "k".into(),
            manifest_sha256: "0".into(),
            notification_owner: "me".into(),
        };
        let now = mock!(Client::update_item)
            .match_requests(|update| {
                let values = update.expression_attribute_values().unwrap();
                values[":notification_owner"] == text("me")
                    && update.condition_expression() == Some("attribute_not_exists(#ended_at)")
            })
            .then_output(|| UpdateItemOutput::builder().build());
        let before = mock!(Client::update_item).then_error(|| {
            let exception = ConditionalCheckFailedException::builder();
            let exception = exception.item("notification_owner", text("another")).build();
            UpdateItemError::ConditionalCheckFailedException(exception)
        });
        let another = Closed::Before { notification_owner: Some("another".into()) };
        for (rule, expected) in [(now, Closed::Now), (before, another)] {
            let client = mock_client!(aws_sdk_dynamodb, [&rule]);
            let ledger = Ledger { client, table: "t".into() };
            assert_eq!(ledger.close_batch(&closed).await, Ok(expected));
        }
    }

    fn sealed() -> BatchManifest {
        BatchManifest::seal(Outcome {
            batch: &batch(),
            opened: None,
            bulk: Vec::new(),
            sums: Sums::none(),
            results: None,
            outputs: None,
            fault: None,
            halted: None,
            is_cancelled: true,
            ended_at: datetime!(2026-11-01 12:30 UTC),
        })
    }
}
