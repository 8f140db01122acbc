//! Sends an alert when a budget reaches 80, 90 and 100 % of its limit. Writes how much of each budget is used as a metric.
//!
//! A schedule invokes [`handle`] every five minutes. The calls of runs do not wait for it: they only note in the ledger
//! that one was refused. The function must never change an amount. It sends an alert once for each threshold of a limit,
//! unless the answer of SNS is lost.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use bcce_aws::{StartError, variable};
use bcce_core::base::error::Fault;
use bcce_core::config::budgets::Series;
use bcce_core::io::reader::read_budgets;
use bcce_core::ports::{
    ClaimAlert, Clock, GetObject, GetParameters, GiveUpAlert, ListCounters, PublishAlert,
    ReadCounter,
};
use bcce_core::run::budget_alert::{BudgetAlert, metrics, used};
use futures::stream::{StreamExt, TryStreamExt};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

/// The time since the last look, with a margin. A window that has ended since then may have reached a threshold.
const LAST_LOOK: Duration = Duration::from_secs(600);
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
    let Ports { store, parameters, .. } = ports;
    let budgets = read_budgets(store, parameters, &config.bucket, &config.environment).await?;
    let (mut response, mut percentages, mut all) = (Response::default(), Vec::new(), Ok(()));
    for series in budgets.series() {
        let windows = [at - LAST_LOOK, at].map(|at| (series.window.name(at), at));
        for of in BTreeMap::from(windows).into_values() {
            let watched = ports.watch(&series, of, &mut response).await;
            // One budget that cannot be read must not hide the others.
            match watched {
                Ok(used) if of == at => percentages.extend(used),
                Ok(_) => {}
                Err(fault) => all = Err(fault),
            }
        }
    }
    ports.measure(config, &percentages, at);
    all.map(|()| response)
}

impl<S, P, L, T, C, M> Ports<S, P, L, T, C, M>
where
    L: ListCounters + ReadCounter + ClaimAlert + GiveUpAlert,
    T: PublishAlert,
    M: Fn(&str),
{
    /// Reads the counters of a budget in the window that contains `at`, and sends their alerts. Returns how much of each
    /// is used.
    async fn watch(
        &self,
        series: &Series<'_>,
        at: OffsetDateTime,
        response: &mut Response,
    ) -> Result<Vec<(String, Decimal)>, Fault> {
        let window = series.window.name(at);
        let values = self.ledger.counter_values(&series.name, &window).await?;
        let states = values.into_iter().map(async |value| {
            let budget = series.of(value);
            let state = self.ledger.counter(&budget.counter(at)).await?;
            Ok::<_, Fault>((budget, state))
        });
        let states: Vec<_> =
            futures::stream::iter(states).buffered(AT_A_TIME).try_collect().await?;
        let (mut percentages, mut all) = (Vec::new(), Ok(()));
        for (budget, state) in states {
            response.counters += 1;
            percentages.extend(used(&state).map(|percent| (budget.name.clone(), percent)));
            if let Some(alert) = BudgetAlert::due(&budget, &state, at) {
                match self.send(&budget.counter(at), &alert).await {
                    Ok(is_sent) => response.alerts += u64::from(is_sent),
                    Err(fault) => all = Err(fault),
                }
            }
        }
        all.map(|()| percentages)
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
