//! The split of a batch's concurrency into parts at a time, and calls at a time in each of them.

use serde::{Deserialize, Serialize};

/// The most calls that one function call keeps under way. At this number, a call of five seconds and a megabyte of
/// memory each fit into the function.
const MOST_PER_PART: u32 = 64;

/// The number of parts that a batch works off at a time, and of calls at a time in each of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Split {
    /// The number of parts at a time.
    pub parts: u32,
    /// The number of calls at a time in a part. All parts together stay within the batch's concurrency.
    pub calls: u32,
}

impl Split {
    /// Returns the split of `concurrency` over at most `parts` parts.
    pub fn of(concurrency: u32, parts: u32) -> Self {
        let parts = concurrency.div_ceil(MOST_PER_PART).clamp(1, parts.max(1));
        Self { parts, calls: (concurrency / parts).clamp(1, MOST_PER_PART) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_split_never_exceeds_the_concurrency() {
        for (concurrency, parts, expected) in [
            (1, 9, (1, 1)),
            (20, 9, (1, 20)),
            (64, 9, (1, 64)),
            (65, 9, (2, 32)),
            (500, 9, (8, 62)),
            (500, 2, (2, 64)),
            (10_000, 2_000, (157, 63)),
            (5, 0, (1, 5)),
        ] {
            let split = Split::of(concurrency, parts);
            assert_eq!((split.parts, split.calls), expected, "{concurrency} over {parts}");
            assert!(split.parts * split.calls <= concurrency);
        }
    }
}
