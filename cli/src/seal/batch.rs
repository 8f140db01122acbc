//! Verifies that a batch is unchanged since it was sealed: the signature, the identity, the digests of its results and
//! outputs, and that no object was added. Its runs have manifests of their own. Its working objects are in no manifest.

use bcce_core::base::error::Fault;
use bcce_core::batch::{BatchManifest, BatchRef, Location};
use bcce_core::io::seal::Subject;
use bcce_core::ports::{GetObject, ListObjects, OpenSource};
use bcce_core::run::artifact::ArtifactRef;
use p256::ecdsa::VerifyingKey;

use super::{Known, Report, attempt_in, attempts, check_digest, manifest};
use crate::batch::objects::digest;

/// Verifies an attempt of a batch with `key`. Returns `None` if it has no manifest. `bucket` contains its objects.
///
/// # Errors
/// The bucket cannot be listed, or a manifest cannot be read. Results or outputs that cannot be read are a fault of the
/// report instead, because they could not be checked.
pub async fn inspect(
    store: &(impl GetObject + ListObjects),
    sources: &impl OpenSource,
    bucket: &str,
    batch: &BatchRef,
    key: &VerifyingKey,
) -> Result<Option<Report<BatchManifest>>, Fault> {
    let subject = Subject::of_batch(batch);
    let Some(mut report) = manifest::<BatchManifest>(store, key, &subject).await? else {
        return Ok(None);
    };
    let Some(sealed) = report.manifest.clone() else { return Ok(Some(report)) };
    for listed in objects(&sealed) {
        let location = Location { bucket: bucket.to_owned(), key: listed.key.clone() };
        let checked = match digest(sources, &location).await {
            Ok(Some(found)) => check_digest(listed, &found),
            Ok(None) => Err("is missing".into()),
            Err(fault) => Err(format!("could not be checked: {}", fault.message)),
        };
        match checked {
            Ok(()) => report.artifacts_right += 1,
            Err(cause) => report.faults.push(format!("{}: {cause}", listed.key)),
        }
    }
    let all = |sealed: BatchManifest| objects(&sealed).into_iter().cloned().collect::<Vec<_>>();
    let mut known = Known::default();
    known.add(&subject, &all(sealed));
    // The working objects of a batch are not sealed.
    let mut listed = store.list(&batch.prefix()).await?;
    listed.retain(|key| !batch.is_working_key(key));
    for attempt_no in attempts(&listed, |key| manifest_attempt(batch, key)) {
        if attempt_no == batch.attempt_no {
            continue;
        }
        let subject = Subject::of_batch(&BatchRef { attempt_no, ..batch.clone() });
        let other = manifest::<BatchManifest>(store, key, &subject).await?;
        known.add_other(&subject, other, all, &mut report.faults);
    }
    report.faults.extend(known.strangers(&listed));
    Ok(Some(report))
}

fn manifest_attempt(batch: &BatchRef, key: &str) -> Option<u32> {
    let attempt_no = attempt_in(key, &batch.prefix())?;
    let subject = Subject::of_batch(&BatchRef { attempt_no, ..batch.clone() });
    [subject.key(), subject.signature_key()].contains(&key).then_some(attempt_no)
}

/// Returns the objects that a manifest lists: the results and the outputs.
pub fn objects(manifest: &BatchManifest) -> Vec<&ArtifactRef> {
    manifest.results.iter().chain(&manifest.outputs).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::samples::manifest;
    use crate::seal::tests::signer;
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
                bytes: body.len() as u64,
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
        let report = crate::seal::inspect(&store, &run, &key).await.unwrap().unwrap();
        assert!(!report.signed, "{report:?}");
        assert!(report.faults[0].contains("signature of a run or item manifest"), "{report:?}");
    }

    #[tokio::test]
    async fn what_was_added_to_a_batch_by_whatever_attempt_is_reported() {
        let store = sealed();
        let (retry, prefix) = (batch().retry().unwrap(), batch().prefix());
        let added = [
            retry.manifest_key(),
            retry.results_key(),
            format!("{prefix}a.txt"),
            batch().part_key(1),
        ];
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
}
