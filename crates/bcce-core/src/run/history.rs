//! The limits that keep an execution's history below its bound: the number of router rounds, and how long a Task may
//! wait for a function that Lambda throttles.

use crate::base::limits::MAX_ROUNDS;

/// The history events of a Task. Step Functions ends an execution at 25,000 events. A Task is entered, scheduled,
/// started, succeeded and exited (5 events), and a retry adds scheduled, started and failed (3 events). Any other state
/// is entered and exited (2 events). The bound holds for a run in which each Task is retried once. More retries on
/// average mean that Lambda itself fails; a run that reaches the bound is finalized like any other.
const EVENTS_PER_TASK: usize = 5 + 3;
/// The history events of a state that is not a Task.
const EVENTS_PER_STATE: usize = 2;
/// The events of FailoverRouter, ShouldWait?, Invoke and IsExhausted?: a round that calls targets, or the last decision
/// to stop.
const EVENTS_PER_PASS: usize = 2 * EVENTS_PER_TASK + 2 * EVENTS_PER_STATE;
/// The events of FailoverRouter, ShouldWait? and Backoff. A step waits at most once less than it has rounds: before
/// each round but the first, or because every target is open.
const EVENTS_PER_WAIT: usize = EVENTS_PER_TASK + 2 * EVENTS_PER_STATE;
/// The events of a step outside of its rounds: the start and end of the Map iteration, and StepEnded.
const EVENTS_PER_STEP: usize = 2 + EVENTS_PER_STATE;
/// The events of a wave outside of its steps: RunWave with the start and end of its Map, and HasNextWave?. A wave has at
/// least one step.
const EVENTS_PER_WAVE: usize = 2 * EVENTS_PER_STATE + 2;
/// The events of the states before the first and after the last wave, with all their retries and a margin.
const EVENTS_AROUND: usize = 500;
/// The number of history events at which Step Functions ends an execution.
const MAX_EVENTS: usize = 25_000;

/// The retries of a Task whose function has no free concurrency (`Lambda.TooManyRequestsException`): the first wait in
/// seconds, the longest wait in seconds, and the number of retries. Each wait is twice the one before, up to the
/// longest. Full jitter halves each wait on average. Together the waits last longer than an execution lives, so a run
/// keeps waiting until its time is up, and the router then reports the deadline.
///
/// Each wait adds three events to the history. At most [`WAVE_CONCURRENCY`] steps wait at a time. Each waits 3.6 times
/// for an hour and 98 times for a day. This adds up to 5,900 events, which a run without other retries has to spare.
pub const PLACE_FIRST_SECONDS: u64 = 10;
pub const PLACE_LONGEST_SECONDS: u64 = 2_000;
pub const PLACE_TRIES: u64 = 120;
/// The number of steps of a wave that run at a time: `MaxConcurrency` of its Map.
pub const WAVE_CONCURRENCY: usize = 20;

/// Returns the number of router rounds that each of `steps` step executions may take, so that the history stays below
/// its bound: 5 up to 137 steps, 3 for 200.
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

    /// Counts the events of one step that finds every target open and whose every call is throttled, by walking the
    /// states as the state machine does. `task` is the number of events of a Task with its retries.
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
        let mut events = iteration;
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
        let wave = 6; // RunWave and its Map, HasNextWave?
        for steps in [1, 10, 100, 137, 138, 170, MAX_STEPS] {
            let total = EVENTS_AROUND + steps * (wave + events(rounds(steps), 5 + 3));
            assert!(total <= 25_000, "{steps} steps make {total} events");
        }
        assert_eq!((rounds(1), rounds(137), rounds(138), rounds(MAX_STEPS)), (5, 5, 4, 3));
    }

    /// The longest run, with a function that has no free concurrency at any step for as long as an execution lives.
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
