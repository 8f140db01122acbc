//! Takes the slots of a tenant, which bound the runs and batch items that it has under way.

use std::collections::BTreeMap;
use std::time::Duration;

use bcce_core::base::error::Fault;
use bcce_core::ledger::slots_pk;
use bcce_core::ports::{ListSlots, ReleaseSlot, TakeSlot};
use bcce_core::run::slots::{Lane, Slot, comes_first, fits};
use futures::lock::Mutex;
use time::OffsetDateTime;

/// The time for which this instance uses a reading that found no free slot. A flood costs one reading in this time, not
/// one for each message.
const FRESH: Duration = Duration::from_secs(1);

/// A message that asks for a slot.
#[derive(Clone, Copy, Debug)]
pub struct Claim<'a> {
    pub lane: Lane,
    pub tenant: &'a str,
    /// The name of the execution.
    pub holder: &'a str,
    /// The slots that it takes: 1 for a run, the items at a time for a batch.
    pub weight: u32,
    /// The most slots that the tenant may hold; 0 means no limit.
    pub limit: u32,
    pub now: OffsetDateTime,
}

/// The outcome of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// The tenant has no limit, so no slot is taken.
    Unlimited,
    /// The message took a slot.
    New,
    /// The same message took the slot in an earlier delivery.
    Before,
    /// The tenant has no free slot.
    NoneFree,
}

/// The tenants that had no free slot, with their slots as they were last read.
#[derive(Default)]
pub struct Full(Mutex<Readings>);

/// The readings, by the partition key of the slots: the time and the slots.
#[derive(Default)]
struct Readings(BTreeMap<String, (OffsetDateTime, Vec<Slot>)>);

impl Readings {
    fn has_none_free(&self, claim: &Claim<'_>) -> bool {
        let read = self.0.get(&slots_pk(claim.lane, claim.tenant));
        read.is_some_and(|(read_at, slots)| {
            claim.limit > 0
                && claim.now - *read_at < FRESH
                && !slots.iter().any(|slot| slot.holder == claim.holder)
        })
    }
}

impl Full {
    /// Returns true if a recent reading shows that there is no slot for this holder. The message then waits without a
    /// write.
    pub async fn has_none_free(&self, claim: &Claim<'_>) -> bool {
        self.0.lock().await.has_none_free(claim)
    }

    /// Claims a slot for a message. It takes the slot first and counts the slots afterwards, so that two new messages
    /// never both keep the last one.
    ///
    /// # Errors
    /// `Bcce.Internal`: the ledger failed.
    pub async fn claim(
        &self,
        ledger: &(impl ListSlots + TakeSlot + ReleaseSlot),
        claim: Claim<'_>,
    ) -> Result<Claimed, Fault> {
        let Claim { lane, tenant, holder, weight, limit, now } = claim;
        if limit == 0 {
            return Ok(Claimed::Unlimited);
        }
        // The lock is held during the reading, so that the messages of a batch share it.
        let mut full = self.0.lock().await;
        if full.has_none_free(&claim) {
            return Ok(Claimed::NoneFree);
        }
        let key = slots_pk(lane, tenant);
        let is_new = ledger.take_slot(lane, tenant, &Slot::new(lane, holder, weight, now)).await?;
        let read = ledger.slots(lane, tenant, now).await;
        let is_free = read.as_ref().is_ok_and(|slots| fits(slots, limit));
        // Nothing may be started with the slot, so it is released. If that fails, the same message uses the slot later.
        if is_new && !is_free {
            ledger.release_slot(lane, tenant, holder).await?;
        }
        let mut slots = read?;
        if is_free {
            full.0.remove(&key);
            return Ok(if is_new { Claimed::New } else { Claimed::Before });
        }
        slots.retain(|slot| !(is_new && slot.holder == holder));
        let goes_on = comes_first(&slots, holder, limit);
        full.0.insert(key, (now, slots));
        Ok(if goes_on { Claimed::Before } else { Claimed::NoneFree })
    }
}
