//! Counts calls by their time to the first token. The counters of several functions can be added.
//!
//! The time of the whole answer is not used, because it depends on the length of the answer and so on the request.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

/// The upper bounds of the buckets in milliseconds. Each bound is about one and a half times the bound before. Targets
/// in the same bucket count as equally fast and share the load.
pub const BOUNDS_MS: [u64; 15] = [
    100, 150, 230, 350, 520, 780, 1_200, 1_800, 2_700, 4_000, 6_000, 9_000, 14_000, 21_000, 32_000,
];
/// The length of a slot in seconds. Calls are counted by slot, and the last two slots are used: five to ten minutes.
const SLOT_SECONDS: i64 = 300;
/// The smallest number of calls for a meaningful median.
const ENOUGH: u64 = 5;

/// The number of calls in each bucket of [`BOUNDS_MS`], and in one bucket above the last bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Histogram([u64; BOUNDS_MS.len() + 1]);

impl Histogram {
    /// Adds calls to a bucket. A bucket that does not exist is ignored.
    pub fn add(&mut self, bucket: usize, calls: u64) {
        if let Some(count) = self.0.get_mut(bucket) {
            *count += calls;
        }
    }

    /// Adds the calls of `other`.
    pub fn merge(&mut self, other: &Self) {
        self.0.iter_mut().zip(other.0).for_each(|(count, more)| *count += more);
    }

    /// Returns the number of all calls.
    pub fn calls(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Returns the bucket of the median, or `None` if there are too few calls.
    pub fn median(&self) -> Option<usize> {
        let calls = self.calls();
        let mut below = 0;
        (calls >= ENOUGH).then_some(())?;
        self.0.iter().position(|count| {
            below += count;
            2 * below >= calls
        })
    }
}

/// Returns the bucket of a call by its time to the first token, in milliseconds.
pub fn bucket(first_token_ms: u64) -> usize {
    BOUNDS_MS.partition_point(|bound| *bound < first_token_ms)
}

/// Returns the slot in which a call is counted at `now`.
pub fn slot(now: OffsetDateTime) -> i64 {
    now.unix_timestamp().div_euclid(SLOT_SECONDS)
}

/// Returns the slots that are read at `now`.
pub fn slots(now: OffsetDateTime) -> [i64; 2] {
    [slot(now) - 1, slot(now)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_lies_in_the_bucket_of_its_bound() {
        assert_eq!([bucket(0), bucket(100), bucket(101), bucket(60_000)], [0, 0, 1, 15]);
    }

    #[test]
    fn the_median_is_that_of_all_counters_together() {
        let mut fast = Histogram::default();
        let mut slow = Histogram::default();
        fast.add(1, 3);
        slow.add(9, 4);
        assert_eq!(fast.median(), None, "three calls say little");
        fast.merge(&slow);
        assert_eq!((fast.calls(), fast.median()), (7, Some(9)));
    }
}
