//! Verifies that a batch is unchanged since it was sealed: the signature, the identity, the digests of its results and
//! outputs, its parts if it is packed, and that no object was added. Runs with executions of their own have manifests of
//! their own. Its working objects are in no manifest.

use bcce_core::base::error::Fault;
use bcce_core::batch::Way;
use bcce_core::batch::{BatchManifest, BatchRef};
use bcce_core::io::seal::Subject;
use bcce_core::ports::{GetObject, ListObjects, OpenSource};
use bcce_core::run::artifact::ArtifactRef;
use p256::ecdsa::VerifyingKey;

use super::verified::{Sealed, Verified};
use super::{Known, Report, attempt_in, attempts, check_object, key, manifest, part};
use crate::exit::{Exit, Failure, Outcome};
use crate::stack::Stack;

/// Verifies an attempt of a batch of the stack. `public_key` is a file with the key, or `None` for the key in KMS.
///
/// # Errors
/// The attempt is not sealed, or the key or the objects cannot be read.
pub async fn verified(
    stack: &Stack,
    batch: &BatchRef,
    public_key: Option<&str>,
) -> Outcome<Verified<BatchManifest>> {
    let key = key::Known::find(public_key, stack).await?;
    let bucket = &stack.outputs.artifact_bucket;
    let report = inspect(&stack.store, &stack.sources, bucket, batch, &key.key).await?;
    let Some(report) = report else {
        let status = stack.command(&format!("batch status {} --watch", batch.batch_id));
        return Err(Failure {
            exit: Exit::Failed,
            what: format!("there is no {}: this attempt is not sealed", batch.manifest_key()),
            then: format!("`{status}` waits until the batch ends"),
        });
    };
    let sealed = report.manifest.as_ref().map(|manifest| Sealed {
        artifacts: objects(manifest).len(),
        parts: parts(manifest),
        status: manifest.status.as_str(),
        ended_at: manifest.ended_at,
    });
    let (id, attempt_no) = (batch.batch_id.clone(), batch.attempt_no);
    let manifest_key = batch.manifest_key();
    Ok(Verified { noun: "batch", id, attempt_no, manifest_key, key, report, sealed })
}

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
        match check_object(sources, bucket, listed).await {
            Ok(()) => report.artifacts_right += 1,
            Err(fault) => report.faults.push(fault),
        }
    }
    let mut known = Known::default();
    let parts = parts(&sealed);
    let mut checked = part::check_all(store, sources, bucket, batch, parts, key).await?;
    report.parts_right = checked.right;
    report.faults.append(&mut checked.faults);
    let all = |sealed: BatchManifest| objects(&sealed).into_iter().cloned().collect::<Vec<_>>();
    known.add(&subject, &all(sealed));
    // The working objects of a batch are not sealed.
    let mut listed = store.list(&batch.prefix()).await?;
    listed.retain(|key| !batch.is_working_key(key));
    let mut of_parts = part::read_others(store, batch, parts, &listed, key).await?;
    known.0.append(&mut of_parts.keys);
    report.faults.append(&mut of_parts.faults);
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

/// Returns the number of parts that have manifests: all parts of a packed batch, or none.
pub fn parts(manifest: &BatchManifest) -> u32 {
    let packed = manifest.opened.as_ref().filter(|opened| opened.way == Way::Packed);
    packed.map_or(0, |opened| opened.parts)
}

/// Returns the objects that a manifest lists: the results and the outputs.
pub fn objects(manifest: &BatchManifest) -> Vec<&ArtifactRef> {
    manifest.results.iter().chain(&manifest.outputs).collect()
}

#[cfg(test)]
mod tests;
