use super::*;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::put_item::{PutItemError, PutItemOutput};
use aws_sdk_dynamodb::operation::transact_write_items::{
    TransactWriteItemsError, TransactWriteItemsOutput,
};
use aws_sdk_dynamodb::types::error::{
    ConditionalCheckFailedException, TransactionCanceledException,
};
use aws_sdk_dynamodb::types::{CancellationReason, Update};
use aws_smithy_mocks::{Rule, RuleMode, mock, mock_client};
use bcce_core::base::trace::TraceId;
use bcce_core::run::ids::ItemOf;
use bcce_core::run::manifest::{Detail, Evidence, Manifest, StepUsage, UsageLine};
use time::macros::{date, datetime};

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
    manifest.usage_by_step = vec![StepUsage {
        day: date!(2026 - 10 - 31),
        step: "answer".into(),
        tier: "default".into(),
        long_prompt: false,
        line: UsageLine {
            region: "us-east-1".into(),
            model_id: "us.m".into(),
            calls: 2,
            totals: Totals {
                priced_subtotal_usd: Some("0.00165".parse().unwrap()),
                ..Totals::default()
            },
            ..UsageLine::default()
        },
        detail: Detail::default(),
    }];
    ClosedRun {
        run,
        manifest,
        manifest_key: "k".into(),
        manifest_sha256: "0".into(),
        notification_owner: "arn".into(),
    }
}

/// Returns the value that an update adds to a counter.
fn added(update: &Update, counter: &str) -> Option<AttributeValue> {
    let (place, _) =
        update.expression_attribute_names()?.iter().find(|(_, name)| *name == counter)?;
    Some(update.expression_attribute_values()?[&place.replace('#', ":")].clone())
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
async fn record_and_counters_are_one_transaction_and_the_record_is_conditional() {
    let rule = mock!(Client::transact_write_items)
        .match_requests(|write| {
            let updates: Vec<&Update> =
                write.transact_items().iter().filter_map(|item| item.update()).collect();
            let pk = |n: usize| updates[n].key()["pk"].as_s().unwrap().as_str();
            updates.len() == 3
                && updates[0].condition_expression() == Some("attribute_not_exists(#counted)")
                && pk(1).starts_with("usage#2026-10-31#")
                && added(updates[1], "cost_usd") == Some(number("0.00165"))
                && pk(2).starts_with("usage#2026-11-01#")
                && added(updates[2], "failed") == Some(number(1))
        })
        .then_output(|| TransactWriteItemsOutput::builder().build());
    assert_eq!(close(rule).await, Ok(Closed::Now));
}

#[tokio::test]
async fn an_item_of_a_batch_adds_to_its_progress_in_the_same_transaction() {
    let mut item = closed();
    item.run.reference.batch = Some(ItemOf { batch_id: "explain-batch-1".into(), attempt_no: 2 });
    item.manifest.status = RunStatus::Failed;
    item.manifest.error = Some(Fault::internal("failed"));
    let rule = mock!(Client::transact_write_items)
        .match_requests(|write| {
            let updates: Vec<&Update> =
                write.transact_items().iter().filter_map(|item| item.update()).collect();
            let progress = updates[3];
            updates.len() == 4
                && progress.key()["pk"] == text("progress#explain-batch-1#2")
                && progress.update_expression().starts_with("ADD ")
                && added(progress, "failed") == Some(number(1))
                && added(progress, "error:Bcce.Internal") == Some(number(1))
                && added(progress, "succeeded").is_none()
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
    assert_eq!(close(before).await, Ok(Closed::Before { notification_owner: Some("arn".into()) }));
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
    assert!(close(otherwise).await.is_err(), "the function is retried after its own pause");
}

#[tokio::test]
async fn a_run_that_was_counted_does_not_open_again() {
    for (attribute, opened) in [("counted", RecordState::Over), ("status", RecordState::Open)] {
        let rule = mock!(Client::put_item).then_error(move || {
            let exception = ConditionalCheckFailedException::builder();
            let exception = exception.item(attribute, AttributeValue::Bool(true)).build();
            PutItemError::ConditionalCheckFailedException(exception)
        });
        let client = mock_client!(aws_sdk_dynamodb, [&rule]);
        let ledger = Ledger { client, table: "t".into() };
        let run = OpenedRun { run: closed().run, trace_id: None };
        assert_eq!(ledger.open(&run).await, Ok(opened));
    }
}

#[tokio::test]
async fn a_record_has_the_trace_of_its_execution_from_its_start() {
    const ID: &str = "1-6a4f0c20-0759e988bd862e3fe1be46a9";
    let rule = mock!(Client::put_item)
        .match_requests(|put| {
            let written = record(put.item().unwrap()).unwrap();
            written.trace_id.as_deref() == Some(ID)
        })
        .then_output(|| PutItemOutput::builder().build());
    let client = mock_client!(aws_sdk_dynamodb, [&rule]);
    let ledger = Ledger { client, table: "t".into() };
    let run = OpenedRun { run: closed().run, trace_id: TraceId::parse(ID) };
    assert_eq!(ledger.open(&run).await, Ok(RecordState::Open));
    let closing = super::close(&closed());
    assert!(!closing.values.iter().any(|(name, _)| name.contains("trace")), "it is kept");
}

#[tokio::test]
async fn a_record_reads_back_as_it_was_written() {
    let run = closed().run;
    let mut item = start(&run, RunStatus::Running).item();
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
    let change = super::close(&closed);
    let mut item: Item =
        change.values.into_iter().map(|(name, value)| (name[1..].to_owned(), value)).collect();
    let read = record(&item).unwrap();
    assert_eq!((&read.tags, read.truncated), (&closed.manifest.tags, 2));
    item.retain(|name, _| name != "tags" && name != "truncated");
    let before = record(&item).unwrap();
    assert_eq!((before.tags.len(), before.truncated), (0, 0), "a record of an earlier version");
    closed.run.reference.batch = Some(ItemOf { batch_id: "b".into(), attempt_no: 1 });
    let counted = progress::count_run(&closed).unwrap();
    let place = counted.names.iter().find(|(_, name)| *name == "truncated").unwrap().0;
    assert_eq!(counted.values[&place.replace('#', ":")], number(1));
}
