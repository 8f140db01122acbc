//! Reads the state and the request of a batch, which its items share, with a cache.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use bcce_core::base::error::Fault;
use bcce_core::batch::reference::BatchRef;
use bcce_core::batch::{BatchProgress, StoredBatch};
use bcce_core::io::objects;
use bcce_core::ports::{GetObject, ReadBatchProgress};
use bcce_core::run::ids::ItemOf;
use time::OffsetDateTime;

/// The time for which a reading of the batch progress is used. Within this time, items are started although too many
/// have failed.
const FRESH: Duration = Duration::from_secs(2);

/// The batch progress that was read last.
#[derive(Default)]
pub struct RecentProgress(RefCell<Option<(ItemOf, OffsetDateTime, BatchProgress)>>);

impl RecentProgress {
    /// Returns the progress of a batch, at most two seconds old.
    pub async fn read(
        &self,
        ledger: &impl ReadBatchProgress,
        batch: &ItemOf,
        now: OffsetDateTime,
    ) -> Result<BatchProgress, Fault> {
        if let Some((known, at, progress)) = self.0.borrow().as_ref()
            && known == batch
            && now - *at < FRESH
        {
            return Ok(progress.clone());
        }
        let progress = ledger.batch_progress(batch, now).await?;
        *self.0.borrow_mut() = Some((batch.clone(), now, progress.clone()));
        Ok(progress)
    }
}

/// The last batch that another execution has halted. A halt is final.
#[derive(Default)]
pub struct Halted(RefCell<Option<ItemOf>>);

impl Halted {
    /// Returns true if `batch` is halted.
    pub fn is(&self, batch: &ItemOf) -> bool {
        self.0.borrow().as_ref() == Some(batch)
    }

    /// Records that `batch` is halted.
    pub fn note(&self, batch: ItemOf) {
        *self.0.borrow_mut() = Some(batch);
    }
}

/// The request of a batch that was read last. It never changes.
#[derive(Default)]
pub struct Batches(RefCell<Option<(String, Rc<StoredBatch>)>>);

impl Batches {
    /// Returns the request of a batch.
    pub async fn read(
        &self,
        store: &impl GetObject,
        batch: &BatchRef,
    ) -> Result<Rc<StoredBatch>, Fault> {
        if let Some((known, stored)) = self.0.borrow().as_ref()
            && *known == batch.batch_id
        {
            return Ok(stored.clone());
        }
        let stored: Rc<StoredBatch> = Rc::new(objects::read(store, &batch.request_key()).await?);
        *self.0.borrow_mut() = Some((batch.batch_id.clone(), stored.clone()));
        Ok(stored)
    }
}
