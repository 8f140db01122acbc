//! Writes items to S3, part by part, several parts at the same time.

use bcce_core::base::error::Fault;
use bcce_core::base::json::{add_line, to_json};
use bcce_core::batch::Entry;
use bcce_core::batch::reference::{BatchRef, Part, Place};
use bcce_core::ports::PutObject;
use futures::StreamExt;
use futures::future::LocalBoxFuture;
use futures::stream::FuturesUnordered;

/// The most items of a part. One invocation collects their results in seconds.
const MAX_LINES: u32 = 500;
/// The most bytes of a part.
const MAX_BYTES: usize = 8 * 1_024 * 1_024;
/// The most writes at a time. Each has at most [`MAX_BYTES`] bytes.
const AT_A_TIME: usize = 8;

/// The numbers of items and parts that were written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Written {
    pub items: u64,
    pub rejected: u64,
    pub parts: u32,
}

/// The parts of a batch while they are written.
pub(crate) struct Parts<'a, S> {
    store: &'a S,
    batch: &'a BatchRef,
    /// The items of the part that is being filled, as JSON lines.
    lines: Vec<u8>,
    /// The places of the items of that part, as JSON lines.
    places: Vec<u8>,
    /// The number of items of that part.
    filled: u32,
    /// The list of the parts before it, as JSON lines.
    list: Vec<u8>,
    written: Written,
    under_way: FuturesUnordered<LocalBoxFuture<'a, Result<(), Fault>>>,
}

impl<'a, S: PutObject> Parts<'a, S> {
    pub fn new(store: &'a S, batch: &'a BatchRef) -> Self {
        Self {
            store,
            batch,
            lines: Vec::new(),
            places: Vec::new(),
            filled: 0,
            list: Vec::new(),
            written: Written::default(),
            under_way: FuturesUnordered::new(),
        }
    }

    /// Adds an item, and starts to write the part when it is full.
    pub async fn add(&mut self, entry: &Entry) -> Result<(), Fault> {
        let line = to_json(entry)?;
        if self.filled > 0 && self.lines.len() + line.len() > MAX_BYTES {
            self.end_part().await?;
        }
        self.written.items += 1;
        self.filled += 1;
        match entry {
            Entry::Rejected(_) => self.written.rejected += 1,
            Entry::Item(item) => {
                let place = Place {
                    n: item.n,
                    part: self.written.parts + 1,
                    at: self.lines.len() as u64,
                    bytes: line.len() as u64,
                    attempt_no: 1,
                };
                add_line(&mut self.places, &place)?;
            }
        }
        self.lines.extend(line);
        self.lines.push(b'\n');
        match self.filled {
            MAX_LINES => self.end_part().await,
            _ => Ok(()),
        }
    }

    /// Writes the last part and the list of parts.
    ///
    /// # Errors
    /// `Bcce.Internal`: S3 failed.
    pub async fn finish(mut self) -> Result<Written, Fault> {
        if self.filled > 0 {
            self.end_part().await?;
        }
        while let Some(put) = self.under_way.next().await {
            put?;
        }
        self.store.put(&self.batch.parts_key(), &self.batch.batch_id, self.list).await?;
        Ok(self.written)
    }

    async fn end_part(&mut self) -> Result<(), Fault> {
        self.written.parts += 1;
        let part = self.written.parts;
        add_line(&mut self.list, &Part { part, lines: std::mem::take(&mut self.filled) })?;
        let lines = std::mem::take(&mut self.lines);
        self.put(self.batch.part_key(part), lines);
        // If every item of the part is rejected, there are no places.
        let places = std::mem::take(&mut self.places);
        if !places.is_empty() {
            self.put(self.batch.places_key(part), places);
        }
        while self.under_way.len() > AT_A_TIME {
            self.under_way.next().await.transpose()?;
        }
        Ok(())
    }

    fn put(&self, key: String, body: Vec<u8>) {
        let (store, batch_id) = (self.store, self.batch.batch_id.as_str());
        self.under_way.push(Box::pin(async move { store.put(&key, batch_id, body).await }));
    }
}
