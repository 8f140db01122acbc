use std::collections::BTreeMap;

use super::*;
use crate::batch::samples::{manifest, opened};
use crate::packed::samples::{self, cancelled, seal_part, succeeded};
use crate::seal::tests::signer;
use bcce_core::batch::Location;
use bcce_core::batch::manifest::Opened;
use bcce_core::fakes::MemoryStore;
use bcce_core::ports::{NextBytes, SourceObject};
use bcce_core::run::ids::RunRef;
use bcce_core::run::manifest::Kind;
use p256::ecdsa::Signature;
use p256::ecdsa::signature::Signer;

/// The objects of a store, as those of a bucket.
struct Objects<'a>(&'a MemoryStore);
struct Body(Option<Vec<u8>>);

impl OpenSource for Objects<'_> {
    type Body = Body;
    async fn open(
        &self,
        location: &Location,
        _: Option<&str>,
    ) -> Result<Option<SourceObject<Body>>, Fault> {
        let body = self.0.get(&location.key).await?;
        let object = |body: Vec<u8>| SourceObject {
            etag: "e".into(),
            bytes: Some(body.len() as u64),
            body: Body(Some(body)),
        };
        Ok(body.map(object))
    }
}

impl NextBytes for Body {
    async fn next_bytes(&mut self) -> Result<Option<Vec<u8>>, Fault> {
        Ok(self.0.take())
    }
}

fn batch() -> BatchRef {
    BatchRef::first("default", "explain", "42")
}

fn sealed() -> MemoryStore {
    let (batch, store) = (batch(), MemoryStore::default());
    let (results, outputs) = (batch.results_key(), batch.outputs_key());
    let sealed = BatchManifest {
        batch_id: batch.batch_id.clone(),
        results: Some(ArtifactRef::of(results.clone(), b"r\n")),
        outputs: Some(ArtifactRef::of(outputs.clone(), b"o\n")),
        ..manifest()
    };
    let bytes = serde_json::to_vec(&sealed).unwrap();
    let signature: Signature = signer().sign(&Kind::Batch.message(&bytes));
    store.objects.borrow_mut().extend([
        (results, b"r\n".to_vec()),
        (outputs, b"o\n".to_vec()),
        (batch.signature_key(), signature.to_der().as_bytes().to_vec()),
        (batch.manifest_key(), bytes),
    ]);
    store
}

async fn inspected(store: &MemoryStore, batch: &BatchRef) -> Option<Report<BatchManifest>> {
    let key = *signer().verifying_key();
    inspect(store, &Objects(store), "b", batch, &key).await.unwrap()
}

#[tokio::test]
async fn a_batch_as_it_was_sealed_is_verified() {
    let report = inspected(&sealed(), &batch()).await.unwrap();
    assert_eq!((report.signed, report.artifacts_right), (true, 2));
    assert_eq!(report.faults, [""; 0]);
    assert!(inspected(&MemoryStore::default(), &batch()).await.is_none());
}

#[tokio::test]
async fn what_was_changed_or_taken_away_is_reported() {
    let store = sealed();
    store.objects.borrow_mut().insert(batch().results_key(), b"x\n".to_vec());
    store.objects.borrow_mut().remove(&batch().outputs_key());
    let report = inspected(&store, &batch()).await.unwrap();
    assert!(report.signed && report.artifacts_right == 0);
    assert!(report.faults[0].contains("results-1.jsonl: has the digest"), "{report:?}");
    assert!(report.faults[1].ends_with("outputs-1.jsonl: is missing"), "{report:?}");
    let key = batch().manifest_key();
    store.objects.borrow_mut().get_mut(&key).unwrap().push(b' ');
    let report = inspected(&store, &batch()).await.unwrap();
    assert!(report.faults[0].contains("is not a valid signature"), "{report:?}");
}

#[tokio::test]
async fn a_signed_manifest_of_another_batch_proves_nothing() {
    let (store, other) = (sealed(), BatchRef::first("default", "explain", "43"));
    for (from, to) in [
        (batch().manifest_key(), other.manifest_key()),
        (batch().signature_key(), other.signature_key()),
    ] {
        let bytes = store.objects.borrow()[&from].clone();
        store.objects.borrow_mut().insert(to, bytes);
    }
    let report = inspected(&store, &other).await.unwrap();
    assert!(report.signed && report.faults[0].contains("its batch_id is explain-batch-"));
}

/// Shows that a signed manifest is valid only for its own kind.
#[tokio::test]
async fn a_run_laid_under_a_batch_and_a_batch_laid_under_a_run_are_not_verified() {
    let store = sealed();
    let bytes = store.objects.borrow()[&batch().manifest_key()].clone();
    let as_run: Signature = signer().sign(&Kind::Run.message(&bytes));
    let as_batch = store.objects.borrow()[&batch().signature_key()].clone();
    let as_run = as_run.to_der().as_bytes().to_vec();
    store.objects.borrow_mut().insert(batch().signature_key(), as_run);
    let report = inspected(&store, &batch()).await.unwrap();
    assert!(!report.signed, "{report:?}");
    assert!(report.faults[0].contains("not a valid signature of a batch manifest"));
    let run = RunRef::first("default", "explain", "42");
    store
        .objects
        .borrow_mut()
        .extend([(run.manifest_key(), bytes), (run.signature_key(), as_batch)]);
    let key = *signer().verifying_key();
    let report = crate::seal::inspect(&store, &run, &key, BTreeMap::new()).await.unwrap().unwrap();
    assert!(!report.signed, "{report:?}");
    assert!(report.faults[0].contains("signature of a run or item manifest"), "{report:?}");
}

#[tokio::test]
async fn what_was_added_to_a_batch_by_whatever_attempt_is_reported() {
    let store = sealed();
    let (retry, prefix) = (batch().retry().unwrap(), batch().prefix());
    let added =
        [retry.manifest_key(), retry.results_key(), format!("{prefix}a.txt"), batch().part_key(1)];
    store.objects.borrow_mut().extend(added.map(|key| (key, b"{}".to_vec())));
    let faults = inspected(&store, &batch()).await.unwrap().faults;
    let ends = [
        "manifest-2.json.sig: there is no signature",
        "manifest-2.json is not what this version writes: line 1, column 2",
        "a.txt: is not in any signed manifest",
        "results-2.jsonl: is not in any signed manifest",
    ];
    assert!(
        faults.len() == 4 && faults.iter().zip(ends).all(|(it, end)| it.ends_with(end)),
        "{faults:#?}"
    );
}

/// Seals a packed batch with two parts.
fn packed() -> MemoryStore {
    let store = MemoryStore::default();
    seal_part(&store, 1, 1, &[succeeded(1, 1)]);
    seal_part(&store, 1, 2, &[cancelled(6, 1), succeeded(7, 1)]);
    let batch = samples::batch(1);
    let opened = Opened { parts: 2, way: Way::Packed, ..opened() };
    let sealed = BatchManifest {
        batch_id: batch.batch_id.clone(),
        opened: Some(opened),
        results: None,
        outputs: None,
        ..manifest()
    };
    let bytes = serde_json::to_vec(&sealed).unwrap();
    let signature: Signature = signer().sign(&Kind::Batch.message(&bytes));
    store.objects.borrow_mut().extend([
        (batch.signature_key(), signature.to_der().as_bytes().to_vec()),
        (batch.manifest_key(), bytes),
        (batch.segment_key(1, 1), b"not sealed".to_vec()),
        (batch.configuration_key(), b"{}".to_vec()),
    ]);
    store
}

async fn inspected_packed(store: &MemoryStore) -> Report<BatchManifest> {
    inspected(store, &samples::batch(1)).await.unwrap()
}

#[tokio::test]
async fn a_packed_batch_is_verified_with_all_of_its_parts() {
    let report = inspected_packed(&packed()).await;
    assert_eq!(report.faults, [""; 0]);
    assert_eq!((parts(&report.manifest.unwrap()), report.parts_right), (2, 2));
}

#[tokio::test]
async fn what_was_changed_in_a_part_or_taken_away_from_it_is_reported() {
    let batch = samples::batch(1);
    type Change = fn(&[u8]) -> Option<Vec<u8>>;
    let flip: Change = |body| {
        let mut body = body.to_vec();
        body[0] ^= 1;
        Some(body)
    };
    let take: Change = |_| None;
    for (key, change, expected) in [
        (batch.part_runs_key(2), flip, "its 2 runs have the root"),
        (batch.part_runs_key(2), take, "is missing"),
        (batch.part_results_key(2), flip, "has the digest"),
        (batch.part_outputs_key(1), take, "is missing"),
        (batch.part_signature_key(2), flip, "is not a DER-encoded"),
        (batch.part_manifest_key(1), take, "is missing"),
    ] {
        let store = packed();
        let body = store.objects.borrow_mut().remove(&key).unwrap();
        store.objects.borrow_mut().extend(change(&body).map(|body| (key.clone(), body)));
        let report = inspected_packed(&store).await;
        let first = report.faults.first().unwrap();
        assert!(first.starts_with(&key) && first.contains(expected), "{key}: {:#?}", report.faults);
        assert_eq!(report.parts_right, 1);
    }
    let store = packed();
    for key in [batch.part_runs_key(1), batch.part_manifest_key(1), batch.part_signature_key(1)] {
        store.objects.borrow_mut().remove(&key);
    }
    let report = inspected_packed(&store).await;
    assert_eq!(report.faults, [format!("{}: is missing", batch.part_manifest_key(1))]);
}

#[tokio::test]
async fn runs_that_were_added_to_a_part_are_reported() {
    let (store, batch) = (packed(), samples::batch(1));
    let key = batch.part_runs_key(2);
    let mut runs = store.objects.borrow()[&key].clone();
    let last = runs.split(|byte| *byte == b'\n').next().unwrap().to_vec();
    runs.extend(last);
    store.objects.borrow_mut().insert(key, runs);
    let faults = inspected_packed(&store).await.faults;
    assert!(faults.len() == 1 && faults[0].contains("its 3 runs have the root"), "{faults:#?}");
}

#[tokio::test]
async fn parts_that_the_batch_does_not_have_are_reported_and_those_of_a_retry_are_verified() {
    let store = packed();
    seal_part(&store, 2, 1, &[succeeded(1, 2)]);
    assert_eq!(inspected_packed(&store).await.faults, [""; 0], "the retry is under way");
    let added = [
        format!("{}sealed-2/1.part.json", samples::batch(1).prefix()),
        samples::batch(1).part_runs_key(3),
        samples::batch(1).part_runs_key(0),
    ];
    store.objects.borrow_mut().extend(added.clone().map(|key| (key, b"{}".to_vec())));
    let faults = inspected_packed(&store).await.faults;
    assert_eq!(faults.len(), 3, "{faults:#?}");
    for key in added {
        let fault = format!("{key}: is not in any signed manifest");
        assert!(faults.contains(&fault), "{fault}: {faults:#?}");
        store.objects.borrow_mut().remove(&key);
    }
    store.objects.borrow_mut().remove(&samples::batch(2).part_signature_key(1));
    let faults = inspected_packed(&store).await.faults;
    assert!(faults.len() == 1 && faults[0].ends_with("there is no signature"), "{faults:#?}");
}
