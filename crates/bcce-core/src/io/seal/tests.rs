use serde_json::json;

use super::*;
use crate::base::error::ErrorName;
use crate::fakes::{MemoryKey, MemoryStore, now};

fn run() -> RunRef {
    RunRef::first("default", "explain", "42")
}

fn item() -> RunRef {
    let batch = crate::run::ids::ItemOf { batch_id: "b".into(), attempt_no: 1 };
    RunRef { batch: Some(batch), ..run() }
}

fn manifest(run: &RunRef) -> Manifest {
    let kind = if run.batch.is_some() { Kind::Item } else { Kind::Run };
    serde_json::from_value(json!({
        "version": 1, "kind": kind, "run_id": run.run_id, "attempt_no": run.attempt_no, "execution_arn": "arn",
        "tenant": run.tenant, "workflow": run.workflow, "request_id": run.request_id, "template_sha256": null,
        "status": "SUCCEEDED", "started_at": "2026-11-01T12:00:00Z", "ended_at": "2026-11-01T12:00:09Z", "tags": {},
        "artifacts": [], "steps": [], "totals": { "usage": null, "cost_usd": null, "unpriced": [] }, "unpriced": [],
        "usage_by_model": [], "prices_date": null, "policy_sha256": null,
    }))
    .unwrap()
}

fn sealed(store: &MemoryStore, run: &RunRef) -> Result<Sealed<Manifest>, Fault> {
    let key = MemoryKey::default();
    now(seal(store, &key, &Subject::of_run(run), manifest(run)))
}

fn found(store: &MemoryStore, run: &RunRef) -> Result<Option<Sealed<Manifest>>, Fault> {
    now(find(store, &MemoryKey::default(), &Subject::of_run(run)))
}

/// Copies the manifest of `from`, with its signature, to the key of `to`.
fn lay(store: &MemoryStore, from: &RunRef, to: &RunRef) {
    let body = store.objects.borrow()[&from.manifest_key()].clone();
    let signature = store.signatures.borrow()[&from.manifest_key()].clone();
    store.objects.borrow_mut().insert(to.manifest_key(), body);
    store.signatures.borrow_mut().insert(to.manifest_key(), signature);
}

fn is_refused(store: &MemoryStore, run: &RunRef, cause: &str) {
    let before = store.objects.borrow().clone();
    // First a sealer that finds the object, then one whose write lost the race.
    for fault in [found(store, run).unwrap_err(), sealed(store, run).unwrap_err()] {
        assert_eq!(fault.name, ErrorName::Internal);
        for part in [&run.manifest_key(), cause, "docs/finalizing.md"] {
            assert!(fault.message.contains(part), "{part} is not in {}", fault.message);
        }
    }
    assert_eq!(*store.objects.borrow(), before, "nothing is written");
}

#[test]
fn a_manifest_is_signed_over_the_line_of_its_kind_and_lies_with_its_signature() {
    let (store, run) = (MemoryStore::default(), run());
    let made = sealed(&store, &run).unwrap();
    let body = store.objects.borrow()[&run.manifest_key()].clone();
    let mut message = b"bcce run manifest 1\n".to_vec();
    message.extend(&body);
    let signature = sha256(&message).to_vec();
    assert_eq!(store.signatures.borrow()[&run.manifest_key()], signature);
    assert_eq!(store.objects.borrow()[&run.signature_key()], signature);
    assert_eq!(made.reference.sha256, sha256_hex(&body));
    assert_eq!(found(&store, &run), Ok(Some(made)));
    assert_eq!(found(&store, &RunRef { attempt_no: 2, ..run }), Ok(None));
}

/// The sealer may be ended between the two writes.
#[test]
fn the_detached_signature_that_is_missing_is_written_by_the_next_one() {
    let (store, run) = (MemoryStore::default(), run());
    let made = sealed(&store, &run).unwrap();
    let signature = store.objects.borrow_mut().remove(&run.signature_key());
    assert_eq!(found(&store, &run), Ok(Some(made)));
    assert_eq!(store.objects.borrow().get(&run.signature_key()).cloned(), signature);
}

#[test]
fn what_no_sealer_wrote_is_never_signed() {
    let run = run();
    for forged in [b"garbage".to_vec(), to_json(&manifest(&run)).unwrap()] {
        let store = MemoryStore::with([(run.manifest_key(), forged)]);
        is_refused(&store, &run, "was not written by a sealer");
        // The same object with an invalid signature.
        store.signatures.borrow_mut().insert(run.manifest_key(), vec![1, 2, 3]);
        is_refused(&store, &run, "its signature is not that of the stack's key");
    }
}

#[test]
fn a_signed_manifest_of_another_run_attempt_or_tenant_is_refused() {
    let run = run();
    let others = [
        (RunRef::first("default", "explain", "43"), "its run_id is explain-"),
        (RunRef { attempt_no: 2, ..run.clone() }, "its attempt_no is 2, not 1"),
        (
            RunRef { tenant: "payments".into(), ..run.clone() },
            "its tenant is payments, not default",
        ),
    ];
    for (other, cause) in others {
        let store = MemoryStore::default();
        sealed(&store, &other).unwrap();
        lay(&store, &other, &run);
        is_refused(&store, &run, cause);
    }
}

#[test]
fn a_batch_laid_under_a_run_is_refused_and_so_is_a_run_signed_as_a_batch() {
    let run = run();
    for body in [b"{\"version\":1,\"kind\":\"batch\"}".to_vec(), to_json(&manifest(&run)).unwrap()]
    {
        let store = MemoryStore::default();
        let signature = sha256(&Kind::Batch.message(&body)).to_vec();
        now(store.put_sealed(&run.manifest_key(), "b", &body, &signature)).unwrap();
        is_refused(&store, &run, "its signature is not that of the stack's key");
    }
    let lines = [Kind::Run, Kind::Item, Kind::Batch, Kind::Part].map(Kind::line);
    assert!(lines.iter().all(|line| line.ends_with('\n')));
    assert!(lines[0] != lines[1] && lines[1] != lines[2] && lines[0] != lines[2]);
}

/// A run whose execution Step Functions has forgotten is finalized from its record, which does not show that the run is
/// an item.
#[test]
fn the_seal_of_an_item_is_found_from_the_run_alone() {
    let (store, run, item) = (MemoryStore::default(), run(), item());
    let made = sealed(&store, &item).unwrap();
    assert_eq!((made.manifest.kind, found(&store, &run)), (Kind::Item, Ok(Some(made.clone()))));
    let signature = sha256(&Kind::Run.message(&store.objects.borrow()[&run.manifest_key()]));
    store.signatures.borrow_mut().insert(run.manifest_key(), signature.to_vec());
    is_refused(&store, &run, "it was signed as another kind");
}

#[test]
fn a_detached_signature_that_is_another_is_a_fault() {
    let (store, run) = (MemoryStore::default(), run());
    store.objects.borrow_mut().insert(run.signature_key(), b"planted".to_vec());
    let fault = sealed(&store, &run).unwrap_err();
    assert!(fault.message.contains("manifest-1.json.sig: it is not the signature"), "{fault}");
    assert_eq!(store.objects.borrow()[&run.signature_key()], b"planted");
}
