//! The use of AWS besides models by a batch: by its parts, and by what is done once for a batch.
//!
//! The counts were measured on the local stack with batches of one and two parts, and `make lean` compares them. Those
//! that depend on timing are upper limits: each call has a record of its own, and each decision reads the breakers. The
//! polls of a bulk job, the sample of its leftovers, tasks that Step Functions tried again, logs, and the time of
//! functions other than run-part's wait for models are not included.

use crate::base::platform::{Charge, PlatformUse};
use crate::run::manifest::platform::{EVENTS_OF_OBJECT, REQUESTS_OF_MESSAGE};

/// The memory of the function run-part in the template, in MB.
pub const RUN_PART_MEMORY_MB: u64 = 512;

/// The time after which run-part extends its ownership of a part, records the progress and reads the orders of others,
/// each time anew, in milliseconds.
pub const KEEP_MS: u64 = 3_000;
/// The time for which a call of run-part works at most, in milliseconds.
const LONGEST_MS: u64 = 840_000;

/// The work of a packed part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PartWork {
    /// True if the items were sent in bulk jobs.
    pub is_bulk: bool,
    pub runs: u64,
    pub segments: u64,
    /// The number of calls other than records of bulk jobs.
    pub calls: u64,
    /// The number of the ledger's usage counters that the part adds to.
    pub counters: u64,
    /// The time for which run-part waited for these calls, in milliseconds: the sum of the calls' times, divided by the
    /// number of calls that it makes at a time.
    pub waited_ms: u64,
}

impl PartWork {
    /// Returns what the part takes.
    pub fn platform(&self) -> PlatformUse {
        let fixed = if self.is_bulk { &BULK_PART } else { &PART };
        let mut taken = fixed.taken(self.segments, self.segments);
        // A part on demand has one call of run-part at least. In bulk mode, only leftovers have one.
        let rounds = self.waited_ms / LONGEST_MS + u64::from(self.is_bulk && self.calls > 0);
        taken.take(Charge::Transitions, 3 * rounds);
        taken.take(Charge::FunctionCalls, rounds);
        taken.take(Charge::GbMilliseconds, self.waited_ms * RUN_PART_MEMORY_MB / 1_024);
        let kept = if self.calls > 0 { 1 + self.waited_ms / KEEP_MS } else { 0 };
        // The place of each run, the record of each call, the counters in a transaction, and what is done once.
        let written = self.runs + self.calls + 2 * self.counters + 9;
        taken.take(Charge::WriteUnits, written + 2 * kept);
        // take-part and collect-part read the calls of the part.
        let queries = 1 + u64::from(self.is_bulk);
        taken.take(Charge::HalfReadUnits, 2 * queries + 8 * self.calls + kept);
        taken
    }
}

/// Returns what a part takes whose items have executions of their own. The manifests of the items have the rest.
pub fn of_part_of_executions() -> PlatformUse {
    let mut taken = EXECUTIONS_PART.taken(0, 0);
    taken.take(Charge::WriteUnits, 2);
    taken.take(Charge::HalfReadUnits, 2);
    taken
}

/// Returns what is done once for a batch: it is accepted, opened and closed, and its notification is sent.
pub fn of_batch(is_bulk: bool) -> PlatformUse {
    let fixed = if is_bulk { &BULK_BATCH } else { &BATCH };
    let mut taken = fixed.taken(0, 0);
    taken.take(Charge::WriteUnits, 6);
    taken.take(Charge::HalfReadUnits, 4);
    taken.take(Charge::SqsRequests, REQUESTS_OF_MESSAGE);
    taken.take(Charge::SnsMessages, 1);
    taken
}

/// The counts that are the same for each part, or for each batch.
struct Fixed {
    transitions: u64,
    function_calls: u64,
    objects: u64,
    lists: u64,
    reads: u64,
    /// The reads among `reads` that look for an object that is not there, so that nothing is decrypted.
    in_vain: u64,
    signatures: u64,
}

const PART: Fixed = Fixed {
    transitions: 5,
    function_calls: 2,
    objects: 7,
    lists: 3,
    reads: 11,
    in_vain: 1,
    signatures: 1,
};
const BULK_PART: Fixed = Fixed {
    transitions: 7,
    function_calls: 3,
    objects: 11,
    lists: 4,
    reads: 27,
    in_vain: 2,
    signatures: 1,
};
const EXECUTIONS_PART: Fixed = Fixed {
    transitions: 3,
    function_calls: 1,
    objects: 4,
    lists: 1,
    reads: 3,
    in_vain: 0,
    signatures: 0,
};
const BATCH: Fixed = Fixed {
    transitions: 10,
    function_calls: 3,
    objects: 8,
    lists: 0,
    reads: 7,
    in_vain: 2,
    signatures: 1,
};
const BULK_BATCH: Fixed = Fixed {
    transitions: 18,
    function_calls: 6,
    objects: 14,
    lists: 2,
    reads: 17,
    in_vain: 3,
    signatures: 1,
};

impl Fixed {
    /// Returns what is taken, with `written` more objects and `read` more reads of them.
    fn taken(&self, written: u64, read: u64) -> PlatformUse {
        let (objects, reads) = (self.objects + written, self.reads + read);
        [
            (Charge::Transitions, self.transitions),
            (Charge::FunctionCalls, self.function_calls),
            (Charge::S3Writes, objects + self.lists),
            (Charge::S3Reads, reads),
            (Charge::KmsRequests, objects + reads - self.in_vain),
            (Charge::Signatures, self.signatures),
            (Charge::ObjectEvents, EVENTS_OF_OBJECT * objects),
        ]
        .into_iter()
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_takes_more_with_its_segments_calls_and_runs() {
        let work = PartWork {
            runs: 10,
            segments: 2,
            calls: 10,
            counters: 2,
            waited_ms: 4_000,
            ..PartWork::default()
        };
        let taken = work.platform();
        let count = |charge| taken.count(charge);
        // Seven objects and two segments, and three listings.
        assert_eq!((count(Charge::S3Writes), count(Charge::ObjectEvents)), (12, 36));
        assert_eq!(count(Charge::WriteUnits), 10 + 10 + 4 + 9 + 2 * 2);
        assert_eq!(count(Charge::GbMilliseconds), 2_000);
        assert_eq!((count(Charge::Transitions), count(Charge::FunctionCalls)), (5, 2));
        let long = PartWork { waited_ms: 2 * LONGEST_MS, ..work }.platform();
        assert_eq!((long.count(Charge::Transitions), long.count(Charge::FunctionCalls)), (11, 4));
    }

    #[test]
    fn the_leftovers_of_a_bulk_part_take_a_call_of_run_part_in_addition() {
        let bulk = PartWork { is_bulk: true, runs: 10, counters: 2, ..PartWork::default() };
        let taken = bulk.platform();
        assert_eq!(taken.count(Charge::GbMilliseconds), 0, "no function waits for a job");
        assert_eq!(taken.count(Charge::WriteUnits), 10 + 4 + 9);
        let leftovers = PartWork { calls: 3, waited_ms: 600, ..bulk }.platform();
        let more = |charge| leftovers.count(charge) - taken.count(charge);
        assert_eq!((more(Charge::Transitions), more(Charge::FunctionCalls)), (3, 1));
        assert_eq!((more(Charge::WriteUnits), more(Charge::GbMilliseconds)), (3 + 2, 300));
    }

    #[test]
    fn what_is_done_once_is_in_the_batch_and_not_in_its_parts() {
        let part = PartWork::default().platform();
        for charge in [Charge::SqsRequests, Charge::SnsMessages] {
            assert_eq!((of_batch(false).count(charge) > 0, part.count(charge)), (true, 0));
        }
        assert!(
            of_batch(true).count(Charge::Transitions) > of_batch(false).count(Charge::Transitions)
        );
    }
}
