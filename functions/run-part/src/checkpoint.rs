//! Writes runs to segments while the part goes on.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use bcce_core::base::error::Fault;
use bcce_core::base::json::add_line;
use bcce_core::batch::packed::PackedRun;
use bcce_core::batch::reference::BatchRef;
use bcce_core::io::packed::{SEGMENT_BYTES, SegmentWriter, lost};
use bcce_core::io::responses::NewResponse;
use bcce_core::ports::{Clock, GetObject, PutOnce};
use time::OffsetDateTime;
use tokio::sync::Notify;

/// The number of runs and the age from which a segment is written, as it is from [`SEGMENT_BYTES`] on. Whatever is not written yet when the
/// function is ended is lost and paid twice.
const RUNS: usize = 50;
const AGE: Duration = Duration::from_secs(2);
/// The number of times in a row that a write of a segment may fail.
const TRIES: u32 = 5;
/// The time between two checks of the age.
const TICK: Duration = Duration::from_millis(500);

/// The segments of a part.
pub(crate) struct Segments<'a> {
    writer: SegmentWriter<'a>,
    waiting: RefCell<Waiting>,
    /// The segment that could not be written.
    unwritten: RefCell<Waiting>,
    is_due: Notify,
    is_closed: Cell<bool>,
}

/// The lines of the next segment.
#[derive(Default)]
struct Waiting {
    lines: Vec<u8>,
    /// The answers among them that enter the response cache when they are stored.
    responses: Vec<NewResponse>,
    runs: usize,
    since: Option<OffsetDateTime>,
}

impl Waiting {
    fn is_due(&self, now: OffsetDateTime) -> bool {
        let is_old = self.since.is_some_and(|since| now - since >= AGE);
        self.lines.len() >= SEGMENT_BYTES || self.runs >= RUNS || is_old
    }
}

impl<'a> Segments<'a> {
    /// Returns the segments of a part. `next` is the number of the first one to write.
    pub fn new(batch: &'a BatchRef, part: u32, next: u32) -> Self {
        Self {
            writer: SegmentWriter::new(batch, part, next),
            waiting: RefCell::default(),
            unwritten: RefCell::default(),
            is_due: Notify::new(),
            is_closed: Cell::new(false),
        }
    }

    /// Adds a run to the next segment, with its answers that enter the response cache.
    ///
    /// # Errors
    /// `Bcce.Internal`: the run cannot be written as JSON.
    pub fn add(
        &self,
        run: &PackedRun,
        responses: Vec<NewResponse>,
        now: OffsetDateTime,
    ) -> Result<(), Fault> {
        let mut waiting = self.waiting.borrow_mut();
        add_line(&mut waiting.lines, run)?;
        waiting.responses.extend(responses);
        waiting.runs += 1;
        waiting.since.get_or_insert(now);
        if waiting.is_due(now) {
            self.is_due.notify_one();
        }
        Ok(())
    }

    /// Writes segments when they are due, and the last one after [`Segments::close`]. Hands the key of each segment that
    /// is stored to `stored`, with the answers in it that enter the response cache.
    ///
    /// # Errors
    /// `Bcce.Internal`: another invocation owns the part, or S3 failed several times in a row.
    pub async fn write(
        &self,
        store: &(impl GetObject + PutOnce),
        clock: &impl Clock,
        stored: impl Fn(String, Vec<NewResponse>),
    ) -> Result<(), Fault> {
        let mut failed = 0;
        loop {
            // Either the size or the time makes a segment due.
            let _ = tokio::time::timeout(TICK, self.is_due.notified()).await;
            let is_closed = self.is_closed.get();
            if !is_closed && failed == 0 && !self.waiting.borrow().is_due(clock.now()) {
                continue;
            }
            match self.flush(store, &stored).await {
                Ok(()) if is_closed && self.is_empty() => return Ok(()),
                Ok(()) => failed = 0,
                Err(fault) if failed >= TRIES || fault == lost() => return Err(fault),
                Err(_) => failed += 1,
            }
        }
    }

    /// Makes [`Segments::write`] write what is left and end.
    pub fn close(&self) {
        self.is_closed.set(true);
        self.is_due.notify_one();
    }

    /// Writes the runs that are not written yet as a segment. A segment that could not be written is tried again as it
    /// is, because the write may have succeeded without an answer.
    async fn flush(
        &self,
        store: &(impl GetObject + PutOnce),
        stored: impl Fn(String, Vec<NewResponse>),
    ) -> Result<(), Fault> {
        let unwritten = self.unwritten.take();
        let next = if unwritten.lines.is_empty() { self.waiting.take() } else { unwritten };
        if next.lines.is_empty() {
            return Ok(());
        }
        let key = self.writer.next_key();
        if let Err(fault) = self.writer.write(store, &next.lines).await {
            self.unwritten.replace(next);
            return Err(fault);
        }
        if !next.responses.is_empty() {
            stored(key, next.responses);
        }
        Ok(())
    }

    fn is_empty(&self) -> bool {
        self.unwritten.borrow().lines.is_empty() && self.waiting.borrow().lines.is_empty()
    }
}
