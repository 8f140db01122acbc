use super::*;
use std::cell::RefCell;

use bcce_aws::dynamodb::listing::ListingKey;
use bcce_core::run::ids::RunRef;
use bcce_core::run::notification::RunStatus;

use crate::exit::Exit;
use crate::run::samples::{STARTED, record};

fn run(id: &str) -> RunRecord {
    RunRecord { run_id: id.to_owned(), ..record(1, RunStatus::Succeeded).unwrap() }
}

fn senders() -> Senders {
    let [tenants, workflows] = [["default", "a"], ["explain", "review"]];
    Senders {
        tenants: tenants.map(str::to_owned).to_vec(),
        workflows: workflows.map(str::to_owned).to_vec(),
        unread: None,
    }
}

fn one_of(candidates: &[RunRecord], is_cut: bool) -> Outcome<String> {
    only("ab\u{1b}cd", candidates, is_cut, &senders(), "dev")
}

#[tokio::test]
async fn a_request_id_is_looked_up_for_every_tenant_and_workflow() {
    let there = RunRef::first("a", "review", "42").run_id;
    let asked = RefCell::new(Vec::new());
    let attempts = async |id: String| {
        asked.borrow_mut().push(id.clone());
        Ok(if id == there { vec![run(&id)] } else { vec![] })
    };
    let found: Vec<RunRecord> = by_request_id("42", &senders(), attempts).await.unwrap();
    assert_eq!(found, [run(&there)]);
    assert_eq!(asked.into_inner().len(), 4);
    assert_eq!(one_of(&found, false), Ok(there));
}

#[tokio::test]
async fn a_beginning_is_searched_in_the_index_of_thirty_days() {
    let days = RefCell::new(std::collections::BTreeSet::new());
    let page = async |listing: Listing| {
        assert_eq!(listing.conditions, [Condition::begins_with("run_id", "expl")]);
        days.borrow_mut().insert(listing.shard[..15].to_owned());
        let key = ListingKey {
            started_at: "2026-11-01T12:00:00Z".into(),
            pk: "run#explain-1".into(),
            sk: "attempt#1".into(),
        };
        let is_there = listing.shard == "runs#2026-11-01#7";
        let records = if is_there { vec![(key, run("explain-1"))] } else { vec![] };
        Ok(Page { records, read: 0, unreadable: vec![], next: None })
    };
    let found: Found<RunRecord> =
        by_beginning("expl", STARTED + Duration::days(29), page).await.unwrap();
    assert_eq!(found.records, [run("explain-1")]);
    let days = days.into_inner();
    assert_eq!((days.len(), days.first().unwrap().as_str()), (30, "runs#2026-11-01"));
}

#[test]
fn the_attempts_of_one_run_are_one_candidate() {
    let retried = RunRecord { attempt_no: 2, ..run("explain-1") };
    assert_eq!(one_of(&[retried, run("explain-1")], false), Ok("explain-1".into()));
}

#[test]
fn several_candidates_are_listed_and_none_is_taken() {
    let candidates: Vec<RunRecord> = (0..12).map(|n| run(&format!("explain-{n:02}"))).collect();
    let failure = one_of(&candidates, false).unwrap_err();
    assert_eq!(failure.exit, Exit::Usage);
    assert!(failure.what.starts_with("ab cd stands for 12 runs"), "{}", failure.what);
    let line = "\n  2026-11-01 12:00:00Z  SUCCEEDED  explain-00\n";
    assert!(failure.what.contains(line), "{}", failure.what);
    assert!(failure.what.ends_with("explain-09\n  and 2 more"), "{}", failure.what);
}

#[test]
fn a_single_candidate_of_an_incomplete_search_is_not_taken() {
    let failure = one_of(&[run("explain-1")], true).unwrap_err();
    assert!(failure.what.contains("may stand for several runs"), "{}", failure.what);
    assert!(failure.then.contains("the first one found is explain-1"), "{}", failure.then);
}

#[test]
fn a_name_that_nothing_has_says_what_was_searched() {
    let failure = one_of(&[], false).unwrap_err();
    assert_eq!(failure.exit, Exit::Usage);
    for part in ["no run of the 2 workflows and 2 tenants", "no run of the last 30 days"] {
        assert!(failure.what.contains(part), "{}", failure.what);
    }
    let blind = Senders { unread: Some("ssm: AccessDenied".into()), ..senders() };
    let failure = only::<RunRecord>("abc", &[], false, &blind, "dev").unwrap_err();
    for part in ["could not be searched (ssm: AccessDenied)", "fewer than 4 characters"] {
        assert!(failure.what.contains(part), "{}", failure.what);
    }
}
