use super::*;
use bcce_core::base::error::ErrorName;
use bcce_core::config::breakers::BreakerSettings;
use bcce_core::failover::breaker::{Report, Signal};
use bcce_core::fakes::{MemoryHealth, StoppedClock, now};
use std::cell::RefCell;
use time::macros::datetime;

const FIRST: &str = include_str!("../../../events/failover-router/first.json");
const ALL_FAILED: &str = include_str!("../../../events/failover-router/all-failed.json");
const NOW: OffsetDateTime = datetime!(2026-11-01 12:00:30 UTC);

type Fakes<'a> = Ports<&'a MemoryHealth, StoppedClock, fn(&str)>;

fn ports(ledger: &MemoryHealth, at: OffsetDateTime) -> Fakes<'_> {
    Ports { health: SharedBreakers::new(ledger), clock: StoppedClock(at), metrics: |_| {} }
}

fn config() -> Config {
    Config { environment: "dev".into(), ledger_table: "t".into() }
}

fn request(event: &str, run_id: &str) -> Request {
    Request { run_id: run_id.into(), ..serde_json::from_str(event).unwrap() }
}

fn ask(ports: &Fakes<'_>, request: Request) -> Response {
    now(handle(ports, &config(), request)).unwrap()
}

fn regions(response: &Response) -> Vec<&str> {
    let Next::Targets(targets) = &response.next else { panic!("{response:?}") };
    targets.iter().map(|target| target.region.as_str()).collect()
}

/// Opens the breaker of the first target at `NOW`, for five seconds.
fn open_first(ledger: &MemoryHealth) {
    let shared = SharedBreakers::new(ledger);
    let key = target_key(&request(FIRST, "r").route.targets[0].target);
    let signal = Signal::Failing { error: ErrorName::TargetUnavailable, retry_after_s: None };
    let report = Report { signal, started_at: NOW, probe: None };
    let settings = BreakerSettings::default();
    (0..settings.failures).for_each(|_| now(shared.report(&key, &report, NOW, &settings)));
}

#[test]
fn a_step_starts_with_every_target_it_may_use() {
    let ledger = MemoryHealth::default();
    let response = ask(&ports(&ledger, NOW), request(FIRST, "r"));
    assert_eq!(regions(&response), ["us-east-1", "us-west-2"]);
    assert_eq!(response.decisions.len(), 1);
}

#[test]
fn when_all_have_failed_it_waits_within_the_jitter() {
    let ledger = MemoryHealth::default();
    let response = ask(&ports(&ledger, NOW), request(ALL_FAILED, "r"));
    let Next::WaitS(seconds) = response.next else { panic!("{response:?}") };
    assert!((1..=2).contains(&seconds), "{seconds}");
    assert_eq!(response.decisions.len(), 2);
}

#[test]
fn an_open_target_is_passed_over_until_one_step_probes_it() {
    let ledger = MemoryHealth::default();
    open_first(&ledger);
    let response = ask(&ports(&ledger, NOW), request(FIRST, "r"));
    assert_eq!(regions(&response), ["us-west-2"]);
    let due = NOW + Duration::from_secs(5);
    let elected = ask(&ports(&ledger, due), request(FIRST, "r1"));
    assert_eq!(regions(&elected), ["us-east-1", "us-west-2"]);
    assert!(elected.decisions[0].probe.is_some());
    let lost = ask(&ports(&ledger, due), request(FIRST, "r2"));
    assert_eq!((regions(&lost), &lost.decisions[0].probe), (vec!["us-west-2"], &None));
    assert_eq!(
        lost.decisions[0].candidates[0].because,
        "its breaker is open, and another step probes it"
    );
}

/// Step Functions invokes the function again if a response was lost.
#[test]
fn the_same_decision_made_again_is_elected_again() {
    let ledger = MemoryHealth::default();
    open_first(&ledger);
    let due = NOW + Duration::from_secs(5);
    let first = ask(&ports(&ledger, due), request(FIRST, "r1"));
    let again = ask(&ports(&ledger, due), request(FIRST, "r1"));
    assert_eq!(first.decisions, again.decisions);
}

#[test]
fn without_the_ledger_it_decides_and_says_so_in_a_metric() {
    let ledger = MemoryHealth::default();
    ledger.is_gone.set(true);
    let emitted = RefCell::new(Vec::new());
    let Ports { health, clock, .. } = ports(&ledger, NOW);
    let metrics = |document: &str| emitted.borrow_mut().push(document.to_owned());
    let ports = Ports { health, clock, metrics };
    let response = now(handle(&ports, &config(), request(FIRST, "r"))).unwrap();
    assert_eq!(regions(&response), ["us-east-1", "us-west-2"]);
    let document: serde_json::Value = serde_json::from_str(&emitted.borrow()[0]).unwrap();
    assert_eq!(document["LedgerUnreachable"], 1);
    assert_eq!(document["function"], "failover-router");
    assert_eq!(document["_aws"]["CloudWatchMetrics"][0]["Namespace"], "BCCE");
}

#[test]
fn steps_that_failed_together_wait_for_different_times() {
    let mut request = request(ALL_FAILED, "r");
    let one = token(&config(), &request);
    request.step.item = Some(1);
    assert_ne!(one, token(&config(), &request));
}
