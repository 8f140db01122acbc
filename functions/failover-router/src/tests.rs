use super::*;
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
