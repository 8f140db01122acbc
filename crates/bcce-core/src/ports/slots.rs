//! Slots of tenants in the ledger.

use time::OffsetDateTime;

use crate::base::error::Fault;
use crate::run::slots::Lane;
use crate::run::slots::Slot;

pub trait ListSlots {
    /// Lists the slots of a tenant that are held at `now`.
    async fn slots(
        &self,
        lane: Lane,
        tenant: &str,
        now: OffsetDateTime,
    ) -> Result<Vec<Slot>, Fault>;
}

pub trait TakeSlot {
    /// Takes a slot. Returns `false` if its holder has one already.
    async fn take_slot(&self, lane: Lane, tenant: &str, slot: &Slot) -> Result<bool, Fault>;
}

pub trait ReleaseSlot {
    /// Releases the slot of an execution. Does nothing if there is none. Safe to repeat.
    async fn release_slot(&self, lane: Lane, tenant: &str, holder: &str) -> Result<(), Fault>;
}
