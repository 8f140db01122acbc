//! The common part of run records and batch records. This module opens, closes and hands over records.

use aws_sdk_dynamodb::types::AttributeValue;
use bcce_core::base::error::Fault;
use bcce_core::ports::{Closed, RecordState};
use time::OffsetDateTime;

use super::conditional::Written;
use super::item::{Item, number, stamp, text, text_of};
use super::{Ledger, change::Change};

/// The attribute with the notification owner: the ARN of the execution that sends the notification.
const NOTIFICATION_OWNER: &str = "notification_owner";

/// The attributes that a record has from the start of a run attempt or batch attempt.
pub(super) struct Start<'a> {
    pub pk: String,
    pub sk: String,
    /// The key in the `listing` index.
    pub listing: String,
    /// The name and the value of the id's attribute.
    pub id: (&'static str, &'a str),
    pub attempt_no: u32,
    pub tenant: &'a str,
    pub workflow: &'a str,
    pub request_id: &'a str,
    pub execution_arn: &'a str,
    pub started_at: OffsetDateTime,
    pub status: &'a str,
}

impl Start<'_> {
    /// Returns the item that opens the record.
    pub fn item(&self) -> Item {
        let mut item = self.attributes();
        item.insert("pk".to_owned(), text(&self.pk));
        item.insert("sk".to_owned(), text(&self.sk));
        item
    }

    fn attributes(&self) -> Item {
        let started_at = stamp(self.started_at);
        let texts = [
            ("listing", self.listing.as_str()),
            ("started_at", started_at.as_str()),
            self.id,
            ("tenant", self.tenant),
            ("workflow", self.workflow),
            ("request_id", self.request_id),
            ("execution_arn", self.execution_arn),
            ("status", self.status),
        ];
        let texts = texts.into_iter().map(|(name, value)| (name.to_owned(), text(value)));
        texts.chain([("attempt_no".to_owned(), number(self.attempt_no))]).collect()
    }
}

/// The attributes that a record has from the end of the attempt.
pub(super) struct End<'a> {
    pub ended_at: OffsetDateTime,
    pub manifest_key: &'a str,
    pub manifest_sha256: &'a str,
    pub notification_owner: &'a str,
    pub error: Option<&'a Fault>,
}

impl End<'_> {
    /// Returns the change that closes a record. The change writes all attributes, so that the record is complete even
    /// if it was never opened. `further` has the attributes of only one kind of record.
    pub fn change(
        &self,
        start: Start<'_>,
        further: impl IntoIterator<Item = (&'static str, AttributeValue)>,
        condition: &'static str,
    ) -> Change {
        let mut item = start.attributes();
        let mut insert = |name: &str, value| _ = item.insert(name.to_owned(), value);
        insert("ended_at", text(&stamp(self.ended_at)));
        insert("manifest", text(self.manifest_key));
        insert("manifest_sha256", text(self.manifest_sha256));
        insert(NOTIFICATION_OWNER, text(self.notification_owner));
        if let Some(error) = self.error {
            insert("error_name", text(error.name.as_str()));
            insert("error_message", text(&error.message));
        }
        further.into_iter().for_each(|(name, value)| insert(name, value));
        Change::setting((start.pk, start.sk), item, condition)
    }
}

/// Returns whether this call closed a record. If an earlier call did, the result names the notification owner.
pub(super) fn closed(written: Written) -> Closed {
    match written {
        Written::Done => Closed::Now,
        Written::Refused(before) => {
            Closed::Before { notification_owner: text_of(&before, NOTIFICATION_OWNER).cloned() }
        }
    }
}

impl Ledger {
    /// Creates a record, unless it exists. `closed_by` names the attribute that only a closed record has.
    pub(super) async fn open_record(
        &self,
        what: &str,
        item: Item,
        closed_by: &str,
    ) -> Result<RecordState, Fault> {
        Ok(match self.create(what, item).await? {
            Written::Refused(before) if before.contains_key(closed_by) => RecordState::Over,
            Written::Done | Written::Refused(_) => RecordState::Open,
        })
    }

    /// Makes `to` the notification owner of a record in place of `from`. Returns `false` if `from` is not the owner.
    pub(super) async fn hand_over(
        &self,
        pk: &str,
        sk: &str,
        from: &str,
        to: &str,
    ) -> Result<bool, Fault> {
        let update = self
            .client
            .update_item()
            .table_name(&self.table)
            .key("pk", text(pk))
            .key("sk", text(sk))
            .update_expression("SET notification_owner = :to")
            .condition_expression("notification_owner = :from")
            .expression_attribute_values(":from", text(from))
            .expression_attribute_values(":to", text(to));
        let written = Written::of("dynamodb:UpdateItem notification_owner", update.send().await)?;
        Ok(written.is_done())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_dynamodb::Client;
    use aws_sdk_dynamodb::operation::update_item::{UpdateItemError, UpdateItemOutput};
    use aws_sdk_dynamodb::types::error::ConditionalCheckFailedException;
    use aws_smithy_mocks::{mock, mock_client};

    #[tokio::test]
    async fn the_notification_owner_changes_only_while_it_is_the_one_expected() {
        let refused = mock!(Client::update_item).then_error(|| {
            let exception = ConditionalCheckFailedException::builder().build();
            UpdateItemError::ConditionalCheckFailedException(exception)
        });
        let done = mock!(Client::update_item)
            .match_requests(|update| {
                update.condition_expression() == Some("notification_owner = :from")
                    && update.expression_attribute_names().is_none()
            })
            .then_output(|| UpdateItemOutput::builder().build());
        for (rule, expected) in [(refused, false), (done, true)] {
            let client = mock_client!(aws_sdk_dynamodb, [&rule]);
            let ledger = Ledger { client, table: "t".into() };
            let handed_over = ledger.hand_over("run#r", "attempt#1", "a", "b").await;
            assert_eq!(handed_over, Ok(expected));
        }
    }
}
