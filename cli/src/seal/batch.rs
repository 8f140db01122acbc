//! Whether a batch is as it was sealed: signature, identity, and the digests of its results and outputs. Its runs
//! have seals of their own.

use bcce_core::artifact::{ArtifactRef, parse};
use bcce_core::batch::{BatchManifest, BatchRef, Location};
use bcce_core::error::Fault;
use bcce_core::ports::{GetObject, OpenSource};
use p256::ecdsa::VerifyingKey;

use super::{Report, check_digest};
use crate::batch::objects::digest;

/// Checks an attempt at a batch against `key`; `None`: it has no manifest. `bucket`: where its objects lie.
///
/// # Errors
/// The manifest cannot be read. What else cannot be is in the report: what was not checked is not right.
pub async fn inspect(
    store: &impl GetObject,
    sources: &impl OpenSource,
    bucket: &str,
    batch: &BatchRef,
    key: &VerifyingKey,
) -> Result<Option<Report<BatchManifest>>, Fault> {
    let Some(bytes) = store.get(&batch.manifest_key()).await? else { return Ok(None) };
    let signature = store.get(&batch.signature_key()).await?;
    let mut report = Report::of(key, &bytes, signature.as_deref(), &batch.signature_key());
    match parse::<BatchManifest>(&batch.manifest_key(), &bytes) {
        Err(fault) => report.faults.push(fault.message),
        Ok(manifest) => {
            report.faults.extend(check_identity(batch, &manifest));
            for listed in objects(&manifest) {
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
            report.manifest = Some(manifest);
        }
    }
    Ok(Some(report))
}

/// What a manifest lists.
pub fn objects(manifest: &BatchManifest) -> Vec<&ArtifactRef> {
    manifest.results.iter().chain(&manifest.outputs).collect()
}

/// A manifest that was signed, but for another batch, proves nothing about this one.
fn check_identity(batch: &BatchRef, manifest: &BatchManifest) -> Vec<String> {
    let key = batch.manifest_key();
    let told = |what: &str, is: &str, should: &str| {
        (is != should).then(|| format!("{key}: its {what} is {is}, not {should}"))
    };
    [
        told("batch_id", &manifest.batch_id, &batch.batch_id),
        told("tenant", &manifest.tenant, &batch.tenant),
        told("attempt_no", &manifest.attempt_no.to_string(), &batch.attempt_no.to_string()),
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::tests::manifest;
    use crate::seal::tests::signer;
    use bcce_core::fakes::MemoryStore;
    use bcce_core::ports::{NextBytes, SourceObject};
    use p256::ecdsa::Signature;
    use p256::ecdsa::signature::Signer;

    /// What a store holds, as objects of a bucket.
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
        let signature: Signature = signer().sign(&bytes);
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
    async fn what_was_changed_or_taken_away_is_told() {
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
        assert!(report.faults[0].contains("is not this key's signature"), "{report:?}");
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
}
