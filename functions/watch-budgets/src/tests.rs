use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use bcce_core::fakes::{MemoryHealth, MemoryParameters, MemoryStore, StoppedClock, now};
use bcce_core::ports::SetLimit;
use bcce_core::run::budgets::{CounterState, Limit, Reserved};
use time::macros::datetime;

use super::*;

const EVENT: &str = include_str!("../../../events/watch-budgets/schedule.json");
const NOON: OffsetDateTime = datetime!(2026-11-30 12:05 UTC);
const DOCUMENT: &str = "version: 1\nbudgets:\n  each: { scope: tenant, window: day, usd: 10 }\n  month: { scope: environment, window: month, tokens: 1000 }\n  one-run: { scope: run, usd: 5 }\n";

/// A topic that notes what is sent, and fails on request.
#[derive(Default)]
struct Topic {
    sent: RefCell<Vec<BudgetAlert>>,
    is_gone: Cell<bool>,
}

impl PublishAlert for Topic {
    async fn publish_alert(&self, alert: &BudgetAlert) -> Result<(), Fault> {
        if self.is_gone.get() {
            return Err(Fault::internal("the topic is unreachable on request"));
        }
        self.sent.borrow_mut().push(alert.clone());
        Ok(())
    }
}

type Fakes = Ports<
    MemoryStore,
    MemoryParameters,
    &'static MemoryHealth,
    Topic,
    StoppedClock,
    Box<dyn Fn(&str)>,
>;

fn ports(document: &str) -> Fakes {
    let parameter = ("/bcce/dev/budgets".to_owned(), document.to_owned());
    let parameters = MemoryParameters([parameter].into());
    Ports {
        store: MemoryStore::default(),
        parameters,
        ledger: Box::leak(Box::default()),
        topic: Topic::default(),
        clock: StoppedClock(NOON),
        metrics: Box::new(|_: &str| {}),
    }
}

fn watch(ports: &Fakes) -> Result<Response, Fault> {
    let config = Config {
        environment: "dev".into(),
        bucket: "b".into(),
        ledger_table: "t".into(),
        topic_arn: "a".into(),
    };
    let _: Request = serde_json::from_str(EVENT).unwrap();
    now(handle(ports, &config))
}

/// Spends an amount of a counter with this limit.
fn spend(ports: &Fakes, counter: &str, limit: u32, amount: u32) {
    let ledger = ports.ledger;
    let limit = Limit {
        counter: counter.to_owned(),
        unit: bcce_core::config::budgets::Unit::Usd,
        limit: limit.into(),
        revision: 1,
        expires_at: None,
    };
    now(ledger.set_limit(&limit)).unwrap();
    let reserved = Reserved {
        counter: counter.to_owned(),
        shard: 0,
        revision: 1,
        unit: limit.unit,
        amount: Decimal::ZERO,
    };
    ledger.counters.commit(&[reserved], &[amount.into()]);
}

#[test]
fn each_value_has_its_alerts_once() {
    let ports = ports(DOCUMENT);
    spend(&ports, "each:tenant:usd#alpha#2026-11-30", 10, 8);
    spend(&ports, "each:tenant:usd#beta#2026-11-30", 10, 7);
    // The day before, and the budget of an earlier document.
    spend(&ports, "each:tenant:usd#alpha#2026-11-29", 10, 10);
    spend(&ports, "gone:tenant:usd#alpha#2026-11-30", 10, 10);
    spend(&ports, "month:environment:tokens##2026-11", 1_000, 950);
    assert_eq!(watch(&ports), Ok(Response { counters: 3, alerts: 2 }));
    let sent: BTreeMap<String, (String, u8)> = ports
        .topic
        .sent
        .borrow()
        .iter()
        .map(|alert| (alert.budget.clone(), (alert.value.clone(), alert.percent)))
        .collect();
    let expected = [("each".into(), ("alpha".into(), 80)), ("month".into(), (String::new(), 90))];
    assert_eq!(sent, expected.into());
    assert_eq!(watch(&ports), Ok(Response { counters: 3, alerts: 0 }));
    spend(&ports, "each:tenant:usd#beta#2026-11-30", 10, 3);
    assert_eq!(watch(&ports).unwrap().alerts, 1);
    assert_eq!(ports.topic.sent.borrow().last().unwrap().percent, 100);
}

/// A budget that was used up shortly before midnight is told after it, and the metric has the new day only.
#[test]
fn the_window_that_has_just_ended_is_looked_at_once_more() {
    let mut ports = ports(DOCUMENT);
    let lines: &'static RefCell<Vec<String>> = Box::leak(Box::default());
    ports.metrics = Box::new(|line: &str| lines.borrow_mut().push(line.to_owned()));
    ports.clock = StoppedClock(datetime!(2026-12-02 00:03 UTC));
    spend(&ports, "each:tenant:usd#alpha#2026-12-01", 10, 10);
    spend(&ports, "each:tenant:usd#alpha#2026-12-02", 10, 1);
    assert_eq!(watch(&ports), Ok(Response { counters: 2, alerts: 1 }));
    assert_eq!(ports.topic.sent.borrow()[0].window, "2026-12-01");
    assert!(lines.borrow()[0].contains("\"BudgetUsed\":10.0"), "{lines:?}");
}

#[test]
fn an_alert_that_cannot_be_sent_is_sent_later() {
    let ports = ports(DOCUMENT);
    spend(&ports, "month:environment:tokens##2026-11", 1_000, 800);
    ports.topic.is_gone.set(true);
    assert!(watch(&ports).is_err());
    ports.topic.is_gone.set(false);
    assert_eq!(watch(&ports).unwrap().alerts, 1);
    assert_eq!(watch(&ports).unwrap().alerts, 0);
}

#[test]
fn a_stack_without_budgets_has_nothing_to_watch_and_an_invalid_document_is_a_fault() {
    let mut none = ports(DOCUMENT);
    none.parameters = MemoryParameters(BTreeMap::new());
    assert_eq!(watch(&none), Ok(Response::default()));
    let fault = watch(&ports("version: 2\n")).unwrap_err().to_string();
    assert!(fault.contains("/bcce/dev/budgets is invalid: version: must be 1"), "{fault}");
}

#[test]
fn a_counter_that_nobody_has_used_is_empty() {
    assert_eq!(used(&CounterState::default()), None);
}
