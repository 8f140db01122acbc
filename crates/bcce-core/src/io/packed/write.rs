//! Writes the segments of a part. A segment is written once, under the next number. If the number is taken, another
//! function owns the part.

use std::cell::Cell;
use std::time::Duration;

use time::OffsetDateTime;

use crate::base::digest::sha256_hex;
use crate::base::error::Fault;
use crate::base::json::add_line;
use crate::batch::packed::{PackedRun, fence_line};
use crate::batch::reference::BatchRef;
use crate::io::packed::Segments;
use crate::ports::{GetObject, ListObjects, PartOf, PartTaken, Put, PutOnce, TakePart};

/// The number of times that a new owner tries to take the next number.
const TRIES: u32 = 5;
/// The size from which a segment is written, in bytes.
pub const SEGMENT_BYTES: usize = 1_024 * 1_024;

/// Returns the fault of a function that lost its part to another one.
pub fn lost() -> Fault {
    Fault::internal("another function owns the part now")
}

/// Writes the segments of one part.
#[derive(Debug)]
pub struct SegmentWriter<'a> {
    batch: &'a BatchRef,
    part: u32,
    /// The number of the next segment.
    next: Cell<u32>,
}

impl<'a> SegmentWriter<'a> {
    /// Returns a writer whose first segment has the number `next`.
    pub fn new(batch: &'a BatchRef, part: u32, next: u32) -> Self {
        Self { batch, part, next: Cell::new(next) }
    }

    /// Returns the key of the next segment.
    pub fn next_key(&self) -> String {
        self.batch.segment_key(self.part, self.next.get())
    }

    /// Writes a segment. Safe to repeat with the same bytes.
    ///
    /// # Errors
    /// Returns `Bcce.Internal` if the store failed, and [`lost`] if another function owns the part.
    pub async fn write(
        &self,
        store: &(impl GetObject + PutOnce),
        body: &[u8],
    ) -> Result<(), Fault> {
        let (number, key) = (self.next.get(), self.next_key());
        let id = self.batch.part_id(self.part);
        match store.put_once(&key, &id, body).await? {
            Put::Stored => {}
            // A write whose answer was lost finds its own object.
            Put::Existed if store.get(&key).await?.as_deref() == Some(body) => {}
            Put::Existed => return Err(lost()),
        }
        self.next.set(number + 1);
        Ok(())
    }
}

/// Collects runs, and writes a segment whenever it is large enough.
#[derive(Debug)]
pub struct SegmentBuffer<'a> {
    writer: SegmentWriter<'a>,
    lines: Vec<u8>,
}

impl<'a> SegmentBuffer<'a> {
    /// Returns a buffer whose first segment has the number `next`.
    pub fn new(batch: &'a BatchRef, part: u32, next: u32) -> Self {
        Self { writer: SegmentWriter::new(batch, part, next), lines: Vec::new() }
    }

    /// Adds a run.
    ///
    /// # Errors
    /// See [`SegmentWriter::write`].
    pub async fn add(
        &mut self,
        store: &(impl GetObject + PutOnce),
        run: &PackedRun,
    ) -> Result<(), Fault> {
        add_line(&mut self.lines, run)?;
        if self.lines.len() >= SEGMENT_BYTES { self.write(store).await } else { Ok(()) }
    }

    /// Writes what is left.
    ///
    /// # Errors
    /// See [`SegmentWriter::write`].
    pub async fn finish(mut self, store: &(impl GetObject + PutOnce)) -> Result<(), Fault> {
        if self.lines.is_empty() { Ok(()) } else { self.write(store).await }
    }

    async fn write(&mut self, store: &(impl GetObject + PutOnce)) -> Result<(), Fault> {
        self.writer.write(store, &std::mem::take(&mut self.lines)).await
    }
}

/// Takes the next number, so that a function that owned the part before can write no segment any more.
///
/// # Errors
/// Returns `Bcce.Internal` if the store failed, and [`lost`] if the other function writes all the time.
pub async fn fence(
    store: &(impl GetObject + PutOnce + ListObjects),
    batch: &BatchRef,
    part: u32,
    owner: &str,
) -> Result<(), Fault> {
    for _ in 0..TRIES {
        let next = Segments::list(store, batch, part).await?.next();
        let writer = SegmentWriter::new(batch, part, next);
        match writer.write(store, fence_line(owner).as_bytes()).await {
            Err(fault) if fault == lost() => {}
            done => return done,
        }
    }
    Err(lost())
}

/// A part that a function owns for the time of one invocation.
#[derive(Debug)]
pub struct OwnedPart {
    pub part: PartOf,
    pub owner: String,
    /// True if no other function has owned the part before.
    pub is_first: bool,
}

impl OwnedPart {
    /// Takes a part until `now` + `lease`. A retry of the same invocation of `function` may take it again. Returns
    /// `None` if another function owns it.
    ///
    /// # Errors
    /// Returns `Bcce.Internal` if the store or the ledger failed.
    pub async fn take(
        store: &(impl GetObject + PutOnce + ListObjects),
        ledger: &impl TakePart,
        (batch, part): (&BatchRef, u32),
        function: &str,
        (now, lease): (OffsetDateTime, Duration),
    ) -> Result<Option<Self>, Fault> {
        let of = PartOf { batch: batch.item_of(), part };
        let owner = sha256_hex(format!("{function} {of:?}").as_bytes())[..16].to_owned();
        let taken = ledger.take_part(&of, &owner, now, now + lease).await?;
        let PartTaken::Mine { is_first } = taken else { return Ok(None) };
        if !is_first {
            // No function that owned the part before can write any more.
            fence(store, batch, part, &owner).await?;
        }
        Ok(Some(Self { part: of, owner, is_first }))
    }
}
