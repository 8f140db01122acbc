//! Counts a sealed run exactly once: writes the ledger's run record and usage counters in one transaction, then prints the
//! run's metrics. Releases the run's slot before.

#[cfg(test)]
mod tests;

use bcce_aws::{StartError, variable};
use bcce_core::base::digest::sha256_hex;
use bcce_core::base::error::Fault;
use bcce_core::base::json::parse;
use bcce_core::io::notification::Claim;
use bcce_core::io::{notification, objects};
use bcce_core::ledger::ClosedRun;
use bcce_core::ports::{CloseRun, Closed, GetObject, ReleaseSlot, TakeOver};
use bcce_core::run::ending::Ending;
use bcce_core::run::ids::Run;
use bcce_core::run::manifest::{Manifest, ManifestRef};
use bcce_core::run::metrics;
use bcce_core::run::slots::Lane;
use serde::{Deserialize, Serialize};

pub struct Config {
    pub environment: String,
    pub bucket: String,
    pub ledger_table: String,
}

impl Config {
    pub fn from_env() -> Result<Self, StartError> {
        Ok(Self {
            environment: variable("BCCE_ENVIRONMENT")?,
            bucket: variable("BCCE_ARTIFACT_BUCKET")?,
            ledger_table: variable("BCCE_LEDGER_TABLE")?,
        })
    }
}

pub struct Ports<S, L, M> {
    pub store: S,
    pub ledger: L,
    /// Prints a metrics document.
    pub metrics: M,
}

#[derive(Debug, Deserialize)]
pub struct Request {
    pub run: Run,
    pub manifest: ManifestRef,
    /// ARN of the execution that asks. It sends the notification if it is the one that counts the run.
    pub notification_owner: String,
    /// How the run's execution ended, if the finalize machine asks.
    #[serde(default)]
    pub ending: Option<Ending>,
}

#[derive(Debug, PartialEq, Serialize)]
pub struct Response {
    /// `false` if an earlier call counted the run.
    pub counted: bool,
    /// Whether the asking execution sends the notification.
    pub should_notify: bool,
}

/// # Errors
/// `Bcce.Internal`: nothing is counted, a retry counts it.
pub async fn handle<S, L, M>(
    ports: &Ports<S, L, M>,
    config: &Config,
    request: Request,
) -> Result<Response, Fault>
where
    S: GetObject,
    L: CloseRun + TakeOver + ReleaseSlot,
    M: Fn(&str),
{
    let Request { run, manifest: ManifestRef { key, sha256 }, notification_owner, ending } =
        request;
    let body = objects::bytes(&ports.store, &key).await?;
    if sha256_hex(&body) != sha256 {
        return Err(Fault::internal(format!("{key} is not the manifest that was sealed")));
    }
    let manifest: Manifest = parse(&key, &body)?;
    // No call of the run is under way any more. The slot of an item is its batch's.
    if run.batch.is_none() {
        ports.ledger.release_slot(Lane::Runs, &run.tenant, &run.execution_name()).await?;
    }
    let closed =
        ClosedRun { run, manifest, manifest_key: key, manifest_sha256: sha256, notification_owner };
    let found = ports.ledger.close(&closed).await?;
    let counted = found == Closed::Now;
    if counted {
        let documents = metrics::of_run(&config.environment, &closed.manifest);
        documents.iter().for_each(|document| (ports.metrics)(document));
    } else {
        tracing::info!(run_id = closed.run.run_id, "the run was counted before");
    }
    // For a batch item, the batch sends the notification.
    let should_notify = closed.run.batch.is_none()
        && should_notify(&ports.ledger, &found, &closed, ending.as_ref()).await?;
    Ok(Response { counted, should_notify })
}

/// Returns whether the asking execution sends the notification of a run. An execution that came to its own last states has
/// sent it.
async fn should_notify(
    ledger: &impl TakeOver,
    found: &Closed,
    closed: &ClosedRun,
    ending: Option<&Ending>,
) -> Result<bool, Fault> {
    let claim = Claim {
        execution_arn: &closed.notification_owner,
        own_execution_arn: &closed.run.execution_arn,
        is_ended: ending.is_some_and(|ending| !came_to_its_end(ending, closed)),
    };
    let take_over = async |from: &str, to: &str| ledger.take_over(&closed.run, from, to).await;
    notification::should_notify(found, claim, take_over).await
}

/// The workflow machine fails with the manifest's own error after it has sent the notification, and only then.
fn came_to_its_end(ending: &Ending, closed: &ClosedRun) -> bool {
    let Some(error) = &closed.manifest.error else { return false };
    let same_cause = ending.cause.as_ref().is_none_or(|cause| *cause == error.message);
    !ending.is_kill() && ending.error.as_deref() == Some(error.name.as_str()) && same_cause
}
