//! Measures how long work of this process takes. A test compares one piece of work with another, never with the clock.

use std::time::{Duration, Instant};

/// Whatever else the machine does makes a try longer, and none shorter.
const TRIES: usize = 10;
/// A try that takes so much longer than its limit is not a matter of other load.
const HOPELESS: u32 = 10;

/// Returns the shortest of a few tries.
pub fn shortest(mut work: impl FnMut()) -> Duration {
    (0..TRIES).map(|_| once(&mut work)).min().expect("there are tries")
}

/// Fails with the shortest of a few tries if none of them keeps to `limit`, or the first takes many times as long.
pub fn is_within(limit: Duration, mut work: impl FnMut()) -> Result<(), Duration> {
    let mut best = Duration::MAX;
    for _ in 0..TRIES {
        best = best.min(once(&mut work));
        if best <= limit {
            return Ok(());
        }
        if best > limit * HOPELESS {
            break;
        }
    }
    Err(best)
}

fn once(work: &mut impl FnMut()) -> Duration {
    let started = Instant::now();
    work();
    started.elapsed()
}
