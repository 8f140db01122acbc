//! Verifies a packed run by itself: its manifest is proven by the signed root of its part, and what the segments and
//! the bucket have of its objects has the digests that its manifest lists.

use std::collections::BTreeMap;

use bcce_core::base::digest::sha256_hex;
use bcce_core::base::error::Fault;
use bcce_core::batch::packed::{PackedPlace, PackedRun};
use bcce_core::io::packed::{ProvenManifest, find_run, prove, root};
use bcce_core::io::seal::Subject;
use bcce_core::ports::{GetObject, ListObjects};
use bcce_core::run::artifact::ArtifactRef;
use bcce_core::run::manifest::Manifest;
use p256::ecdsa::VerifyingKey;

use super::part::{self, SealedPart, check_root};
use super::{Proof, Report, check_artifact};
use crate::references::placed_run;

/// Verifies the packed attempts of a run. Returns the reports by the number of the run attempt. An attempt has none if
/// its part is not sealed, or if the batch ended before it started the run.
///
/// # Errors
/// The bucket cannot be listed, or a manifest cannot be read.
pub async fn inspect_all(
    store: &(impl GetObject + ListObjects),
    places: &[PackedPlace],
    key: &VerifyingKey,
) -> Result<BTreeMap<u32, Report>, Fault> {
    let mut reports = BTreeMap::new();
    for place in places {
        let report = inspect(store, place, key).await?;
        reports.extend(report.map(|report| (place.attempt_no, report)));
    }
    Ok(reports)
}

async fn inspect(
    store: &(impl GetObject + ListObjects),
    place: &PackedPlace,
    key: &VerifyingKey,
) -> Result<Option<Report>, Fault> {
    let Some(sealed) = part::read(store, &place.batch, place.part, key).await? else {
        return Ok(None);
    };
    let SealedPart { report: part, manifests } = &sealed;
    let mut report = Report { signed: part.signed, ..Report::without_manifest(vec![]) };
    report.faults.extend_from_slice(&part.faults);
    let runs_key = place.batch.part_runs_key(place.part);
    let proven = match prove(manifests, place) {
        Ok(proven) => proven,
        Err(fault) => {
            report.faults.push(fault.message);
            return Ok(Some(report));
        }
    };
    let (runs, root) = match &proven {
        Some(proven) => (proven.runs as u64, proven.root().unwrap_or_default()),
        None => root(manifests),
    };
    let checked = part.manifest.as_ref().map(|part| check_root(part, runs, &root));
    let is_covered = matches!(checked, Some(Ok(())));
    report.faults.extend(checked.and_then(Result::err).map(|cause| format!("{runs_key}: {cause}")));
    match proven {
        Some(proven) => {
            check_manifest(store, place, proven, is_covered, &mut report).await?;
            Ok(Some(report))
        }
        // The signature shows that this part ran no such run.
        None if report.faults.is_empty() => Ok(None),
        None => {
            let (id, attempt_no) = (&place.run_id, place.attempt_no);
            report
                .faults
                .push(format!("{runs_key}: has no manifest of {id}, attempt {attempt_no}"));
            Ok(Some(report))
        }
    }
}

/// Checks the identity of a manifest and the artifacts that it lists. `is_covered` is true if the root of the part
/// covers it.
async fn check_manifest(
    store: &(impl GetObject + ListObjects),
    place: &PackedPlace,
    proven: ProvenManifest,
    is_covered: bool,
    report: &mut Report,
) -> Result<(), Fault> {
    let runs_key = place.batch.part_runs_key(place.part);
    report.proof = is_covered.then(|| Proof {
        part_manifest: place.batch.part_manifest_key(place.part),
        runs: proven.runs,
    });
    let others = Subject::of_run(&placed_run(place)).differences(&proven.manifest);
    report.faults.extend(others.iter().map(|other| format!("{runs_key}: {other}")));
    report.manifest_sha256 = sha256_hex(&proven.bytes);
    check_objects(store, place, &proven.manifest, report).await?;
    report.manifest = Some(proven.manifest);
    Ok(())
}

/// Checks what the segments and the bucket have of the artifacts. A retry of the run copies them to the bucket.
async fn check_objects(
    store: &(impl GetObject + ListObjects),
    place: &PackedPlace,
    manifest: &Manifest,
    report: &mut Report,
) -> Result<(), Fault> {
    let stored = match find_run(store, place).await {
        Ok(stored) => stored,
        Err(fault) => {
            report.faults.push(format!("the artifacts could not be checked: {}", fault.message));
            return Ok(());
        }
    };
    let prefix = placed_run(place).prefix();
    let listed = store.list(&prefix).await?;
    for artifact in &manifest.artifacts {
        let name = artifact.key.strip_prefix(&prefix).unwrap_or(&artifact.key);
        let packed = stored.as_ref().and_then(|run| run.object(name)).map(<[u8]>::to_vec);
        let copy = match listed.contains(&artifact.key) {
            true => store.get(&artifact.key).await?,
            false => None,
        };
        match check_copies(artifact, packed.as_deref(), copy.as_deref()) {
            Ok(true) => report.artifacts_right += 1,
            Ok(false) if stored.is_some() => report.erased.push(artifact.key.clone()),
            Ok(false) => report.faults.push(format!("{}: is missing", artifact.key)),
            Err(cause) => report.faults.push(format!("{}: {cause}", artifact.key)),
        }
    }
    report.faults.extend(stored.iter().flat_map(|run| strangers(run, place, manifest)));
    Ok(())
}

/// Compares an artifact with what a segment has of it, and with its copy in the bucket. Returns `false` if there is
/// neither.
fn check_copies(
    artifact: &ArtifactRef,
    packed: Option<&[u8]>,
    copy: Option<&[u8]>,
) -> Result<bool, String> {
    if let Some(body) = packed {
        check_artifact(artifact, Some(body))
            .map_err(|cause| format!("{cause} (in its segment)"))?;
    }
    if let Some(body) = copy {
        check_artifact(artifact, Some(body))?;
    }
    Ok(packed.is_some() || copy.is_some())
}

/// Returns a fault for each object in the segments that the manifest does not list.
fn strangers(run: &PackedRun, place: &PackedPlace, manifest: &Manifest) -> Vec<String> {
    let prefix = placed_run(place).prefix();
    let segments = place.batch.segments_prefix(place.part);
    let is_listed = |key: &str| manifest.artifacts.iter().any(|artifact| artifact.key == key);
    let keys = run.objects.keys().map(|name| format!("{prefix}{name}"));
    let strangers = keys.filter(|key| !is_listed(key));
    strangers.map(|key| format!("{key}: is in {segments}, but not in the manifest")).collect()
}

#[cfg(test)]
mod tests;
