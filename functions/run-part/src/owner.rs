//! The ownership of a part. One invocation at a time works it off. The ownership is short and is extended all the time,
//! so that a part whose function was ended is soon free again.

use std::cell::Cell;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

use bcce_core::base::error::Fault;
use bcce_core::batch::packed::PartProgress;
use bcce_core::io::packed::lost;
use bcce_core::ports::{KeepPart, PartOf, PartTaken, TakePart};
use time::OffsetDateTime;

use crate::Request;

/// The time for which a part is owned.
const LEASE: Duration = Duration::from_secs(10);
/// The time before the end of the ownership from which no call is started any more. It covers the difference between the
/// clocks of two hosts.
const SKEW: Duration = Duration::from_secs(1);

/// The outcome of taking a part.
pub(crate) enum Taken {
    Mine(Ownership),
    /// Another invocation owns the part. `wait_s` is the time after which it may be free, in seconds.
    Others {
        wait_s: u64,
    },
}

/// The ownership of a part.
#[derive(Debug)]
pub(crate) struct Ownership {
    pub part: PartOf,
    /// A name that no other invocation has.
    pub owner: String,
    /// True if no other invocation has owned the part before.
    pub is_first: bool,
    until: Cell<OffsetDateTime>,
}

impl Ownership {
    /// Takes a part, unless another invocation owns it.
    pub async fn take(
        ledger: &impl TakePart,
        request: &Request,
        now: OffsetDateTime,
    ) -> Result<Taken, Fault> {
        let part = PartOf { batch: request.batch.item_of(), part: request.part.part };
        let owner = format!("{:016x}", RandomState::new().build_hasher().finish());
        let until = now + LEASE;
        Ok(match ledger.take_part(&part, &owner, now, until).await? {
            PartTaken::Mine { is_first } => {
                Taken::Mine(Self { part, owner, is_first, until: Cell::new(until) })
            }
            PartTaken::Others { until } => {
                let left = (until - now).whole_seconds().max(0).unsigned_abs();
                Taken::Others { wait_s: left + 1 }
            }
        })
    }

    /// Extends the ownership, and records the progress of the part.
    ///
    /// # Errors
    /// `Bcce.Internal`: the ledger failed, or another invocation owns the part.
    pub async fn keep(
        &self,
        ledger: &impl KeepPart,
        now: OffsetDateTime,
        progress: &PartProgress,
    ) -> Result<(), Fault> {
        self.until(ledger, now + LEASE, progress).await
    }

    /// Gives the part up.
    ///
    /// # Errors
    /// See [`Ownership::keep`].
    pub async fn give_up(
        &self,
        ledger: &impl KeepPart,
        now: OffsetDateTime,
        progress: &PartProgress,
    ) -> Result<(), Fault> {
        self.until(ledger, now, progress).await
    }

    async fn until(
        &self,
        ledger: &impl KeepPart,
        until: OffsetDateTime,
        progress: &PartProgress,
    ) -> Result<(), Fault> {
        if !ledger.keep_part(&self.part, &self.owner, until, progress).await? {
            return Err(lost());
        }
        self.until.set(until);
        Ok(())
    }

    /// Returns whether a call may be started at `now`.
    pub fn is_safe(&self, now: OffsetDateTime) -> bool {
        now + SKEW < self.until.get()
    }
}
