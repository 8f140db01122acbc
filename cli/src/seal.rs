//! Checks whether a run is as it was sealed: signature, identity, every digest, and that nobody added anything.

pub mod batch; // whether a batch is
pub mod key; // whose signature counts

use std::collections::BTreeSet;

use bcce_core::base::digest::sha256_hex;
use bcce_core::base::error::Fault;
use bcce_core::base::json::parse;
use bcce_core::io::seal::{Sealable, Subject};
use bcce_core::ports::{GetObject, ListObjects};
use bcce_core::run::artifact::ArtifactRef;
use bcce_core::run::ids::RunRef;
use bcce_core::run::manifest::{Kind, Manifest};
use futures::StreamExt;
use p256::ecdsa::signature::Verifier;
use p256::ecdsa::{Signature, VerifyingKey};

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

impl<M: Sealable> Report<M> {
    /// Reports on a manifest's bytes and their signature.
    fn of(key: &VerifyingKey, subject: &Subject, bytes: &[u8], signature: Option<&[u8]>) -> Self {
        let mut faults = Vec::new();
        let signed = check_signature(key, subject, bytes, signature);
        if let Err(cause) = &signed {
            faults.push(format!("{}: {cause}", subject.signature_key()));
        }
        let manifest = parse::<M>(subject.key(), bytes);
        match &manifest {
            Err(fault) => faults.push(fault.message.clone()),
            Ok(manifest) => {
                let mut others = subject.differences(manifest);
                // One that was signed, but as something else, proves nothing about this.
                if signed.as_ref().is_ok_and(|kind| *kind != manifest.kind()) {
                    others.push(format!(
                        "it was signed as another kind than {}",
                        manifest.kind().name()
                    ));
                }
                faults.extend(others.iter().map(|other| format!("{}: {other}", subject.key())));
            }
        }
        Self {
            manifest_sha256: sha256_hex(bytes),
            manifest: manifest.ok(),
            signed: signed.is_ok(),
            artifacts_right: 0,
            faults,
        }
    }
}

/// Checks the attempt of `run` against `key`; `None`: it has no manifest.
///
/// # Errors
/// The bucket cannot be listed or a manifest not be read. An artifact that cannot be read is in the
/// report: what was not checked is not right.
pub async fn inspect(
    store: &(impl GetObject + ListObjects),
    run: &RunRef,
    key: &VerifyingKey,
) -> Result<Option<Report>, Fault> {
    let Some(mut report) = manifest::<Manifest>(store, key, &Subject::of_run(run)).await? else {
        return Ok(None);
    };
    let Some(manifest) = report.manifest.clone() else { return Ok(Some(report)) };
    check_artifacts(store, &manifest, &mut report).await;
    let listed = store.list(&run.prefix()).await?;
    let mut known = Known::default();
    known.add(&Subject::of_run(run), &manifest.artifacts);
    for attempt_no in attempts(&listed, |key| manifest_attempt(run, key)) {
        if attempt_no == run.attempt_no {
            continue;
        }
        let subject = Subject::of_run(&RunRef { attempt_no, ..run.clone() });
        let other = self::manifest::<Manifest>(store, key, &subject).await?;
        known.add_other(&subject, other, |manifest| manifest.artifacts, &mut report.faults);
    }
    report.faults.extend(known.strangers(&listed));
    Ok(Some(report))
}

/// Reads and checks a manifest with its signature. `None`: there is neither.
async fn manifest<M: Sealable>(
    store: &impl GetObject,
    key: &VerifyingKey,
    subject: &Subject,
) -> Result<Option<Report<M>>, Fault> {
    let Some(bytes) = store.get(subject.key()).await? else { return Ok(None) };
    let signature = store.get(subject.signature_key()).await?;
    Ok(Some(Report::of(key, subject, &bytes, signature.as_deref())))
}

/// Checks a signature over the line of one of the subject's kinds and a manifest's bytes. Returns the kind.
///
/// # Errors
/// What is wrong with the signature.
pub fn check_signature(
    key: &VerifyingKey,
    subject: &Subject,
    manifest: &[u8],
    signature: Option<&[u8]>,
) -> Result<Kind, String> {
    let signature = signature.ok_or("there is no signature")?;
    let signature =
        Signature::from_der(signature).map_err(|_| "is not a DER-encoded ECDSA signature")?;
    let mut kinds = subject.kinds().iter().copied();
    kinds.find(|kind| key.verify(&kind.message(manifest), &signature).is_ok()).ok_or_else(|| {
        let names: Vec<&str> = subject.kinds().iter().map(|kind| kind.name()).collect();
        let names = names.join(" or ");
        format!("is not this key's signature of the manifest of a {names}: manifest, signature or key was changed")
    })
}

/// Returns the numbers that `attempt` finds in keys, each once.
fn attempts(listed: &[String], attempt: impl Fn(&str) -> Option<u32>) -> BTreeSet<u32> {
    listed.iter().filter_map(|key| attempt(key)).collect()
}

/// Keys that signed manifests account for: what they list, themselves, their signatures.
#[derive(Default)]
struct Known(BTreeSet<String>);

impl Known {
    fn add(&mut self, subject: &Subject, artifacts: &[ArtifactRef]) {
        self.0.extend([subject.key().to_owned(), subject.signature_key().to_owned()]);
        self.0.extend(artifacts.iter().map(|artifact| artifact.key.clone()));
    }

    /// Adds the manifest of another attempt, if it is signed, or else reports what is wrong with it.
    fn add_other<M>(
        &mut self,
        subject: &Subject,
        report: Option<Report<M>>,
        artifacts: impl Fn(M) -> Vec<ArtifactRef>,
        faults: &mut Vec<String>,
    ) {
        match report {
            Some(Report { manifest: Some(manifest), faults, .. }) if faults.is_empty() => {
                self.add(subject, &artifacts(manifest));
            }
            Some(report) => {
                // Their own faults report them.
                self.add(subject, &[]);
                faults.extend(report.faults);
            }
            None => {}
        }
    }

    fn strangers(&self, listed: &[String]) -> Vec<String> {
        let strangers = listed.iter().filter(|key| !self.0.contains(*key));
        strangers.map(|key| format!("{key}: is in no signed manifest of any attempt")).collect()
    }
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

/// Compares an artifact as the manifest lists it with what was found.
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

/// Returns a fault for each attempt that has ended, as the ledger says, and whose manifest is gone.
pub fn taken_away(
    run: &RunRef,
    ended: impl Iterator<Item = u32>,
    listed: &[String],
) -> Vec<String> {
    let keys = ended.map(|attempt_no| RunRef { attempt_no, ..run.clone() }.manifest_key());
    let gone = keys.filter(|key| !listed.contains(key));
    gone.map(|key| format!("{key}: is missing; its attempt has ended, as the ledger says"))
        .collect()
}

/// Returns the number of the attempt whose manifest or signature this is. Another spelling of the number is neither.
pub fn manifest_attempt(run: &RunRef, key: &str) -> Option<u32> {
    let attempt_no = attempt_in(key, &run.prefix())?;
    let subject = Subject::of_run(&RunRef { attempt_no, ..run.clone() });
    [subject.key(), subject.signature_key()].contains(&key).then_some(attempt_no)
}

fn attempt_in(key: &str, prefix: &str) -> Option<u32> {
    let rest = key.strip_prefix(prefix)?.strip_prefix("manifest-")?;
    rest.strip_suffix(".json").or_else(|| rest.strip_suffix(".json.sig"))?.parse().ok()
}

#[cfg(test)]
pub mod tests;
