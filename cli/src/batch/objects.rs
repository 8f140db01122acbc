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

/// Prints the lines of an object. `what` names its content: `results` or `outputs`.
///
/// # Errors
/// There is no such object, or its digest is not the one that the manifest lists. The digest is known only after the
/// lines were printed.
pub async fn print<F: Fn(&[u8]) -> bool>(
    stack: &Stack,
    object: Option<&ArtifactRef>,
    what: &str,
    mut lines: Lines<F>,
    out: &mut dyn Write,
) -> Outcome<()> {
    let failed = |what: String, then: &str| Failure { exit: Exit::Failed, what, then: then.into() };
    let none =
        || failed(format!("the batch has no {what}"), "the batch ended before its items did");
    let object = object.ok_or_else(none)?;
    let location =
        Location { bucket: stack.outputs.artifact_bucket.clone(), key: object.key.clone() };
    let opened = stack.sources.open(&location, None).await?;
    let gone = || {
        failed(
            format!("there is no {location}"),
            "its retention period in the bucket may have ended",
        )
    };
    let mut source = opened.ok_or_else(gone)?;
    let mut digest = Digest::default();
    while let Some(bytes) = source.body.next_bytes().await? {
        digest.add(&bytes);
        lines.push(&bytes, out)?;
    }
    lines.finish(out)?;
    out.flush()?;
    if digest.hex() == object.sha256 {
        return Ok(());
    }
    Err(failed(
        format!("{location} does not have the digest that the manifest lists"),
        "the printed lines are not those that were sealed; `bcce batch verify` shows the faults",
    ))
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

/// Splits the pieces of an object into lines and writes those that are wanted. Holds one line in memory.
pub struct Lines<F> {
    wanted: F,
    line: Vec<u8>,
}

impl<F: Fn(&[u8]) -> bool> Lines<F> {
    pub fn new(wanted: F) -> Self {
        Self { wanted, line: Vec::new() }
    }

    fn push(&mut self, bytes: &[u8], out: &mut dyn Write) -> std::io::Result<()> {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(piece);
            if piece.ends_with(b"\n") {
                self.finish(out)?;
            }
        }
        Ok(())
    }

    fn finish(&mut self, out: &mut dyn Write) -> std::io::Result<()> {
        let line = std::mem::take(&mut self.line);
        if !line.is_empty() && (self.wanted)(&line) { out.write_all(&line) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_whole_however_they_come() {
        let text = b"one\ntwo\nthree";
        for piece in 1..=text.len() {
            let (mut lines, mut out) = (Lines::new(|line| !line.starts_with(b"tw")), Vec::new());
            text.chunks(piece).for_each(|bytes| lines.push(bytes, &mut out).unwrap());
            lines.finish(&mut out).unwrap();
            assert_eq!(out, b"one\nthree", "in pieces of {piece} bytes");
        }
    }
}
