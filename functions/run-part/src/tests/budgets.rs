use bcce_core::batch::Pause;
use bcce_core::config::budgets::Unit;
use bcce_core::run::budgets::{CounterState, Reserved, Root, Shard};
use rust_decimal::Decimal;
use time::format_description::well_known::Rfc3339;

use super::*;

/// Returns a part of `items` items that a budget of the environment with this limit in USD pays.
fn paid_from(limit: Decimal, window: &str, items: u64) -> Fixture {
    let mut fixture = Fixture::new(ONE, items);
    // Noon, so that no window turns during a test.
    let now = OffsetDateTime::now_utc();
    let noon = now.replace_time(time::Time::from_hms(12, 0, 0).unwrap());
    fixture.ports.caller.clock.ahead.set(noon - now);
    fixture.request.batch.started_at = noon;
    let yaml = format!(
        "version: 1\nbudgets:\n  all: {{ scope: environment, window: {window}, usd: {limit} }}\n"
    );
    let budgets: Budgets = from_yaml(&yaml).finished().unwrap();
    let budgets = Budgets { revision: 1, ..budgets };
    let configuration = Configuration { budgets, ..configuration(ONE) };
    let key = fixture.batch().configuration_key();
    fixture.ports.store.objects.borrow_mut().insert(key, to_json(&configuration).unwrap());
    fixture
}

impl Fixture {
    fn counters(&self) -> Vec<CounterState> {
        self.ports.ledger.counters.all().into_values().collect()
    }

    /// Returns what is spent and what is reserved, over all windows.
    fn sums(&self) -> (Decimal, Decimal) {
        let counters = self.counters();
        let spent = counters.iter().map(CounterState::spent).sum();
        (spent, counters.iter().map(CounterState::reserved).sum())
    }

    async fn cost(&self) -> Decimal {
        let manifests = self.manifests().await;
        manifests.iter().map(|manifest| manifest.totals.known_cost()).sum()
    }

    fn paused(&self) -> Option<Pause> {
        self.ports.ledger.parts.borrow()[&self.part()].progress.runs.paused.clone()
    }

    fn next_day(&self) {
        let ahead = &self.ports.caller.clock.ahead;
        ahead.set(ahead.get() + time::Duration::DAY);
    }
}

/// Gives the batch a deadline.
fn with_deadline(fixture: &Fixture, deadline: OffsetDateTime) {
    let key = fixture.batch().request_key();
    let mut objects = fixture.ports.store.objects.borrow_mut();
    let mut stored: Value = serde_json::from_slice(&objects[&key]).unwrap();
    stored["batch"]["deadline"] = json!(deadline.format(&Rfc3339).unwrap());
    objects.insert(key, to_json(&stored).unwrap());
}

/// Returns the worst case and the cost of a call of the fixture.
async fn call() -> (Decimal, Decimal) {
    let fixture = paid_from(Decimal::from(1_000), "total", 1);
    fixture.run().await.unwrap();
    let cost = fixture.cost().await;
    let calls = fixture.ports.ledger.calls.borrow();
    let call = calls.values().flat_map(BTreeMap::values).flatten().next().unwrap();
    (call.call.reserved[0].amount, cost)
}

#[tokio::test]
async fn a_part_reserves_for_many_calls_at_a_time_and_commits_their_cost() {
    let fixture = paid_from(Decimal::from(1_000), "day", 30);
    assert_eq!(fixture.run().await, Ok(OVER));
    let (spent, reserved) = fixture.sums();
    assert_eq!((spent, reserved), (fixture.cost().await, Decimal::ZERO));
    let allowances = fixture.ports.ledger.allowances.borrow();
    let allowances = &allowances[&fixture.part()];
    assert!(allowances.len() <= 2, "{} reservations for 30 calls", allowances.len());
    assert!(allowances.iter().all(|stored| stored.is_committed));
    assert_eq!(fixture.model.asked.borrow().len(), 30);
}

#[tokio::test]
async fn a_part_pauses_when_the_money_of_the_day_is_used_up_and_goes_on_the_next_day() {
    let (most, cost) = call().await;
    // Items with a longer number need a bit more than the first.
    let fixture = paid_from(most + cost * Decimal::new(95, 1), "day", 30);
    let mut days = 0;
    while fixture.run().await != Ok(OVER) {
        days += 1;
        assert!(days < 30, "the part does not come to its end");
        let response = fixture.run().await;
        assert_eq!(response, Ok(Response::Waiting { wait_s: 3_600 }), "the money is used up");
        assert_eq!(fixture.sums().1, Decimal::ZERO, "a pause reserves nothing");
        let pause = fixture.paused().unwrap();
        assert_eq!((pause.until.hour(), pause.until.minute()), (0, 0));
        assert!(pause.because.starts_with("budgets.all: the call may cost $"), "{pause:?}");
        fixture.next_day();
    }
    assert_eq!(days, 2, "the money of a day pays ten calls");
    let manifests = fixture.manifests().await;
    assert_eq!(manifests.len(), 30);
    assert!(manifests.iter().all(|manifest| manifest.status == RunStatus::Succeeded));
    assert_eq!(fixture.model.asked.borrow().len(), 30, "no item was paid twice");
    assert_eq!(fixture.sums(), (fixture.cost().await, Decimal::ZERO));
    for counter in fixture.counters() {
        assert!(counter.spent() <= counter.root.clone().unwrap().limit);
    }
    assert_eq!(fixture.paused(), None);
}

#[tokio::test]
async fn items_fail_if_no_window_comes_before_the_deadline_or_has_room_for_the_call() {
    let (most, cost) = call().await;
    let limit = most + cost;
    let timed = paid_from(limit, "day", 4);
    let today = OffsetDateTime::now_utc();
    with_deadline(&timed, today.replace_time(time::Time::from_hms(23, 0, 0).unwrap()));
    let endless = paid_from(limit, "total", 4);
    let too_small = paid_from(cost, "day", 2);
    for (fixture, answered) in [(timed, 2), (endless, 2), (too_small, 0)] {
        assert_eq!(fixture.run().await, Ok(OVER));
        let manifests = fixture.manifests().await;
        let errors: Vec<_> = manifests.iter().filter_map(|m| m.error.clone()).collect();
        assert!(errors.iter().all(|error| error.name == ErrorName::BudgetExceeded), "{errors:?}");
        assert!(errors.iter().all(|error| error.message.contains("budgets.all")), "{errors:?}");
        assert_eq!(manifests.len() - errors.len(), answered);
        assert_eq!(fixture.model.asked.borrow().len(), answered);
        assert_eq!(fixture.sums(), (cost * Decimal::from(answered), Decimal::ZERO));
    }
}

/// What the owner has reserved is committed by the next one: a lost call may have cost its worst case.
#[tokio::test]
async fn an_allowance_of_an_owner_that_was_killed_is_committed_with_its_lost_calls() {
    let (most, cost) = call().await;
    let fixture = paid_from(Decimal::from(1_000), "day", 4);
    fixture.model.is_silent.set(true);
    let all_called = async {
        while fixture.model.asked.borrow().len() < 4 {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        ended = fixture.run() => panic!("no call was answered: {ended:?}"),
        () = all_called => {}
    }
    let (spent, reserved) = fixture.sums();
    assert!(spent.is_zero() && reserved >= most * Decimal::from(4), "{reserved}");
    fixture.model.is_silent.set(false);
    fixture.ports.ledger.parts.borrow_mut().get_mut(&fixture.part()).unwrap().until =
        OffsetDateTime::UNIX_EPOCH;
    assert_eq!(fixture.run().await, Ok(OVER));
    assert_eq!(fixture.sums(), ((most + cost) * Decimal::from(4), Decimal::ZERO));
}

#[tokio::test]
async fn a_ledger_that_fails_at_any_call_never_loses_money_and_no_unreserved_call_is_made() {
    let (_, cost) = call().await;
    for failing in 1..40 {
        let fixture = paid_from(Decimal::from(1_000), "day", 3);
        fixture.ports.ledger.failing.set(failing);
        let first = fixture.run().await;
        fixture.ports.ledger.failing.set(0);
        let asked = fixture.model.asked.borrow().len();
        let (spent, reserved) = fixture.sums();
        assert!(spent + reserved >= cost * Decimal::from(asked), "call {failing}: {asked} calls");
        if first.is_err() {
            let mut parts = fixture.ports.ledger.parts.borrow_mut();
            parts.values_mut().for_each(|part| part.until = OffsetDateTime::UNIX_EPOCH);
        }
        assert_eq!(fixture.run().await, Ok(OVER), "call {failing}");
        let (spent, reserved) = fixture.sums();
        assert_eq!(reserved, Decimal::ZERO, "call {failing}");
        assert!(spent >= cost * Decimal::from(3), "call {failing}");
        assert_eq!(fixture.manifests().await.len(), 3);
    }
}

/// Other functions have reserved all of the money. The part looks again as long as the execution may go on.
#[tokio::test]
async fn a_part_waits_for_money_that_others_hold_until_the_batch_has_to_end() {
    let (most, _) = call().await;
    for is_late in [false, true] {
        let mut fixture = paid_from(most, "total", 3);
        let now = fixture.ports.caller.clock.now();
        with_deadline(&fixture, now);
        if is_late {
            fixture.request.batch.started_at = now - time::Duration::days(29);
        }
        let others = others(&fixture, most);
        let response = fixture.run().await.unwrap();
        let waits = matches!(response, Response::Waiting { wait_s: 10..=15 });
        assert!(if is_late { response == OVER } else { waits }, "{response:?}");
        assert_eq!(fixture.model.asked.borrow().len(), 0);
        let errors = fixture.manifests().await.into_iter().filter_map(|manifest| manifest.error);
        let refused =
            errors.filter(|error| error.message.contains("are reserved by calls under way"));
        assert_eq!(refused.count(), if is_late { 3 } else { 0 });
        if !is_late {
            // They give all of it back, and one item after the other is paid.
            fixture.ports.ledger.counters.commit(&[others], &[Decimal::ZERO]);
            fixture
                .ports
                .caller
                .clock
                .ahead
                .set(now + Duration::from_secs(20) - OffsetDateTime::now_utc());
            while fixture.run().await != Ok(OVER) {
                fixture.next_day();
            }
            assert!(!fixture.model.asked.borrow().is_empty());
        }
    }
}

/// Has others reserve all of a limit.
fn others(fixture: &Fixture, all: Decimal) -> Reserved {
    let counter = "all:environment:usd##total".to_owned();
    let shard = Shard { revision: 1, reserved: all, ..Shard::default() };
    let root = Root { limit: all, revision: 1, leased: all, ..Root::default() };
    let state = CounterState { root: Some(root), shards: [(0, shard)].into() };
    fixture.ports.ledger.counters.change(&counter, |known| *known = state);
    Reserved { counter, shard: 0, revision: 1, unit: Unit::Usd, amount: all }
}

/// Each price begins in a later year, so that the plan is accepted and its call has no price.
#[tokio::test]
async fn a_call_without_a_price_is_refused() {
    let fixture = paid_from(Decimal::from(1_000), "day", 2);
    let key = fixture.batch().configuration_key();
    let body = fixture.ports.store.objects.borrow()[&key].clone();
    let text = String::from_utf8(body).unwrap();
    let later = text.split("\"from\":\"20").map(|part| part.to_owned()).collect::<Vec<_>>();
    let later = later.join("\"from\":\"21");
    fixture.ports.store.objects.borrow_mut().insert(key, later.into_bytes());
    assert_eq!(fixture.run().await, Ok(OVER));
    for manifest in fixture.manifests().await {
        let error = manifest.error.unwrap();
        assert_eq!(error.name, ErrorName::BudgetExceeded);
        assert!(error.message.contains("prices.yaml has no price"), "{error}");
    }
    assert_eq!(fixture.model.asked.borrow().len(), 0);
}
