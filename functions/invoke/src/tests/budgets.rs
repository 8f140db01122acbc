use std::cell::Cell;

use bcce_core::config::budgets::Unit;
use bcce_core::run::budgets::{CounterState, Reserved, Root, Shard};
use rust_decimal::Decimal;

use super::*;

/// Returns ports whose plan has a budget of this limit, with the request.
fn paid_from(limit: &str, unit: &str, reports: Vec<CallReport>) -> (Fakes, Request) {
    let mut plan: Value = serde_json::from_str(PLAN).unwrap();
    plan["budgets"] = json!({ "revision": 1, "applied": [
        { "name": "day", "scope": "tenant", "value": "default", "window": "day", "unit": unit, "limit": limit }
    ] });
    let (plan, mut ports) = (plan.to_string(), ports(reports));
    let request = Request { plan_sha256: sha256_hex(plan.as_bytes()), ..request() };
    ports.store = MemoryStore::with([(request.run.plan_key(), plan.into_bytes())]);
    (ports, request)
}

fn counter(ports: &Fakes) -> CounterState {
    let counters = ports.caller.health.ledger().counters.all();
    let found = counters.iter().find(|(name, _)| name.starts_with("day:tenant:"));
    found.map(|(_, state)| state.clone()).unwrap_or_default()
}

fn amounts(ports: &Fakes) -> (String, String) {
    let state = counter(ports);
    (state.spent().normalize().to_string(), state.reserved().normalize().to_string())
}

#[tokio::test]
async fn a_call_is_reserved_before_it_is_made_and_committed_with_its_cost() {
    let (ports, request) = paid_from("5", "usd", vec![says("It opens.", "end_turn")]);
    assert_eq!(handle(&ports, request, AMPLE).await, Ok(ANSWERED));
    assert_eq!(amounts(&ports), ("0.000165".into(), "0".into()));
    let logged = ports.caller.health.ledger().logged_calls.borrow();
    assert!(logged.len() == 1 && logged[0].is_committed);
    // The worst case is above the actual cost.
    assert!(logged[0].call.reserved[0].amount > Decimal::new(165, 6));
}

#[tokio::test]
async fn a_budget_in_tokens_counts_tokens() {
    let (ports, request) = paid_from("100000", "tokens", vec![says("It opens.", "end_turn")]);
    assert_eq!(handle(&ports, request, AMPLE).await, Ok(ANSWERED));
    assert_eq!(amounts(&ports), ("1100".into(), "0".into()));
}

#[tokio::test]
async fn a_call_above_the_limit_is_not_made_and_the_step_fails() {
    let (ports, request) = paid_from("0.0001", "usd", vec![]);
    let Response::Failed { error, .. } = handle(&ports, request, AMPLE).await.unwrap() else {
        panic!()
    };
    assert_eq!(error.name, ErrorName::BudgetExceeded);
    let parts =
        ["budgets.day: the call may cost $", "of default for this day (UTC)", "$0.0000 are spent"];
    assert!(parts.iter().all(|part| error.message.contains(part)), "{error}");
    assert!(regions(&ports).is_empty());
    assert_eq!(amounts(&ports), ("0".into(), "0".into()));
}

/// The first target cuts its stream, so what the call cost is unknown. The second call reserves anew.
#[tokio::test]
async fn a_call_of_unknown_cost_keeps_its_reservation() {
    let broken = fails(ErrorName::TargetBroken, None);
    let (ports, request) = paid_from("5", "usd", vec![broken, says("It opens.", "end_turn")]);
    assert_eq!(handle(&ports, request, AMPLE).await, Ok(ANSWERED));
    let worst = ports.caller.health.ledger().logged_calls.borrow()[0].call.reserved[0].amount;
    let state = counter(&ports);
    assert_eq!(state.spent(), worst + Decimal::new(165, 6));
    assert_eq!(state.reserved(), Decimal::ZERO);
}

/// There is room for the worst case of one call only. The repair is refused, and the invalid answer is paid.
#[tokio::test]
async fn a_repair_reserves_anew() {
    let (ports, request) = paid_from("5", "usd", vec![says("It opens.", "end_turn")]);
    handle(&ports, request, AMPLE).await.unwrap();
    let worst = ports.caller.health.ledger().logged_calls.borrow()[0].call.reserved[0].amount;
    let (ports, request) = paid_from("5", "usd", vec![]);
    let mut plan: Value = ports.store.json(&request.run.plan_key());
    plan["steps"][0]["output"] = json!({ "type": "json" });
    plan["budgets"]["applied"][0]["limit"] = json!((worst + Decimal::new(5, 5)).to_string());
    ports.caller.model.says.borrow_mut().push_back(says("no JSON", "end_turn"));
    let plan = plan.to_string();
    let request = Request { plan_sha256: sha256_hex(plan.as_bytes()), ..request };
    ports.store.objects.borrow_mut().insert(request.run.plan_key(), plan.into_bytes());
    let response = handle(&ports, request, AMPLE).await.unwrap();
    let Response::Failed { error, .. } = response else { panic!("{response:?}") };
    assert_eq!(error.name, ErrorName::BudgetExceeded, "{error}");
    assert_eq!(regions(&ports).len(), 1);
    assert_eq!(amounts(&ports), ("0.000165".into(), "0".into()));
}

const COUNTER: &str = "day:tenant:usd#default#2026-11-01";

/// Reserves all of a limit for another call.
fn reserve_all(ports: &Fakes, all: Decimal) -> Reserved {
    let shard = Shard { revision: 1, reserved: all, ..Shard::default() };
    let root = Root { limit: all, revision: 1, leased: all, ..Root::default() };
    let state = CounterState { root: Some(root), shards: [(0, shard)].into() };
    ports.caller.health.ledger().counters.change(COUNTER, |known| *known = state);
    Reserved { counter: COUNTER.into(), shard: 0, revision: 1, unit: Unit::Usd, amount: all }
}

/// Another call has reserved all of the limit. This one waits until that call has given most of it back.
#[tokio::test]
async fn a_call_waits_for_what_a_call_under_way_gives_back() {
    let (ports, request) = paid_from("0.01", "usd", vec![says("It opens.", "end_turn")]);
    let other = reserve_all(&ports, Decimal::new(1, 2));
    let ledger = ports.caller.health.ledger();
    let ends = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(regions(&ports).is_empty(), "the call waits");
        ledger.counters.commit(&[other], &[Decimal::new(1, 3)]);
    };
    let (answered, ()) = futures::future::join(handle(&ports, request, AMPLE), ends).await;
    assert_eq!(answered, Ok(ANSWERED));
    assert_eq!(amounts(&ports), ("0.001165".into(), "0".into()));
}

/// A clock that is half a minute later each time.
struct Hurrying(Cell<OffsetDateTime>);

impl Clock for Hurrying {
    fn now(&self) -> OffsetDateTime {
        self.0.set(self.0.get() + Duration::from_secs(30));
        self.0.get()
    }
}

#[tokio::test]
async fn a_call_that_waits_too_long_for_calls_under_way_is_refused() {
    let (ports, request) = paid_from("0.01", "usd", vec![]);
    reserve_all(&ports, Decimal::new(1, 2));
    let Ports { store, caller, plans, metrics } = ports;
    let Caller { model, clock, health, grammars } = caller;
    let clock = Hurrying(Cell::new(clock.0));
    let ports = Ports { store, caller: Caller { model, clock, health, grammars }, plans, metrics };
    let response = handle(&ports, request, AMPLE).await.unwrap();
    let Response::Failed { error, .. } = response else { panic!("{response:?}") };
    assert_eq!(error.name, ErrorName::BudgetExceeded);
    assert!(error.message.contains("$0.01 are reserved by calls under way"), "{error}");
    assert!(ports.caller.model.asked.borrow().is_empty());
}

#[tokio::test]
async fn without_the_ledger_no_call_is_made() {
    let (ports, request) = paid_from("5", "usd", vec![]);
    ports.caller.health.ledger().is_gone.set(true);
    let fault = handle(&ports, request, AMPLE).await.unwrap_err();
    assert_eq!(fault.name, ErrorName::Internal);
    assert!(regions(&ports).is_empty());
}

/// The model has no price on the day of the call.
#[tokio::test]
async fn a_call_without_a_price_is_refused_unless_the_budget_allows_it() {
    for (allowed, calls) in [(false, 0), (true, 1)] {
        let (ports, request) = paid_from("5", "usd", vec![says("It opens.", "end_turn")]);
        let mut plan: Value = ports.store.json(&request.run.plan_key());
        plan["budgets"]["allow_unpriced"] = json!(allowed);
        for rows in plan["prices"].as_object_mut().unwrap().values_mut() {
            rows[0]["from"] = json!("2026-11-02");
        }
        let plan = plan.to_string();
        let request = Request { plan_sha256: sha256_hex(plan.as_bytes()), ..request };
        ports.store.objects.borrow_mut().insert(request.run.plan_key(), plan.into_bytes());
        let response = handle(&ports, request, AMPLE).await.unwrap();
        assert_eq!(regions(&ports).len(), calls);
        if let Response::Failed { error, .. } = &response {
            assert!(error.message.contains("budgets.day: prices.yaml has no price"), "{error}");
        }
        assert_eq!(response == ANSWERED, allowed);
    }
}
