//! Sizes, and the arithmetic that keeps an execution below Step Functions' hard bound.

/// SQS's own limit for a message, less what its reason takes among the dead letters.
pub const MAX_REQUEST_BYTES: usize = 1_048_576 - 4_096;
/// The body of a webhook's call: what is longer would not fit the inbox.
pub const MAX_WEBHOOK_BYTES: usize = 1_048_576;
/// A configuration document, in bytes; the largest of ours has four thousand.
pub const MAX_DOCUMENT_BYTES: usize = 256 * 1_024;
pub const MAX_ID_BYTES: usize = 256;
/// An SSM path segment, an S3 key part and a share of an execution name.
pub const MAX_NAME_CHARS: usize = 64;
/// `requestMetadata` takes 16 entries, five are ours.
pub const MAX_TAGS: usize = 11;
/// The names of tags are few and chosen by people.
pub const MAX_TAG_KEY_CHARS: usize = 256;
/// The value of a tag: room for a branch name or a title, and eleven of them in four bytes to a character are an eighth of
/// an item of the ledger.
pub const MAX_TAG_CHARS: usize = 1_024;
/// A name and a value of `requestMetadata`.
pub const MAX_METADATA_CHARS: usize = 256;
/// Step executions of a run.
pub const MAX_STEPS: usize = 200;
/// Targets of a model: two slots of latencies for each are one read of the ledger, which takes 100 keys; and each
/// is told of in every decision of a step, which travel through the state machine.
pub const MAX_TARGETS: usize = 32;
/// Calls of a step: their records travel through the state machine, whose state ends at 256 KiB.
pub const MAX_CALLS: u32 = 50;
/// Router rounds of a step, fewer where many steps share the history.
pub const MAX_ROUNDS: u32 = 5;
/// How long an `invoke` may be at work, in seconds: its Lambda timeout, the longest there is.
pub const INVOKE_SECONDS: u64 = 900;
/// A run's longest time, in seconds: a day, below the state machine's own timeout.
pub const MAX_RUN_SECONDS: u64 = 86_400;
/// How long the execution of a run lives at most, in seconds: the timeout of the workflow machine.
pub const MAX_EXECUTION_SECONDS: u64 = 90_000;
/// A rendered prompt, in bytes: the longest request plus what its steps add.
pub const MAX_PROMPT_BYTES: usize = 4 * 1_048_576;
/// Instructions a prompt template may take; 64 bytes of text it makes, or four bytes of JSON, count as one.
/// A diff of 1 MiB takes 17 thousand, and no template makes more than 64 MB.
pub const PROMPT_FUEL: u64 = 1_000_000;
/// The text of a prompt template, in bytes: as much as a long manual.
pub const MAX_TEMPLATE_BYTES: usize = 262_144;
/// Words and signs in one `{{ }}` or `{% %}`: the parser takes stack for each.
pub const MAX_TAG_TOKENS: usize = 200;
/// `elif` in a prompt template: likewise.
pub const MAX_ELIFS: usize = 50;
/// A step's error in the state of an execution: that of 200 items leaves room for the rest of 256 KiB.
pub const MAX_STATE_MESSAGE_BYTES: usize = 600;
/// How long a `prepare` may be at work, in seconds: its Lambda timeout.
pub const PREPARE_SECONDS: u64 = 60;
/// A service's message in an attempt, in characters.
pub const MAX_MESSAGE_CHARS: usize = 300;

/// Step Functions ends an execution at 25,000 history events. A Task is entered, scheduled, started,
/// succeeded and exited (5), and a retry adds scheduled, started and failed (3); any other state is
/// entered and exited (2). The bound holds for a run each of whose Tasks is retried once: more than that
/// on average is a Lambda that is down, and a run which dies of it is settled like any that dies.
const EVENTS_PER_TASK: usize = 5 + 3;
const EVENTS_PER_STATE: usize = 2;
/// FailoverRouter, Decided, Invoke, Invoked: a round that asks targets, and the last word that it is over.
const EVENTS_PER_PASS: usize = 2 * EVENTS_PER_TASK + 2 * EVENTS_PER_STATE;
/// FailoverRouter, Decided, Backoff: once less than there are rounds, be it before each round but the first
/// or because every target is open.
const EVENTS_PER_WAIT: usize = EVENTS_PER_TASK + 2 * EVENTS_PER_STATE;
/// The iteration's start and end, StartStep, StepEnded.
const EVENTS_PER_STEP: usize = 2 + 2 * EVENTS_PER_STATE;
/// NextWave, RunWave with its Map's start and end, WaveEnded. A wave has at least one step.
const EVENTS_PER_WAVE: usize = 3 * EVENTS_PER_STATE + 2;
/// The states before the first and after the last wave with all their retries, and a margin.
const EVENTS_AROUND: usize = 500;
const MAX_EVENTS: usize = 25_000;

/// How a Task waits for a function that has no free place (`Lambda.TooManyRequestsException`): the first wait in seconds,
/// twice as long each time, up to the longest, and how often. Full jitter makes half of each on average, so that this
/// lasts for longer than an execution lives: a run waits until its time is up, and the router says so when it is called.
///
/// Each wait is three events of the history. At most [`WAVE_CONCURRENCY`] steps wait at a time, each for an hour 3.6
/// times and for a day 98 times: that is 5,900 events, which a run has to spare that needs no other retry.
pub const PLACE_FIRST_SECONDS: u64 = 10;
pub const PLACE_LONGEST_SECONDS: u64 = 2_000;
pub const PLACE_TRIES: u64 = 120;
/// Steps of a wave that run side by side: `MaxConcurrency` of its Map.
pub const WAVE_CONCURRENCY: usize = 20;

/// The router rounds that each of `steps` step executions may take, so that the history stays below its
/// bound: 5 up to 134 steps, 3 for 200.
pub fn rounds(steps: usize) -> u32 {
    let each = (MAX_EVENTS - EVENTS_AROUND) / steps.max(1);
    let first_and_last = EVENTS_PER_WAVE + EVENTS_PER_STEP + 2 * EVENTS_PER_PASS;
    let more = each.saturating_sub(first_and_last) / (EVENTS_PER_WAIT + EVENTS_PER_PASS);
    u32::try_from(more).unwrap_or(MAX_ROUNDS).saturating_add(1).min(MAX_ROUNDS)
}

/// A count that is left out of what is written where there is nothing to tell.
pub(crate) fn is_none(count: &u64) -> bool {
    *count == 0
}

/// `text` cut to at most `most` bytes.
pub fn cut_bytes(text: &str, most: usize) -> String {
    text[..text.floor_char_boundary(most)].to_owned()
}

/// `text` cut to `most` characters.
pub fn cut(text: &str, most: usize) -> String {
    text.chars().take(most).collect()
}

/// Counts the bytes that are written to it and keeps none: the size of a value as JSON, which is not built for it.
pub struct ByteCount(pub u64);

impl std::io::Write for ByteCount {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attempt::tests::failed;
    use crate::error::ErrorName;
    use crate::health::Breaker;
    use crate::routing::tests::route;
    use crate::routing::{Decision, Health, Next, Question, Routing, decide};
    use time::macros::datetime;

    /// The events of one step that finds every target open and whose every call is throttled, by walking the
    /// states as the machine does. `task`: those of a Task, with its retries.
    fn events(rounds: u32, task: usize) -> usize {
        let mut route = route(&["us-east-1", "us-west-2"]);
        route.routing = Routing { attempts: u32::MAX, ..Routing::default() };
        route.rounds = rounds;
        let (mut attempts, mut decisions) = (Vec::new(), Vec::new());
        let (mut now, deadline) =
            (datetime!(2026-11-01 12:00 UTC), datetime!(2026-11-02 12:00 UTC));
        let open = Breaker {
            open_until: Some(now + std::time::Duration::from_secs(5)),
            ..Breaker::default()
        };
        let open = vec![Health { breaker: open, ..Health::default() }; 2];
        let (state, iteration) = (2, 2);
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
            events += task + state; // FailoverRouter, Decided
            match decision.next.clone() {
                Next::WaitS(seconds) => {
                    now += std::time::Duration::from_secs(seconds);
                    events += state; // Backoff
                }
                Next::Targets(asked) => {
                    let throttled =
                        asked.iter().map(|t| failed(&t.region, ErrorName::TargetThrottled));
                    attempts.extend(throttled);
                    events += task + state; // Invoke, Invoked
                }
                Next::Stop(_) => return events + task + state + state, // Invoke, Invoked, StepEnded
            }
            decisions.push(decision);
        }
    }

    #[test]
    fn the_longest_runs_stay_below_the_bound() {
        let wave = 8; // NextWave, RunWave and its Map, WaveEnded
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
