//! Tests of messages that name a workflow that does not exist.

use super::*;

fn of(workflow: &str) -> String {
    EXPLAIN.replace("explain", workflow)
}

/// Returns an event with `bodies`, sent `second` seconds after noon.
fn sent(second: i64, bodies: &[String]) -> SqsEvent {
    let mut event = event(&bodies.iter().map(String::as_str).collect::<Vec<_>>());
    let at = (NOON + time::Duration::seconds(second)).unix_timestamp() * 1_000;
    for record in &mut event.records {
        record.attributes.insert("SentTimestamp".into(), at.to_string());
    }
    event
}

#[tokio::test]
async fn a_hundred_unknown_names_cost_one_listing_and_make_nothing() {
    let outbox = Outbox::default();
    let ports = ports(&outbox);
    let names: Vec<String> = (0..100).map(|n| of(&format!("random-{n}"))).collect();
    for batch in names.chunks(10) {
        assert!(come_again(&ports, &config(), sent(-60, batch)).await.is_empty());
    }
    assert!(failed(&ports, &[EXPLAIN]).await.is_empty());
    assert_eq!(ports.machine.started.borrow().len(), 1, "the valid message behind them");
    assert_eq!(ports.store.objects.borrow().len(), 1);
    assert_eq!(ports.parameters.listings.get(), 1);
    assert_eq!((outbox.letters.borrow().len(), outbox.notifications.borrow().len()), (100, 100));
    let reason = &outbox.letters.borrow()[0].1;
    assert_eq!(
        reason,
        "workflow: there is no workflow random-0: the SSM parameter /bcce/dev/workflows/random-0 is missing"
    );
}

/// Any sender can make names up, and must not be able to fire an alarm with them.
#[tokio::test]
async fn a_name_that_waits_for_a_list_does_not_fire_the_alarm() {
    let outbox = Outbox::default();
    let ports = ports(&outbox);
    ports.parameters.failing.set(true);
    handle(&ports, &config(), sent(0, &[of("new"), of("newer")])).await.unwrap();
    let documents = outbox.metrics.take();
    let [of_tenant] = documents.as_slice() else { panic!("{documents:?}") };
    assert_eq!(
        (&of_tenant["Tenant"], &of_tenant["MessagesWaiting"]),
        (&json!("default"), &json!(2))
    );
}

#[tokio::test]
async fn a_batch_of_no_workflow_is_refused_as_well() {
    let outbox = Outbox::default();
    let ports = ports(&outbox);
    let batch = BATCH.replace("explain", "explian");
    assert!(failed(&ports, &[&batch]).await.is_empty());
    assert!(ports.batch_machine.started.borrow().is_empty());
    assert!(ports.store.objects.borrow().is_empty());
    assert!(outbox.letters.borrow()[0].1.starts_with("workflow: there is no workflow explian"));
    assert_eq!(outbox.notifications.borrow()[0].request_id, "42");
}

/// The list is older than the message. The sender may have pushed the workflow in between.
#[tokio::test]
async fn no_message_is_refused_on_an_old_list() {
    let outbox = Outbox::default();
    let ports = ports(&outbox);
    assert!(failed(&ports, &[EXPLAIN]).await.is_empty());
    ports.clock.pass(4);
    let early = sent(3, &[of("new")]);
    assert_eq!(come_again(&ports, &config(), early.clone()).await, ["m-0"]);
    let delay = outbox.delays.borrow()[0].as_secs();
    assert!((6..=8).contains(&delay), "until the next listing: {delay}");
    assert_eq!(ports.parameters.listings.get(), 1);
    ports.parameters.names.borrow_mut().push("new");
    ports.clock.pass(7);
    assert!(come_again(&ports, &config(), early).await.is_empty());
    assert_eq!((ports.machine.started.borrow().len(), ports.parameters.listings.get()), (2, 2));
    assert!(outbox.letters.borrow().is_empty());
}

#[tokio::test]
async fn a_known_workflow_starts_while_ssm_is_down_and_an_unknown_one_waits() {
    let outbox = Outbox::default();
    let ports = ports(&outbox);
    assert!(failed(&ports, &[EXPLAIN]).await.is_empty());
    ports.parameters.failing.set(true);
    ports.clock.pass(86_400 * 30);
    let another = EXPLAIN.replace("42", "43");
    assert!(failed(&ports, &[&another]).await.is_empty());
    let unknown = sent(86_400 * 30, &[of("new")]);
    for _ in 0..10 {
        assert_eq!(come_again(&ports, &config(), unknown.clone()).await, ["m-0"]);
    }
    assert_eq!(ports.parameters.listings.get(), 2, "a listing that failed is not repeated at once");
    // The next listings follow after 10 s, 20 s and 30 s.
    for (second, listings) in [(9, 2), (1, 3), (19, 3), (1, 4), (29, 4), (1, 5), (29, 5), (1, 6)] {
        ports.clock.pass(second);
        assert_eq!(come_again(&ports, &config(), unknown.clone()).await, ["m-0"]);
        assert_eq!(ports.parameters.listings.get(), listings);
    }
    ports.parameters.failing.set(false);
    ports.clock.pass(30);
    assert!(come_again(&ports, &config(), unknown).await.is_empty());
    assert_eq!(outbox.letters.borrow().len(), 1);
    assert_eq!(ports.machine.started.borrow().len(), 2);
}
