//! The ledger. Keys and items are described in `bcce_core::ledger`.

mod batches; // records of batches, and the tally of their runs
mod slots; // what a tenant has under way

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{
    AttributeValue, ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update,
};
use aws_types::SdkConfig;
use bcce_core::base::digest::sha256;
use bcce_core::base::error::Fault;
use bcce_core::call::attempt::Totals;
use bcce_core::ledger::{
    ClosedRun, OpenedRun, RunRecord, attempt_sk, calls_pk, listing_pk, run_pk, step_of_calls,
    usage_pk, usage_sk,
};
use bcce_core::ports::{CloseRun, Closed, OpenRun, Opened, ReadAttempts, ReadCallLog, TakeOver};
use bcce_core::run::call_log::LoggedStep;
use bcce_core::run::ids::{Run, RunRef};
use bcce_core::run::manifest::UsageLine;
use bcce_core::run::notice::RunStatus;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::fault::internal;

pub struct Ledger {
    client: Client,
    table: String,
}

type Item = HashMap<String, AttributeValue>;

/// How often a transaction is tried that meets another one: within 1.6 s, after which a retry of the function begins
/// anew.
const CONFLICT_TRIES: u32 = 6;

impl Ledger {
    pub fn new(config: &SdkConfig, table: &str) -> Self {
        Self { client: Client::new(config), table: table.to_owned() }
    }

    async fn newest(&self, shard: &str, most: i32) -> Result<Vec<Item>, Fault> {
        let query = self.client.query().table_name(&self.table).index_name("listing");
        let query = query
            .key_condition_expression("listing = :shard")
            .scan_index_forward(false)
            .limit(most);
        let got = query.expression_attribute_values(":shard", text(shard)).send().await;
        let got = got.map_err(|error| internal("dynamodb:Query listing", &error))?;
        Ok(got.items.unwrap_or_default())
    }

    /// The newest `most` runs of one shard of one day (see `listing_shard`).
    pub async fn listed(&self, shard: &str, most: i32) -> Result<Vec<RunRecord>, Fault> {
        let items = self.newest(shard, most).await?;
        Ok(items.iter().filter_map(record).collect())
    }
}

impl ReadAttempts for Ledger {
    async fn attempts(&self, run_id: &str) -> Result<Vec<RunRecord>, Fault> {
        // That a run has not begun is only said where that is so.
        let query = self.client.query().table_name(&self.table).consistent_read(true);
        let query = query.key_condition_expression("pk = :pk");
        let got = query.expression_attribute_values(":pk", text(&run_pk(run_id))).send().await;
        let got = got.map_err(|error| internal("dynamodb:Query run", &error))?;
        Ok(got.items().iter().filter_map(record).collect())
    }
}

impl OpenRun for Ledger {
    async fn open(&self, opened: &OpenedRun) -> Result<Opened, Fault> {
        let put = self.client.put_item().table_name(&self.table);
        let put = put.set_item(Some(identity(&opened.run, RunStatus::Running)));
        let put = put.condition_expression("attribute_not_exists(pk)");
        let put = put
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        match put.send().await {
            Ok(_) => Ok(Opened::Open),
            Err(error) => match error.as_service_error() {
                Some(PutItemError::ConditionalCheckFailedException(before)) => {
                    let is_counted = before.item().is_some_and(|item| item.contains_key("counted"));
                    Ok(if is_counted { Opened::Over } else { Opened::Open })
                }
                _ => Err(internal("dynamodb:PutItem run", &error)),
            },
        }
    }
}

impl CloseRun for Ledger {
    async fn close(&self, closed: &ClosedRun) -> Result<Closed, Fault> {
        let mut writes = vec![self.write(closing(closed))?];
        for line in closed.usage() {
            writes.push(self.write(counting(closed, line))?);
        }
        if let Some(change) = batches::tallying(closed) {
            writes.push(self.write(change)?);
        }
        let mut tries = 0;
        loop {
            tries += 1;
            let write = self.client.transact_write_items().set_transact_items(Some(writes.clone()));
            let Err(error) = write.send().await else { return Ok(Closed::Now) };
            match error.as_service_error().map(Cancelled::of) {
                Some(Cancelled::CountedBefore { notification_owner }) => {
                    return Ok(Closed::Before { notification_owner });
                }
                Some(Cancelled::Conflict) if tries < CONFLICT_TRIES => {
                    tokio::time::sleep(pause(tries, &closed.run.run_id)).await;
                }
                _ => return Err(internal("dynamodb:TransactWriteItems run", &error)),
            }
        }
    }
}

impl TakeOver for Ledger {
    async fn take_over(&self, run: &RunRef, from: &str, to: &str) -> Result<bool, Fault> {
        self.hand_over((run_pk(&run.run_id), attempt_sk(run.attempt_no)), from, to).await
    }
}

impl Ledger {
    async fn hand_over(&self, of: (String, String), from: &str, to: &str) -> Result<bool, Fault> {
        let update = self.client.update_item().table_name(&self.table);
        let update = update
            .key("pk", text(&of.0))
            .key("sk", text(&of.1))
            .update_expression("SET notification_owner = :to")
            .condition_expression("notification_owner = :from")
            .expression_attribute_values(":from", text(from))
            .expression_attribute_values(":to", text(to));
        match update.send().await {
            Ok(_) => Ok(true),
            Err(error) => match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(_)) => Ok(false),
                _ => Err(internal("dynamodb:UpdateItem notification_owner", &error)),
            },
        }
    }
}

impl ReadCallLog for Ledger {
    async fn logged_calls(&self, run: &RunRef) -> Result<Vec<LoggedStep>, Fault> {
        let query = self.client.query().table_name(&self.table).consistent_read(true);
        let query = query
            .key_condition_expression("pk = :pk")
            .expression_attribute_values(":pk", text(&calls_pk(&run.run_id, run.attempt_no)));
        let pages = query.into_paginator().items().send();
        let items: Result<Vec<Item>, _> = pages.collect().await;
        let items = items.map_err(|error| internal("dynamodb:Query calls", &error))?;
        items.iter().map(begun).collect::<Result<Vec<_>, _>>().map(|all| all.concat())
    }
}

/// An update of one item, before it knows its table.
struct Change {
    key: (String, String),
    update: String,
    condition: Option<&'static str>,
    names: HashMap<String, String>,
    values: Item,
}

impl Change {
    fn setting(key: (String, String), item: Item, condition: Option<&'static str>) -> Self {
        let set: Vec<String> = item.keys().map(|name| format!("#{name} = :{name}")).collect();
        Self {
            key,
            update: format!("SET {}", set.join(", ")),
            condition,
            names: item.keys().map(|name| (format!("#{name}"), name.clone())).collect(),
            values: item.into_iter().map(|(name, value)| (format!(":{name}"), value)).collect(),
        }
    }

    /// Counters may have any name, so that their places in the expression are numbers.
    fn adding(key: (String, String), counters: &[(String, AttributeValue)]) -> Self {
        let places = 0..counters.len();
        let add: Vec<String> = places.map(|n| format!("#c{n} :c{n}")).collect();
        let names =
            counters.iter().enumerate().map(|(n, (name, _))| (format!("#c{n}"), name.clone()));
        let values =
            counters.iter().enumerate().map(|(n, (_, value))| (format!(":c{n}"), value.clone()));
        Self {
            key,
            update: format!("ADD {}", add.join(", ")),
            condition: None,
            names: names.collect(),
            values: values.collect(),
        }
    }
}

impl Ledger {
    fn write(&self, change: Change) -> Result<TransactWriteItem, Fault> {
        let update = Update::builder()
            .table_name(&self.table)
            .key("pk", text(&change.key.0))
            .key("sk", text(&change.key.1))
            .update_expression(change.update)
            .set_condition_expression(change.condition.map(str::to_owned))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .set_expression_attribute_names(Some(change.names))
            .set_expression_attribute_values(Some(change.values))
            .build()
            .map_err(|error| Fault::internal(error.to_string()))?;
        Ok(TransactWriteItem::builder().update(update).build())
    }
}

/// Why a transaction that counts a run wrote nothing.
enum Cancelled {
    CountedBefore {
        notification_owner: Option<String>,
    },
    /// Another run was counted by the same counters at that moment. The SDK does not try these again.
    Conflict,
    Otherwise,
}

impl Cancelled {
    /// The condition is on the first item, the run record.
    fn of(error: &TransactWriteItemsError) -> Self {
        let TransactWriteItemsError::TransactionCanceledException(cancelled) = error else {
            return Self::Otherwise;
        };
        let reasons = cancelled.cancellation_reasons();
        match reasons.first() {
            Some(first) if first.code() == Some("ConditionalCheckFailed") => Self::CountedBefore {
                notification_owner: first.item().and_then(notification_owner),
            },
            _ if reasons.iter().any(|reason| reason.code() == Some("TransactionConflict")) => {
                Self::Conflict
            }
            _ => Self::Otherwise,
        }
    }
}

/// Twice as long each time, and for each run another part of that: those that met do not meet again.
fn pause(tries: u32, run_id: &str) -> Duration {
    let share = u64::from(sha256(run_id.as_bytes())[tries as usize % 32]) + 1;
    Duration::from_millis((25 << tries) * share / 256)
}

fn notification_owner(item: &Item) -> Option<String> {
    item.get("notification_owner")?.as_s().ok().cloned()
}

/// The run record is written whole, so that it is right even when it was never opened.
fn closing(closed: &ClosedRun) -> Change {
    let (manifest, run) = (&closed.manifest, &closed.run);
    let mut item = identity(run, manifest.status);
    let key = (run_pk(&run.run_id), attempt_sk(run.attempt_no));
    item.retain(|name, _| name != "pk" && name != "sk");
    item.insert("ended_at".into(), text(&stamp(manifest.ended_at)));
    item.insert("manifest".into(), text(&closed.manifest_key));
    item.insert("manifest_sha256".into(), text(&closed.manifest_sha256));
    item.insert("counted".into(), AttributeValue::Bool(true));
    item.insert("notification_owner".into(), text(&closed.notification_owner));
    item.extend(totals(&manifest.totals));
    if manifest.truncated > 0 {
        item.insert("truncated".into(), number(manifest.truncated));
    }
    if !manifest.tags.is_empty() {
        let tags = manifest.tags.iter().map(|(key, value)| (key.clone(), text(value)));
        item.insert("tags".into(), AttributeValue::M(tags.collect()));
    }
    if let Some(error) = &manifest.error {
        item.insert("error_name".into(), text(error.name.as_str()));
        item.insert("error_message".into(), text(&error.message));
    }
    Change::setting(key, item, Some("attribute_not_exists(#counted)"))
}

fn totals(totals: &Totals) -> Vec<(String, AttributeValue)> {
    let (usage, cost) = (totals.known_usage(), totals.known_cost());
    let whole = totals.usage.is_some() && totals.cost_usd.is_some();
    vec![
        ("input_tokens".into(), number(usage.input_tokens)),
        ("output_tokens".into(), number(usage.output_tokens)),
        ("cost_usd".into(), number(cost)),
        ("cost_is_complete".into(), AttributeValue::Bool(whole)),
    ]
}

fn counting(closed: &ClosedRun, line: &UsageLine) -> Change {
    // Counters can only add what is known; how many calls are missing is counted beside it.
    let usage = line.totals.known_usage();
    let counters = [
        ("runs", number(1)),
        ("calls", number(line.calls)),
        ("failed_calls", number(line.failed_calls)),
        ("rejected_calls", number(line.rejected_calls)),
        ("unknown_calls", number(line.unknown_calls)),
        ("unpriced_calls", number(line.unpriced_calls)),
        ("lost_calls", number(line.lost_calls)),
        ("input_tokens", number(usage.input_tokens)),
        ("output_tokens", number(usage.output_tokens)),
        ("cache_read_tokens", number(usage.cache_read_tokens)),
        ("cache_write_5m_tokens", number(usage.cache_write_5m_tokens)),
        ("cache_write_1h_tokens", number(usage.cache_write_1h_tokens)),
        ("cost_usd", number(line.totals.known_cost())),
    ];
    let key = (
        usage_pk(closed.manifest.ended_at, &closed.run.run_id),
        usage_sk(&line.region, &line.model_id),
    );
    Change::adding(key, &counters.map(|(name, value)| (name.to_owned(), value)))
}

fn identity(run: &Run, status: RunStatus) -> Item {
    [
        ("pk", run_pk(&run.run_id)),
        ("sk", attempt_sk(run.attempt_no)),
        ("listing", listing_pk(run.started_at, &run.run_id)),
        ("started_at", stamp(run.started_at)),
        ("run_id", run.run_id.clone()),
        ("tenant", run.tenant.clone()),
        ("workflow", run.workflow.clone()),
        ("request_id", run.request_id.clone()),
        ("execution_arn", run.execution_arn.clone()),
        ("status", status.as_str().to_owned()),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), text(&value)))
    .chain([("attempt_no".to_owned(), number(run.attempt_no))])
    .collect()
}

/// The calls of one step.
fn begun(item: &Item) -> Result<Vec<LoggedStep>, Fault> {
    let sk = item.get("sk").and_then(|value| value.as_s().ok()).map_or("", String::as_str);
    let (step, item_no) = step_of_calls(sk);
    let calls = item.get("begun").and_then(|value| value.as_ss().ok());
    let begun = |call: &String| {
        let call = serde_json::from_str(call);
        let call = call.map_err(|_| Fault::internal(format!("calls of {sk} are unreadable")))?;
        Ok(LoggedStep { step: step.clone(), item: item_no, call })
    };
    calls.into_iter().flatten().map(begun).collect()
}

fn record(item: &Item) -> Option<RunRecord> {
    let string = |name: &str| item.get(name).and_then(|value| value.as_s().ok()).cloned();
    let count = |name: &str| item.get(name).and_then(|value| value.as_n().ok());
    Some(RunRecord {
        run_id: string("run_id")?,
        attempt_no: count("attempt_no")?.parse().ok()?,
        tenant: string("tenant")?,
        workflow: string("workflow")?,
        request_id: string("request_id")?,
        execution_arn: string("execution_arn")?,
        status: serde_json::from_value(string("status")?.into()).ok()?,
        started_at: moment(&string("started_at")?)?,
        ended_at: string("ended_at").and_then(|at| moment(&at)),
        manifest: string("manifest"),
        cost_usd: count("cost_usd").and_then(|cost| cost.parse().ok()),
        cost_is_complete: item
            .get("cost_is_complete")
            .and_then(|v| v.as_bool().ok())
            .copied()
            .unwrap_or(false),
        truncated: count("truncated").and_then(|count| count.parse().ok()).unwrap_or_default(),
        tags: tags(item),
        error_name: string("error_name"),
        error_message: string("error_message"),
    })
}

fn tags(item: &Item) -> BTreeMap<String, String> {
    let tags = item.get("tags").and_then(|value| value.as_m().ok()).into_iter().flatten();
    tags.filter_map(|(key, value)| Some((key.clone(), value.as_s().ok()?.clone()))).collect()
}

fn text(value: &str) -> AttributeValue {
    AttributeValue::S(value.to_owned())
}

fn number(value: impl ToString) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

fn stamp(at: OffsetDateTime) -> String {
    at.format(&Rfc3339).unwrap_or_default()
}

fn moment(stamp: &str) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(stamp, &Rfc3339).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_dynamodb::operation::query::QueryOutput;
    use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsOutput;
    use aws_sdk_dynamodb::operation::update_item::UpdateItemOutput;
    use aws_sdk_dynamodb::types::CancellationReason;
    use aws_sdk_dynamodb::types::error::{
        ConditionalCheckFailedException, TransactionCanceledException,
    };
    use aws_smithy_mocks::{Rule, RuleMode, mock, mock_client};
    use bcce_core::run::ids::ItemOf;
    use bcce_core::run::manifest::{Evidence, Manifest};
    use time::macros::datetime;

    fn closed() -> ClosedRun {
        let reference = RunRef::first("default", "explain", "42");
        let started_at = datetime!(2026-11-01 12:00 UTC);
        let run = Run { reference, execution_arn: "arn".into(), started_at };
        let mut manifest = Manifest::seal(Evidence {
            run: &run,
            plan: None,
            artifacts: vec![],
            answers: vec![],
            failures: vec![],
            broken: vec![],
            logged_calls: vec![],
            fault: None,
            ending: None,
            ended_at: datetime!(2026-11-01 12:01 UTC),
        });
        manifest.usage_by_model = vec![UsageLine {
            region: "us-east-1".into(),
            model_id: "us.m".into(),
            calls: 2,
            failed_calls: 1,
            rejected_calls: 0,
            unknown_calls: 1,
            unpriced_calls: 1,
            lost_calls: 0,
            totals: Totals {
                priced_subtotal_usd: Some("0.00165".parse().unwrap()),
                ..Totals::default()
            },
        }];
        ClosedRun {
            run,
            manifest,
            manifest_key: "k".into(),
            manifest_sha256: "0".into(),
            notification_owner: "arn".into(),
        }
    }

    async fn close(rule: Rule) -> Result<Closed, Fault> {
        let client = mock_client!(aws_sdk_dynamodb, RuleMode::MatchAny, [&rule]);
        Ledger { client, table: "t".into() }.close(&closed()).await
    }

    fn cancelled(codes: [&str; 2]) -> TransactWriteItemsError {
        let reason =
            |code| CancellationReason::builder().code(code).item("notification_owner", text("arn"));
        let reasons = codes.map(|code| reason(code).build());
        let exception = TransactionCanceledException::builder();
        TransactWriteItemsError::TransactionCanceledException(
            exception.set_cancellation_reasons(Some(reasons.to_vec())).build(),
        )
    }

    #[tokio::test]
    async fn record_and_counter_are_one_transaction_and_the_record_is_conditional() {
        let rule = mock!(Client::transact_write_items)
            .match_requests(|write| {
                let updates: Vec<&Update> =
                    write.transact_items().iter().filter_map(|item| item.update()).collect();
                updates.len() == 2
                    && updates[0].condition_expression() == Some("attribute_not_exists(#counted)")
                    && updates[1].key()["pk"]
                        .as_s()
                        .is_ok_and(|pk| pk.starts_with("usage#2026-11-01#"))
                    && updates[1].expression_attribute_values().unwrap()[":c12"]
                        .as_n()
                        .is_ok_and(|cost| cost == "0.00165")
            })
            .then_output(|| TransactWriteItemsOutput::builder().build());
        assert_eq!(close(rule).await, Ok(Closed::Now));
    }

    #[tokio::test]
    async fn an_item_of_a_batch_adds_to_its_tally_in_the_same_transaction() {
        let mut item = closed();
        item.run.reference.batch =
            Some(ItemOf { batch_id: "explain-batch-1".into(), attempt_no: 2 });
        item.manifest.status = RunStatus::Failed;
        item.manifest.error = Some(Fault::internal("ours"));
        let rule = mock!(Client::transact_write_items)
            .match_requests(|write| {
                let updates: Vec<&Update> =
                    write.transact_items().iter().filter_map(|item| item.update()).collect();
                let tally = updates[2];
                let added: BTreeMap<&str, &AttributeValue> = tally
                    .expression_attribute_names()
                    .unwrap()
                    .iter()
                    .map(|(place, name)| {
                        let value = place.replacen('#', ":", 1);
                        (name.as_str(), &tally.expression_attribute_values().unwrap()[&value])
                    })
                    .collect();
                updates.len() == 3
                    && tally.key()["pk"] == text("progress#explain-batch-1#2")
                    && tally.update_expression().starts_with("ADD ")
                    && *added["failed"] == number(1)
                    && *added["error:Bcce.Internal"] == number(1)
                    && !added.contains_key("succeeded")
            })
            .then_output(|| TransactWriteItemsOutput::builder().build());
        let client = mock_client!(aws_sdk_dynamodb, [&rule]);
        let closed = Ledger { client, table: "t".into() }.close(&item).await;
        assert_eq!(closed, Ok(Closed::Now));
    }

    #[tokio::test]
    async fn a_refused_record_was_counted_before_and_a_conflict_is_tried_again() {
        let before = mock!(Client::transact_write_items)
            .then_error(|| cancelled(["ConditionalCheckFailed", "None"]));
        assert_eq!(
            close(before).await,
            Ok(Closed::Before { notification_owner: Some("arn".into()) })
        );
        let conflict = mock!(Client::transact_write_items)
            .then_error(|| cancelled(["None", "TransactionConflict"]));
        assert!(close(conflict).await.is_err());
        let once = mock!(Client::transact_write_items)
            .sequence()
            .error(|| cancelled(["None", "TransactionConflict"]))
            .output(|| TransactWriteItemsOutput::builder().build())
            .build();
        assert_eq!(close(once).await, Ok(Closed::Now));
        let otherwise = mock!(Client::transact_write_items)
            .sequence()
            .error(|| cancelled(["None", "ThrottlingError"]))
            .output(|| TransactWriteItemsOutput::builder().build())
            .build();
        assert!(close(otherwise).await.is_err(), "a retry of the function has a pause of its own");
    }

    #[tokio::test]
    async fn what_was_begun_is_read_by_step_and_an_unreadable_call_is_not_passed_over() {
        let call = r#"{"started_at":"2026-11-01T12:00:00Z","target":{"region":"us-east-1","model_id":"us.m"}}"#;
        for (written, known) in [(call, Some(2)), ("{}", None)] {
            let item = |sk: &str| {
                let calls = AttributeValue::Ss(vec![written.to_owned()]);
                Item::from([("sk".into(), text(sk)), ("begun".into(), calls)])
            };
            let items = vec![item("answer"), item("part#3")];
            let rule = mock!(Client::query)
                .match_requests(|query| {
                    let values = query.expression_attribute_values().unwrap();
                    values[":pk"].as_s().is_ok_and(|pk| pk.starts_with("calls#explain-"))
                })
                .then_output(move || QueryOutput::builder().set_items(Some(items.clone())).build());
            let client = mock_client!(aws_sdk_dynamodb, [&rule]);
            let begun = Ledger { client, table: "t".into() }.logged_calls(&closed().run).await.ok();
            assert_eq!(begun.as_ref().map(Vec::len), known);
            if let Some(begun) = begun {
                assert_eq!((begun[1].step.as_str(), begun[1].item), ("part", Some(3)));
            }
        }
    }

    #[tokio::test]
    async fn the_teller_changes_only_while_it_is_the_one_expected() {
        let refused = mock!(Client::update_item).then_error(|| {
            let exception = ConditionalCheckFailedException::builder().build();
            UpdateItemError::ConditionalCheckFailedException(exception)
        });
        let done = mock!(Client::update_item)
            .match_requests(|update| {
                update.condition_expression() == Some("notification_owner = :from")
            })
            .then_output(|| UpdateItemOutput::builder().build());
        for (rule, expected) in [(refused, false), (done, true)] {
            let client = mock_client!(aws_sdk_dynamodb, [&rule]);
            let ledger = Ledger { client, table: "t".into() };
            assert_eq!(ledger.take_over(&closed().run, "a", "b").await, Ok(expected));
        }
    }

    #[tokio::test]
    async fn a_run_that_was_counted_is_over_and_does_not_open_again() {
        for (attribute, opened) in [("counted", Opened::Over), ("status", Opened::Open)] {
            let rule = mock!(Client::put_item).then_error(move || {
                let exception = ConditionalCheckFailedException::builder();
                let exception = exception.item(attribute, AttributeValue::Bool(true)).build();
                PutItemError::ConditionalCheckFailedException(exception)
            });
            let client = mock_client!(aws_sdk_dynamodb, [&rule]);
            let ledger = Ledger { client, table: "t".into() };
            assert_eq!(ledger.open(&OpenedRun { run: closed().run }).await, Ok(opened));
        }
    }

    #[tokio::test]
    async fn a_record_reads_back_as_it_was_written() {
        let run = closed().run;
        let mut item = identity(&run, RunStatus::Running);
        let read = record(&item).unwrap();
        assert_eq!((read.run_id.as_str(), read.started_at), (run.run_id.as_str(), run.started_at));
        assert_eq!((read.status, read.cost_usd), (RunStatus::Running, None));
        item.remove("tenant");
        assert_eq!(record(&item), None);
    }

    #[test]
    fn tags_stay_whole_on_the_record_and_answers_that_were_cut_are_counted() {
        let mut closed = closed();
        let tags = [("branch", "fix/größe"), ("pull request", "feat(x): \u{1f600}")];
        let tags = tags.map(|(key, value)| (key.to_owned(), value.to_owned()));
        (closed.manifest.tags, closed.manifest.truncated) = (tags.into(), 2);
        let change = closing(&closed);
        let mut item: Item =
            change.values.into_iter().map(|(name, value)| (name[1..].to_owned(), value)).collect();
        let read = record(&item).unwrap();
        assert_eq!((&read.tags, read.truncated), (&closed.manifest.tags, 2));
        item.retain(|name, _| name != "tags" && name != "truncated");
        let before = record(&item).unwrap();
        assert_eq!((before.tags.len(), before.truncated), (0, 0), "a record of an earlier version");
        closed.run.reference.batch = Some(ItemOf { batch_id: "b".into(), attempt_no: 1 });
        let counted = batches::tallying(&closed).unwrap();
        let place = counted.names.iter().find(|(_, name)| *name == "truncated").unwrap().0;
        assert_eq!(counted.values[&place.replace('#', ":")], number(1));
    }
}
