//! Decides for a step which targets to try and in what order, how long to wait, or to stop, each with the reasons.
//!
//! The state `FailoverRouter` of the workflow machine invokes [`handle`] in each round of a step. [`decide`] reads what
//! the ledger has recorded about the targets, makes the decision, and elects one step for the probe of an open breaker.
//! The router must never widen data residency, return a target whose breaker is open except to the elected step, or
//! retry a call that cannot succeed.

#[cfg(test)]
mod tests;

use bcce_aws::{StartError, variable};
use bcce_core::base::error::Fault;
use bcce_core::call::attempt::Attempt;
use bcce_core::failover::decision::{Decision, Next};
use bcce_core::failover::route::Route;
use bcce_core::io::deciding::{UndecidedStep, decide};
use bcce_core::io::shared_breakers::SharedBreakers;
use bcce_core::ports::{Clock, ReadBreakers, ReadCaches, ReadLatencies, WriteBreaker};
use bcce_core::run::ids::StepRef;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

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
    let step = UndecidedStep {
        environment: &config.environment,
        run_id: &request.run_id,
        step: &request.step,
        route: &request.route,
        deadline: request.deadline,
        attempts: &request.attempts,
        decisions: &request.decisions,
    };
    let decision = decide(&ports.health, &step, now).await;
    let documents = ports.health.metrics(&config.environment, "failover-router", now);
    documents.iter().for_each(|document| (ports.metrics)(document));
    let next = decision.next.clone();
    let decisions = request.decisions.into_iter().chain([decision]).collect();
    Ok(Response { next, decisions })
}
