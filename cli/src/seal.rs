//! Verifies that a run is unchanged since it was sealed: the signature, the identity, every digest, and that no object
//! was added.

pub mod batch; // verifies a batch
pub mod key; // finds the public key
pub mod packed; // verifies a packed run
pub mod part; // verifies the manifest of a part of a batch
pub mod run; // verifies a run of the stack
pub mod verified; // prints the result

use std::collections::{BTreeMap, BTreeSet};

use bcce_core::base::digest::sha256_hex;
use bcce_core::base::error::Fault;
use bcce_core::base::json::parse;
use bcce_core::batch::Location;
use bcce_core::io::seal::{Sealable, Subject};
use bcce_core::ports::{GetObject, ListObjects, OpenSource};
use bcce_core::run::artifact::ArtifactRef;
use bcce_core::run::ids::RunRef;
use bcce_core::run::manifest::{Kind, Manifest};
use futures::StreamExt;
use p256::ecdsa::signature::Verifier;
use p256::ecdsa::{Signature, VerifyingKey};

use crate::batch::objects::digest;

/// The number of objects that are read at a time.
const AT_A_TIME: usize = 8;

/// The result of verifying a manifest.
#[derive(Debug)]
pub struct Report<M = Manifest> {
    pub manifest_sha256: String,
    /// The manifest, or `None` if the object is not a valid manifest.
    pub manifest: Option<M>,
    /// True if the signature is valid.
    pub signed: bool,
    /// The proof that the signature covers the manifest, if it is that of a packed run.
    pub proof: Option<Proof>,
    /// The number of artifacts with the listed digest and size.
    pub artifacts_right: usize,
    /// The keys of the artifacts of a packed run whose texts were erased. The manifest has their digests.
    pub erased: Vec<String>,
    /// The number of parts of a packed batch that are verified.
    pub parts_right: u32,
    /// The faults that were found. Empty if the manifest is verified.
    pub faults: Vec<String>,
}

/// The proof that the signature of a part covers the manifest of a packed run.
#[derive(Debug)]
pub struct Proof {
    /// The key of the manifest of the part, which is signed.
    pub part_manifest: String,
    /// The number of runs that the signature covers.
    pub runs: usize,
}

impl<M: Sealable> Report<M> {
    /// Verifies the bytes of a manifest and their signature.
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
                // A manifest that was signed as another kind proves nothing about this subject.
                if signed.as_ref().is_ok_and(|kind| *kind != manifest.kind()) {
                    others.push(format!(
                        "it was signed as a kind other than {}",
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
            ..Self::without_manifest(faults)
        }
    }

    fn without_manifest(faults: Vec<String>) -> Self {
        Self {
            manifest_sha256: String::new(),
            manifest: None,
            signed: false,
            proof: None,
            artifacts_right: 0,
            erased: Vec::new(),
            parts_right: 0,
            faults,
        }
    }
}

/// Verifies a run attempt with `key`. `packed` has the reports of its packed run attempts, by number. Returns `None` if
/// it has no manifest.
///
/// # Errors
/// The bucket cannot be listed, or a manifest cannot be read. An artifact that cannot be read is a fault of the report
/// instead, because it could not be checked.
pub async fn inspect(
    store: &(impl GetObject + ListObjects),
    run: &RunRef,
    key: &VerifyingKey,
    mut packed: BTreeMap<u32, Report>,
) -> Result<Option<Report>, Fault> {
    let mut known = Known::default();
    let mut report = match packed.remove(&run.attempt_no) {
        Some(report) => report,
        None => match manifest::<Manifest>(store, key, &Subject::of_run(run)).await? {
            Some(mut report) => {
                check_artifacts(store, &mut report).await;
                known.add(&Subject::of_run(run), &[]);
                report
            }
            None => return Ok(None),
        },
    };
    let Some(manifest) = &report.manifest else { return Ok(Some(report)) };
    known.add_artifacts(&manifest.artifacts);
    let listed = store.list(&run.prefix()).await?;
    for attempt_no in attempts(&listed, |key| manifest_attempt(run, key)) {
        if attempt_no == run.attempt_no {
            continue;
        }
        let subject = Subject::of_run(&RunRef { attempt_no, ..run.clone() });
        let other = self::manifest::<Manifest>(store, key, &subject).await?;
        known.add_other(&subject, other, |manifest| manifest.artifacts, &mut report.faults);
    }
    for other in packed.into_values() {
        match other.manifest.filter(|_| other.faults.is_empty()) {
            Some(manifest) => known.add_artifacts(&manifest.artifacts),
            None => report.faults.extend(other.faults),
        }
    }
    report.faults.extend(known.strangers(&listed));
    Ok(Some(report))
}

/// Reads a manifest with its signature and verifies it. Returns `None` if there is no manifest.
async fn manifest<M: Sealable>(
    store: &impl GetObject,
    key: &VerifyingKey,
    subject: &Subject,
) -> Result<Option<Report<M>>, Fault> {
    let Some(bytes) = store.get(subject.key()).await? else { return Ok(None) };
    let signature = store.get(subject.signature_key()).await?;
    Ok(Some(Report::of(key, subject, &bytes, signature.as_deref())))
}

/// Verifies the signature of a manifest. The signed message is the line of one of the subject's kinds and then the
/// bytes of the manifest. Returns the kind.
///
/// # Errors
/// The signature is missing, malformed or not valid for any of the kinds.
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
        format!("is not a valid signature of a {names} manifest with this key: the manifest, the signature or the key was changed")
    })
}

/// Returns the distinct attempt numbers that `attempt` finds in the keys.
fn attempts(listed: &[String], attempt: impl Fn(&str) -> Option<u32>) -> BTreeSet<u32> {
    listed.iter().filter_map(|key| attempt(key)).collect()
}

/// The keys that signed manifests account for: the manifests, their signatures, and the artifacts that they list.
#[derive(Default)]
struct Known(BTreeSet<String>);

impl Known {
    fn add(&mut self, subject: &Subject, artifacts: &[ArtifactRef]) {
        self.0.extend([subject.key().to_owned(), subject.signature_key().to_owned()]);
        self.add_artifacts(artifacts);
    }

    fn add_artifacts(&mut self, artifacts: &[ArtifactRef]) {
        self.0.extend(artifacts.iter().map(|artifact| artifact.key.clone()));
    }

    /// Adds the manifest of another attempt with its artifacts if it is valid. Otherwise adds its faults to `faults`.
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
                // The manifest and its signature are not strangers, because their faults are reported here.
                self.add(subject, &[]);
                faults.extend(report.faults);
            }
            None => {}
        }
    }

    /// Returns a fault for each object that no signed manifest accounts for.
    fn strangers(&self, listed: &[String]) -> Vec<String> {
        let strangers = listed.iter().filter(|key| !self.0.contains(*key));
        strangers.map(|key| format!("{key}: is not in any signed manifest")).collect()
    }
}

async fn check_artifacts(store: &impl GetObject, report: &mut Report) {
    let artifacts = report.manifest.iter().flat_map(|manifest| &manifest.artifacts);
    let check = |artifact: ArtifactRef| async move {
        match store.get(&artifact.key).await {
            Ok(body) => check_artifact(&artifact, body.as_deref()),
            Err(fault) => Err(format!("could not be checked: {}", fault.message)),
        }
        .map_err(|cause| format!("{}: {cause}", artifact.key))
    };
    let checked: Vec<_> =
        futures::stream::iter(artifacts.cloned()).map(check).buffered(AT_A_TIME).collect().await;
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

/// Compares an artifact with its entry in the manifest.
fn check_digest(listed: &ArtifactRef, found: &ArtifactRef) -> Result<(), String> {
    match (found.sha256 == listed.sha256, found.bytes == listed.bytes) {
        (true, true) => Ok(()),
        (true, false) => {
            Err(format!("has {} bytes, but the manifest lists {}", found.bytes, listed.bytes))
        }
        (false, _) => Err(format!(
            "has the digest {} ({} bytes), but the manifest lists {} ({} bytes)",
            found.sha256, found.bytes, listed.sha256, listed.bytes
        )),
    }
}

/// Compares an object of `bucket` with its entry in a manifest, without holding it in memory.
async fn check_object(
    sources: &impl OpenSource,
    bucket: &str,
    listed: &ArtifactRef,
) -> Result<(), String> {
    let location = Location { bucket: bucket.to_owned(), key: listed.key.clone() };
    let checked = match digest(sources, &location).await {
        Ok(Some(found)) => check_digest(listed, &found),
        Ok(None) => Err("is missing".into()),
        Err(fault) => Err(format!("could not be checked: {}", fault.message)),
    };
    checked.map_err(|cause| format!("{}: {cause}", listed.key))
}

/// Returns a fault for each run attempt that has ended according to the ledger and has no manifest.
pub fn taken_away(
    run: &RunRef,
    ended: impl Iterator<Item = u32>,
    listed: &[String],
) -> Vec<String> {
    let keys = ended.map(|attempt_no| RunRef { attempt_no, ..run.clone() }.manifest_key());
    let gone = keys.filter(|key| !listed.contains(key));
    gone.map(|key| {
        format!("{key}: is missing, although its run attempt has ended according to the ledger")
    })
    .collect()
}

/// Returns the number of the run attempt whose manifest or signature has this key. Another spelling of the
/// number, such as `01`, does not count.
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
