//! (step, attempts so far) -> the targets to try, in order, or a wait, or a stop; with the reasons.
//! The decision itself is `bcce_core::routing::decide`.

use bcce_aws::{StartError, variable};
use bcce_core::attempt::Attempt;
use bcce_core::digest::sha256;
use bcce_core::error::Fault;
use bcce_core::ports::Clock;
use bcce_core::routing::{Decision, Next, Question, Route, decide};
use bcce_core::run::StepRef;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

pub struct Config {
    pub environment: String,
}

impl Config {
    pub fn from_env() -> Result<Self, StartError> {
        Ok(Self { environment: variable("BCCE_ENVIRONMENT")? })
    }
}

#[derive(Debug, Deserialize)]
pub struct Request {
    pub run_id: String,
    pub step: StepRef,
    pub route: Route,
    /// The run's.
    #[serde(with = "time::serde::rfc3339")]
    pub deadline: OffsetDateTime,
    pub attempts: Vec<Attempt>,
    pub decisions: Vec<Decision>,
}

#[derive(Debug, Serialize)]
pub struct Response {
    pub next: Next,
    /// All of the step's so far, this one last.
    pub decisions: Vec<Decision>,
}

/// # Errors
/// None: that nothing can be done is an answer.
pub fn handle(clock: &impl Clock, config: &Config, request: &Request) -> Result<Response, Fault> {
    let decision = decide(&Question {
        route: &request.route,
        attempts: &request.attempts,
        decisions: &request.decisions,
        now: clock.now(),
        deadline: request.deadline,
        seed: seed(config, request),
    });
    let next = decision.next.clone();
    let mut decisions = request.decisions.clone();
    decisions.push(decision);
    Ok(Response { next, decisions })
}

/// Differs between environments, runs, steps and rounds, so that what failed together does not come
/// back together.
fn seed(config: &Config, request: &Request) -> u64 {
    let (step, decisions) = (&request.step, request.decisions.len());
    let text = format!("{} {} {step:?} {decisions}", config.environment, request.run_id);
    let digest = sha256(text.as_bytes());
    u64::from_le_bytes([
        digest[0], digest[1], digest[2], digest[3], digest[4], digest[5], digest[6], digest[7],
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use bcce_core::fakes::StoppedClock;
    use time::macros::datetime;

    const FIRST: &str = include_str!("../../../events/failover-router/first.json");
    const ALL_FAILED: &str = include_str!("../../../events/failover-router/all-failed.json");

    fn ask(event: &str) -> Response {
        let clock = StoppedClock(datetime!(2026-11-01 12:00:30 UTC));
        let config = Config { environment: "dev".into() };
        handle(&clock, &config, &serde_json::from_str(event).unwrap()).unwrap()
    }

    #[test]
    fn a_step_starts_with_every_target_it_may_use() {
        let response = ask(FIRST);
        let Next::Targets(targets) = response.next else { panic!("{response:?}") };
        assert_eq!(
            targets.iter().map(|t| t.region.as_str()).collect::<Vec<_>>(),
            ["us-east-1", "us-west-2"]
        );
        assert_eq!(response.decisions.len(), 1);
    }

    #[test]
    fn when_all_have_failed_it_waits_within_the_jitter() {
        let response = ask(ALL_FAILED);
        let Next::WaitS(seconds) = response.next else { panic!("{response:?}") };
        assert!((1..=2).contains(&seconds), "{seconds}");
        assert_eq!(response.decisions.len(), 2);
    }

    #[test]
    fn steps_that_failed_together_wait_for_different_times() {
        let mut request: Request = serde_json::from_str(ALL_FAILED).unwrap();
        let config = Config { environment: "dev".into() };
        let one = seed(&config, &request);
        request.step.item = Some(1);
        assert_ne!(one, seed(&config, &request));
    }
}
