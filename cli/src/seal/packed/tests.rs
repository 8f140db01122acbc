use bcce_core::batch::packed::{PLAN, REQUEST};
use bcce_core::fakes::MemoryStore;
use bcce_core::run::ids::RunRef;
use bcce_core::run::manifest::Kind;
use bcce_core::run::notification::RunStatus;
use p256::ecdsa::Signature;
use p256::ecdsa::signature::Signer;

use super::*;
use crate::packed::samples::{
    ANSWER, PART, batch, cancelled, item, place, seal, seal_part, started, store, succeeded,
};
use crate::seal::inspect;
use crate::seal::tests::signer;

fn sealed() -> MemoryStore {
    let store = MemoryStore::default();
    seal(&store, 1, &[cancelled(6, 1), succeeded(7, 1), succeeded(8, 1)]);
    store
}

fn run(attempt_no: u32) -> RunRef {
    item(7).run(&batch(attempt_no), attempt_no)
}

/// Verifies attempt 1 of item 7, with the packed attempts `attempts` of the run.
async fn inspected(store: &MemoryStore, attempts: &[u32]) -> Option<Report> {
    let places: Vec<_> = attempts.iter().map(|attempt_no| place(7, *attempt_no)).collect();
    let key = *signer().verifying_key();
    let packed = inspect_all(store, &places, &key).await.unwrap();
    inspect(store, &run(1), &key, packed).await.unwrap()
}

async fn faults(store: &MemoryStore) -> Vec<String> {
    inspected(store, &[1]).await.unwrap().faults
}

fn put(store: &MemoryStore, key: String, body: &[u8]) {
    store.objects.borrow_mut().insert(key, body.to_vec());
}

fn replace(store: &MemoryStore, key: &str, from: &str, to: &str) {
    let body = String::from_utf8(store.objects.borrow()[key].clone()).unwrap();
    assert!(body.contains(from), "{from} is not in {body}");
    put(store, key.to_owned(), body.replacen(from, to, 1).as_bytes());
}

#[track_caller]
fn is_only(faults: &[String], key: &str, cause: &str) {
    let [fault] = faults else { panic!("expected one fault: {faults:#?}") };
    assert!(fault.starts_with(key) && fault.contains(cause), "{key}: {cause}: {fault}");
}

#[tokio::test]
async fn a_packed_run_is_proven_by_the_signature_of_its_part() {
    let report = inspected(&sealed(), &[1]).await.unwrap();
    assert_eq!(report.faults, [""; 0]);
    assert_eq!((report.signed, report.artifacts_right, report.erased.len()), (true, 3, 0));
    let proof = report.proof.unwrap();
    assert_eq!((proof.part_manifest, proof.runs), (batch(1).part_manifest_key(PART), 3));
    assert_eq!(report.manifest.unwrap().status, RunStatus::Succeeded);
}

#[tokio::test]
async fn a_changed_text_is_found() {
    let store = sealed();
    let segment = batch(1).segment_key(PART, 1);
    // The texts of items 6 and 8 are not those of item 7.
    let lines = String::from_utf8(store.objects.borrow()[&segment].clone()).unwrap();
    let changed = lines.replace("It opens.", "It closes");
    let mixed: Vec<&str> = lines
        .lines()
        .zip(changed.lines())
        .enumerate()
        .map(|(n, (as_is, changed))| if n == 2 { changed } else { as_is })
        .collect();
    put(&store, segment.clone(), mixed.join("\n").as_bytes());
    assert_eq!(faults(&store).await, [""; 0], "the text of another run");
    put(&store, segment, changed.as_bytes());
    is_only(&faults(&store).await, &run(1).step_key("summarise", None), "has the digest");
}

#[tokio::test]
async fn a_changed_copy_of_a_text_is_found_too() {
    let store = sealed();
    let plan = succeeded(7, 1).object(PLAN).unwrap().to_vec();
    put(&store, run(1).plan_key(), &plan);
    assert_eq!(faults(&store).await, [""; 0]);
    put(&store, run(1).plan_key(), b"{}");
    is_only(&faults(&store).await, &run(1).plan_key(), "has the digest");
}

#[tokio::test]
async fn a_changed_manifest_is_found_whether_or_not_it_can_be_read() {
    let runs_key = batch(1).part_runs_key(PART);
    for (from, to) in [
        ("\"status\":\"SUCCEEDED\"", "\"status\":\"FAILED\""),
        ("\"status\":\"CANCELLED\"", "\"status\":\"FAILED\""),
        ("\"cost_usd\":\"0.00311\"", "\"cost_usd\":\"0.00011\""),
    ] {
        let store = sealed();
        replace(&store, &runs_key, from, to);
        is_only(&faults(&store).await, &runs_key, "the manifest of a run was changed");
    }
    let store = sealed();
    let id = format!("\"run_id\":\"{}\"", run(1).run_id);
    replace(&store, &runs_key, &id, "\"run_id\":\"another\"");
    let found = faults(&store).await;
    assert!(found.len() == 2 && found[1].contains("has no manifest of"), "{found:#?}");
    replace(&store, &runs_key, "\"run_id\":\"another\"", &id.replace(':', ";"));
    is_only(&faults(&store).await, &runs_key, "is not what this version writes");
}

#[tokio::test]
async fn the_signature_and_the_manifest_of_another_part_prove_nothing() {
    let (store, other) = (sealed(), sealed());
    seal_part(&other, 1, PART + 1, &[succeeded(7, 1)]);
    let take = |from: String, to: String| {
        let body = other.objects.borrow()[&from].clone();
        put(&store, to, &body);
    };
    let reference = batch(1);
    take(reference.part_signature_key(PART + 1), reference.part_signature_key(PART));
    let signature = reference.part_signature_key(PART);
    is_only(&faults(&store).await, &signature, "is not a valid signature of a part manifest");
    assert!(!inspected(&store, &[1]).await.unwrap().signed);
    // The manifest and the runs of the other part are taken as well.
    take(reference.part_manifest_key(PART + 1), reference.part_manifest_key(PART));
    take(reference.part_runs_key(PART + 1), reference.part_runs_key(PART));
    is_only(&faults(&store).await, &reference.part_manifest_key(PART), "its part is 3, not 2");
}

#[tokio::test]
async fn a_signature_over_another_kind_proves_nothing() {
    let store = sealed();
    let bytes = store.objects.borrow()[&batch(1).part_manifest_key(PART)].clone();
    let signature: Signature = signer().sign(&Kind::Batch.message(&bytes));
    let key = batch(1).part_signature_key(PART);
    put(&store, key.clone(), signature.to_der().as_bytes());
    is_only(&faults(&store).await, &key, "is not a valid signature of a part manifest");
}

#[tokio::test]
async fn what_is_missing_is_found() {
    for (missing, cause) in [
        (batch(1).part_manifest_key(PART), "is missing"),
        (batch(1).part_signature_key(PART), "there is no signature"),
    ] {
        let store = sealed();
        store.objects.borrow_mut().remove(&missing);
        is_only(&faults(&store).await, &missing, cause);
    }
    let store = sealed();
    let runs_key = batch(1).part_runs_key(PART);
    store.objects.borrow_mut().remove(&runs_key);
    let found = faults(&store).await;
    assert_eq!(found[0], format!("{runs_key}: is missing"));
    let store = sealed();
    store.objects.borrow_mut().remove(&batch(1).segment_key(PART, 1));
    let found = faults(&store).await;
    assert!(found.len() == 3 && found.iter().all(|it| it.ends_with(": is missing")), "{found:#?}");
}

#[tokio::test]
async fn an_erased_text_is_reported_and_the_proof_remains() {
    let memory = sealed();
    let mut erased = succeeded(7, 1);
    erased.objects.retain(|name, _| name == PLAN);
    store(&memory, 1, 1, &[cancelled(6, 1), erased]);
    let report = inspected(&memory, &[1]).await.unwrap();
    assert_eq!(report.faults, [""; 0]);
    assert_eq!((report.artifacts_right, report.proof.is_some()), (1, true));
    assert_eq!(report.erased, [run(1).request_key(), run(1).step_key("summarise", None)]);
}

#[tokio::test]
async fn what_was_added_to_a_packed_run_is_found() {
    let memory = sealed();
    let mut more = succeeded(7, 1);
    more.add("steps/planted.answer.json", &1).unwrap();
    store(&memory, 1, 1, &[more]);
    put(&memory, run(1).request_key(), succeeded(7, 1).object(REQUEST).unwrap());
    put(&memory, run(1).manifest_key(), b"{}");
    let found = faults(&memory).await;
    let [planted, manifest] = found.as_slice() else { panic!("{found:#?}") };
    assert!(planted.contains("planted.answer.json: is in "), "{planted}");
    assert!(manifest.ends_with("manifest-1.json: is not in any signed manifest"), "{manifest}");
}

#[tokio::test]
async fn other_attempts_of_both_kinds_account_for_their_objects() {
    let memory = sealed();
    seal(&memory, 3, &[succeeded(7, 3)]);
    let answer = succeeded(7, 3).object(ANSWER).unwrap().to_vec();
    put(&memory, run(3).plan_key(), succeeded(7, 3).object(PLAN).unwrap());
    assert_eq!(inspected(&memory, &[1, 3]).await.unwrap().faults, [""; 0]);
    // Attempt 1 alone does not account for what attempt 2, an execution, wrote.
    put(&memory, run(2).failure_key("summarise", None), &answer);
    is_only(&faults(&memory).await, &run(2).failure_key("summarise", None), "is not in any signed");
    replace(&memory, &batch(3).part_runs_key(PART), "SUCCEEDED", "FAILED");
    let found = inspected(&memory, &[1, 3]).await.unwrap().faults;
    assert!(found[0].starts_with(&batch(3).part_runs_key(PART)), "{found:#?}");
}

#[tokio::test]
async fn a_part_that_is_not_sealed_or_never_ran_the_run_has_no_report() {
    let memory = MemoryStore::default();
    store(&memory, 1, 1, &[started(7, 1)]);
    assert!(inspected(&memory, &[1]).await.is_none());
    seal(&memory, 1, &[succeeded(6, 1)]);
    assert!(inspected(&memory, &[1]).await.is_none());
}
