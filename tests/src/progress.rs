//! Waits that follow progress and not the clock. A slow machine makes a test slow; only a standstill fails it.
//!
//! A wait has two probes. `ask` looks for the result. `state` describes how far things are, as text that changes
//! with every bit of progress. A wait goes on as long as the text changes, and fails when it has stayed the same
//! through [`Limits`]: the message names the state and how long it has lasted.

use std::fmt;
use std::time::{Duration, Instant};

/// Limits how long a wait lets things stand still. Each limit of time is also a number of probes, because probes take
/// longer on a busy machine: there the same limit is more time.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Longest time in which nothing changes at all.
    pub still: Duration,
    /// Something changes, but nothing of what is waited for.
    pub overtaken: Duration,
    /// Probes of the state that both limits need at least.
    pub probes: u32,
    /// The last resort against a change that leads nowhere, such as a retry without end.
    pub at_most: Duration,
    /// Between two probes of the state, at least.
    pub between: Duration,
}

impl Limits {
    /// Most runs take a second. The longest silence of one that is well is the 20 s of an open breaker.
    pub const STACK: Self = Self {
        still: Duration::from_secs(90),
        overtaken: Duration::from_secs(600),
        probes: 30,
        at_most: Duration::from_secs(3_600),
        between: Duration::from_secs(2),
    };
}

/// Says how far things are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// State of the thing that is waited for.
    pub own: String,
    /// State of other work on the same machine, which may be ahead in a queue.
    pub around: String,
}

/// A clock: of this machine, or simulated.
pub trait Clock {
    /// Since some fixed moment.
    fn now(&self) -> Duration;
    fn sleep(&self, pause: Duration) -> impl Future<Output = ()> + Send;
}

/// The time of this machine.
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

/// Waits until `ask` has a result.
///
/// # Errors
/// The state has stayed the same through the limits.
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

/// A wait takes no more than one part in so many of what it asks: what is asked is busy with the answer, too.
const SHARE: u32 = 8;
const LEAST_PAUSE: Duration = Duration::from_millis(100);
const MOST_PAUSE: Duration = Duration::from_secs(2);
/// Probes of the state are further apart.
const MOST_BETWEEN: Duration = Duration::from_secs(10);

/// The last changes of a state.
struct Watch {
    started: Duration,
    state: State,
    own: Unchanged,
    all: Unchanged,
}

/// Since when, and through how many probes.
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

/// A wait that came to nothing.
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
             Around it, unchanged for {all_for:.0?}: {}",
            state.own, state.around
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    /// Each second takes no time.
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

    /// Waits for nothing that ever comes, and returns what the wait failed with.
    async fn fails(clock: &Simulated, state: impl AsyncFn() -> State) -> String {
        let never = async || None::<()>;
        let ended = wait(clock, &Limits::STACK, "the end", never, state).await;
        ended.unwrap_err().to_string()
    }

    #[tokio::test]
    async fn what_moves_on_is_waited_for_however_long_it_takes() {
        let clock = Simulated::default();
        let ask = async || (clock.seconds() >= 3_000).then_some("there");
        // A change every 80 s, which is less than the limit.
        let moves = async || state(clock.seconds() / 80, "");
        let came = wait(&clock, &Limits::STACK, "the end", ask, moves).await;
        assert_eq!(came.unwrap(), "there");
        assert!(clock.seconds() >= 3_000);
    }

    #[tokio::test]
    async fn what_stands_still_fails_soon_and_is_named_with_its_state() {
        let clock = Simulated::default();
        // It moves for a while, and then no more.
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
    async fn others_at_work_are_let_past_and_not_for_ever() {
        let clock = Simulated::default();
        let message = fails(&clock, async || state("in the queue", clock.seconds())).await;
        assert!((600..620).contains(&clock.seconds()), "{message}");
        assert!(
            message.contains("unchanged for 60") && message.contains("s: in the queue"),
            "{message}"
        );
    }

    #[tokio::test]
    async fn a_change_that_leads_nowhere_ends_at_the_last_resort() {
        let clock = Simulated::default();
        let message = fails(&clock, async || state(clock.seconds(), "")).await;
        assert!((3_600..3_620).contains(&clock.seconds()), "{message}");
    }

    /// A probe that takes 10 s shows a machine that is busy: 30 of them are more than the 90 s.
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
    async fn what_is_there_at_once_needs_no_state() {
        let clock = Simulated::default();
        let no_state = async || -> State { unreachable!("nobody has waited yet") };
        let came = wait(&clock, &Limits::STACK, "it", async || Some(7), no_state).await;
        assert_eq!((came.unwrap(), clock.seconds()), (7, 0));
    }

    #[tokio::test]
    async fn who_is_asked_has_most_of_the_time_to_itself() {
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
