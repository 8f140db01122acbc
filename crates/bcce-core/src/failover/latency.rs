//! How long targets take to their first token, as counters that add up from anywhere.
//!
//! The first token and not the whole answer: that depends on how long the answer is, which is the
//! request's doing.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

/// Upper bounds in milliseconds, each about half as much again as the one before: two targets of one bucket
/// are equally fast for all we know, and share the load.
pub const BOUNDS_MS: [u64; 15] = [
    100, 150, 230, 350, 520, 780, 1_200, 1_800, 2_700, 4_000, 6_000, 9_000, 14_000, 21_000, 32_000,
];
/// Calls are counted by slots of five minutes, and the last two count: five to ten minutes.
const SLOT_SECONDS: i64 = 300;
/// With fewer calls a median says little.
const ENOUGH: u64 = 5;

/// Numbers of calls, by their time to the first token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Histogram([u64; BOUNDS_MS.len() + 1]);

impl Histogram {
    pub fn add(&mut self, bucket: usize, calls: u64) {
        if let Some(count) = self.0.get_mut(bucket) {
            *count += calls;
        }
    }

    pub fn merge(&mut self, other: &Self) {
        self.0.iter_mut().zip(other.0).for_each(|(count, more)| *count += more);
    }

    pub fn calls(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Returns the bucket of the median, or `None` with too few calls.
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

/// Returns the bucket of a call by its time to the first token.
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
