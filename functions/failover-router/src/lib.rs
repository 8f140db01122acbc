//! (step, attempts so far) -> the targets to try, in order, or a wait, or a stop; with the reasons.
//! The decision itself is `bcce_core::failover::router::decide`; here it gets what is known of its targets, and an
//! open target its one elected probe.

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

/// Time that a probe may take beyond its first token before another step is elected: from the decision to the call, and
/// from the end of the call to the ledger.
const PROBE_MARGIN: Duration = Duration::from_secs(10);

pub struct Config {
    pub environment: String,
    pub ledger_table: String,
}

impl Config {
    pub fn from_env() -> Result<Self, StartError> {
        Ok(Self {
            environment: variable("BCCE_ENVIRONMENT")?,
            ledger_table: variable("BCCE_LEDGER_TABLE")?,
        })
    }
}

pub struct Ports<L, C, M> {
    pub health: SharedBreakers<L>,
    pub clock: C,
    /// Takes documents of metrics.
    pub metrics: M,
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
/// None: that nothing can be done is an answer, and without the ledger it goes by what it remembers.
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
    // A decision that is made again, since its answer was lost, was elected before.
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
            // Not due any more, so the same target does not come up again.
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

/// Reads what is known of each target, as far as the route's strategy asks for it.
async fn known<L>(
    book: &SharedBreakers<L>,
    route: &Route,
    keys: &[String],
    now: OffsetDateTime,
) -> Vec<Health>
where
    L: ReadBreakers + ReadLatencies + ReadCaches,
{
    let breakers = book.breakers(keys, now).await;
    let mut health: Vec<Health> =
        breakers.into_iter().map(|breaker| Health { breaker, ..Health::default() }).collect();
    if route.routing.strategy == Strategy::Latency {
        let latencies = book.latencies(keys, now).await;
        health.iter_mut().zip(latencies).for_each(|(health, latency)| health.latency = latency);
    }
    if let Some(cached) = route.expected.as_ref().and_then(|expected| expected.cached.as_ref()) {
        let warm = book.warm(&cached.key, now).await;
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

/// Returns the target that only the elected step may call.
fn probed(verdict: &Verdict) -> Option<usize> {
    match &verdict.action {
        Action::Try { order, probes: true } => order.first().copied(),
        _ => None,
    }
}

/// Returns sixteen hex digits that differ between environments, runs, steps and decisions, so that what failed
/// together does not come back together. A repeated decision gets the same ones.
fn token(config: &Config, request: &Request) -> String {
    let (step, decisions) = (&request.step, request.decisions.len());
    let text = format!("{} {} {step:?} {decisions}", config.environment, request.run_id);
    sha256_hex(text.as_bytes())[..16].to_owned()
}
