//! Keeps the part while it is worked off: extends the ownership, records the progress, and reads the orders of others.

use std::collections::BTreeSet;
use std::time::Duration;

use bcce_core::base::error::Fault;
use bcce_core::batch::packed::PartProgress;
use bcce_core::batch::platform::KEEP_MS;
use bcce_core::batch::{BatchProgress, Rate};
use bcce_core::io::packed::lost;
use bcce_core::io::step::TakeReports;
use bcce_core::ports::{CallModel, Clock, GetObject, OpenSource, PutOnce, ReadLatencies};
use time::OffsetDateTime;

use crate::KeepParts;
use crate::work::Work;

/// The time between two extensions of the ownership.
const EVERY: Duration = Duration::from_millis(KEEP_MS);
/// The time from which waiting is left to the state machine.
const LONG: Duration = Duration::from_secs(10);

impl<S, R, L, M, C, H, F> Work<'_, '_, S, R, L, M, C, H, F>
where
    S: GetObject + PutOnce,
    R: OpenSource,
    L: KeepParts,
    M: CallModel,
    C: Clock,
    H: TakeReports + ReadLatencies,
{
    /// Keeps the part, until the future is dropped.
    pub async fn keep(&self) {
        loop {
            tokio::time::sleep(EVERY).await;
            if let Err(fault) = self.keep_once().await {
                // A ledger that fails for a moment does not end the work, but the end of the ownership does.
                let now = self.ports.caller.clock.now();
                if fault == lost() || !self.ownership.is_safe(now) {
                    self.fail(fault);
                }
            }
            self.suspend_if_all_wait();
            self.changed.notify_waiters();
        }
    }

    async fn keep_once(&self) -> Result<(), Fault> {
        let now = self.ports.caller.clock.now();
        self.ownership.keep(&self.ports.ledger, now, &self.part_progress()).await?;
        self.look().await?;
        self.halt_if_due().await
    }

    /// Reads the progress of the batch and the orders of others.
    ///
    /// # Errors
    /// `Bcce.Internal`: the ledger failed.
    pub async fn look(&self) -> Result<(), Fault> {
        let own = self.progress.borrow().clone();
        let (batch, now) = (self.request.batch.item_of(), self.ports.caller.clock.now());
        let all = self.ports.ledger.batch_progress(&batch, now).await?;
        self.orders.borrow_mut().read(all, own);
        Ok(())
    }

    /// Returns the progress of the part, as the ledger records it.
    pub fn part_progress(&self) -> PartProgress {
        let runs = BatchProgress { paused: self.paused(), ..self.progress.borrow().clone() };
        PartProgress { runs, rate: self.rate() }
    }

    fn rate(&self) -> Rate {
        let now = self.ports.caller.clock.now();
        let (paces, most) = (self.paces.borrow(), self.request.calls);
        let throttled: BTreeSet<&String> =
            paces.iter().filter(|(_, pace)| pace.is_throttled(now)).map(|(key, _)| key).collect();
        // The items share the calls of the part, so two targets do not allow more than that.
        let calls: u32 = paces.values().map(|pace| pace.calls()).sum();
        let calls = if throttled.is_empty() { most } else { calls.min(most) };
        Rate {
            calls,
            most,
            throttled: throttled.into_iter().map(|key| key.replace('#', " ")).collect(),
        }
    }

    /// Suspends the work if every run waits for long, so that no function is paid for waiting.
    fn suspend_if_all_wait(&self) {
        let (waits, orders) = (self.waits.borrow(), self.orders.borrow());
        let now = self.ports.caller.clock.now();
        let is_long = |until: &OffsetDateTime| *until - now >= LONG;
        if !waits.is_empty() && waits.len() == orders.running && waits.iter().all(is_long) {
            self.is_suspended.set(true);
        }
    }
}
