//! Measures the run time of test code. A test compares one run time with another and never with a fixed time.

use std::time::{Duration, Instant};

/// The number of tries. Other load on the machine makes a try longer and never shorter, so the shortest one counts.
const TRIES: usize = 10;
/// The factor above the limit from which other load on the machine cannot explain a slow try.
const HOPELESS: u32 = 10;

/// Returns the shortest time of [`TRIES`] tries.
pub fn shortest(mut work: impl FnMut()) -> Duration {
    (0..TRIES).map(|_| once(&mut work)).min().expect("there are tries")
}

/// Runs `work` until one try takes at most `limit`.
///
/// # Errors
/// Returns the shortest time if no try stays within the limit. Stops early once the shortest time is more than
/// [`HOPELESS`] times the limit.
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
