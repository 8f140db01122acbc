//! Tests that a flood of one tenant delays that tenant and no other.

use super::*;
use crate::waiting::RENEW_AT;
use bcce_core::ledger::slots_pk;

fn limited(runs: u32, batch_items: u32) -> Config {
    Config { tenant_maximum_runs: runs, tenant_maximum_batch_items: batch_items, ..config() }
}

fn request(n: usize) -> String {
    EXPLAIN.replace("42", &n.to_string())
}

/// Returns an event with `bodies` from the inbox of a tenant, delivered for the `received`th time.
fn through(inbox: &str, received: u32, bodies: &[String]) -> SqsEvent {
    let mut event = event(&bodies.iter().map(String::as_str).collect::<Vec<_>>());
    for record in &mut event.records {
        record.event_source_arn = Some(format!("arn:aws:sqs:us-east-1:123456789012:{inbox}"));
        record.attributes.insert("ApproximateReceiveCount".into(), received.to_string());
    }
    event
}

#[tokio::test]
async fn a_flood_waits_in_its_own_inbox_and_the_neighbour_starts_at_once() {
    let outbox = Outbox::default();
    let (ports, config) = (ports(&outbox), limited(3, 0));
    let flood: Vec<String> = (0..10).map(request).collect();
    let waiting = come_again(&ports, &config, through("bcce-inbox-a", 1, &flood)).await;
    assert_eq!((waiting.len(), ports.machine.started.borrow().len()), (7, 3));
    let neighbour = through("bcce-inbox-b", 1, &[request(1)]);
    assert!(come_again(&ports, &config, neighbour).await.is_empty());
    assert_eq!(ports.machine.started.borrow().len(), 4);
    // Runs end and free their slots.
    for left in [4, 1, 0] {
        ports.ledger.release_all();
        ports.machine.end_all();
        ports.clock.pass(2);
        let waiting = come_again(&ports, &config, through("bcce-inbox-a", 2, &flood)).await;
        // A run that was started before takes no second slot.
        assert_eq!(waiting.len(), left, "{:?}", ports.ledger.holders());
    }
    assert_eq!(ports.machine.started.borrow().len(), 11);
    assert!(outbox.letters.borrow().is_empty() && outbox.notifications.borrow().is_empty());
}

/// An instance that read the slots less than a second ago does not read them for each message, and writes no request.
#[tokio::test]
async fn a_flood_costs_one_reading_a_second() {
    let outbox = Outbox::default();
    let (ports, config) = (ports(&outbox), limited(1, 0));
    come_again(&ports, &config, through("bcce-inbox-a", 1, &[request(0)])).await;
    let before = ports.ledger.asked.get();
    let flood: Vec<String> = (1..100).map(request).collect();
    assert_eq!(come_again(&ports, &config, through("bcce-inbox-a", 1, &flood)).await.len(), 99);
    assert_eq!(ports.ledger.asked.get() - before, 2, "one slot is taken, counted and released");
    assert_eq!(ports.ledger.holders().len(), 1);
    assert_eq!(
        ports.store.objects.borrow().len(),
        2,
        "the one that runs, and the first that waits"
    );
}

#[tokio::test]
async fn a_flood_of_batches_writes_one_request_a_second() {
    let outbox = Outbox::default();
    let (ports, config) = (ports(&outbox), limited(0, 20));
    let flood: Vec<String> = (0..100).map(|n| BATCH.replace("42", &n.to_string())).collect();
    assert_eq!(come_again(&ports, &config, through("bcce-inbox", 1, &flood)).await.len(), 99);
    assert_eq!(
        ports.store.objects.borrow().len(),
        2,
        "the one that runs, and the first that waits"
    );
    // The message of the batch that runs is received again. It causes no write, and does not wait.
    let again = through("bcce-inbox", 2, &flood[..2]);
    assert_eq!(come_again(&ports, &config, again).await, ["m-1"]);
    assert_eq!(ports.batch_machine.started.borrow().len(), 1);
}

/// SQS makes a message a dead letter after a hundred receives.
#[tokio::test]
async fn waiting_for_days_spends_no_receives() {
    let outbox = Outbox::default();
    let (ports, config) = (ports(&outbox), limited(1, 0));
    come_again(&ports, &config, through("bcce-inbox-a", 1, &[request(0)])).await;
    let anonymous = vec![r#"{"workflow":"explain","inputs":{"text":"a"}}"#.to_owned()];
    for received in 1..RENEW_AT {
        ports.clock.pass(60);
        let again =
            come_again(&ports, &config, through("bcce-inbox-a", received, &anonymous)).await;
        assert_eq!(again, ["m-0"]);
    }
    assert!(outbox.copies.borrow().is_empty());
    ports.clock.pass(60);
    let last = through("bcce-inbox-a", RENEW_AT, &anonymous);
    assert!(come_again(&ports, &config, last).await.is_empty(), "the message is deleted");
    let copies = outbox.copies.borrow();
    let [(body, request_id, delay)] = copies.as_slice() else { panic!("{copies:?}") };
    assert_eq!((body, request_id.as_str()), (&anonymous[0], "m-0"));
    assert!((75..=150).contains(&delay.as_secs()), "{delay:?}");
}

/// The invocation that sent the copy ended before SQS deleted the message. SQS delivers both, and they are one request.
#[tokio::test]
async fn a_copy_and_its_message_are_one_run() {
    let outbox = Outbox::default();
    let ports = ports(&outbox);
    let anonymous = vec![r#"{"workflow":"explain","inputs":{"text":"a"}}"#.to_owned()];
    let mut copy = through("bcce-inbox-a", 1, &anonymous);
    copy.records[0].message_id = Some("copy".into());
    let attribute = json!({ "stringValue": "m-0", "dataType": "String", "stringListValues": [], "binaryListValues": [] });
    copy.records[0]
        .message_attributes
        .insert(REQUEST_ID.into(), serde_json::from_value(attribute).unwrap());
    come_again(&ports, &limited(5, 0), through("bcce-inbox-a", 50, &anonymous)).await;
    come_again(&ports, &limited(5, 0), copy).await;
    assert_eq!(ports.machine.started.borrow().len(), 1);
}

#[tokio::test]
async fn a_copy_that_cannot_be_sent_leaves_the_message_where_it_is() {
    let outbox = Outbox::default();
    let ports = ports(&outbox);
    ports.machine.throttled.set(1);
    outbox.failing.set(true);
    let event = through("bcce-inbox-a", RENEW_AT, &[request(0)]);
    assert_eq!(come_again(&ports, &limited(5, 0), event).await, ["m-0"]);
    assert!(outbox.copies.borrow().is_empty());
}

/// Another delivery of the message may have started the run with the same slot.
#[tokio::test]
async fn a_start_that_is_throttled_keeps_its_slot() {
    let outbox = Outbox::default();
    let (ports, config) = (ports(&outbox), limited(1, 0));
    ports.machine.throttled.set(1);
    let event = |n| through("bcce-inbox-a", 1, &[request(n)]);
    assert_eq!(come_again(&ports, &config, event(0)).await, ["m-0"]);
    assert_eq!(ports.ledger.holders().len(), 1);
    ports.clock.pass(2);
    assert_eq!(come_again(&ports, &config, event(1)).await, ["m-0"]);
    assert!(come_again(&ports, &config, event(0)).await.is_empty());
    assert_eq!(ports.machine.started.borrow().len(), 1);
    assert_eq!(ports.ledger.holders().len(), 1);
}

/// The message was received again after its run was over and its slot was released.
#[tokio::test]
async fn a_run_that_was_started_before_holds_no_second_slot() {
    let outbox = Outbox::default();
    let (ports, config) = (ports(&outbox), limited(5, 0));
    let event = || through("bcce-inbox-a", 1, &[request(0)]);
    come_again(&ports, &config, event()).await;
    ports.ledger.release_all();
    ports.machine.end_all();
    assert!(come_again(&ports, &config, event()).await.is_empty());
    assert!(ports.ledger.holders().is_empty());
}

/// The run has released its slot and publishes its notification. Step Functions answers as if it had just started it.
#[tokio::test]
async fn a_run_that_is_about_to_end_gets_no_second_slot() {
    let outbox = Outbox::default();
    let (ports, config) = (ports(&outbox), limited(5, 30));
    let event = || through("bcce-inbox-a", 1, &[request(0), BATCH.to_owned()]);
    come_again(&ports, &config, event()).await;
    ports.ledger.release_all();
    ports.clock.pass(5);
    assert!(come_again(&ports, &config, event()).await.is_empty());
    assert!(ports.ledger.holders().is_empty());
    assert_eq!(ports.machine.started.borrow().len(), 1);
}

/// The slot could not be released when the message was last received.
#[tokio::test]
async fn a_slot_of_a_run_that_is_over_is_released_whenever_its_message_comes() {
    let outbox = Outbox::default();
    let (ports, config) = (ports(&outbox), limited(5, 0));
    let event = || through("bcce-inbox-a", 1, &[request(0)]);
    come_again(&ports, &config, event()).await;
    ports.machine.end_all();
    assert!(come_again(&ports, &config, event()).await.is_empty());
    assert!(ports.ledger.holders().is_empty());
}

#[tokio::test]
async fn a_run_that_is_received_again_keeps_its_slot() {
    let outbox = Outbox::default();
    let (ports, config) = (ports(&outbox), limited(1, 0));
    let event = || through("bcce-inbox-a", 1, &[request(0)]);
    for _ in 0..3 {
        assert!(come_again(&ports, &config, event()).await.is_empty());
        assert_eq!(ports.ledger.holders().len(), 1);
        ports.clock.pass(60);
    }
    assert_eq!(ports.machine.started.borrow().len(), 1);
}

/// One message is delivered twice. This delivery took the slot, and the other one started the run before this one did.
#[tokio::test]
async fn a_run_that_another_delivery_started_with_the_slot_keeps_it() {
    let outbox = Outbox::default();
    let (ports, config) = (ports(&outbox), limited(5, 0));
    let run = RunRef::first("a", "explain", "0").execution_name();
    ports.machine.running.borrow_mut().insert(run, NOON + time::Duration::seconds(30));
    let event = through("bcce-inbox-a", 1, &[request(0)]);
    assert!(come_again(&ports, &config, event).await.is_empty());
    assert_eq!(ports.ledger.holders().len(), 1);
}

/// The function ended between taking the slot and starting the run. The same message uses the slot at its next
/// delivery.
#[tokio::test]
async fn a_slot_that_the_message_took_before_serves_it_also_when_no_other_is_free() {
    let outbox = Outbox::default();
    let (ports, config) = (ports(&outbox), limited(1, 0));
    let run = RunRef::first("a", "explain", "0");
    let slot = Slot::new(Lane::Runs, &run.execution_name(), 1, NOON);
    ports.ledger.held.borrow_mut().push((slots_pk(Lane::Runs, "a"), slot));
    let both = through("bcce-inbox-a", 1, &[request(1), request(0)]);
    assert_eq!(come_again(&ports, &config, both).await, ["m-0"]);
    assert_eq!(*ports.machine.started.borrow(), [run.execution_name()]);
}

/// Takes slots for the requests with these numbers, the oldest one first.
fn leave_slots(ports: &Fakes<'_>, requests: std::ops::Range<u32>) {
    for n in requests {
        let run = RunRef::first("a", "explain", &n.to_string());
        let taken_at = NOON - time::Duration::seconds(3_600) + time::Duration::seconds(n.into());
        let slot = Slot::new(Lane::Runs, &run.execution_name(), 1, taken_at);
        ports.ledger.held.borrow_mut().push((slots_pk(Lane::Runs, "a"), slot));
    }
}

/// Instances ended between taking slots and the starts, until there were more slots than the limit.
#[tokio::test]
async fn slots_that_were_left_behind_lock_no_message_out() {
    let outbox = Outbox::default();
    let (ports, config) = (ports(&outbox), limited(3, 0));
    leave_slots(&ports, 0..4);
    let all: Vec<String> = (0..5).map(request).collect();
    let waiting = come_again(&ports, &config, through("bcce-inbox-a", 2, &all)).await;
    assert_eq!(waiting, ["m-3", "m-4"], "no more than the limit is started");
    assert_eq!(ports.machine.started.borrow().len(), 3);
    for left in [1, 0] {
        // The oldest run ends.
        ports.ledger.held.borrow_mut().remove(0);
        ports.clock.pass(2);
        let rest = through("bcce-inbox-a", 2, &all[3..]);
        assert_eq!(come_again(&ports, &config, rest).await.len(), left);
    }
    assert_eq!(ports.machine.started.borrow().len(), 5);
}

/// The limit was lowered while a batch was between its slot and its start.
#[tokio::test]
async fn a_batch_that_weighs_more_than_a_lowered_limit_starts() {
    let outbox = Outbox::default();
    let ports = ports(&outbox);
    let batch = BatchRef::first("default", "explain", "42");
    let slot = Slot::new(Lane::Batches, &batch.execution_name(), 100, NOON);
    ports.ledger.held.borrow_mut().push((slots_pk(Lane::Batches, "default"), slot));
    let event = through("bcce-inbox", 2, &[BATCH.to_owned()]);
    assert!(come_again(&ports, &limited(0, 50), event).await.is_empty());
    assert_eq!(ports.batch_machine.started.borrow().len(), 1);
}

#[tokio::test]
async fn a_slot_that_could_not_be_counted_is_released() {
    let outbox = Outbox::default();
    let (ports, config) = (ports(&outbox), limited(3, 0));
    ports.ledger.failing.set(1);
    let event = || through("bcce-inbox-a", 1, &[request(0)]);
    assert_eq!(come_again(&ports, &config, event()).await, ["m-0"]);
    assert!(ports.ledger.holders().is_empty());
    // A slot that the message took at an earlier delivery is kept.
    leave_slots(&ports, 0..1);
    ports.ledger.failing.set(1);
    assert_eq!(come_again(&ports, &config, event()).await, ["m-0"]);
    assert_eq!(ports.ledger.holders().len(), 1);
}

/// The end of the run was never recorded.
#[tokio::test]
async fn a_slot_that_was_never_released_ends_with_the_longest_execution() {
    let outbox = Outbox::default();
    let (ports, config) = (ports(&outbox), limited(1, 0));
    come_again(&ports, &config, through("bcce-inbox-a", 1, &[request(0)])).await;
    ports.clock.pass(89_999);
    let next = || through("bcce-inbox-a", 1, &[request(1)]);
    assert_eq!(come_again(&ports, &config, next()).await.len(), 1);
    ports.clock.pass(2);
    assert!(come_again(&ports, &config, next()).await.is_empty());
}

#[tokio::test]
async fn a_batch_weighs_its_items_and_runs_do_not_wait_for_it() {
    let outbox = Outbox::default();
    let (ports, config) = (ports(&outbox), limited(1, 30));
    let batches = |ids: [u32; 2]| {
        let bodies = ids.map(|id| BATCH.replace("42", &id.to_string()));
        through("bcce-inbox", 1, &bodies)
    };
    assert_eq!(come_again(&ports, &config, batches([1, 2])).await, ["m-1"], "20 and 20 items");
    assert_eq!(ports.batch_machine.started.borrow().len(), 1);
    let run = through("bcce-inbox", 1, &[request(0)]);
    assert!(come_again(&ports, &config, run).await.is_empty());
    ports.ledger.release_all();
    ports.clock.pass(2);
    let large = BATCH.replace(r#""batch":{"#, r#""batch":{"concurrency":500,"#);
    assert!(
        come_again(&ports, &config, through("bcce-inbox", 1, &[large])).await.is_empty(),
        "the weight is cut to the limit"
    );
    assert_eq!(ports.ledger.held.borrow()[0].1.weight, 30);
}

/// The operator needs the metric, since SQS's age of the oldest message leaves out messages that were received three
/// times.
#[tokio::test]
async fn who_waits_is_a_metric_by_the_tenant_and_for_the_alarm() {
    let outbox = Outbox::default();
    let (ports, config) = (ports(&outbox), limited(1, 0));
    let flood: Vec<String> = (0..4).map(request).collect();
    handle(&ports, &config, through("bcce-inbox-a", 1, &flood)).await.unwrap();
    let mut documents = outbox.metrics.take();
    documents.retain(|document| !document["MessagesWaiting"].is_null());
    let dimensions =
        |document: &Value| document["_aws"]["CloudWatchMetrics"][0]["Dimensions"].clone();
    let all: Vec<_> = documents
        .iter()
        .map(|document| (dimensions(document), document["MessagesWaiting"].clone()))
        .collect();
    assert_eq!(
        all,
        [(json!([["Environment", "Tenant"]]), json!(3)), (json!([["Environment"]]), json!(3))]
    );
    assert_eq!(documents[0]["Tenant"], "a");
    handle(&ports, &config, through("bcce-inbox-b", 1, &flood[..1])).await.unwrap();
    let mut idle = outbox.metrics.take();
    idle.retain(|document| !document["MessagesWaiting"].is_null());
    assert!(idle.is_empty(), "{idle:?}");
}
