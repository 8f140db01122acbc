//! Slots of tenants. Each slot names the execution that holds it and the time at which it expires.

use bcce_core::base::error::Fault;
use bcce_core::ledger::slots_pk;
use bcce_core::ports::{ListSlots, ReleaseSlot, TakeSlot};
use bcce_core::run::slots::{Lane, Slot};
use time::OffsetDateTime;

use super::Ledger;
use super::conditional::Written;
use super::item::{Item, number, number_of, stamp, text, text_of, time_of};
use crate::fault::internal;

impl ListSlots for Ledger {
    async fn slots(
        &self,
        lane: Lane,
        tenant: &str,
        now: OffsetDateTime,
    ) -> Result<Vec<Slot>, Fault> {
        // DynamoDB may delete an expired item days later, so the query compares the time.
        let query = self
            .client
            .query()
            .table_name(&self.table)
            .consistent_read(true)
            .key_condition_expression("pk = :pk")
            .filter_expression("expires_at > :now")
            .expression_attribute_values(":pk", text(&slots_pk(lane, tenant)))
            .expression_attribute_values(":now", number(now.unix_timestamp()));
        let pages = query.into_paginator().items().send();
        let items: Result<Vec<Item>, _> = pages.collect().await;
        let items = items.map_err(|error| internal("dynamodb:Query slots", &error))?;
        Ok(items.iter().filter_map(slot).collect())
    }
}

impl TakeSlot for Ledger {
    async fn take_slot(&self, lane: Lane, tenant: &str, slot: &Slot) -> Result<bool, Fault> {
        let put = self
            .client
            .put_item()
            .table_name(&self.table)
            .item("pk", text(&slots_pk(lane, tenant)))
            .item("sk", text(&slot.holder))
            .item("weight", number(slot.weight))
            .item("taken_at", text(&stamp(slot.taken_at)))
            .item("expires_at", number(slot.expires_at.unix_timestamp()))
            .condition_expression("attribute_not_exists(pk) OR expires_at <= :now")
            .expression_attribute_values(":now", number(slot.taken_at.unix_timestamp()));
        Ok(Written::of("dynamodb:PutItem slot", put.send().await)?.is_done())
    }
}

impl ReleaseSlot for Ledger {
    async fn release_slot(&self, lane: Lane, tenant: &str, holder: &str) -> Result<(), Fault> {
        let delete = self.client.delete_item().table_name(&self.table);
        let delete =
            delete.key("pk", text(&slots_pk(lane, tenant))).key("sk", text(holder)).send().await;
        delete.map(|_| ()).map_err(|error| internal("dynamodb:DeleteItem slot", &error))
    }
}

fn slot(item: &Item) -> Option<Slot> {
    Some(Slot {
        holder: text_of(item, "sk")?.clone(),
        weight: number_of(item, "weight")?,
        taken_at: time_of(item, "taken_at")?,
        expires_at: OffsetDateTime::from_unix_timestamp(number_of(item, "expires_at")?).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_dynamodb::Client;
    use aws_sdk_dynamodb::operation::delete_item::DeleteItemOutput;
    use aws_sdk_dynamodb::operation::put_item::{PutItemError, PutItemOutput};
    use aws_sdk_dynamodb::operation::query::QueryOutput;
    use aws_sdk_dynamodb::types::error::ConditionalCheckFailedException;
    use aws_smithy_mocks::{Rule, mock, mock_client};
    use time::macros::datetime;

    const NOON: OffsetDateTime = datetime!(2026-11-01 12:00 UTC);

    fn ledger(rule: &Rule) -> Ledger {
        Ledger { client: mock_client!(aws_sdk_dynamodb, [rule]), table: "t".into() }
    }

    fn held() -> Slot {
        Slot::new(Lane::Runs, "explain-1", 1, NOON)
    }

    #[tokio::test]
    async fn live_slots_of_one_tenant_are_read_consistently() {
        let rule = mock!(Client::query)
            .match_requests(|query| {
                let values = query.expression_attribute_values().unwrap();
                query.consistent_read() == Some(true)
                    && values[":pk"].as_s().unwrap() == "slot#payments#runs"
                    && query.filter_expression() == Some("expires_at > :now")
            })
            .then_output(|| {
                let slot = held();
                let item = [
                    ("sk", text(&slot.holder)),
                    ("weight", number(slot.weight)),
                    ("taken_at", text(&stamp(slot.taken_at))),
                    ("expires_at", number(slot.expires_at.unix_timestamp())),
                ];
                let item = item.map(|(name, value)| (name.to_owned(), value));
                QueryOutput::builder().items(item.into()).build()
            });
        assert_eq!(ledger(&rule).slots(Lane::Runs, "payments", NOON).await, Ok(vec![held()]));
    }

    #[tokio::test]
    async fn a_slot_is_taken_once() {
        let rule = mock!(Client::put_item)
            .match_requests(|put| {
                let item = put.item().unwrap();
                item["pk"].as_s().unwrap() == "slot#payments#runs"
                    && item["sk"].as_s().unwrap() == "explain-1"
                    && put.condition_expression().unwrap().starts_with("attribute_not_exists(pk)")
            })
            .then_output(|| PutItemOutput::builder().build());
        assert_eq!(ledger(&rule).take_slot(Lane::Runs, "payments", &held()).await, Ok(true));
        let rule = mock!(Client::put_item).then_error(|| {
            let failed = ConditionalCheckFailedException::builder().build();
            PutItemError::ConditionalCheckFailedException(failed)
        });
        assert_eq!(ledger(&rule).take_slot(Lane::Runs, "payments", &held()).await, Ok(false));
    }

    #[tokio::test]
    async fn a_slot_is_released_by_its_holder() {
        let rule = mock!(Client::delete_item)
            .match_requests(|delete| {
                let key = delete.key().unwrap();
                key["pk"].as_s().unwrap() == "slot#default#batches"
                    && key["sk"].as_s().unwrap() == "b-1"
            })
            .then_output(|| DeleteItemOutput::builder().build());
        assert_eq!(ledger(&rule).release_slot(Lane::Batches, "default", "b-1").await, Ok(()));
    }
}
