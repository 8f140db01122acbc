//! Reads and writes the ledger's items about targets and calls: breakers, latencies, warm prompt caches, the response
//! cache and the call log. [`bcce_core::ledger`] describes their keys. The time limits are short, because the callers decide without this
//! data rather than wait for it.

mod budgets; // counters of budgets
mod responses; // the response cache

use std::collections::BTreeSet;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::Builder;
use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes};
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use aws_types::SdkConfig;
use bcce_core::base::error::Fault;
use bcce_core::failover::latency::{BOUNDS_MS, Histogram};
use bcce_core::ledger::{
    BREAKER_SK, CACHE_SK, cache_pk, calls_pk, calls_sk, latency_sk, target_pk,
};
use bcce_core::ports::{
    CountLatency, LogCall, NoteCache, ReadBreakers, ReadCaches, ReadLatencies, StoredBreaker,
    WriteBreaker,
};
use bcce_core::run::call_log::LoggedCall;
use bcce_core::run::ids::{RunRef, StepRef};
use time::OffsetDateTime;

use crate::dynamodb::calls::CALLS_LAST;
use crate::dynamodb::conditional::Written;
use crate::dynamodb::item::{Item, key, number, number_of, text, text_of};
use crate::fault::internal;
use crate::lazily::Lazily;

/// The time limit of one operation with its retries. An operation usually takes milliseconds.
const OPERATION: Duration = Duration::from_secs(2);
/// The time limit of one try.
const ATTEMPT: Duration = Duration::from_millis(900);
/// The most keys of one BatchGetItem.
const MOST_KEYS: usize = 100;
/// The lifetime of a breaker after its last write.
const BREAKER_LASTS: Duration = Duration::from_secs(86_400);
/// The lifetime of the latencies of one time slot.
const LATENCY_LASTS: Duration = Duration::from_secs(3_600);

/// The ledger's table, for breakers, latencies, warm prompt caches, the response cache and new entries of the call log.
pub struct HealthTable {
    client: Client,
    /// The client with the usual time limits, which only calls with a budget need.
    patient: Lazily<Client>,
    table: String,
}

impl HealthTable {
    /// Creates the adapter for the table named `table`.
    pub fn new(config: &SdkConfig, table: &str) -> Self {
        let limits = TimeoutConfig::builder()
            .connect_timeout(ATTEMPT)
            .operation_attempt_timeout(ATTEMPT)
            .operation_timeout(OPERATION);
        let retries = RetryConfig::standard()
            .with_max_attempts(2)
            .with_initial_backoff(Duration::from_millis(20));
        let patient = Lazily::new(config, Client::new);
        let config =
            Builder::from(config).timeout_config(limits.build()).retry_config(retries).build();
        Self { client: Client::from_conf(config), patient, table: table.to_owned() }
    }

    /// Reads the items with these keys, in no particular order. The read is consistent, so that a breaker that has just
    /// opened is seen as open.
    async fn items(&self, keys: &[(String, String)]) -> Result<Vec<Item>, Fault> {
        // BatchGetItem refuses duplicate keys.
        let keys: Vec<_> = keys.iter().collect::<BTreeSet<_>>().into_iter().collect();
        let mut items = Vec::new();
        for some in keys.chunks(MOST_KEYS) {
            items.extend(self.items_of(some).await?);
        }
        Ok(items)
    }

    async fn items_of(&self, keys: &[&(String, String)]) -> Result<Vec<Item>, Fault> {
        let keys = keys.iter().map(|(pk, sk)| key(pk, sk)).collect();
        let request = KeysAndAttributes::builder().consistent_read(true).set_keys(Some(keys));
        let request = request.build().map_err(|error| Fault::internal(error.to_string()))?;
        let get = self.client.batch_get_item().request_items(&self.table, request);
        // Boxed, as below: an SDK future nested in the futures of a handler exceeds the compiler's recursion limit.
        let got = Box::pin(get.send()).await;
        let got = got.map_err(|error| internal("dynamodb:BatchGetItem", &error))?;
        if got.unprocessed_keys().is_some_and(|left| !left.is_empty()) {
            return Err(Fault::internal("dynamodb:BatchGetItem left keys unread"));
        }
        let mut responses = got.responses.unwrap_or_default();
        Ok(responses.remove(&self.table).unwrap_or_default())
    }
}

impl ReadBreakers for HealthTable {
    async fn read(&self, keys: &[String]) -> Result<Vec<StoredBreaker>, Fault> {
        let items: Vec<_> =
            keys.iter().map(|key| (target_pk(key), BREAKER_SK.to_owned())).collect();
        let found = self.items(&items).await?;
        let kept = |(pk, _): &(String, String)| {
            found
                .iter()
                .find(|item| text_of(item, "pk") == Some(pk))
                .map_or(Ok(StoredBreaker::default()), kept)
        };
        items.iter().map(kept).collect()
    }
}

impl WriteBreaker for HealthTable {
    async fn write(
        &self,
        key: &str,
        read: &StoredBreaker,
        now: OffsetDateTime,
    ) -> Result<bool, Fault> {
        let breaker = serde_json::to_string(&read.breaker);
        let breaker = breaker.map_err(|error| Fault::internal(error.to_string()))?;
        let put = self.client.put_item().table_name(&self.table);
        let put = put
            .item("pk", text(&target_pk(key)))
            .item("sk", text(BREAKER_SK))
            .item("breaker", text(&breaker))
            .item("revision", number(read.revision + 1))
            .item("expires_at", number((now + BREAKER_LASTS).unix_timestamp()))
            .condition_expression("attribute_not_exists(pk) OR revision = :read")
            .expression_attribute_values(":read", number(read.revision));
        let written = Written::of("dynamodb:PutItem breaker", Box::pin(put.send()).await)?;
        Ok(written.is_done())
    }
}

impl ReadLatencies for HealthTable {
    async fn latencies(&self, keys: &[String], slots: &[i64]) -> Result<Vec<Histogram>, Fault> {
        let slots = |key: &String| {
            slots.iter().map(|slot| (target_pk(key), latency_sk(*slot))).collect::<Vec<_>>()
        };
        let found = self.items(&keys.iter().flat_map(slots).collect::<Vec<_>>()).await?;
        let of = |key: &String| {
            let mut sum = Histogram::default();
            let is_its = |item: &&Item| text_of(item, "pk") == Some(&target_pk(key));
            found.iter().filter(is_its).for_each(|item| sum.merge(&histogram(item)));
            sum
        };
        Ok(keys.iter().map(of).collect())
    }
}

impl CountLatency for HealthTable {
    async fn count(
        &self,
        target: &str,
        slot: i64,
        bucket: usize,
        now: OffsetDateTime,
    ) -> Result<(), Fault> {
        let update = self.client.update_item().table_name(&self.table);
        let update = update
            .set_key(Some(key(&target_pk(target), &latency_sk(slot))))
            .update_expression("ADD #bucket :one SET expires_at = :until")
            .expression_attribute_names("#bucket", bucket_name(bucket))
            .expression_attribute_values(":one", number(1))
            .expression_attribute_values(":until", number((now + LATENCY_LASTS).unix_timestamp()));
        let sent = Box::pin(update.send()).await;
        sent.map(drop).map_err(|error| internal("dynamodb:UpdateItem latency", &error))
    }
}

impl LogCall for HealthTable {
    /// Adds the call to a set, so that a repeated request has no effect.
    async fn log_call(&self, run: &RunRef, step: &StepRef, call: &LoggedCall) -> Result<(), Fault> {
        let (pk, sk) = (calls_pk(&run.run_id, run.attempt_no), calls_sk(&step.step, step.item));
        let logged = serde_json::to_string(call);
        let logged = logged.map_err(|error| Fault::internal(error.to_string()))?;
        let until = call.started_at + CALLS_LAST;
        let update = self.client.update_item().table_name(&self.table);
        let update = update
            .set_key(Some(key(&pk, &sk)))
            .update_expression("ADD logged_calls :call SET expires_at = :until")
            .expression_attribute_values(":call", AttributeValue::Ss(vec![logged]))
            .expression_attribute_values(":until", number(until.unix_timestamp()));
        let sent = Box::pin(update.send()).await;
        sent.map(drop).map_err(|error| internal("dynamodb:UpdateItem calls", &error))
    }
}

impl ReadCaches for HealthTable {
    async fn caches(&self, cache: &str) -> Result<Vec<(String, OffsetDateTime)>, Fault> {
        let found = self.items(&[(cache_pk(cache), CACHE_SK.to_owned())]).await?;
        let until = |(name, value): (&String, &AttributeValue)| {
            let key = name.strip_prefix("at ")?;
            let seconds = value.as_n().ok()?.parse().ok()?;
            Some((key.to_owned(), OffsetDateTime::from_unix_timestamp(seconds).ok()?))
        };
        Ok(found.iter().flatten().filter_map(until).collect())
    }
}

impl NoteCache for HealthTable {
    async fn note(&self, cache: &str, target: &str, until: OffsetDateTime) -> Result<(), Fault> {
        let update = self.client.update_item().table_name(&self.table);
        let update = update
            .set_key(Some(key(&cache_pk(cache), CACHE_SK)))
            .update_expression("SET #target = :until, expires_at = :until")
            .expression_attribute_names("#target", format!("at {target}"))
            .expression_attribute_values(":until", number(until.unix_timestamp()));
        let sent = Box::pin(update.send()).await;
        sent.map(drop).map_err(|error| internal("dynamodb:UpdateItem cache", &error))
    }
}

/// Reads a breaker. A missing field is a fault, because a default would turn an open breaker into a closed one.
fn kept(item: &Item) -> Result<StoredBreaker, Fault> {
    let unreadable = || Fault::internal("a breaker in the ledger cannot be read");
    let breaker = text_of(item, "breaker").ok_or_else(unreadable)?;
    Ok(StoredBreaker {
        breaker: serde_json::from_str(breaker).map_err(|_| unreadable())?,
        revision: number_of(item, "revision").ok_or_else(unreadable)?,
    })
}

fn histogram(item: &Item) -> Histogram {
    let mut histogram = Histogram::default();
    for bucket in 0..=BOUNDS_MS.len() {
        histogram.add(bucket, number_of(item, &bucket_name(bucket)).unwrap_or(0));
    }
    histogram
}

fn bucket_name(bucket: usize) -> String {
    format!("bucket_{bucket}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_dynamodb::operation::batch_get_item::BatchGetItemOutput;
    use aws_sdk_dynamodb::operation::put_item::{PutItemError, PutItemOutput};
    use aws_sdk_dynamodb::operation::update_item::UpdateItemOutput;
    use aws_sdk_dynamodb::types::error::ConditionalCheckFailedException;
    use aws_smithy_mocks::{Rule, mock, mock_client};
    use bcce_core::failover::breaker::Breaker;
    use time::macros::datetime;

    const NOW: OffsetDateTime = datetime!(2026-11-01 12:00 UTC);

    fn table(rule: &Rule) -> HealthTable {
        let client = mock_client!(aws_sdk_dynamodb, [rule]);
        HealthTable { patient: client.clone().into(), client, table: "t".into() }
    }

    fn answers(items: Vec<Item>) -> Rule {
        mock!(Client::batch_get_item).then_output(move || {
            BatchGetItemOutput::builder().responses("t", items.clone()).build()
        })
    }

    fn breaker_of(target: &str, breaker: &str) -> Item {
        let mut item = key(&target_pk(target), BREAKER_SK);
        item.insert("breaker".into(), text(breaker));
        item.insert("revision".into(), number(7));
        item
    }

    #[tokio::test]
    async fn breakers_come_in_the_order_of_their_keys_and_a_missing_one_is_new() {
        let rule = answers(vec![breaker_of("b", r#"{ "failures": 2 }"#)]);
        let kept = table(&rule).read(&["a".into(), "b".into()]).await.unwrap();
        assert_eq!(kept[0], StoredBreaker::default());
        assert_eq!((kept[1].breaker.failures, kept[1].revision), (2, 7));
    }

    #[tokio::test]
    async fn a_key_is_asked_for_once_however_many_targets_have_it() {
        let rule = mock!(Client::batch_get_item)
            .match_requests(|get| get.request_items().unwrap()["t"].keys().len() == 1)
            .then_output(|| BatchGetItemOutput::builder().build());
        assert_eq!(table(&rule).read(&["a".into(), "a".into()]).await.unwrap().len(), 2);
    }

    #[tokio::test]
    async fn a_breaker_that_cannot_be_read_is_not_taken_for_a_closed_one() {
        let rule = answers(vec![breaker_of("a", "{ open }")]);
        assert!(table(&rule).read(&["a".into()]).await.is_err());
    }

    #[tokio::test]
    async fn a_breaker_is_written_over_what_was_read_and_nothing_else() {
        let kept = StoredBreaker { breaker: Breaker::default(), revision: 7 };
        let rule = mock!(Client::put_item)
            .match_requests(|put| {
                put.condition_expression() == Some("attribute_not_exists(pk) OR revision = :read")
                    && put.expression_attribute_values().unwrap()[":read"] == number(7)
                    && put.item().unwrap()["revision"] == number(8)
            })
            .then_output(|| PutItemOutput::builder().build());
        assert_eq!(table(&rule).write("a", &kept, NOW).await, Ok(true));
        let raced = mock!(Client::put_item).then_error(|| {
            let failed = ConditionalCheckFailedException::builder().build();
            PutItemError::ConditionalCheckFailedException(failed)
        });
        assert_eq!(table(&raced).write("a", &kept, NOW).await, Ok(false));
    }

    #[tokio::test]
    async fn latencies_of_all_slots_add_up() {
        let slot = |slot: i64, calls: u64| {
            let mut item = key(&target_pk("a"), &latency_sk(slot));
            item.insert(bucket_name(3), number(calls));
            item
        };
        let rule = answers(vec![slot(1, 2), slot(2, 4)]);
        let latencies = table(&rule).latencies(&["a".into(), "b".into()], &[1, 2]).await.unwrap();
        assert_eq!((latencies[0].calls(), latencies[0].median()), (6, Some(3)));
        assert_eq!(latencies[1].calls(), 0);
    }

    #[tokio::test]
    async fn a_call_is_counted_in_its_slot_and_bucket() {
        let rule = mock!(Client::update_item)
            .match_requests(|update| {
                update.key().unwrap()["sk"] == text("latency#9")
                    && update.expression_attribute_names().unwrap()["#bucket"] == "bucket_3"
            })
            .then_output(|| UpdateItemOutput::builder().build());
        assert_eq!(table(&rule).count("a", 9, 3, NOW).await, Ok(()));
    }

    #[tokio::test]
    async fn a_call_is_logged_in_a_set_under_its_run_and_step() {
        let rule = mock!(Client::update_item)
            .match_requests(|update| {
                let values = update.expression_attribute_values().unwrap();
                let adds = format!("ADD {} :call ", crate::dynamodb::calls::LOGGED_CALLS);
                update.key().unwrap()["sk"] == text("part#3")
                    && update.update_expression().is_some_and(|does| does.starts_with(&adds))
                    && update.key().unwrap()["pk"].as_s().is_ok_and(|pk| pk.starts_with("calls#w-"))
                    && values[":call"].as_ss().is_ok_and(|calls| calls.len() == 1)
            })
            .then_output(|| UpdateItemOutput::builder().build());
        let step = StepRef { step: "part".into(), item: Some(3), route: "haiku".into() };
        let target = bcce_core::base::target::Target {
            account: None,
            region: "us-east-1".into(),
            model_id: "us.m".into(),
            guardrail: None,
        };
        let call = LoggedCall::new(NOW, target);
        let noted = table(&rule).log_call(&RunRef::first("default", "w", "1"), &step, &call).await;
        assert_eq!(noted, Ok(()));
    }

    #[tokio::test]
    async fn a_cache_is_recorded_with_its_target_and_its_end() {
        let mut item = key(&cache_pk("c"), CACHE_SK);
        item.insert("at us-east-1#us.m".into(), number(NOW.unix_timestamp()));
        item.insert("expires_at".into(), number(NOW.unix_timestamp()));
        let caches = table(&answers(vec![item])).caches("c").await.unwrap();
        assert_eq!(caches, [("us-east-1#us.m".to_owned(), NOW)]);
        let rule = mock!(Client::update_item)
            .match_requests(|update| {
                update.expression_attribute_names().unwrap()["#target"] == "at us-east-1#us.m"
            })
            .then_output(|| UpdateItemOutput::builder().build());
        assert_eq!(table(&rule).note("c", "us-east-1#us.m", NOW).await, Ok(()));
    }
}
