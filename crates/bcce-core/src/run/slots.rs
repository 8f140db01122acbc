//! Slots limit the work that a tenant has under way. A run that dispatch starts holds one slot until it is closed. A
//! batch holds as many slots as it runs items at a time. A tenant without a free slot waits in its own inbox and does
//! not delay other tenants.

use std::time::Duration;

use time::OffsetDateTime;

use crate::base::limits::{MAX_BATCH_EXECUTION_SECONDS, MAX_EXECUTION_SECONDS};

/// The kind of work that a slot is for. Runs and batches have separate slots, so runs do not wait for batches, which
/// can last for days.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    Runs,
    Batches,
}

impl Lane {
    /// Returns the lane's name in the keys of the ledger.
    pub fn name(self) -> &'static str {
        match self {
            Self::Runs => "runs",
            Self::Batches => "batches",
        }
    }

    /// Returns the longest time that an execution can run. A slot that was never released expires after this time.
    fn longest(self) -> Duration {
        match self {
            Self::Runs => Duration::from_secs(MAX_EXECUTION_SECONDS),
            Self::Batches => Duration::from_secs(MAX_BATCH_EXECUTION_SECONDS),
        }
    }
}

/// A slot that an execution holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// The name of the execution.
    pub holder: String,
    /// The number of slots that it counts as: 1 for a run, the concurrency for a batch.
    pub weight: u32,
    pub taken_at: OffsetDateTime,
    pub expires_at: OffsetDateTime,
}

impl Slot {
    /// Returns a slot that is taken at `now`.
    pub fn new(lane: Lane, holder: &str, weight: u32, now: OffsetDateTime) -> Self {
        Self { holder: holder.to_owned(), weight, taken_at: now, expires_at: now + lane.longest() }
    }
}

/// Returns whether `slots` together stay within `limit`. A message takes its slot before this check. If two messages
/// take the last slot at the same moment, both may find the limit exceeded and be tried again later, but they never
/// both keep the slot.
pub fn fits(slots: &[Slot], limit: u32) -> bool {
    slots.iter().fold(0_u32, |sum, slot| sum.saturating_add(slot.weight)) <= limit
}

/// Returns whether the slot of `holder` is among the oldest slots that stay within `limit`. Its message may then
/// proceed even if all slots together exceed the limit. This way a tenant is not locked out by slots that were never
/// released or by a limit that was lowered.
pub fn comes_first(slots: &[Slot], holder: &str, limit: u32) -> bool {
    let mut oldest: Vec<&Slot> = slots.iter().collect();
    oldest.sort_by_key(|slot| (slot.taken_at, &slot.holder));
    let mut sum = 0_u64;
    let mut room = oldest.into_iter().take_while(|slot| {
        sum += u64::from(slot.weight.min(limit));
        sum <= u64::from(limit)
    });
    room.any(|slot| slot.holder == holder)
}

/// Returns the weight of a batch: its concurrency, but at most `limit`. A limit of 0 means that there is none.
pub fn batch_weight(concurrency: u32, limit: u32) -> u32 {
    match limit {
        0 => concurrency,
        limit => concurrency.min(limit),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    const NOON: OffsetDateTime = datetime!(2026-11-01 12:00 UTC);

    fn slot(holder: &str, weight: u32, second: i64) -> Slot {
        Slot::new(Lane::Runs, holder, weight, NOON + time::Duration::seconds(second))
    }

    #[test]
    fn runs_share_the_limit_and_a_batch_weighs_what_it_runs_at_a_time() {
        let slots = [slot("a", 1, 1), slot("b", 1, 2)];
        assert_eq!([1, 2, 3].map(|limit| fits(&slots, limit)), [false, true, true]);
        let slots = [slot("a", 60, 1), slot("b", 50, 2)];
        assert!(fits(&slots[..1], 100) && !fits(&slots, 100));
        assert!(!fits(&[slot("a", u32::MAX, 1), slot("b", u32::MAX, 1)], 100));
        let weights = [(500, 100), (20, 100), (500, 0)];
        assert_eq!(weights.map(|(asked, limit)| batch_weight(asked, limit)), [100, 20, 500]);
    }

    #[test]
    fn the_oldest_slots_that_the_limit_has_room_for_come_first() {
        let slots = [slot("c", 1, 2), slot("b", 1, 1), slot("a", 1, 2)];
        let first = |limit| ["a", "b", "c", "d"].map(|holder| comes_first(&slots, holder, limit));
        assert_eq!(first(1), [false, true, false, false]);
        assert_eq!(first(2), [true, true, false, false], "of the same moment by name");
        assert_eq!(first(3), [true, true, true, false]);
        // The limit was lowered from 100 to 50.
        let slots = [slot("large", 100, 1), slot("small", 1, 2)];
        assert!(comes_first(&slots, "large", 50) && !comes_first(&slots, "small", 50));
        assert!(!comes_first(&[slot("a", u32::MAX, 1), slot("b", u32::MAX, 2)], "b", u32::MAX));
    }
}
