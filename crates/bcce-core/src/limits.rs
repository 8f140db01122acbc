//! Sizes, and the arithmetic that keeps an execution below Step Functions' hard bound.

/// SQS's own limit for a message.
pub const MAX_REQUEST_BYTES: usize = 1_048_576;
pub const MAX_ID_BYTES: usize = 256;
/// An SSM path segment, an S3 key part and a share of an execution name.
pub const MAX_NAME_CHARS: usize = 64;
/// `requestMetadata` takes 16 entries, four are ours.
pub const MAX_TAGS: usize = 12;
pub const MAX_TAG_CHARS: usize = 256;
/// Step executions of a run.
pub const MAX_STEPS: usize = 200;
/// Router rounds of a step, fewer where many steps share the history.
pub const MAX_ROUNDS: u32 = 5;
/// A run's longest time, in seconds: a day, below the state machine's own timeout.
pub const MAX_RUN_SECONDS: u64 = 86_400;
/// A rendered prompt, in bytes: the longest request plus what its steps add.
pub const MAX_PROMPT_BYTES: usize = 4 * 1_048_576;
/// Instructions a prompt template may take; a diff of 1 MiB needs a few hundred.
pub const PROMPT_FUEL: u64 = 1_000_000;
/// A service's message in an attempt, in characters.
pub const MAX_MESSAGE_CHARS: usize = 300;

/// Step Functions ends an execution at 25,000 history events. Per state: a Task is entered,
/// scheduled, started, succeeded, exited (5) and each retry adds scheduled, started, failed (3);
/// Choice, Pass and Wait are entered and exited (2).
///
/// One router round: router 5 + 3 retries x 3, Decided 2, Backoff 2, Invoke 5 + 3 x 3, Invoked 2.
const EVENTS_PER_ROUND: usize = 14 + 2 + 2 + 14 + 2;
/// Around a step's rounds: iteration started and ended 2, StartStep 2, StepEnded 2.
const EVENTS_PER_STEP: usize = 6;
/// Per wave, and a wave has at least one step: NextWave 2, RunWave entered, started, ended and exited
/// 4, WaveEnded 2.
const EVENTS_PER_WAVE: usize = 8;
/// Start, Prepare, Planned, PersistArtifact, EmitMetrics, Notify, Settled, the end, with all their
/// retries: below a hundred; the rest is margin for what Step Functions adds.
const EVENTS_AROUND: usize = 500;
const MAX_EVENTS: usize = 25_000;

/// The router rounds each of `steps` step executions may take, so that even a run in which each call
/// of each function is retried to the end stays below the bound: 5 up to 132 steps, 3 for 200.
pub fn rounds(steps: usize) -> u32 {
    let each = (MAX_EVENTS - EVENTS_AROUND) / steps.max(1);
    let rounds = each.saturating_sub(EVENTS_PER_STEP + EVENTS_PER_WAVE) / EVENTS_PER_ROUND;
    u32::try_from(rounds).unwrap_or(MAX_ROUNDS).min(MAX_ROUNDS)
}

/// `text` cut to `most` characters.
pub fn cut(text: &str, most: usize) -> String {
    text.chars().take(most).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_run_stays_below_the_bound() {
        for steps in 1..=MAX_STEPS {
            let step =
                EVENTS_PER_WAVE + EVENTS_PER_STEP + rounds(steps) as usize * EVENTS_PER_ROUND;
            assert!(EVENTS_AROUND + steps * step < MAX_EVENTS, "{steps} steps");
        }
        assert_eq!((rounds(1), rounds(132), rounds(MAX_STEPS)), (5, 5, 3));
    }
}
