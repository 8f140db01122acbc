//! Verifies the manifest of a part of a packed batch: the signature, the identity, the root of the digest tree over the
//! manifests of the part's runs, and the digests of its results and outputs.

use std::collections::BTreeSet;

use bcce_core::base::error::Fault;
use bcce_core::batch::BatchRef;
use bcce_core::batch::packed::PartManifest;
use bcce_core::io::packed::root;
use bcce_core::io::seal::Subject;
use bcce_core::ports::{GetObject, OpenSource};
use futures::StreamExt;
use p256::ecdsa::VerifyingKey;

use super::{AT_A_TIME, Report, check_object, manifest};

/// A part that is sealed.
pub struct SealedPart {
    pub report: Report<PartManifest>,
    /// The manifests of its runs, one on each line.
    pub manifests: Vec<u8>,
}

/// Reads a part and verifies its signature and its identity. Returns `None` if the part is not sealed: it has neither a
/// manifest nor those of its runs.
///
/// # Errors
/// An object cannot be read.
pub async fn read(
    store: &impl GetObject,
    batch: &BatchRef,
    part: u32,
    key: &VerifyingKey,
) -> Result<Option<SealedPart>, Fault> {
    let subject = Subject::of_part(batch, part);
    let report = manifest::<PartManifest>(store, key, &subject).await?;
    let runs_key = batch.part_runs_key(part);
    let manifests = store.get(&runs_key).await?;
    if report.is_none() && manifests.is_none() {
        return Ok(None);
    }
    let no_manifest = || Report::without_manifest(vec![format!("{}: is missing", subject.key())]);
    let mut report = report.unwrap_or_else(no_manifest);
    if manifests.is_none() {
        report.faults.push(format!("{runs_key}: is missing"));
    }
    Ok(Some(SealedPart { report, manifests: manifests.unwrap_or_default() }))
}

/// Compares the digest tree over the manifests of a part's runs with the signed one. `runs` and `root` are those of the
/// tree.
pub fn check_root(sealed: &PartManifest, runs: u64, root: &str) -> Result<(), String> {
    if root == sealed.root && runs == sealed.runs {
        return Ok(());
    }
    Err(format!(
        "its {runs} runs have the root {root}, but the signed manifest of the part lists {} runs with the root {}: the \
         manifest of a run was changed, added or removed",
        sealed.runs, sealed.root
    ))
}

/// The parts of a batch attempt that were verified.
#[derive(Debug, Default)]
pub struct CheckedParts {
    /// The number of parts without a fault.
    pub right: u32,
    pub faults: Vec<String>,
}

/// Verifies all parts of a packed batch attempt with their results and outputs. `bucket` contains their objects.
///
/// # Errors
/// A manifest cannot be read. Results or outputs that cannot be read are a fault instead.
pub async fn check_all(
    store: &impl GetObject,
    sources: &impl OpenSource,
    bucket: &str,
    batch: &BatchRef,
    parts: u32,
    key: &VerifyingKey,
) -> Result<CheckedParts, Fault> {
    let check = |part| check(store, sources, bucket, batch, part, key);
    let mut checked = futures::stream::iter(1..=parts).map(check).buffered(AT_A_TIME);
    let mut all = CheckedParts::default();
    while let Some(faults) = checked.next().await {
        let faults = faults?;
        all.right += u32::from(faults.is_empty());
        all.faults.extend(faults);
    }
    Ok(all)
}

async fn check(
    store: &impl GetObject,
    sources: &impl OpenSource,
    bucket: &str,
    batch: &BatchRef,
    part: u32,
    key: &VerifyingKey,
) -> Result<Vec<String>, Fault> {
    let Some(SealedPart { report, manifests }) = read(store, batch, part, key).await? else {
        return Ok(vec![format!("{}: is missing", batch.part_manifest_key(part))]);
    };
    let mut faults = report.faults;
    let Some(sealed) = report.manifest else { return Ok(faults) };
    let (runs, root) = root(&manifests);
    let checked = check_root(&sealed, runs, &root);
    faults.extend(checked.err().map(|cause| format!("{}: {cause}", batch.part_runs_key(part))));
    for listed in [&sealed.results, &sealed.outputs] {
        faults.extend(check_object(sources, bucket, listed).await.err());
    }
    Ok(faults)
}

/// The sealed objects of the parts of all attempts at a batch.
#[derive(Debug, Default)]
pub struct PartKeys {
    pub keys: BTreeSet<String>,
    /// The faults of the parts of other attempts than the verified one.
    pub faults: Vec<String>,
}

/// Finds the sealed objects among `listed`, the keys of a batch. Those of the `parts` parts of this attempt were
/// verified already. Those of other attempts have signatures of their own, which are verified.
///
/// # Errors
/// A manifest cannot be read.
pub async fn read_others(
    store: &impl GetObject,
    batch: &BatchRef,
    parts: u32,
    listed: &[String],
    key: &VerifyingKey,
) -> Result<PartKeys, Fault> {
    let found: BTreeSet<(u32, u32)> = listed.iter().filter_map(|key| part_of(batch, key)).collect();
    let mut all = PartKeys::default();
    for (attempt_no, part) in found {
        let reference = BatchRef { attempt_no, ..batch.clone() };
        if attempt_no != batch.attempt_no {
            let Some(other) = read(store, &reference, part, key).await? else { continue };
            all.faults.extend(other.report.faults);
        } else if !(1..=parts).contains(&part) {
            continue;
        }
        all.keys.extend(sealed_keys(&reference, part));
    }
    Ok(all)
}

/// Returns the attempt and the part whose sealed object has this key. Another spelling of a number does not count.
fn part_of(batch: &BatchRef, key: &str) -> Option<(u32, u32)> {
    let rest = key.strip_prefix(&batch.prefix())?.strip_prefix("sealed-")?;
    let (attempt, name) = rest.split_once('/')?;
    let (attempt_no, part) = (attempt.parse().ok()?, name.split('.').next()?.parse().ok()?);
    let keys = sealed_keys(&BatchRef { attempt_no, ..batch.clone() }, part);
    keys.iter().any(|sealed| sealed == key).then_some((attempt_no, part))
}

/// Returns the keys of the sealed objects of a part.
fn sealed_keys(batch: &BatchRef, part: u32) -> [String; 3] {
    [batch.part_runs_key(part), batch.part_manifest_key(part), batch.part_signature_key(part)]
}
