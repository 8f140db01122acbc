//! The response cache. It has the short time limits of [`HealthTable`]: a step makes its call rather than wait.

use bcce_core::base::error::Fault;
use bcce_core::call::response_cache::CachedResponse;
use bcce_core::ledger::{RESPONSE_SK, response_pk};
use bcce_core::ports::{EnterResponse, FindResponse};

use super::HealthTable;
use crate::dynamodb::item::{Item, json, json_of, number, text};
use crate::fault::internal;

/// The attribute with the entry, as JSON.
const RESPONSE: &str = "response";

impl FindResponse for HealthTable {
    async fn find_response(&self, key: &str) -> Result<Option<CachedResponse>, Fault> {
        let found = self.items(&[(response_pk(key), RESPONSE_SK.to_owned())]).await?;
        // An entry of a later version cannot be read. The next answer replaces it.
        Ok(found.first().and_then(|item| json_of(item, RESPONSE).ok().flatten()))
    }
}

impl EnterResponse for HealthTable {
    async fn enter_response(&self, key: &str, response: &CachedResponse) -> Result<(), Fault> {
        let put = self.client.put_item().table_name(&self.table);
        let put = put.set_item(Some(item(key, response)?));
        // Boxed, as in `items`.
        let sent = Box::pin(put.send()).await;
        sent.map(drop).map_err(|error| internal("dynamodb:PutItem response", &error))
    }
}

/// Returns the item of an entry. DynamoDB deletes it some time after it has expired.
fn item(key: &str, response: &CachedResponse) -> Result<Item, Fault> {
    let attributes = [
        ("pk", text(&response_pk(key))),
        ("sk", text(RESPONSE_SK)),
        (RESPONSE, json(response)?),
        ("expires_at", number(response.expires_at.unix_timestamp())),
    ];
    Ok(attributes.map(|(name, value)| (name.to_owned(), value)).into())
}

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodb::Client;
    use aws_sdk_dynamodb::operation::batch_get_item::BatchGetItemOutput;
    use aws_sdk_dynamodb::operation::put_item::PutItemOutput;
    use aws_smithy_mocks::{Rule, mock, mock_client};
    use bcce_core::base::target::Target;
    use bcce_core::call::response_cache::CachedFrom;
    use time::macros::datetime;

    use super::*;

    fn table(rule: &Rule) -> HealthTable {
        let client = mock_client!(aws_sdk_dynamodb, [rule]);
        HealthTable { patient: client.clone().into(), client, table: "t".into() }
    }

    fn response() -> CachedResponse {
        let target = Target {
            account: None,
            region: "us-east-1".into(),
            model_id: "us.m".into(),
            guardrail: None,
        };
        let from = CachedFrom {
            key: "runs/default/r/steps/a.answer.json".into(),
            sha256: "0".repeat(64),
            run_id: "r".into(),
            segment: None,
            target,
            stored_at: datetime!(2026-11-01 12:00 UTC),
        };
        CachedResponse { from, expires_at: datetime!(2026-11-08 12:00 UTC) }
    }

    #[tokio::test]
    async fn an_entry_is_put_with_the_time_at_which_it_expires() {
        let rule = mock!(Client::put_item)
            .match_requests(|put| {
                let item = put.item().unwrap();
                item["pk"] == text("response#0a")
                    && item["sk"] == text("answer")
                    && item["expires_at"] == number(1_794_139_200)
                    && item.len() == 4
                    && put.condition_expression().is_none()
                    && put.expression_attribute_names().is_none()
            })
            .then_output(|| PutItemOutput::builder().build());
        assert_eq!(table(&rule).enter_response("0a", &response()).await, Ok(()));
        assert_eq!(rule.num_calls(), 1);
    }

    #[tokio::test]
    async fn an_entry_is_read_as_it_was_written() {
        let rule = mock!(Client::batch_get_item)
            .match_requests(|get| {
                let keys = get.request_items().unwrap()["t"].keys();
                keys.len() == 1 && keys[0]["pk"] == text("response#0a")
            })
            .then_output(|| {
                let items = vec![item("0a", &response()).unwrap()];
                BatchGetItemOutput::builder().responses("t", items).build()
            });
        assert_eq!(table(&rule).find_response("0a").await, Ok(Some(response())));
    }

    #[tokio::test]
    async fn what_is_missing_or_unreadable_is_no_entry() {
        let mut unreadable = item("0a", &response()).unwrap();
        unreadable.insert(RESPONSE.into(), text("{}"));
        for items in [vec![], vec![unreadable]] {
            let rule = mock!(Client::batch_get_item).then_output(move || {
                BatchGetItemOutput::builder().responses("t", items.clone()).build()
            });
            assert_eq!(table(&rule).find_response("0a").await, Ok(None));
        }
    }
}
