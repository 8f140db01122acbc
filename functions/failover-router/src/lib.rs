//! Decides for a step which targets to try and in what order, how long to wait, or to stop, each with the reasons.
//!
//! The state `FailoverRouter` of the workflow machine invokes [`handle`] in each round of a step. The pure function
//! [`decide`] makes the decision. This crate reads what the ledger has recorded about the targets, and elects one step
//! for the probe of an open breaker. The router must never widen data residency, return a target whose breaker is open
//! except to the elected step, or retry a call that cannot succeed.

#[cfg(test)]
mod tests;

use std::time::Duration;

use bcce_aws::{StartError, variable};
use bcce_core::base::digest::sha256_hex;
use bcce_core::base::error::Fault;
use bcce_core::call::attempt::Attempt;
use bcce_core::config::routing::Strategy;
use bcce_core::failover::breaker::target_key;
use bcce_core::failover::decision::{Decision, Next};
use bcce_core::failover::route::Route;
use bcce_core::failover::router::{Action, Health, Question, Verdict, decide};
use bcce_core::io::shared_breakers::ledger_unreachable;
use bcce_core::io::shared_breakers::{Elected, SharedBreakers};
use bcce_core::ports::{Clock, ReadBreakers, ReadCaches, ReadLatencies, WriteBreaker};
use bcce_core::run::ids::StepRef;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

/// The time that an elected step has in addition to the first-token timeout, before another step is elected. It covers
/// the time from the decision to the call, and from the end of the call to the report in the ledger.
const PROBE_MARGIN: Duration = Duration::from_secs(10);

/// The settings of the function, from its environment variables.
pub struct Config {
    /// The name of the environment, such as `dev` (`BCCE_ENVIRONMENT`).
    pub environment: String,
    /// The name of the ledger's DynamoDB table (`BCCE_LEDGER_TABLE`).
    pub ledger_table: String,
}

impl Config {
    /// Reads the settings from the environment.
    ///
    /// # Errors
    /// A [`StartError`] that names the variable that is missing.
    pub fn from_env() -> Result<Self, StartError> {
        Ok(Self {
            environment: variable("BCCE_ENVIRONMENT")?,
            ledger_table: variable("BCCE_LEDGER_TABLE")?,
        })
    }
}

/// The services that [`handle`] uses, and the breakers that it keeps between invocations.
pub struct Ports<L, C, M> {
    pub health: SharedBreakers<L>,
    pub clock: C,
    /// Writes a metrics document to the function's log.
    pub metrics: M,
}

/// A step that needs a decision, with everything that happened to it so far.
#[derive(Debug, Deserialize)]
pub struct Request {
    pub run_id: String,
    pub step: StepRef,
    pub route: Route,
    /// The time by which the run has to end.
    #[serde(with = "time::serde::rfc3339")]
    pub deadline: OffsetDateTime,
    pub attempts: Vec<Attempt>,
    pub decisions: Vec<Decision>,
}

/// A decision.
#[derive(Debug, Serialize)]
pub struct Response {
    pub next: Next,
    /// All decisions about the step so far, the new one last.
    pub decisions: Vec<Decision>,
}

/// Decides what a step does next. If the ledger is unreachable, the router decides by what this instance has in memory,
/// and writes a metric.
///
/// # Errors
/// None. If nothing can be done, the response says to stop.
pub async fn handle<L, C, M>(
    ports: &Ports<L, C, M>,
    config: &Config,
    request: Request,
) -> Result<Response, Fault>
where
    L: ReadBreakers + WriteBreaker + ReadLatencies + ReadCaches,
    C: Clock,
    M: Fn(&str),
{
    let now = ports.clock.now();
    let keys: Vec<String> =
        request.route.targets.iter().map(|listed| target_key(&listed.target)).collect();
    let mut health = known(&ports.health, &request.route, &keys, now).await;
    let token = token(config, &request);
    // If the response to this decision was lost, the step may already be elected, and the probe is its own.
    let mine = health.iter_mut().filter(|health| health.breaker.is_probed_by(&token));
    mine.for_each(|health| health.breaker.probe = None);
    let decision = loop {
        let question = question(&request, &health, now, &token);
        let verdict = decide(&question);
        let Some(probed) = probed(&verdict) else { break Decision::of(&question, &verdict, None) };
        let first_token_s = request.route.routing.timeouts.first_token_s;
        let lease = Duration::from_secs(first_token_s) + PROBE_MARGIN;
        match ports.health.elect(&keys[probed], &token, now, lease).await {
            Elected::Mine => break Decision::of(&question, &verdict, Some(token)),
            // The breaker is not due any more, so the next decision does not probe this target.
            Elected::Lost(breaker) => health[probed].breaker = breaker,
        }
    };
    if let Some(cause) = ports.health.blindness() {
        (ports.metrics)(&ledger_unreachable(&config.environment, "failover-router", now, &cause));
    }
    let next = decision.next.clone();
    let decisions = request.decisions.into_iter().chain([decision]).collect();
    Ok(Response { next, decisions })
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

fn question<'a>(
    request: &'a Request,
    health: &'a [Health],
    now: OffsetDateTime,
    token: &str,
) -> Question<'a> {
    Question {
        route: &request.route,
        health,
        attempts: &request.attempts,
        decisions: &request.decisions,
        now,
        deadline: request.deadline,
        seed: u64::from_str_radix(token, 16).unwrap_or_default(),
    }
}

/// Returns the position of the target that only an elected step may call, or `None` if the verdict has no probe.
fn probed(verdict: &Verdict) -> Option<usize> {
    match &verdict.action {
        Action::Try { order, probes: true } => order.first().copied(),
        _ => None,
    }
}

/// Returns 16 hex digits that differ between environments, runs, steps and decisions, so that steps that failed
/// together do not retry together. A repeated decision gets the same digits.
fn token(config: &Config, request: &Request) -> String {
    let (step, decisions) = (&request.step, request.decisions.len());
    let text = format!("{} {} {step:?} {decisions}", config.environment, request.run_id);
    sha256_hex(text.as_bytes())[..16].to_owned()
}
