//! Decides what a step does next. Reads what the ledger has recorded about the targets, and elects one step for the
//! probe of an open breaker. The pure function [`router::decide`] makes the decision.

use std::time::Duration;

use time::OffsetDateTime;

use crate::base::digest::sha256_hex;
use crate::call::attempt::Attempt;
use crate::config::routing::Strategy;
use crate::failover::breaker::target_key;
use crate::failover::decision::Decision;
use crate::failover::route::Route;
use crate::failover::router::{self, Action, Health, Question, Verdict};
use crate::io::shared_breakers::{Elected, SharedBreakers};
use crate::ports::{ReadBreakers, ReadCaches, ReadLatencies, WriteBreaker};
use crate::run::ids::StepRef;

/// The time that an elected step has in addition to the first-token timeout, before another step is elected. It covers
/// the time from the decision to the call, and from the end of the call to the report in the ledger.
const PROBE_MARGIN: Duration = Duration::from_secs(10);

/// A step that needs a decision, with everything that happened to it so far.
#[derive(Clone, Copy, Debug)]
pub struct UndecidedStep<'a> {
    /// The name of the environment, such as `dev`.
    pub environment: &'a str,
    pub run_id: &'a str,
    pub step: &'a StepRef,
    pub route: &'a Route,
    /// The time by which the run has to end.
    pub deadline: OffsetDateTime,
    /// All attempts of the step so far.
    pub attempts: &'a [Attempt],
    /// All decisions about the step so far.
    pub decisions: &'a [Decision],
}

/// Decides what `step` does next. If the ledger is unreachable, decides by what this process has in memory. If nothing
/// can be done, the decision says to stop.
pub async fn decide<L>(
    shared: &SharedBreakers<L>,
    step: &UndecidedStep<'_>,
    now: OffsetDateTime,
) -> Decision
where
    L: ReadBreakers + WriteBreaker + ReadLatencies + ReadCaches,
{
    let keys = step.keys();
    let mut health = known(shared, step.route, &keys, now).await;
    let token = step.token();
    // If the response to this decision was lost, the step may already be elected, and the probe is its own.
    let mine = health.iter_mut().filter(|health| health.breaker.is_probed_by(&token));
    mine.for_each(|health| health.breaker.probe = None);
    loop {
        let question = step.question(&health, now, &token);
        let verdict = router::decide(&question);
        let Some(probed) = probed(&verdict) else {
            return Decision::of(&question, &verdict, None);
        };
        let first_token_s = step.route.routing.timeouts.first_token_s;
        let lease = Duration::from_secs(first_token_s) + PROBE_MARGIN;
        match shared.elect(&keys[probed], &token, now, lease).await {
            Elected::Mine => return Decision::of(&question, &verdict, Some(token)),
            // The breaker is not due any more, so the next decision does not probe this target.
            Elected::Lost(breaker) => health[probed].breaker = breaker,
        }
    }
}

/// Returns the decision that `step` would get now, without electing it for a probe. It writes nothing.
pub async fn preview<L>(
    shared: &SharedBreakers<L>,
    step: &UndecidedStep<'_>,
    now: OffsetDateTime,
) -> Decision
where
    L: ReadBreakers + ReadLatencies + ReadCaches,
{
    let health = known(shared, step.route, &step.keys(), now).await;
    let question = step.question(&health, now, &step.token());
    Decision::of(&question, &router::decide(&question), None)
}

/// Reads the health of each target from the ledger: its breaker, and the latency and cache if the route needs them.
async fn known<L>(
    shared: &SharedBreakers<L>,
    route: &Route,
    keys: &[String],
    now: OffsetDateTime,
) -> Vec<Health>
where
    L: ReadBreakers + ReadLatencies + ReadCaches,
{
    let breakers = shared.breakers(keys, now).await;
    let mut health: Vec<Health> =
        breakers.into_iter().map(|breaker| Health { breaker, ..Health::default() }).collect();
    if route.routing.strategy == Strategy::Latency {
        let latencies = shared.latencies(keys, now).await;
        health.iter_mut().zip(latencies).for_each(|(health, latency)| health.latency = latency);
    }
    if let Some(cached) = route.expected.as_ref().and_then(|expected| expected.cached.as_ref()) {
        let warm = shared.warm(&cached.key, now).await;
        health.iter_mut().zip(keys).for_each(|(health, key)| health.is_warm = warm.contains(key));
    }
    health
}

impl<'a> UndecidedStep<'a> {
    /// Returns the keys of the route's targets in the ledger.
    fn keys(&self) -> Vec<String> {
        self.route.targets.iter().map(|listed| target_key(&listed.target)).collect()
    }

    fn question(&self, health: &'a [Health], now: OffsetDateTime, token: &str) -> Question<'a> {
        Question {
            route: self.route,
            health,
            attempts: self.attempts,
            decisions: self.decisions,
            now,
            deadline: self.deadline,
            seed: u64::from_str_radix(token, 16).unwrap_or_default(),
        }
    }

    /// Returns 16 hex digits that differ between environments, runs, steps and decisions, so that steps that failed
    /// together do not retry together. A repeated decision gets the same digits.
    fn token(&self) -> String {
        let Self { environment, run_id, step, .. } = self;
        let text = format!("{environment} {run_id} {step:?} {}", self.decisions.len());
        sha256_hex(text.as_bytes())[..16].to_owned()
    }
}

/// Returns the position of the target that only an elected step may call, or `None` if the verdict has no probe.
fn probed(verdict: &Verdict) -> Option<usize> {
    match &verdict.action {
        Action::Try { order, probes: true } => order.first().copied(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::error::ErrorName;
    use crate::config::breakers::BreakerSettings;
    use crate::failover::breaker::{Report, Signal};
    use crate::failover::decision::Next;
    use crate::fakes::{MemoryHealth, now};
    use time::macros::datetime;

    const EVENT: &str = include_str!("../../../../events/failover-router/first.json");
    const NOW: OffsetDateTime = datetime!(2026-11-01 12:00:30 UTC);

    /// The parts of the sample event.
    struct Sample {
        step: StepRef,
        route: Route,
    }

    fn sample() -> Sample {
        let event: serde_json::Value = serde_json::from_str(EVENT).unwrap();
        Sample {
            step: serde_json::from_value(event["step"].clone()).unwrap(),
            route: serde_json::from_value(event["route"].clone()).unwrap(),
        }
    }

    fn undecided<'a>(sample: &'a Sample, run_id: &'a str) -> UndecidedStep<'a> {
        UndecidedStep {
            environment: "dev",
            run_id,
            step: &sample.step,
            route: &sample.route,
            deadline: NOW + Duration::from_secs(3_600),
            attempts: &[],
            decisions: &[],
        }
    }

    fn regions(decision: &Decision) -> Vec<&str> {
        let Next::Targets(targets) = &decision.next else { panic!("{decision:?}") };
        targets.iter().map(|target| target.region.as_str()).collect()
    }

    /// Opens the breaker of the first target at `NOW`, for five seconds.
    fn open_first(ledger: &MemoryHealth, sample: &Sample) {
        let shared = SharedBreakers::new(ledger);
        let key = target_key(&sample.route.targets[0].target);
        let signal = Signal::Failing { error: ErrorName::TargetUnavailable, retry_after_s: None };
        let report = Report { signal, started_at: NOW, probe: None };
        let settings = BreakerSettings::default();
        (0..settings.failures).for_each(|_| now(shared.report(&key, &report, NOW, &settings)));
    }

    #[test]
    fn an_open_target_is_passed_over_until_one_step_probes_it() {
        let (ledger, sample) = (MemoryHealth::default(), sample());
        open_first(&ledger, &sample);
        let decided = |run_id: &str, at: OffsetDateTime| {
            now(decide(&SharedBreakers::new(&ledger), &undecided(&sample, run_id), at))
        };
        assert_eq!(regions(&decided("r", NOW)), ["us-west-2"]);
        let due = NOW + Duration::from_secs(5);
        let elected = decided("r1", due);
        assert_eq!(regions(&elected), ["us-east-1", "us-west-2"]);
        assert!(elected.probe.is_some());
        let lost = decided("r2", due);
        assert_eq!((regions(&lost), &lost.probe), (vec!["us-west-2"], &None));
        let expected = "its breaker is open, and another step probes it";
        assert_eq!(lost.candidates[0].because, expected);
    }

    /// A person who looks at a plan must not take the probe from a step that would make it.
    #[test]
    fn a_preview_shows_the_decision_and_elects_nobody() {
        let (ledger, sample) = (MemoryHealth::default(), sample());
        open_first(&ledger, &sample);
        let due = NOW + Duration::from_secs(5);
        let seen = now(preview(&SharedBreakers::new(&ledger), &undecided(&sample, "r1"), due));
        assert_eq!(regions(&seen), ["us-east-1", "us-west-2"]);
        assert_eq!(seen.probe, None);
        let decided = now(decide(&SharedBreakers::new(&ledger), &undecided(&sample, "r2"), due));
        assert_eq!(regions(&decided), ["us-east-1", "us-west-2"]);
        assert!(decided.probe.is_some(), "the first step that decides is elected");
    }

    /// The lease covers the first-token timeout, and the time before and after the call.
    #[test]
    fn another_step_is_elected_only_after_the_lease() {
        let (ledger, sample) = (MemoryHealth::default(), sample());
        open_first(&ledger, &sample);
        let is_elected = |run_id: &str, at: OffsetDateTime| {
            let shared = SharedBreakers::new(&ledger);
            now(decide(&shared, &undecided(&sample, run_id), at)).probe.is_some()
        };
        let due = NOW + Duration::from_secs(5);
        let first_token = Duration::from_secs(sample.route.routing.timeouts.first_token_s);
        let over = due + first_token + PROBE_MARGIN;
        assert!(is_elected("r1", due));
        assert!(!is_elected("r2", over - Duration::from_millis(1)));
        assert!(is_elected("r2", over));
    }

    /// Step Functions invokes the function again if a response was lost.
    #[test]
    fn the_same_decision_made_again_is_elected_again() {
        let (ledger, sample) = (MemoryHealth::default(), sample());
        open_first(&ledger, &sample);
        let due = NOW + Duration::from_secs(5);
        let decided = || now(decide(&SharedBreakers::new(&ledger), &undecided(&sample, "r1"), due));
        let (first, again) = (decided(), decided());
        assert!(first.probe.is_some());
        assert_eq!(first, again);
    }

    #[test]
    fn steps_that_failed_together_wait_for_different_times() {
        let mut sample = sample();
        let one = undecided(&sample, "r").token();
        assert_ne!(one, undecided(&sample, "r2").token());
        sample.step.item = Some(1);
        assert_ne!(one, undecided(&sample, "r").token());
    }
}
