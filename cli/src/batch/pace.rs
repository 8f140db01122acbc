//! Measures how many runs of a batch end per minute: over the last minute while the batch is watched, otherwise since
//! its start.

use std::collections::VecDeque;
use std::time::Duration;

use time::OffsetDateTime;

/// The time over which the pace is measured.
const WINDOW: Duration = Duration::from_secs(60);
/// The shortest time between two reads that gives a pace.
const LEAST: Duration = Duration::from_secs(10);

/// The numbers of runs that had ended, each with the time at which it was read.
#[derive(Debug, Default)]
pub struct Pace(VecDeque<(OffsetDateTime, u64)>);

impl Pace {
    /// Adds a number of ended runs and drops those that are too old.
    pub fn note(&mut self, now: OffsetDateTime, over: u64) {
        self.0.push_back((now, over));
        while self.0.len() > 2 && now - self.0[1].0 >= WINDOW {
            self.0.pop_front();
        }
    }

    /// Returns the number of runs that end per minute, or `None` if nothing was read yet.
    pub fn per_minute(&self, started: OffsetDateTime) -> Option<f64> {
        let (now, over) = *self.0.back()?;
        let first = self.0.front().filter(|(at, _)| now - *at >= LEAST);
        let (since, before) = first.copied().unwrap_or((started, 0));
        let minutes = (now - since).as_seconds_f64() / 60.0;
        (minutes > 0.0).then(|| over.saturating_sub(before) as f64 / minutes)
    }
}

/// Returns the time that `left` runs take at `per_minute`, or `None` if there is no useful forecast.
pub fn remaining(left: u64, per_minute: f64) -> Option<time::Duration> {
    let seconds = left as f64 / per_minute * 60.0;
    // A forecast of a year or more is useless.
    (0.0..31_536_000.0).contains(&seconds).then(|| time::Duration::seconds_f64(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    const STARTED: OffsetDateTime = datetime!(2026-11-01 12:00 UTC);

    #[test]
    fn one_look_gives_the_pace_since_the_start_and_more_that_of_the_last_minute() {
        let (mut pace, at) = (Pace::default(), |s| STARTED + time::Duration::seconds(s));
        assert_eq!(pace.per_minute(STARTED), None);
        pace.note(at(120), 60);
        assert_eq!(pace.per_minute(STARTED), Some(30.0));
        pace.note(at(125), 160);
        assert_eq!(pace.per_minute(STARTED), Some(76.8), "five seconds are too few");
        pace.note(at(150), 160);
        assert_eq!(pace.per_minute(STARTED), Some(200.0));
        for s in (160..=400).step_by(10) {
            pace.note(at(s), 160);
        }
        assert_eq!(pace.per_minute(STARTED), Some(0.0), "nothing in the last minute");
        assert!(pace.0.len() < 10);
    }

    #[test]
    fn what_is_left_takes_as_long_as_the_pace_says() {
        assert_eq!(remaining(90, 30.0), Some(time::Duration::minutes(3)));
        assert_eq!((remaining(1, 0.0), remaining(0, 0.0)), (None, None));
        assert_eq!(remaining(10_000_000, 0.1), None);
    }
}
