//! Whether a run is as it was sealed: signature, identity, every digest, nothing added.

pub mod batch; // whether a batch is

use std::collections::BTreeSet;

use bcce_core::artifact::{ArtifactRef, parse};
use bcce_core::digest::sha256_hex;
use bcce_core::error::Fault;
use bcce_core::manifest::Manifest;
use bcce_core::ports::{GetObject, ListObjects};
use bcce_core::run::RunRef;
use futures::StreamExt;
use p256::ecdsa::signature::Verifier;
use p256::ecdsa::{Signature, VerifyingKey};
use p256::pkcs8::{DecodePublicKey, EncodePublicKey, LineEnding};

/// Objects read at a time.
const AT_A_TIME: usize = 8;

/// What was checked, and everything that is off.
#[derive(Debug)]
pub struct Report<M = Manifest> {
    pub manifest_sha256: String,
    /// `None` when its bytes are none.
    pub manifest: Option<M>,
    pub signed: bool,
    pub artifacts_right: usize,
    pub faults: Vec<String>,
}

impl<M> Report<M> {
    /// Of a manifest's bytes and their signature, which lies under `signature_key`.
    fn of(key: &VerifyingKey, bytes: &[u8], signature: Option<&[u8]>, signature_key: &str) -> Self {
        let checked = check_signature(key, bytes, signature);
        Self {
            manifest_sha256: sha256_hex(bytes),
            manifest: None,
            signed: checked.is_ok(),
            artifacts_right: 0,
            faults: checked
                .err()
                .map(|cause| format!("{signature_key}: {cause}"))
                .into_iter()
                .collect(),
        }
    }
}

/// A P-256 key, as KMS gives it: DER, SubjectPublicKeyInfo.
pub fn key_of(der: &[u8]) -> Result<VerifyingKey, Fault> {
    VerifyingKey::from_public_key_der(der).map_err(|_| {
        Fault::internal("kms:GetPublicKey: the signing key is not an ECDSA key on P-256")
    })
}

pub fn key_of_pem(pem: &str) -> Option<VerifyingKey> {
    VerifyingKey::from_public_key_pem(pem).ok()
}

pub fn pem(key: &VerifyingKey) -> Result<String, Fault> {
    key.to_public_key_pem(LineEnding::LF).map_err(|error| Fault::internal(error.to_string()))
}

/// Checks the attempt of `run` against `key`; `None`: it has no manifest.
///
/// # Errors
/// The bucket cannot be listed or the manifest not be read. An artifact that cannot be read is in the
/// report: what was not checked is not right.
pub async fn inspect(
    store: &(impl GetObject + ListObjects),
    run: &RunRef,
    key: &VerifyingKey,
) -> Result<Option<Report>, Fault> {
    let Some(bytes) = store.get(&run.manifest_key()).await? else { return Ok(None) };
    let signature = store.get(&run.signature_key()).await?;
    let mut report = Report::of(key, &bytes, signature.as_deref(), &run.signature_key());
    match parse::<Manifest>(&run.manifest_key(), &bytes) {
        Err(fault) => report.faults.push(fault.message),
        Ok(manifest) => {
            report.faults.extend(check_identity(run, &manifest));
            check_artifacts(store, &manifest, &mut report).await;
            let listed = store.list(&run.prefix()).await?;
            let later = later(store, run, key, &listed).await?;
            report.faults.extend(unlisted(run, &manifest, &later, &listed));
            report.manifest = Some(manifest);
        }
    }
    Ok(Some(report))
}

/// # Errors
/// What is wrong with the signature.
pub fn check_signature(
    key: &VerifyingKey,
    manifest: &[u8],
    signature: Option<&[u8]>,
) -> Result<(), String> {
    let signature = signature.ok_or("there is no signature")?;
    let signature =
        Signature::from_der(signature).map_err(|_| "is not a DER-encoded ECDSA signature")?;
    let wrong =
        "is not this key's signature of the manifest: manifest, signature or key was changed";
    key.verify(manifest, &signature).map_err(|_| wrong.to_owned())
}

/// A manifest that was signed, but for another run, proves nothing about this one.
fn check_identity(run: &RunRef, manifest: &Manifest) -> Vec<String> {
    let key = run.manifest_key();
    let told = |what: &str, is: &str, should: &str| {
        (is != should).then(|| format!("{key}: its {what} is {is}, not {should}"))
    };
    [
        told("run_id", &manifest.run_id, &run.run_id),
        told("tenant", &manifest.tenant, &run.tenant),
        told("attempt_no", &manifest.attempt_no.to_string(), &run.attempt_no.to_string()),
    ]
    .into_iter()
    .flatten()
    .collect()
}

async fn check_artifacts(store: &impl GetObject, manifest: &Manifest, report: &mut Report) {
    let check = |artifact: &ArtifactRef| {
        let artifact = artifact.clone();
        async move {
            match store.get(&artifact.key).await {
                Ok(body) => check_artifact(&artifact, body.as_deref()),
                Err(fault) => Err(format!("could not be checked: {}", fault.message)),
            }
            .map_err(|cause| format!("{}: {cause}", artifact.key))
        }
    };
    let checked: Vec<_> =
        futures::stream::iter(&manifest.artifacts).map(check).buffered(AT_A_TIME).collect().await;
    for checked in checked {
        match checked {
            Ok(()) => report.artifacts_right += 1,
            Err(fault) => report.faults.push(fault),
        }
    }
}

fn check_artifact(artifact: &ArtifactRef, body: Option<&[u8]>) -> Result<(), String> {
    let body = body.ok_or("is missing")?;
    check_digest(artifact, &ArtifactRef::of(artifact.key.clone(), body))
}

/// Of an artifact as the manifest lists it and as it was found.
fn check_digest(listed: &ArtifactRef, found: &ArtifactRef) -> Result<(), String> {
    match (found.sha256 == listed.sha256, found.bytes == listed.bytes) {
        (true, true) => Ok(()),
        (true, false) => {
            Err(format!("has {} bytes, the manifest says {}", found.bytes, listed.bytes))
        }
        (false, _) => Err(format!(
            "has the digest {} ({} bytes), the manifest says {} ({})",
            found.sha256, found.bytes, listed.sha256, listed.bytes
        )),
    }
}

/// What later attempts added to the run, as far as their manifests are signed.
async fn later(
    store: &impl GetObject,
    run: &RunRef,
    key: &VerifyingKey,
    listed: &[String],
) -> Result<BTreeSet<String>, Fault> {
    let mut keys = BTreeSet::new();
    for attempt_no in
        listed.iter().filter_map(|key| manifest_attempt(run, key)).filter(|n| *n > run.attempt_no)
    {
        let attempt = RunRef { attempt_no, ..run.clone() };
        let bytes = store.get(&attempt.manifest_key()).await?.unwrap_or_default();
        let signature = store.get(&attempt.signature_key()).await?;
        if check_signature(key, &bytes, signature.as_deref()).is_ok() {
            let manifest: Manifest = parse(&attempt.manifest_key(), &bytes)?;
            keys.extend(manifest.artifacts.into_iter().map(|artifact| artifact.key));
        }
    }
    Ok(keys)
}

/// The number of the attempt whose manifest this is.
pub fn manifest_attempt(run: &RunRef, key: &str) -> Option<u32> {
    let rest = key.strip_prefix(&run.prefix())?.strip_prefix("manifest-")?;
    rest.strip_suffix(".json").or_else(|| rest.strip_suffix(".json.sig"))?.parse().ok()
}

fn unlisted(
    run: &RunRef,
    manifest: &Manifest,
    later: &BTreeSet<String>,
    listed: &[String],
) -> Vec<String> {
    let known: BTreeSet<&str> =
        manifest.artifacts.iter().map(|artifact| artifact.key.as_str()).collect();
    let failures = format!("{}failures/", run.prefix());
    let later_failure = |key: &str| {
        let attempt = key
            .strip_prefix(&failures)
            .and_then(|rest| rest.split('/').next()?.parse::<u32>().ok());
        attempt.is_some_and(|attempt| attempt > run.attempt_no)
    };
    let stray = |key: &&String| {
        !known.contains(key.as_str())
            && !later.contains(*key)
            && !later_failure(key)
            && manifest_attempt(run, key).is_none()
    };
    listed.iter().filter(stray).map(|key| format!("{key}: is not in the manifest")).collect()
}

#[cfg(test)]
pub mod tests;
