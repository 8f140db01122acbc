//! Reads the manifest of a batch, and prints its results and outputs line by line without holding them in memory.

use std::io::Write;

use bcce_core::base::digest::Digest;
use bcce_core::base::error::Fault;
use bcce_core::batch::{BatchManifest, BatchRef, BatchStatus, Location};
use bcce_core::io::objects::find;
use bcce_core::ledger::BatchRecord;
use bcce_core::ports::{NextBytes, OpenSource};
use bcce_core::run::artifact::ArtifactRef;

use crate::exit::{Exit, Failure, Outcome};
use crate::references::batch_reference;
use crate::stack::Stack;

/// Finds the given attempt of a batch, or the latest attempt that has ended.
pub async fn sealed(stack: &Stack, batch_id: &str, attempt: Option<u32>) -> Outcome<BatchRef> {
    let records = stack.batch_records(batch_id).await?;
    let wanted = |record: &&BatchRecord| match attempt {
        Some(attempt_no) => record.attempt_no == attempt_no,
        None => record.status != BatchStatus::Running,
    };
    let record = records.iter().rev().find(wanted);
    record.map(batch_reference).ok_or_else(|| not_over(stack, batch_id))
}

/// Reads the manifest of the given attempt of a batch, or of the latest attempt that has ended.
///
/// # Errors
/// There is no such attempt or it has no manifest.
pub async fn manifest(
    stack: &Stack,
    batch_id: &str,
    attempt: Option<u32>,
) -> Outcome<BatchManifest> {
    let key = sealed(stack, batch_id, attempt).await?.manifest_key();
    find(&stack.store, &key).await?.ok_or_else(|| not_over(stack, batch_id))
}

fn not_over(stack: &Stack, batch_id: &str) -> Failure {
    let status = stack.command(&format!("batch status {batch_id} --watch"));
    Failure {
        exit: Exit::Failed,
        what: format!("no such attempt of {batch_id} has ended, so it has no manifest yet"),
        then: format!("`{status}` waits until the batch ends"),
    }
}

/// Prints the lines of an object that are `wanted`. `what` names its content: `results` or `outputs`.
///
/// # Errors
/// There is no such object, or its digest is not the one that the manifest lists. The digest is known only after the
/// lines were printed.
pub async fn print(
    stack: &Stack,
    object: Option<&ArtifactRef>,
    what: &str,
    wanted: impl Fn(&[u8]) -> bool,
    out: &mut dyn Write,
) -> Outcome<()> {
    let failed = |what: String, then: &str| Failure { exit: Exit::Failed, what, then: then.into() };
    let none =
        || failed(format!("the batch has no {what}"), "the batch ended before its items did");
    let object = object.ok_or_else(none)?;
    let location =
        Location { bucket: stack.outputs.artifact_bucket.clone(), key: object.key.clone() };
    let write = |line: &[u8]| if wanted(line) { Ok(out.write_all(line)?) } else { Ok(()) };
    let digest = each_line(&stack.sources, &location, write).await?;
    let gone = || {
        failed(
            format!("there is no {location}"),
            "its retention period in the bucket may have ended",
        )
    };
    let digest = digest.ok_or_else(gone)?;
    out.flush()?;
    if digest == object.sha256 {
        return Ok(());
    }
    Err(failed(
        format!("{location} does not have the digest that the manifest lists"),
        "the printed lines are not those that were sealed; `bcce batch verify` shows the faults",
    ))
}

/// Hands each line of an object to `take`, with its line break, and returns the SHA-256 digest of the object. Holds one
/// line in memory. Returns `None` if the object does not exist.
///
/// # Errors
/// The object cannot be read, and the errors of `take`.
pub async fn each_line(
    sources: &impl OpenSource,
    location: &Location,
    mut take: impl FnMut(&[u8]) -> Outcome<()>,
) -> Outcome<Option<String>> {
    let Some(mut source) = sources.open(location, None).await? else { return Ok(None) };
    let (mut digest, mut lines) = (Digest::default(), Lines::default());
    while let Some(bytes) = source.body.next_bytes().await? {
        digest.add(&bytes);
        lines.push(&bytes, &mut take)?;
    }
    lines.finish(&mut take)?;
    Ok(Some(digest.hex()))
}

/// Returns the SHA-256 digest and the size of an object, or `None` if it does not exist.
pub async fn digest(
    sources: &impl OpenSource,
    location: &Location,
) -> Result<Option<ArtifactRef>, Fault> {
    let Some(mut source) = sources.open(location, None).await? else { return Ok(None) };
    let (mut digest, mut bytes) = (Digest::default(), 0);
    while let Some(piece) = source.body.next_bytes().await? {
        digest.add(&piece);
        bytes += piece.len() as u64;
    }
    Ok(Some(ArtifactRef { key: location.key.clone(), sha256: digest.hex(), bytes }))
}

/// Splits the pieces of an object into lines. Holds one line in memory.
#[derive(Default)]
struct Lines(Vec<u8>);

impl Lines {
    fn push(&mut self, bytes: &[u8], take: &mut impl FnMut(&[u8]) -> Outcome<()>) -> Outcome<()> {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.0.extend_from_slice(piece);
            if piece.ends_with(b"\n") {
                self.finish(take)?;
            }
        }
        Ok(())
    }

    fn finish(&mut self, take: &mut impl FnMut(&[u8]) -> Outcome<()>) -> Outcome<()> {
        let line = std::mem::take(&mut self.0);
        if line.is_empty() { Ok(()) } else { take(&line) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_whole_however_they_come() {
        let text = b"one\ntwo\nthree";
        for piece in 1..=text.len() {
            let (mut lines, mut found) = (Lines::default(), Vec::new());
            let mut take = |line: &[u8]| {
                found.push(String::from_utf8_lossy(line).into_owned());
                Ok(())
            };
            text.chunks(piece).for_each(|bytes| lines.push(bytes, &mut take).unwrap());
            lines.finish(&mut take).unwrap();
            assert_eq!(found, ["one\n", "two\n", "three"], "in pieces of {piece} bytes");
        }
    }
}
