//! A tenant's slots: how many runs, and items of batches, it may have under way.

use std::collections::BTreeMap;
use std::time::Duration;

use bcce_core::error::Fault;
use bcce_core::ports::{ListSlots, ReleaseSlot, TakeSlot};
use bcce_core::slot::{Lane, Slot, comes_first, fits};
use futures::lock::Mutex;
use time::OffsetDateTime;

/// How long this instance goes by the slots that it has read of a tenant that has none free: a flood costs one reading
/// in this time and not one for each message.
const FRESH: Duration = Duration::from_secs(1);

/// Who asks for a slot.
#[derive(Clone, Copy, Debug)]
pub struct Claim<'a> {
    pub lane: Lane,
    pub tenant: &'a str,
    /// Name of the execution.
    pub holder: &'a str,
    pub weight: u32,
    /// 0 is none.
    pub limit: u32,
    pub now: OffsetDateTime,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// Nobody counts.
    Unlimited,
    New,
    /// By the same message, when it came before.
    Before,
    NoneFree,
}

/// Tenants that had no free slot, with the slots that were read.
#[derive(Default)]
pub struct Full(Mutex<BTreeMap<String, (OffsetDateTime, Vec<Slot>)>>);

impl Full {
    /// Takes a slot first and counts second: of two who take the last one at the same moment, never do both keep it.
    pub async fn claim(
        &self,
        ledger: &(impl ListSlots + TakeSlot + ReleaseSlot),
        claim: Claim<'_>,
    ) -> Result<Taken, Fault> {
        let Claim { lane, tenant, holder, weight, limit, now } = claim;
        if limit == 0 {
            return Ok(Taken::Unlimited);
        }
        // Held meanwhile: the messages of a batch learn from each other that nothing is free.
        let mut full = self.0.lock().await;
        let key = lane.pk(tenant);
        if let Some((read_at, slots)) = full.get(&key)
            && now - *read_at < FRESH
            && !slots.iter().any(|slot| slot.holder == holder)
        {
            return Ok(Taken::NoneFree);
        }
        let is_new = ledger.take_slot(lane, tenant, &Slot::new(lane, holder, weight, now)).await?;
        let read = ledger.slots(lane, tenant, now).await;
        let is_free = read.as_ref().is_ok_and(|slots| fits(slots, limit));
        // Nothing may be started with it. Where the release fails too, the slot serves the same message later.
        if is_new && !is_free {
            ledger.release_slot(lane, tenant, holder).await?;
        }
        let mut slots = read?;
        if is_free {
            full.remove(&key);
            return Ok(if is_new { Taken::New } else { Taken::Before });
        }
        slots.retain(|slot| !(is_new && slot.holder == holder));
        let goes_on = comes_first(&slots, holder, limit);
        full.insert(key, (now, slots));
        Ok(if goes_on { Taken::Before } else { Taken::NoneFree })
    }
}
