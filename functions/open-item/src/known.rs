//! What the items of one batch share, kept for a moment or for good.

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

/// How old a reading of the progress may be. For so long items are started although too many have failed.
const FRESH: Duration = Duration::from_secs(2);

/// The last progress that was read.
#[derive(Default)]
pub struct RecentProgress(RefCell<Option<(ItemOf, OffsetDateTime, BatchProgress)>>);

impl RecentProgress {
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
        let progress = ledger.batch_progress(batch).await?;
        *self.0.borrow_mut() = Some((batch.clone(), now, progress.clone()));
        Ok(progress)
    }
}

/// The last batch that another execution has halted. A halt is for good.
#[derive(Default)]
pub struct Halted(RefCell<Option<ItemOf>>);

impl Halted {
    pub fn is(&self, batch: &ItemOf) -> bool {
        self.0.borrow().as_ref() == Some(batch)
    }

    pub fn note(&self, batch: ItemOf) {
        *self.0.borrow_mut() = Some(batch);
    }
}

/// The last batch whose request was read, which never changes.
#[derive(Default)]
pub struct Batches(RefCell<Option<(String, Rc<StoredBatch>)>>);

impl Batches {
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
