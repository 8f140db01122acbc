//! The pace of the calls to one target: how many may be under way at a time. It halves when the target throttles and
//! grows with the answers, as TCP's congestion window does. So a batch makes room for interactive runs before a breaker
//! opens for them.

use std::time::Duration;

use time::OffsetDateTime;

use crate::base::error::ErrorName;
use crate::call::attempt::Attempt;

/// The number of calls with which a pace begins.
const BEGIN: f64 = 8.0;
/// The pause after a throttle that finds a single call under way. It doubles with each further one.
const PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// The time for which a target counts as throttling after its last throttle.
const RECENT: Duration = Duration::from_secs(30);

/// The pace of the calls to one target.
#[derive(Clone, Debug, PartialEq)]
pub struct Pace {
    /// The most calls at a time.
    most: f64,
    /// The number of calls that may be under way at a time.
    window: f64,
    /// The window up to which it grows by one with each answer. From there on it grows by one with each window of
    /// answers.
    threshold: f64,
    under_way: u32,
    /// The time of the last throttle that slowed the pace down. Calls that started before it slow it down no further.
    slowed_at: Option<OffsetDateTime>,
    throttled_at: Option<OffsetDateTime>,
    /// The time until which no call starts.
    paused_until: Option<OffsetDateTime>,
    pause: Duration,
}

/// Why a call may not start now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Until another call of the target ends.
    ForACall,
    Until(OffsetDateTime),
}

impl Pace {
    /// Returns a pace of at most `most` calls at a time.
    pub fn new(most: u32) -> Self {
        let most = f64::from(most.max(1));
        Self {
            most,
            window: BEGIN.min(most),
            threshold: most,
            under_way: 0,
            slowed_at: None,
            throttled_at: None,
            paused_until: None,
            pause: PAUSE,
        }
    }

    /// Starts a call.
    ///
    /// # Errors
    /// Returns what to wait for if no call may start now.
    pub fn start(&mut self, now: OffsetDateTime) -> Result<(), Wait> {
        if let Some(until) = self.paused_until.filter(|until| *until > now) {
            return Err(Wait::Until(until));
        }
        if f64::from(self.under_way) + 1.0 > self.window {
            return Err(Wait::ForACall);
        }
        self.under_way += 1;
        Ok(())
    }

    /// Takes back a call that was started and not made.
    pub fn give_back(&mut self) {
        self.under_way = self.under_way.saturating_sub(1);
    }

    /// Takes the end of a call. Returns whether the breaker of the target hears of it: a throttle is its matter only if
    /// the pace cannot slow down any more.
    pub fn end(&mut self, attempt: &Attempt, now: OffsetDateTime) -> bool {
        self.give_back();
        match attempt.error {
            Some(ErrorName::TargetThrottled) => self.throttle(attempt, now),
            None => {
                self.pause = PAUSE;
                let more = if self.window < self.threshold { 1.0 } else { 1.0 / self.window };
                self.window = (self.window + more).min(self.most);
                true
            }
            Some(_) => true,
        }
    }

    fn throttle(&mut self, attempt: &Attempt, now: OffsetDateTime) -> bool {
        self.throttled_at = Some(now);
        if let Some(seconds) = attempt.retry_after_s {
            self.pause_until(now + Duration::from_secs(seconds).min(LONGEST_PAUSE));
        }
        // The calls that were under way at the last throttle had the old pace.
        if self.slowed_at.is_some_and(|slowed_at| attempt.started_at <= slowed_at) {
            return false;
        }
        self.slowed_at = Some(now);
        let is_slowest = self.window <= 1.0;
        if is_slowest {
            self.pause_until(now + self.pause);
            self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        }
        self.window = (self.window / 2.0).floor().max(1.0);
        self.threshold = self.window;
        is_slowest
    }

    fn pause_until(&mut self, until: OffsetDateTime) {
        self.paused_until = Some(self.paused_until.map_or(until, |known| known.max(until)));
    }

    /// Returns the number of calls that may be under way at a time.
    pub fn calls(&self) -> u32 {
        self.window as u32
    }

    /// Returns true if the target has throttled a moment ago.
    pub fn is_throttled(&self, now: OffsetDateTime) -> bool {
        self.throttled_at.is_some_and(|at| now - at < RECENT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::attempt::tests::failed;
    use time::macros::datetime;

    const NOW: OffsetDateTime = datetime!(2026-11-01 12:00 UTC);

    fn at(seconds: i64) -> OffsetDateTime {
        NOW + time::Duration::seconds(seconds)
    }

    fn throttled(started_at: OffsetDateTime) -> Attempt {
        Attempt { started_at, ..failed("us-east-1", ErrorName::TargetThrottled) }
    }

    fn answered(started_at: OffsetDateTime) -> Attempt {
        Attempt { error: None, ..throttled(started_at) }
    }

    /// Starts as many calls as the pace allows, and returns their number.
    fn filled(pace: &mut Pace, now: OffsetDateTime) -> u32 {
        std::iter::from_fn(|| pace.start(now).ok()).count() as u32
    }

    #[test]
    fn it_grows_to_the_most_calls_with_the_answers() {
        let mut pace = Pace::new(20);
        assert_eq!(filled(&mut pace, NOW), 8);
        assert_eq!(pace.start(NOW), Err(Wait::ForACall));
        for _ in 0..8 {
            assert!(pace.end(&answered(NOW), at(1)));
        }
        assert_eq!(filled(&mut pace, at(1)), 16);
        for _ in 0..16 {
            pace.end(&answered(at(1)), at(2));
        }
        assert_eq!((filled(&mut pace, at(2)), pace.calls()), (20, 20));
    }

    #[test]
    fn a_throttle_halves_it_once_for_all_calls_under_way() {
        let mut pace = Pace::new(8);
        filled(&mut pace, NOW);
        for _ in 0..8 {
            assert!(!pace.end(&throttled(NOW), at(1)), "the breaker must not hear of it");
        }
        assert_eq!((filled(&mut pace, at(1)), pace.calls()), (4, 4));
        pace.end(&throttled(at(2)), at(3));
        assert_eq!(pace.calls(), 2);
        assert!(pace.is_throttled(at(4)) && !pace.is_throttled(at(60)));
    }

    #[test]
    fn it_speeds_up_again_slowly() {
        let mut pace = Pace::new(8);
        filled(&mut pace, NOW);
        for _ in 0..8 {
            pace.end(&throttled(NOW), at(1));
        }
        for _ in 0..4 {
            pace.start(at(2)).unwrap();
            pace.end(&answered(at(2)), at(3));
        }
        assert_eq!(pace.calls(), 4, "not yet a whole call more");
        for _ in 0..2 {
            pace.start(at(4)).unwrap();
            pace.end(&answered(at(4)), at(5));
        }
        assert_eq!(pace.calls(), 5);
    }

    #[test]
    fn if_it_cannot_slow_down_any_more_it_pauses_and_the_breaker_hears_of_it() {
        let mut pace = Pace::new(1);
        pace.start(NOW).unwrap();
        assert!(pace.end(&throttled(NOW), at(1)));
        assert_eq!(pace.start(at(1)), Err(Wait::Until(at(2))));
        pace.start(at(2)).unwrap();
        assert!(pace.end(&throttled(at(2)), at(3)));
        assert_eq!(pace.start(at(4)), Err(Wait::Until(at(5))), "the pause doubles");
    }

    #[test]
    fn a_retry_after_is_honoured() {
        let mut pace = Pace::new(8);
        pace.start(NOW).unwrap();
        let attempt = Attempt { retry_after_s: Some(7), ..throttled(NOW) };
        pace.end(&attempt, at(1));
        assert_eq!(pace.start(at(2)), Err(Wait::Until(at(8))));
        assert_eq!(pace.start(at(8)), Ok(()));
    }

    #[test]
    fn a_failure_that_is_no_throttle_changes_nothing() {
        let mut pace = Pace::new(8);
        let before = pace.clone();
        pace.start(NOW).unwrap();
        let failure = failed("us-east-1", ErrorName::TargetUnavailable);
        assert!(pace.end(&failure, at(1)), "the breaker must hear of it");
        assert_eq!(pace, before);
    }
}
