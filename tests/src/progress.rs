//! Waits that depend on progress and not on a fixed time. A slow machine makes a test slow, but only a standstill makes
//! it fail.
//!
//! A wait has two probes. `ask` looks for the result. `state` describes the progress as a text that changes with every
//! step forward. A wait goes on as long as the text changes. It fails when the text has not changed within [`Limits`].
//! The error names the last state and how long it has lasted.

use std::fmt;
use std::time::{Duration, Instant};

/// The limits of a wait. Each limit of time is reached only after a minimum number of probes. Probes take longer on a
/// busy machine, so that a wait there has more time.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The longest time without any change.
    pub still: Duration,
    /// The longest time without a change of the awaited thing, while other work makes progress.
    pub overtaken: Duration,
    /// The minimum number of probes before one of these two limits is reached.
    pub probes: u32,
    /// The longest time of the whole wait. It ends a wait whose state changes without progress, such as an endless
    /// retry.
    pub at_most: Duration,
    /// The shortest time between two probes of the state.
    pub between: Duration,
}

impl Limits {
    /// The limits for the deployed stack. Most runs take a second. The longest time without a change in a working run
    /// is the 20 s of an open breaker.
    pub const STACK: Self = Self {
        still: Duration::from_secs(90),
        overtaken: Duration::from_secs(600),
        probes: 30,
        at_most: Duration::from_secs(3_600),
        between: Duration::from_secs(2),
    };
}

/// A description of the progress.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// The state of the awaited thing.
    pub own: String,
    /// The state of other work on the same machine, which may be ahead in a queue.
    pub around: String,
}

/// A clock, either of this machine or simulated.
pub trait Clock {
    /// Returns the time since a fixed moment.
    fn now(&self) -> Duration;
    /// Waits for `pause`.
    fn sleep(&self, pause: Duration) -> impl Future<Output = ()> + Send;
}

/// The clock of this machine.
pub struct SystemClock(Instant);

impl Default for SystemClock {
    fn default() -> Self {
        Self(Instant::now())
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }

    fn sleep(&self, pause: Duration) -> impl Future<Output = ()> + Send {
        tokio::time::sleep(pause)
    }
}

/// Waits until `ask` returns a result. `what` names the awaited thing in the error.
///
/// # Errors
/// [`Standstill`] if the state has not changed within `limits`.
pub async fn wait<T>(
    clock: &impl Clock,
    limits: &Limits,
    what: &str,
    ask: impl AsyncFn() -> Option<T>,
    state: impl AsyncFn() -> State,
) -> Result<T, Standstill> {
    let started = clock.now();
    let mut watch = Watch::new(started);
    let mut next_probe = started + limits.between;
    loop {
        let asked = clock.now();
        if let Some(result) = ask().await {
            return Ok(result);
        }
        let answered = clock.now();
        if answered >= next_probe {
            watch.note(state().await, clock.now());
            if watch.stands_still(limits, clock.now()) {
                return Err(watch.standstill(what, clock.now()));
            }
            let took = clock.now() - answered;
            next_probe = clock.now() + limits.between.max((took * SHARE).min(MOST_BETWEEN));
        }
        clock.sleep(((answered - asked) * SHARE).clamp(LEAST_PAUSE, MOST_PAUSE)).await;
    }
}

/// The share of the time that a wait may spend on its probes is one part in `SHARE`. A probe also costs time of the
/// process that answers it.
const SHARE: u32 = 8;
const LEAST_PAUSE: Duration = Duration::from_millis(100);
const MOST_PAUSE: Duration = Duration::from_secs(2);
/// The longest pause between two probes of the state.
const MOST_BETWEEN: Duration = Duration::from_secs(10);

/// The last changes of a state.
struct Watch {
    started: Duration,
    state: State,
    own: Unchanged,
    all: Unchanged,
}

/// The time of the last change, and the number of probes since then.
#[derive(Clone, Copy)]
struct Unchanged {
    since: Duration,
    probes: u32,
}

impl Unchanged {
    fn since(since: Duration) -> Self {
        Self { since, probes: 0 }
    }

    fn exceeds(&self, limit: Duration, probes: u32, now: Duration) -> bool {
        now - self.since >= limit && self.probes >= probes
    }
}

impl Watch {
    fn new(now: Duration) -> Self {
        let (own, all) = (Unchanged::since(now), Unchanged::since(now));
        Self { started: now, state: State::default(), own, all }
    }

    fn note(&mut self, state: State, now: Duration) {
        for unchanged in [&mut self.own, &mut self.all] {
            unchanged.probes += 1;
        }
        if state.own != self.state.own {
            self.own = Unchanged::since(now);
        }
        if state != self.state {
            self.all = Unchanged::since(now);
        }
        self.state = state;
    }

    fn stands_still(&self, limits: &Limits, now: Duration) -> bool {
        self.all.exceeds(limits.still, limits.probes, now)
            || self.own.exceeds(limits.overtaken, limits.probes, now)
            || now - self.started >= limits.at_most
    }

    fn standstill(self, what: &str, now: Duration) -> Standstill {
        Standstill {
            what: what.to_owned(),
            waited: now - self.started,
            own_for: now - self.own.since,
            all_for: now - self.all.since,
            state: self.state,
        }
    }
}

/// The error of a wait without a result. Its message names the last state and how long it has lasted.
#[derive(Debug)]
pub struct Standstill {
    what: String,
    waited: Duration,
    own_for: Duration,
    all_for: Duration,
    state: State,
}

impl fmt::Display for Standstill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, waited, own_for, all_for, state } = self;
        write!(
            f,
            "waited {waited:.0?} for {what}. Its state, unchanged for {own_for:.0?}: {}. \
             State of other work, unchanged for {all_for:.0?}: {}",
            state.own, state.around
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    /// A clock on which waiting takes no time.
    #[derive(Default)]
    struct Simulated(Cell<Duration>);

    impl Simulated {
        fn pass(&self, time: Duration) {
            self.0.set(self.0.get() + time);
        }

        fn seconds(&self) -> u64 {
            self.0.get().as_secs()
        }
    }

    impl Clock for Simulated {
        fn now(&self) -> Duration {
            self.0.get()
        }

        fn sleep(&self, pause: Duration) -> impl Future<Output = ()> + Send {
            self.pass(pause);
            std::future::ready(())
        }
    }

    fn state(own: impl ToString, around: impl ToString) -> State {
        State { own: own.to_string(), around: around.to_string() }
    }

    /// Waits for a result that never comes, and returns the error.
    async fn fails(clock: &Simulated, state: impl AsyncFn() -> State) -> String {
        let never = async || None::<()>;
        let ended = wait(clock, &Limits::STACK, "the end", never, state).await;
        ended.unwrap_err().to_string()
    }

    #[tokio::test]
    async fn a_wait_goes_on_as_long_as_the_state_changes() {
        let clock = Simulated::default();
        let ask = async || (clock.seconds() >= 3_000).then_some("there");
        // The state changes every 80 s, which is less than the limit.
        let moves = async || state(clock.seconds() / 80, "");
        let came = wait(&clock, &Limits::STACK, "the end", ask, moves).await;
        assert_eq!(came.unwrap(), "there");
        assert!(clock.seconds() >= 3_000);
    }

    #[tokio::test]
    async fn a_standstill_fails_with_the_last_state() {
        let clock = Simulated::default();
        // The state changes for 50 s and then stays the same.
        let stops = async || state(format!("{} of 9 items", clock.seconds().min(50) / 10), "idle");
        let message = fails(&clock, stops).await;
        assert!((140..160).contains(&clock.seconds()), "{message}");
        assert!(
            message.starts_with("waited 14") && message.contains(" for the end. "),
            "{message}"
        );
        assert!(
            message.contains("unchanged for 9") && message.contains("s: 5 of 9 items. "),
            "{message}"
        );
        assert!(message.ends_with("s: idle"), "{message}");
    }

    #[tokio::test]
    async fn other_work_extends_a_wait_up_to_a_limit() {
        let clock = Simulated::default();
        let message = fails(&clock, async || state("in the queue", clock.seconds())).await;
        assert!((600..620).contains(&clock.seconds()), "{message}");
        assert!(
            message.contains("unchanged for 60") && message.contains("s: in the queue"),
            "{message}"
        );
    }

    #[tokio::test]
    async fn a_wait_whose_state_changes_forever_ends_at_the_longest_time() {
        let clock = Simulated::default();
        let message = fails(&clock, async || state(clock.seconds(), "")).await;
        assert!((3_600..3_620).contains(&clock.seconds()), "{message}");
    }

    /// A probe takes 10 s on a busy machine, so that 30 probes take longer than the limit of 90 s.
    #[tokio::test]
    async fn a_busy_machine_has_more_time() {
        let clock = Simulated::default();
        let slow = async || {
            clock.pass(Duration::from_secs(10));
            state("working", "")
        };
        fails(&clock, slow).await;
        assert!(clock.seconds() > 500, "{}", clock.seconds());
    }

    #[tokio::test]
    async fn an_immediate_result_needs_no_state() {
        let clock = Simulated::default();
        let no_state = async || -> State { unreachable!("the first call returned a result") };
        let came = wait(&clock, &Limits::STACK, "it", async || Some(7), no_state).await;
        assert_eq!((came.unwrap(), clock.seconds()), (7, 0));
    }

    #[tokio::test]
    async fn slow_probes_are_made_less_often() {
        let (clock, asked) = (Simulated::default(), Cell::new(0));
        let slow = async || {
            asked.set(asked.get() + 1);
            clock.pass(Duration::from_millis(200));
            (clock.seconds() >= 60).then_some(())
        };
        let moves = async || state(clock.seconds(), "");
        wait(&clock, &Limits::STACK, "it", slow, moves).await.unwrap();
        assert!(asked.get() <= 40, "asked {} times in a minute", asked.get());
    }
}
