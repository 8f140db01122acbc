//! Seals manifests: signs a manifest that the caller has made, and stores it with its signature in one write.
//!
//! A sealer signs only bytes that it has just made. It never signs an object that another writer put at the key of a
//! manifest: such an object has no valid signature, and finding it is an error. This is safer than comparing the object
//! with the expected manifest.
//!
//! The signature is ECDSA P-256 over the SHA-256 digest of the kind's line ([`Kind::line`]) and the exact bytes. Each
//! kind has its own line, so the signature of a batch is never valid for a run.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::base::digest::{sha256, sha256_hex};
use crate::base::error::Fault;
use crate::base::json::{parse, to_json};
use crate::batch::packed::PartManifest;
use crate::batch::{BatchManifest, BatchRef};
use crate::io::objects::{existing, store_once};
use crate::ports::{GetObject, GetSealed, Put, PutOnce, PutSealed, SignDigest, VerifyDigest};
use crate::run::ids::RunRef;
use crate::run::manifest::{Kind, Manifest, ManifestRef};

/// The end of an error about a manifest that no sealer made: what to do.
const ADVICE: &str = "nothing was signed, recorded or notified; see \"A manifest that no sealer wrote\" in docs/finalizing.md";

/// A manifest that can be sealed.
pub trait Sealable: Serialize + DeserializeOwned {
    fn kind(&self) -> Kind;
    /// Returns the fields that identify what was sealed, with their names: id, attempt, tenant, and the number of a
    /// part.
    fn identity(&self) -> Vec<(&'static str, String)>;
}

impl Sealable for Manifest {
    fn kind(&self) -> Kind {
        self.kind
    }

    fn identity(&self) -> Vec<(&'static str, String)> {
        identity("run_id", &self.run_id, self.attempt_no, &self.tenant)
    }
}

impl Sealable for BatchManifest {
    fn kind(&self) -> Kind {
        self.kind
    }

    fn identity(&self) -> Vec<(&'static str, String)> {
        identity("batch_id", &self.batch_id, self.attempt_no, &self.tenant)
    }
}

impl Sealable for PartManifest {
    fn kind(&self) -> Kind {
        self.kind
    }

    fn identity(&self) -> Vec<(&'static str, String)> {
        let of_batch = identity("batch_id", &self.batch_id, self.attempt_no, &self.tenant);
        of_batch.into_iter().chain([("part", self.part.to_string())]).collect()
    }
}

fn identity(
    name: &'static str,
    id: &str,
    attempt_no: u32,
    tenant: &str,
) -> Vec<(&'static str, String)> {
    vec![
        (name, id.to_owned()),
        ("attempt_no", attempt_no.to_string()),
        ("tenant", tenant.to_owned()),
    ]
}

/// The run attempt, batch attempt or part whose manifest is sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    kinds: &'static [Kind],
    id: String,
    identity: Vec<(&'static str, String)>,
    key: String,
    signature_key: String,
}

impl Subject {
    /// Returns the subject of a run attempt. Its manifest may be of kind `run` or `item`, because a caller that
    /// finalizes or reads a run may not know whether it is an item of a batch.
    pub fn of_run(run: &RunRef) -> Self {
        let is_item = run.batch.is_some();
        Self {
            kinds: if is_item { &[Kind::Item, Kind::Run] } else { &[Kind::Run, Kind::Item] },
            id: run.run_id.clone(),
            identity: identity("run_id", &run.run_id, run.attempt_no, &run.tenant),
            key: run.manifest_key(),
            signature_key: run.signature_key(),
        }
    }

    /// Returns the subject of a batch attempt.
    pub fn of_batch(batch: &BatchRef) -> Self {
        Self {
            kinds: &[Kind::Batch],
            id: batch.batch_id.clone(),
            identity: identity("batch_id", &batch.batch_id, batch.attempt_no, &batch.tenant),
            key: batch.manifest_key(),
            signature_key: batch.signature_key(),
        }
    }

    /// Returns the subject of a part of a batch attempt.
    pub fn of_part(batch: &BatchRef, part: u32) -> Self {
        let of_batch = identity("batch_id", &batch.batch_id, batch.attempt_no, &batch.tenant);
        Self {
            kinds: &[Kind::Part],
            id: batch.part_id(part),
            identity: of_batch.into_iter().chain([("part", part.to_string())]).collect(),
            key: batch.part_manifest_key(part),
            signature_key: batch.part_signature_key(part),
        }
    }

    /// Returns the kinds that the manifest may have, the likelier one first.
    pub fn kinds(&self) -> &[Kind] {
        self.kinds
    }

    pub fn key(&self) -> &str {
        &self.key
    }

    pub fn signature_key(&self) -> &str {
        &self.signature_key
    }

    /// Describes the fields in which a manifest differs from this subject. A manifest that was signed for another
    /// subject proves nothing about this one.
    pub fn differences(&self, manifest: &impl Sealable) -> Vec<String> {
        let names: Vec<&str> = self.kinds.iter().map(|kind| kind.name()).collect();
        let kind = (!self.kinds.contains(&manifest.kind()))
            .then(|| format!("its kind is {}, not {}", manifest.kind().name(), names.join(" or ")));
        let found = manifest.identity();
        let wrong = found.iter().zip(&self.identity).filter(|(is, should)| is != should);
        let fields =
            wrong.map(|(is, should)| format!("its {} is {}, not {}", is.0, is.1, should.1));
        kind.into_iter().chain(fields).collect()
    }

    fn refused(&self, cause: &str) -> Fault {
        Fault::internal(format!("{}: {cause}; {ADVICE}", self.key))
    }
}

/// A manifest that a sealer made and stored with its signature.
#[derive(Clone, Debug, PartialEq)]
pub struct Sealed<M> {
    pub manifest: M,
    pub reference: ManifestRef,
}

/// Finds the manifest of the subject. Writes the detached signature if the sealer was ended before it could. Returns
/// `None` if there is no manifest.
///
/// # Errors
/// Returns `Bcce.Internal` if the store failed, or if the stored manifest is not signed by the stack's key or belongs
/// to another subject.
pub async fn find<M: Sealable>(
    store: &(impl GetObject + PutOnce + GetSealed),
    signing_key: &impl VerifyDigest,
    subject: &Subject,
) -> Result<Option<Sealed<M>>, Fault> {
    let Some(found) = store.get_sealed(&subject.key).await? else { return Ok(None) };
    let signature =
        found.signature.ok_or_else(|| subject.refused("it was not written by a sealer"))?;
    // The content is not used before the signature is checked. Signed content was written by a sealer.
    for &kind in subject.kinds {
        if !signing_key.verify(&sha256(&kind.message(&found.body)), &signature).await? {
            continue;
        }
        let manifest: M = parse(&subject.key, &found.body)?;
        if manifest.kind() != kind {
            return Err(subject.refused(&format!("it was signed as another kind, {}", kind.name())));
        }
        if let Some(difference) = subject.differences(&manifest).first() {
            return Err(subject.refused(difference));
        }
        return finish(store, subject, manifest, &found.body, &signature).await.map(Some);
    }
    Err(subject.refused("its signature is not that of the stack's key for this manifest"))
}

/// Finds the manifest of the subject, or makes, signs and stores it. See [`find`] and [`seal`].
///
/// # Errors
/// Returns the errors of [`find`] and of `make`.
pub async fn find_or_seal<M: Sealable>(
    store: &(impl GetObject + PutOnce + GetSealed + PutSealed),
    signing_key: &(impl SignDigest + VerifyDigest),
    subject: &Subject,
    make: impl AsyncFnOnce() -> Result<M, Fault>,
) -> Result<Sealed<M>, Fault> {
    match find(store, signing_key, subject).await? {
        Some(sealed) => Ok(sealed),
        None => seal(store, signing_key, subject, make().await?).await,
    }
}

/// Signs a manifest that the caller has made, and stores both in one write. If another sealer was faster, its manifest
/// is returned.
///
/// # Errors
/// Returns the errors of [`find`], and `Bcce.Internal` if the manifest belongs to another subject.
pub async fn seal<M: Sealable>(
    store: &(impl GetObject + PutOnce + GetSealed + PutSealed),
    signing_key: &(impl SignDigest + VerifyDigest),
    subject: &Subject,
    manifest: M,
) -> Result<Sealed<M>, Fault> {
    if let Some(difference) = subject.differences(&manifest).first() {
        return Err(Fault::internal(format!("{} is not sealed: {difference}", subject.key)));
    }
    let body = to_json(&manifest)?;
    let signature = signing_key.sign(&sha256(&manifest.kind().message(&body))).await?;
    match store.put_sealed(&subject.key, &subject.id, &body, &signature).await? {
        Put::Stored => finish(store, subject, manifest, &body, &signature).await,
        Put::Existed => existing(&subject.key, find(store, signing_key, subject).await?),
    }
}

/// Writes the detached signature, which is a copy of the one in the object's metadata.
async fn finish<M>(
    store: &(impl GetObject + PutOnce),
    subject: &Subject,
    manifest: M,
    body: &[u8],
    signature: &[u8],
) -> Result<Sealed<M>, Fault> {
    let key = &subject.signature_key;
    if store_once(store, key, &subject.id, signature.to_vec()).await? != signature {
        return Err(Fault::internal(format!(
            "{key}: it is not the signature that the manifest was written with; {ADVICE}"
        )));
    }
    let reference = ManifestRef { key: subject.key.clone(), sha256: sha256_hex(body) };
    Ok(Sealed { manifest, reference })
}

#[cfg(test)]
mod tests;
