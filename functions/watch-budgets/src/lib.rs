//! Sends an alert when a budget reaches 80, 90 and 100 % of its limit, once each, and writes how much of each is used as
//! a metric.
//!
//! A schedule invokes [`handle`] every five minutes. The calls of runs do not wait for it: they only note in the ledger
//! that one was refused. The function must never send an alert twice for one threshold of a limit.

#[cfg(test)]
mod tests;

use bcce_aws::{StartError, variable};
use bcce_core::base::error::Fault;
use bcce_core::config::budgets::Budgets;
use bcce_core::config::documents::{BUDGETS, parameter_name};
use bcce_core::document::from_yaml;
use bcce_core::io::reader::follow_pointer;
use bcce_core::ports::{
    ClaimAlert, Clock, GetObject, GetParameters, GiveUpAlert, ListCounters, PublishAlert,
    ReadCounter,
};
use bcce_core::run::budget_alert::{BudgetAlert, metrics, used};
use futures::stream::{StreamExt, TryStreamExt};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

/// The number of counters that are read at the same time.
const AT_A_TIME: usize = 8;

/// The settings of the function, from its environment variables.
pub struct Config {
    /// The name of the environment, such as `dev` (`BCCE_ENVIRONMENT`).
    pub environment: String,
    /// The name of the artifact bucket (`BCCE_ARTIFACT_BUCKET`).
    pub bucket: String,
    /// The name of the ledger's DynamoDB table (`BCCE_LEDGER_TABLE`).
    pub ledger_table: String,
    /// The ARN of the notifications topic (`BCCE_TOPIC_ARN`).
    pub topic_arn: String,
}

impl Config {
    /// Reads the settings from the environment.
    ///
    /// # Errors
    /// A [`StartError`] that names the variable that is missing.
    pub fn from_env() -> Result<Self, StartError> {
        Ok(Self {
            environment: variable("BCCE_ENVIRONMENT")?,
            bucket: variable("BCCE_ARTIFACT_BUCKET")?,
            ledger_table: variable("BCCE_LEDGER_TABLE")?,
            topic_arn: variable("BCCE_TOPIC_ARN")?,
        })
    }
}

/// The services that [`handle`] uses.
pub struct Ports<S, P, L, T, C, M> {
    pub store: S,
    pub parameters: P,
    pub ledger: L,
    pub topic: T,
    pub clock: C,
    /// Writes a metrics document to the function's log.
    pub metrics: M,
}

/// The event of the schedule. Nothing of it is used.
#[derive(Debug, Deserialize)]
pub struct Request {}

/// The numbers of what was seen and sent.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct Response {
    /// The counters of the current windows.
    pub counters: u64,
    /// The alerts that were sent.
    pub alerts: u64,
}

/// Reads the counters of the current windows, and sends the alerts that are due. Safe to repeat.
///
/// # Errors
/// `Bcce.Internal`: the document is invalid, or SSM, S3, the ledger or SNS failed. A retry sends what was not sent.
pub async fn handle<S, P, L, T, C, M>(
    ports: &Ports<S, P, L, T, C, M>,
    config: &Config,
) -> Result<Response, Fault>
where
    S: GetObject,
    P: GetParameters,
    L: ListCounters + ReadCounter + ClaimAlert + GiveUpAlert,
    T: PublishAlert,
    C: Clock,
    M: Fn(&str),
{
    let at = ports.clock.now();
    let budgets = ports.budgets(config).await?;
    let (mut response, mut percentages) = (Response::default(), Vec::new());
    for series in budgets.series() {
        let window = series.window.name(at);
        let values = ports.ledger.counter_values(&series.name, &window).await?;
        let states = values.into_iter().map(async |value| {
            let budget = series.of(value);
            let state = ports.ledger.counter(&budget.counter(at)).await?;
            Ok::<_, Fault>((budget, state))
        });
        let states: Vec<_> =
            futures::stream::iter(states).buffered(AT_A_TIME).try_collect().await?;
        for (budget, state) in states {
            response.counters += 1;
            percentages.extend(used(&state).map(|percent| (budget.name.clone(), percent)));
            if let Some(alert) = BudgetAlert::due(&budget, &state, at) {
                let counter = budget.counter(at);
                response.alerts += u64::from(ports.send(&counter, &alert).await?);
            }
        }
    }
    ports.measure(config, &percentages, at);
    Ok(response)
}

impl<S, P, L, T, C, M> Ports<S, P, L, T, C, M>
where
    S: GetObject,
    P: GetParameters,
    L: ClaimAlert + GiveUpAlert,
    T: PublishAlert,
    M: Fn(&str),
{
    async fn budgets(&self, config: &Config) -> Result<Budgets, Fault> {
        let name = parameter_name(&config.environment, BUDGETS);
        let mut found = self.parameters.parameters(std::slice::from_ref(&name)).await?;
        let Some(found) = found.remove(&name) else { return Ok(Budgets::default()) };
        let text = follow_pointer(&self.store, &config.bucket, &found.value).await?;
        let budgets = text.and_then(|text| from_yaml::<Budgets>(&text).finished());
        budgets.map_err(|problems| {
            Fault::internal(format!("the SSM parameter {name} is invalid: {problems}"))
        })
    }

    /// Sends an alert, unless another invocation has. Returns whether it was sent.
    async fn send(&self, counter: &str, alert: &BudgetAlert) -> Result<bool, Fault> {
        if !self.ledger.claim_alert(counter, &alert.alerted()).await? {
            return Ok(false);
        }
        if let Err(fault) = self.topic.publish_alert(alert).await {
            // The next invocation sends it.
            self.ledger.give_up_alert(counter, &alert.alerted()).await?;
            return Err(fault);
        }
        let BudgetAlert { budget, value, window, percent, .. } = alert;
        tracing::warn!(budget, value, window, percent, "a budget has reached a threshold");
        Ok(true)
    }

    fn measure(&self, config: &Config, percentages: &[(String, Decimal)], at: OffsetDateTime) {
        let documents = metrics(&config.environment, percentages, at);
        documents.iter().for_each(|document| (self.metrics)(document));
    }
}
