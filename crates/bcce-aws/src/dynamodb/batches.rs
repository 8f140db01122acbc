//! Batch records.

use bcce_core::base::error::{ErrorName, Fault};
use bcce_core::batch::BatchStatus;
use bcce_core::batch::reference::{BatchRef, BatchRun};
use bcce_core::ledger::{BatchRecord, ClosedBatch, OpenedBatch, attempt_sk, batch_pk, batches_pk};
use bcce_core::ports::{CloseBatch, Closed, OpenBatch, RecordState, TakeBatchOver};

use super::Ledger;
use super::change::Change;
use super::item::{Item, number, number_of, text, text_of, time_of};
use super::records::{End, Start, closed};

impl Ledger {
    /// Reads the records of all attempts at a batch, oldest first.
    ///
    /// # Errors
    /// `Bcce.Internal`: the ledger cannot be read.
    pub async fn batch_attempts(&self, batch_id: &str) -> Result<Vec<BatchRecord>, Fault> {
        let items = self.items("dynamodb:Query batch", &batch_pk(batch_id)).await?;
        let mut records: Vec<BatchRecord> = items.iter().filter_map(record).collect();
        records.sort_by_key(|record| record.attempt_no);
        Ok(records)
    }
}

impl OpenBatch for Ledger {
    async fn open_batch(&self, opened: &OpenedBatch) -> Result<RecordState, Fault> {
        let mut item = start(&opened.batch, BatchStatus::Running).item();
        let mode = serde_json::to_value(opened.opened.mode).unwrap_or_default();
        item.extend([
            ("items".to_owned(), number(opened.opened.items)),
            ("rejected".to_owned(), number(opened.opened.rejected)),
            ("to_run".to_owned(), number(opened.opened.to_run)),
            ("allowed_failures".to_owned(), number(opened.opened.allowed_failures)),
            ("mode".to_owned(), text(mode.as_str().unwrap_or_default())),
        ]);
        self.open_record("dynamodb:PutItem batch", item, "ended_at").await
    }
}

impl CloseBatch for Ledger {
    async fn close_batch(&self, batch: &ClosedBatch) -> Result<Closed, Fault> {
        self.change("dynamodb:UpdateItem batch", close(batch)).await.map(closed)
    }
}

impl TakeBatchOver for Ledger {
    async fn take_batch_over(&self, batch: &BatchRef, from: &str, to: &str) -> Result<bool, Fault> {
        self.hand_over(&batch_pk(&batch.batch_id), &attempt_sk(batch.attempt_no), from, to).await
    }
}

fn start(batch: &BatchRun, status: BatchStatus) -> Start<'_> {
    Start {
        pk: batch_pk(&batch.batch_id),
        sk: attempt_sk(batch.attempt_no),
        listing: batches_pk(batch.started_at, &batch.batch_id),
        id: ("batch_id", &batch.batch_id),
        attempt_no: batch.attempt_no,
        tenant: &batch.tenant,
        workflow: &batch.workflow,
        request_id: &batch.request_id,
        execution_arn: &batch.execution_arn,
        started_at: batch.started_at,
        status: status.as_str(),
    }
}

fn close(closed: &ClosedBatch) -> Change {
    let end = End {
        ended_at: closed.manifest.ended_at,
        manifest_key: &closed.manifest_key,
        manifest_sha256: &closed.manifest_sha256,
        notification_owner: &closed.notification_owner,
        error: closed.manifest.error.as_ref(),
    };
    let start = start(&closed.batch, closed.manifest.status);
    end.change(start, [], "attribute_not_exists(#ended_at)")
}

pub(super) fn record(item: &Item) -> Option<BatchRecord> {
    let string = |name: &str| text_of(item, name).cloned();
    let count = |name: &str| number_of(item, name).unwrap_or_default();
    Some(BatchRecord {
        batch_id: string("batch_id")?,
        attempt_no: number_of(item, "attempt_no")?,
        tenant: string("tenant")?,
        workflow: string("workflow")?,
        request_id: string("request_id")?,
        execution_arn: string("execution_arn")?,
        status: serde_json::from_value(string("status")?.into()).ok()?,
        started_at: time_of(item, "started_at")?,
        ended_at: time_of(item, "ended_at"),
        items: count("items"),
        rejected: count("rejected"),
        to_run: count("to_run"),
        mode: string("mode")
            .and_then(|mode| serde_json::from_value(mode.into()).ok())
            .unwrap_or_default(),
        allowed_failures: count("allowed_failures"),
        manifest: string("manifest"),
        error_name: string("error_name")
            .filter(|name| ErrorName::ALL.iter().any(|known| known.as_str() == name)),
        error_message: string("error_message"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_dynamodb::Client;
    use aws_sdk_dynamodb::operation::put_item::PutItemError;
    use aws_sdk_dynamodb::operation::update_item::{UpdateItemError, UpdateItemOutput};
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

    #[test]
    fn a_record_reads_back_as_it_was_written() {
        let mut item = start(&batch(), BatchStatus::Running).item();
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
    async fn a_batch_that_has_ended_does_not_open_again() {
        let opened = serde_json::json!({
            "version": 1, "items": 1, "rejected": 0, "to_run": 1, "parts": 1,
            "source": { "uri": "s3://b/k", "format": "jsonl", "bytes": 1 }, "mode": "on_demand", "because": [],
            "concurrency": 1, "allowed_failures": 0,
        });
        let opened = serde_json::from_value(opened).unwrap();
        let opened = OpenedBatch { batch: batch(), opened };
        for (attribute, expected) in [("ended_at", RecordState::Over), ("items", RecordState::Open)]
        {
            let rule = mock!(Client::put_item).then_error(move || {
                let exception = ConditionalCheckFailedException::builder();
                let exception = exception.item(attribute, text("x")).build();
                PutItemError::ConditionalCheckFailedException(exception)
            });
            let client = mock_client!(aws_sdk_dynamodb, [&rule]);
            let ledger = Ledger { client, table: "t".into() };
            assert_eq!(ledger.open_batch(&opened).await, Ok(expected));
        }
    }

    #[tokio::test]
    async fn the_notification_owner_is_recorded_and_returned_to_the_next_caller() {
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
