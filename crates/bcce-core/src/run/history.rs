//! The arithmetic of an execution's history: how many router rounds fit, and how long a Task may wait for a free place.

use crate::base::limits::MAX_ROUNDS;

/// Step Functions ends an execution at 25,000 history events. A Task is entered, scheduled, started,
/// succeeded and exited (5), and a retry adds scheduled, started and failed (3); any other state is
/// entered and exited (2). The bound holds for a run each of whose Tasks is retried once: more than that
/// on average is a Lambda that is down, and a run that dies of it is finalized like any other.
const EVENTS_PER_TASK: usize = 5 + 3;
const EVENTS_PER_STATE: usize = 2;
/// FailoverRouter, ShouldWait?, Invoke, IsExhausted?: a round that calls targets, and the last decision to stop.
const EVENTS_PER_PASS: usize = 2 * EVENTS_PER_TASK + 2 * EVENTS_PER_STATE;
/// FailoverRouter, ShouldWait?, Backoff: once less than there are rounds, be it before each round but the first
/// or because every target is open.
const EVENTS_PER_WAIT: usize = EVENTS_PER_TASK + 2 * EVENTS_PER_STATE;
/// The iteration's start and end, StartStep, StepEnded.
const EVENTS_PER_STEP: usize = 2 + 2 * EVENTS_PER_STATE;
/// HasNextWave?, RunWave with its Map's start and end, DidWaveFail?. A wave has at least one step.
const EVENTS_PER_WAVE: usize = 3 * EVENTS_PER_STATE + 2;
/// The states before the first and after the last wave with all their retries, and a margin.
const EVENTS_AROUND: usize = 500;
const MAX_EVENTS: usize = 25_000;

/// How a Task waits for a function that has no free place (`Lambda.TooManyRequestsException`): the first wait in
/// seconds, twice as long each time, up to the longest, and how often. Full jitter makes half of each on average, so
/// that this lasts for longer than an execution lives: a run waits until its time is up, and the router says so when it
/// is called.
///
/// Each wait is three events of the history. At most [`WAVE_CONCURRENCY`] steps wait at a time, each for an hour 3.6
/// times and for a day 98 times: that is 5,900 events, which a run has to spare that needs no other retry.
pub const PLACE_FIRST_SECONDS: u64 = 10;
pub const PLACE_LONGEST_SECONDS: u64 = 2_000;
pub const PLACE_TRIES: u64 = 120;
/// Steps of a wave that run side by side: `MaxConcurrency` of its Map.
pub const WAVE_CONCURRENCY: usize = 20;

/// Returns how many router rounds each of `steps` step executions may take, so that the history stays below its bound:
/// 5 up to 134 steps, 3 for 200.
pub fn rounds(steps: usize) -> u32 {
    let each = (MAX_EVENTS - EVENTS_AROUND) / steps.max(1);
    let first_and_last = EVENTS_PER_WAVE + EVENTS_PER_STEP + 2 * EVENTS_PER_PASS;
    let more = each.saturating_sub(first_and_last) / (EVENTS_PER_WAIT + EVENTS_PER_PASS);
    u32::try_from(more).unwrap_or(MAX_ROUNDS).saturating_add(1).min(MAX_ROUNDS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::error::ErrorName;
    use crate::base::limits::{MAX_EXECUTION_SECONDS, MAX_STEPS};
    use crate::call::attempt::tests::failed;
    use crate::config::routing::Routing;
    use crate::failover::breaker::Breaker;
    use crate::failover::decision::{Decision, Next};
    use crate::failover::router::tests::route;
    use crate::failover::router::{Health, Question, decide};
    use time::macros::datetime;

    /// The events of one step that finds every target open and whose every call is throttled, by walking the
    /// states as the machine does. `task`: those of a Task, with its retries.
    fn events(rounds: u32, task: usize) -> usize {
        let mut route = route(&["us-east-1", "us-west-2"]);
        route.routing = Routing { attempts: u32::MAX, ..Routing::default() };
        route.rounds = rounds;
        let mut attempts = Vec::new();
        let mut decisions = Vec::new();
        let (mut now, deadline) =
            (datetime!(2026-11-01 12:00 UTC), datetime!(2026-11-02 12:00 UTC));
        let open = Breaker {
            open_until: Some(now + std::time::Duration::from_secs(5)),
            ..Breaker::default()
        };
        let open = vec![Health { breaker: open, ..Health::default() }; 2];
        let state = 2;
        let iteration = 2;
        let mut events = iteration + state; // StartStep
        loop {
            let question = Question {
                route: &route,
                health: if decisions.is_empty() { &open } else { &[] },
                attempts: &attempts,
                decisions: &decisions,
                now,
                deadline,
                seed: 0,
            };
            let decision = Decision::of(&question, &decide(&question), None);
            events += task + state; // FailoverRouter, ShouldWait?
            match decision.next.clone() {
                Next::WaitS(seconds) => {
                    now += std::time::Duration::from_secs(seconds);
                    events += state; // Backoff
                }
                Next::Targets(asked) => {
                    let throttled =
                        asked.iter().map(|t| failed(&t.region, ErrorName::TargetThrottled));
                    attempts.extend(throttled);
                    events += task + state; // Invoke, IsExhausted?
                }
                Next::Stop(_) => return events + task + state + state, // Invoke, IsExhausted?, StepEnded
            }
            decisions.push(decision);
        }
    }

    #[test]
    fn the_longest_runs_stay_below_the_bound() {
        let wave = 8; // HasNextWave?, RunWave and its Map, DidWaveFail?
        for steps in [1, 10, 100, 134, 135, 170, MAX_STEPS] {
            let total = EVENTS_AROUND + steps * (wave + events(rounds(steps), 5 + 3));
            assert!(total <= 25_000, "{steps} steps make {total} events");
        }
        assert_eq!((rounds(1), rounds(134), rounds(135), rounds(MAX_STEPS)), (5, 5, 4, 3));
    }

    /// A function that has no free place for as long as an execution lives, met by the longest run at its every step.
    #[test]
    fn a_day_without_a_free_place_fits_the_history() {
        let mean = |n: u32| {
            PLACE_FIRST_SECONDS.saturating_mul(1_u64 << n.min(32)).min(PLACE_LONGEST_SECONDS) / 2
        };
        let mut tries = 0_u32;
        let mut waited = 0;
        while waited < MAX_EXECUTION_SECONDS {
            waited += mean(tries);
            tries += 1;
        }
        assert!(u64::from(tries) < PLACE_TRIES, "{tries} tries outlast the execution");
        let waits = WAVE_CONCURRENCY * tries as usize * 3;
        for steps in 1..=MAX_STEPS {
            let total = EVENTS_AROUND + steps * (8 + events(rounds(steps), 5)) + waits;
            assert!(total <= MAX_EVENTS, "{steps} steps make {total} events");
        }
    }
}
