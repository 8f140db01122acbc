use bcce_core::fakes::MemoryStore;
use p256::ecdsa::SigningKey;
use p256::ecdsa::signature::Signer;
use serde_json::json;

use super::*;
pub use crate::packed::samples::signer;

fn run(attempt_no: u32) -> RunRef {
    RunRef { attempt_no, ..RunRef::first("default", "explain", "42") }
}

pub fn manifest(run: &RunRef, artifacts: &[ArtifactRef]) -> Vec<u8> {
    let manifest = json!({
        "version": 1, "kind": "run", "run_id": run.run_id, "attempt_no": run.attempt_no, "execution_arn": "arn", "tenant": run.tenant,
        "workflow": run.workflow, "request_id": run.request_id, "template_sha256": "t", "status": "SUCCEEDED",
        "started_at": "2026-11-01T12:00:00Z", "ended_at": "2026-11-01T12:00:09Z", "tags": {}, "artifacts": artifacts,
        "steps": [], "totals": { "usage": null, "cost_usd": null, "unpriced": [] }, "unpriced": [], "usage_by_model": [],
        "prices_date": "2026-10-01", "policy_sha256": "p",
    });
    manifest.to_string().into_bytes()
}

/// Seals the objects of a run as `persist-artifact` does.
fn seal(store: &MemoryStore, run: &RunRef) {
    let mut objects = store.objects.borrow_mut();
    let artifacts = objects.iter().filter(|(key, _)| manifest_attempt(run, key).is_none());
    let artifacts: Vec<_> =
        artifacts.map(|(key, body)| ArtifactRef::of(key.clone(), body)).collect();
    let bytes = manifest(run, &artifacts);
    let signature: Signature = signer().sign(&Kind::Run.message(&bytes));
    objects.insert(run.signature_key(), signature.to_der().as_bytes().to_vec());
    objects.insert(run.manifest_key(), bytes);
}

fn put(store: &MemoryStore, key: String, body: &str) {
    store.objects.borrow_mut().insert(key, body.as_bytes().to_vec());
}

fn sealed() -> MemoryStore {
    let store = MemoryStore::default();
    put(&store, run(1).request_key(), "{}");
    put(&store, run(1).plan_key(), "{\"p\":1}");
    put(&store, run(1).step_key("answer", None), "{\"a\":1}");
    seal(&store, &run(1));
    store
}

async fn inspected(store: &MemoryStore, run: &RunRef, key: &SigningKey) -> Option<Report> {
    inspect(store, run, key.verifying_key(), BTreeMap::new()).await.unwrap()
}

async fn faults(store: &MemoryStore, attempt_no: u32) -> Vec<String> {
    inspected(store, &run(attempt_no), &signer()).await.unwrap().faults
}

fn flip(store: &MemoryStore, key: &str) {
    let mut objects = store.objects.borrow_mut();
    let body = objects.get_mut(key).unwrap();
    // The last byte belongs to the closing brace, or to the second number of the signature.
    let at = body.len() - 1;
    body[at] ^= 1;
}

#[tokio::test]
async fn a_run_as_it_was_sealed_is_right() {
    let store = sealed();
    let report = inspected(&store, &run(1), &signer()).await.unwrap();
    assert_eq!(report.faults, [""; 0]);
    assert!(report.signed);
    assert_eq!(report.artifacts_right, 3);
}

#[tokio::test]
async fn every_flipped_byte_is_found_and_named() {
    let run = run(1);
    for (key, expected) in [
        (run.step_key("answer", None), "steps/answer.answer.json: has the digest"),
        (run.request_key(), "request.json: has the digest"),
        (run.signature_key(), "manifest-1.json.sig: is not a valid signature"),
    ] {
        let store = sealed();
        flip(&store, &key);
        let faults = faults(&store, 1).await;
        assert_eq!(faults.len(), 1, "{faults:?}");
        assert!(faults[0].contains(expected), "{expected} is missing in {faults:?}");
    }
}

#[tokio::test]
async fn a_changed_manifest_is_found_whether_or_not_it_can_be_read() {
    let store = sealed();
    flip(&store, &run(1).manifest_key());
    let found = faults(&store, 1).await;
    assert!(
        found[0].contains("is not a valid signature")
            && found[1].contains("is not what this version writes"),
        "{found:?}"
    );
    let store = sealed();
    let body = String::from_utf8(store.objects.borrow()[&run(1).manifest_key()].clone()).unwrap();
    put(&store, run(1).manifest_key(), &body.replace("SUCCEEDED", "FAILED"));
    let found = faults(&store, 1).await;
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("is not a valid signature"), "{found:?}");
}

#[tokio::test]
async fn missing_and_added_artifacts_are_found() {
    let store = sealed();
    store.objects.borrow_mut().remove(&run(1).plan_key());
    put(&store, run(1).step_key("planted", None), "{}");
    put(&store, format!("{}manifest-1.json.bak", run(1).prefix()), "{}");
    let found = faults(&store, 1).await;
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(found[0].ends_with("plan.json: is missing"));
    assert!(found[1].ends_with("manifest-1.json.bak: is not in any signed manifest"));
    assert!(found[2].ends_with("steps/planted.answer.json: is not in any signed manifest"));
}

#[tokio::test]
async fn a_missing_signature_and_one_of_another_key_are_found() {
    let store = sealed();
    store.objects.borrow_mut().remove(&run(1).signature_key());
    assert!(faults(&store, 1).await[0].ends_with("there is no signature"));
    let other = SigningKey::from_slice(&[8; 32]).unwrap();
    let report = inspected(&sealed(), &run(1), &other).await.unwrap();
    assert!(!report.signed && report.faults[0].contains("is not a valid signature"));
}

#[tokio::test]
async fn a_signed_manifest_of_another_run_proves_nothing() {
    let store = sealed();
    let other = RunRef::first("default", "explain", "43");
    let bytes = manifest(&other, &[]);
    let signature: Signature = signer().sign(&Kind::Run.message(&bytes));
    store
        .objects
        .borrow_mut()
        .insert(run(1).signature_key(), signature.to_der().as_bytes().to_vec());
    store.objects.borrow_mut().insert(run(1).manifest_key(), bytes);
    let found = faults(&store, 1).await;
    assert!(found[0].contains("its run_id is explain-"), "{found:?}");
}

#[tokio::test]
async fn what_a_signed_later_attempt_added_is_not_stray() {
    let store = sealed();
    put(&store, run(2).step_key("late", None), "{}");
    put(&store, run(2).failure_key("other", None), "{}");
    assert_eq!(faults(&store, 1).await.len(), 2, "the retry is not sealed yet");
    seal(&store, &run(2));
    assert_eq!(faults(&store, 1).await, [""; 0]);
    assert_eq!(faults(&store, 2).await, [""; 0]);
    flip(&store, &run(2).signature_key());
    let found = faults(&store, 1).await;
    assert!(found[0].contains("manifest-2.json.sig: is not a valid signature"), "{found:?}");
    assert_eq!(found.len(), 3, "an unsigned manifest excuses nothing: {found:?}");
}

/// Shows that objects cannot be hidden as failures of a later run attempt, or as manifests of run attempts that never
/// existed.
#[tokio::test]
async fn what_was_added_in_the_name_of_another_attempt_is_found() {
    let store = sealed();
    put(&store, run(7).failure_key("answer", None), "{}");
    put(&store, run(9).manifest_key(), "{}");
    put(&store, run(12).signature_key(), "signature");
    put(&store, format!("{}manifest-01.json", run(1).prefix()), "{}");
    let other = RunRef::first("default", "explain", "43");
    seal(&store, &other);
    for (from, to) in [
        (other.manifest_key(), run(2).manifest_key()),
        (other.signature_key(), run(2).signature_key()),
    ] {
        let body = store.objects.borrow_mut().remove(&from).unwrap();
        store.objects.borrow_mut().insert(to, body);
    }
    let found = faults(&store, 1).await;
    for part in [
        "failures/7/answer.failure.json: is not in any signed manifest",
        "manifest-9.json.sig: there is no signature",
        "manifest-12.json.sig: is not in any signed manifest",
        "manifest-01.json: is not in any signed manifest",
        "manifest-2.json: its run_id is explain-",
    ] {
        assert!(found.iter().any(|fault| fault.contains(part)), "{part} is not in {found:#?}");
    }
}

#[tokio::test]
async fn an_artifact_that_cannot_be_read_was_not_checked() {
    let store = sealed();
    let bytes = store.objects.borrow()[&run(1).manifest_key()].clone();
    let subject = Subject::of_run(&run(1));
    let mut report = Report::<Manifest>::of(signer().verifying_key(), &subject, &bytes, None);
    store.failing.set(1);
    check_artifacts(&store, &mut report).await;
    assert_eq!(report.artifacts_right, 2);
    assert!(report.faults[1].contains("could not be checked"), "{:?}", report.faults);
}

#[tokio::test]
async fn a_run_without_a_manifest_has_nothing_to_check() {
    let store = MemoryStore::default();
    assert!(inspected(&store, &run(1), &signer()).await.is_none());
}

#[test]
fn an_attempt_that_was_taken_away_as_a_whole_is_reported() {
    let listed = [run(1).manifest_key(), run(1).signature_key()];
    assert!(taken_away(&run(1), [1].into_iter(), &listed).is_empty());
    let gone = taken_away(&run(1), [1, 2].into_iter(), &listed);
    assert_eq!(gone.len(), 1);
    assert!(gone[0].starts_with(&run(2).manifest_key()), "{gone:?}");
}

/// Runs the line of docs/operations.md unchanged.
#[test]
fn the_documented_openssl_line_verifies_a_manifest_and_refuses_a_changed_one() {
    let docs = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/operations.md");
    let docs = std::fs::read_to_string(docs).unwrap();
    let documented = docs.lines().find(|line| line.contains("openssl dgst")).unwrap();
    let folder = std::env::temp_dir().join(format!("bcce-openssl-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let put = |name: &str, body: &[u8]| std::fs::write(folder.join(name), body).unwrap();
    let verified = |line: &str| {
        let run = std::process::Command::new("sh").args(["-c", line]).current_dir(&folder).output();
        run.unwrap().status.success()
    };
    let store = sealed();
    put("key.pem", key::pem(signer().verifying_key()).unwrap().as_bytes());
    put("manifest-1.json", &store.objects.borrow()[&run(1).manifest_key()]);
    put("manifest-1.json.sig", &store.objects.borrow()[&run(1).signature_key()]);
    let of_run = verified(documented);
    let of_batch = verified(&documented.replace("bcce run manifest", "bcce batch manifest"));
    put("manifest-1.json", b"{}");
    let of_changed = verified(documented);
    std::fs::remove_dir_all(&folder).unwrap();
    assert_eq!([of_run, of_batch, of_changed], [true, false, false]);
}
