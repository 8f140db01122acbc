use bcce_core::base::json::add_line;
use bcce_core::batch::BatchStatus;
use bcce_core::batch::packed::RunState;
use bcce_core::fakes::MemoryStore;
use bcce_core::run::ids::RunRef;

use super::objects::RunObjects;
use super::samples::{
    ANSWER, PART, STARTED, batch, cancelled, item, place, planned, seal, seal_part, started, store,
    succeeded,
};
use super::*;
use crate::batch::samples;

/// Reads the packed attempts of item 7 in these batch attempts.
async fn read(packed: &mut Packed, store: &MemoryStore, attempts: &[u32]) -> Vec<RunRecord> {
    let places = attempts.iter().map(|attempt_no| place(7, *attempt_no)).collect();
    let batches = async |batch_id: &str| {
        assert_eq!(batch_id, batch(1).batch_id);
        Ok(vec![samples::record(1, BatchStatus::Running)])
    };
    packed.read(store, places, batches).await.unwrap();
    packed.among(vec![])
}

fn run(attempt_no: u32) -> RunRef {
    item(7).run(&batch(attempt_no), attempt_no)
}

#[tokio::test]
async fn a_run_that_nothing_is_stored_of_is_running_under_the_execution_of_its_batch() {
    let (memory, mut packed) = (MemoryStore::default(), Packed::default());
    let mut entries = Vec::new();
    [6, 7].iter().for_each(|n| add_line(&mut entries, &item(*n)).unwrap());
    memory.objects.borrow_mut().insert(batch(1).part_key(PART), entries);
    let records = read(&mut packed, &memory, &[1]).await;
    let [record] = records.as_slice() else { panic!("{records:?}") };
    assert_eq!((record.status, record.started_at), (RunStatus::Running, samples::STARTED));
    assert_eq!((&*record.execution_arn, &record.run_id), ("arn", &run(1).run_id));
    assert_eq!(record.request_id, format!("{}/i-7", batch(1).batch_id));
    // The batch ended before it started the run.
    seal_part(&memory, 1, PART, &[succeeded(6, 1)]);
    assert_eq!(read(&mut packed, &memory, &[1]).await, []);
}

#[tokio::test]
async fn a_run_is_followed_through_the_segments_to_its_seal() {
    let (memory, mut packed) = (MemoryStore::default(), Packed::default());
    store(&memory, 1, 1, &[started(6, 1), started(7, 1)]);
    let running = read(&mut packed, &memory, &[1]).await;
    assert_eq!((running[0].status, running[0].ended_at), (RunStatus::Running, None));
    assert_eq!((&*running[0].execution_arn, running[0].cost_usd), ("arn:batch", None));

    store(&memory, 1, 2, &[succeeded(7, 1)]);
    let over = read(&mut packed, &memory, &[1]).await;
    assert_eq!((over[0].status, &over[0].manifest), (RunStatus::Succeeded, &None));
    assert_eq!(over[0].ended_at, Some(STARTED + time::Duration::seconds(9)));
    assert_eq!(over[0].cost_usd.unwrap().to_string(), "0.00311");
    assert!(!packed.attempt(1).unwrap().is_sealed());

    seal_part(&memory, 1, PART, &[succeeded(6, 1), succeeded(7, 1)]);
    let sealed = read(&mut packed, &memory, &[1]).await;
    assert_eq!(sealed[0].manifest, Some(batch(1).part_runs_key(PART)));
    assert_eq!(RunRecord { manifest: None, ..sealed[0].clone() }, over[0]);
    assert!(packed.attempt(1).unwrap().is_sealed());
}

#[tokio::test]
async fn the_first_line_that_is_over_counts_and_a_refused_item_has_no_run() {
    let (memory, mut packed) = (MemoryStore::default(), Packed::default());
    store(&memory, 1, 1, &[started(7, 1), succeeded(7, 1), cancelled(7, 1)]);
    store(&memory, 1, 2, &[cancelled(7, 1)]);
    assert_eq!(read(&mut packed, &memory, &[1]).await[0].status, RunStatus::Succeeded);
    let (memory, mut packed) = (MemoryStore::default(), Packed::default());
    let state = RunState::Refused(Fault::internal("it is not valid"));
    store(&memory, 1, 1, &[PackedRun { state, ..started(7, 1) }]);
    assert_eq!(read(&mut packed, &memory, &[1]).await, []);
}

/// A leftover of a bulk job has a plan. If it did not run on demand, the sealed part does not have its run.
#[tokio::test]
async fn a_run_that_was_only_planned_runs_until_its_part_is_sealed_without_it() {
    let (memory, mut packed) = (MemoryStore::default(), Packed::default());
    let mut entries = Vec::new();
    add_line(&mut entries, &item(7)).unwrap();
    memory.objects.borrow_mut().insert(batch(1).part_key(PART), entries);
    store(&memory, 1, 1, &[planned(7, 1)]);
    let records = read(&mut packed, &memory, &[1]).await;
    assert_eq!((records[0].status, records[0].started_at), (RunStatus::Running, samples::STARTED));
    seal_part(&memory, 1, PART, &[succeeded(6, 1)]);
    assert_eq!(read(&mut packed, &memory, &[1]).await, []);
}

#[tokio::test]
async fn what_was_read_is_not_read_again() {
    let (memory, mut packed) = (MemoryStore::default(), Packed::default());
    store(&memory, 1, 1, &[started(7, 1)]);
    read(&mut packed, &memory, &[1]).await;
    // The segment can no longer be parsed. It is not read again, and neither is anything of a sealed part.
    memory.objects.borrow_mut().insert(batch(1).segment_key(PART, 1), b"{".to_vec());
    assert_eq!(read(&mut packed, &memory, &[1]).await[0].status, RunStatus::Running);
    seal_part(&memory, 1, PART, &[cancelled(7, 1)]);
    assert_eq!(read(&mut packed, &memory, &[1]).await[0].status, RunStatus::Cancelled);
    memory.objects.borrow_mut().clear();
    assert_eq!(read(&mut packed, &memory, &[1]).await[0].status, RunStatus::Cancelled);
}

#[tokio::test]
async fn attempts_of_both_kinds_are_in_order() {
    let (memory, mut packed) = (MemoryStore::default(), Packed::default());
    seal(&memory, 1, &[cancelled(7, 1)]);
    seal(&memory, 3, &[succeeded(7, 3)]);
    let records = read(&mut packed, &memory, &[3, 1]).await;
    let failed = RunRecord { attempt_no: 2, status: RunStatus::Failed, ..records[0].clone() };
    let ledger = vec![failed];
    let all = packed.among(ledger);
    let found: Vec<_> = all.iter().map(|record| (record.attempt_no, record.status)).collect();
    let expected = [(1, RunStatus::Cancelled), (2, RunStatus::Failed), (3, RunStatus::Succeeded)];
    assert_eq!(found, expected);
    assert!(packed.attempt(2).is_none() && packed.attempt(3).is_some());
}

#[tokio::test]
async fn the_objects_of_a_run_are_found_wherever_they_are() {
    let (memory, mut packed) = (MemoryStore::default(), Packed::default());
    seal(&memory, 1, &[succeeded(6, 1), succeeded(7, 1)]);
    read(&mut packed, &memory, &[1]).await;
    // A retry has copied the plan, and has failed.
    let failure = run(2).failure_key("summarise", None);
    let put = |key: &str, body: &[u8]| memory.objects.borrow_mut().insert(key.into(), body.into());
    put(&failure, b"f");
    put(&run(2).plan_key(), b"copied");
    let objects = RunObjects { store: &memory, packed: &packed };
    let prefix = run(1).prefix();
    let names = ["manifest-1.json", "plan.json", "request.json", ANSWER];
    let mut expected = names.map(|name| format!("{prefix}{name}")).to_vec();
    expected.insert(0, failure.clone());
    assert_eq!(objects.list(&prefix).await.unwrap(), expected);
    assert_eq!(objects.list(&format!("{prefix}steps/")).await.unwrap(), expected[4..]);
    let run_7 = succeeded(7, 1);
    for (key, body) in [
        (run(1).step_key("summarise", None), run_7.object(ANSWER).unwrap()),
        (run(1).plan_key(), run_7.object("plan.json").unwrap()),
        (failure, b"f"),
    ] {
        assert_eq!(objects.get(&key).await.unwrap().as_deref(), Some(body), "{key}");
    }
    let manifest = objects.get(&run(1).manifest_key()).await.unwrap().unwrap();
    let manifest: Manifest = serde_json::from_slice(&manifest).unwrap();
    assert_eq!((manifest.run_id, manifest.attempt_no), (run(1).run_id, 1));
    assert_eq!(objects.get(&run(2).manifest_key()).await, Ok(None));
}
