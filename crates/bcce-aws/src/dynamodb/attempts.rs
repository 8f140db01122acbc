//! Reads which attempts are over, for many of them at a time.

use std::collections::BTreeSet;

use aws_sdk_dynamodb::types::KeysAndAttributes;
use bcce_core::base::error::Fault;
use bcce_core::ledger::attempts::AttemptKey;
use bcce_core::ports::ReadClosed;

use super::Ledger;
use super::conditional::pause;
use super::item::{Item, key, text_of};
use crate::fault::internal;

/// The largest number of keys that BatchGetItem reads.
const KEYS: usize = 100;
/// The number of tries to read keys that DynamoDB left unread, because the table was throttled.
const MOST_TRIES: u32 = 5;

impl ReadClosed for Ledger {
    async fn closed(&self, attempts: &[AttemptKey]) -> Result<BTreeSet<AttemptKey>, Fault> {
        let mut closed = BTreeSet::new();
        for attempts in attempts.chunks(KEYS) {
            let ended = self.ended(attempts).await?;
            let is_closed = |it: &&AttemptKey| ended.contains(&(it.pk(), it.sk()));
            closed.extend(attempts.iter().filter(is_closed).cloned());
        }
        Ok(closed)
    }
}

impl Ledger {
    /// Returns the keys of the closed records among at most [`KEYS`] attempts. The read is not consistent: it costs
    /// half as much, and these attempts were closed long ago, if at all.
    async fn ended(&self, attempts: &[AttemptKey]) -> Result<BTreeSet<(String, String)>, Fault> {
        let keys: BTreeSet<_> = attempts.iter().map(|it| (it.pk(), it.sk())).collect();
        let keys = keys.iter().map(|(pk, sk)| key(pk, sk)).collect();
        let request = KeysAndAttributes::builder().set_keys(Some(keys));
        let request = request.projection_expression("pk, sk, ended_at");
        let mut request = request.build().map_err(|error| Fault::internal(error.to_string()))?;
        let mut ended = BTreeSet::new();
        for tries in 1..=MOST_TRIES {
            let get = self.client.batch_get_item().request_items(&self.table, request);
            let got = Box::pin(get.send()).await;
            let got = got.map_err(|error| internal("dynamodb:BatchGetItem records", &error))?;
            let found = got.responses.unwrap_or_default().remove(&self.table).unwrap_or_default();
            ended.extend(found.iter().filter_map(ended_key));
            match got.unprocessed_keys.unwrap_or_default().remove(&self.table) {
                Some(left) if !left.keys().is_empty() => request = left,
                _ => return Ok(ended),
            }
            tokio::time::sleep(pause(tries, "records")).await;
        }
        Err(Fault::internal("dynamodb:BatchGetItem records left keys unread"))
    }
}

/// Returns the key of a closed record. Only a closed record has an end.
fn ended_key(item: &Item) -> Option<(String, String)> {
    text_of(item, "ended_at")?;
    Some((text_of(item, "pk")?.clone(), text_of(item, "sk")?.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dynamodb::item::text;
    use aws_sdk_dynamodb::Client;
    use aws_sdk_dynamodb::operation::batch_get_item::BatchGetItemOutput;
    use aws_smithy_mocks::{RuleMode, mock, mock_client};
    use bcce_core::ledger::attempts::AttemptOf;

    fn attempt(n: usize) -> AttemptKey {
        AttemptKey { of: AttemptOf::Run, id: format!("r{n}"), attempt_no: 1 }
    }

    fn record(n: usize, is_closed: bool) -> Item {
        let mut item = key(&attempt(n).pk(), &attempt(n).sk());
        if is_closed {
            item.insert("ended_at".into(), text("2026-11-30T12:00:00Z"));
        }
        item
    }

    /// Record 0 is closed, 1 is open, 2 does not exist, and 100 is left unread once.
    #[tokio::test]
    async fn closed_records_are_found_among_more_than_one_page_of_keys() {
        let keys = |n: usize| {
            move |get: &aws_sdk_dynamodb::operation::batch_get_item::BatchGetItemInput| {
                get.request_items().is_some_and(|items| items["t"].keys().len() == n)
            }
        };
        let first = mock!(Client::batch_get_item).match_requests(keys(100)).then_output(|| {
            let items = vec![record(0, true), record(1, false)];
            BatchGetItemOutput::builder().responses("t", items).build()
        });
        let unread = mock!(Client::batch_get_item).match_requests(keys(1)).then_output(|| {
            let left = KeysAndAttributes::builder().keys(record(100, false)).build().unwrap();
            BatchGetItemOutput::builder().unprocessed_keys("t", left).build()
        });
        let second = mock!(Client::batch_get_item).match_requests(keys(1)).then_output(|| {
            BatchGetItemOutput::builder().responses("t", vec![record(100, true)]).build()
        });
        let rules = [&first, &unread, &second];
        let client = mock_client!(aws_sdk_dynamodb, RuleMode::Sequential, rules);
        let ledger = Ledger { client, table: "t".into() };
        let attempts: Vec<_> = (0..=100).map(attempt).collect();
        let closed = ledger.closed(&attempts).await.unwrap();
        assert_eq!(closed, [attempt(0), attempt(100)].into());
    }
}
