//! Counts a sealed run exactly once: writes its record and usage to the ledger in one transaction, then writes its
//! metrics.
//!
//! The state `EmitMetrics` of the workflow machine and of the finalize machine invokes [`handle`]. It also releases the
//! run's slot, and returns whether the execution that invokes it sends the notification. The function must never count
//! a run twice, or price an unknown model at 0.

#[cfg(test)]
mod tests;

use bcce_aws::{StartError, variable};
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

/// The settings of the function, from its environment variables.
pub struct Config {
    /// The name of the environment, such as `dev` (`BCCE_ENVIRONMENT`).
    pub environment: String,
    /// The name of the artifact bucket (`BCCE_ARTIFACT_BUCKET`).
    pub bucket: String,
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
            bucket: variable("BCCE_ARTIFACT_BUCKET")?,
            ledger_table: variable("BCCE_LEDGER_TABLE")?,
        })
    }
}

/// The services that [`handle`] uses.
pub struct Ports<S, L, M> {
    pub store: S,
    pub ledger: L,
    /// Writes a metrics document to the function's log.
    pub metrics: M,
}

/// A sealed run to count.
#[derive(Debug, Deserialize)]
pub struct Request {
    pub run: Run,
    pub manifest: ManifestRef,
    /// The ARN of the execution that invokes the function. It sends the notification if it is the one that counts the
    /// run.
    pub notification_owner: String,
    /// The end of the run's execution, if the finalize machine invokes the function.
    #[serde(default)]
    pub ending: Option<Ending>,
}

/// The result of counting a run.
#[derive(Debug, PartialEq, Serialize)]
pub struct Response {
    /// True if this invocation counted the run, false if an earlier one did.
    pub counted: bool,
    /// True if the execution that invokes the function sends the notification.
    pub should_notify: bool,
}

/// Counts a sealed run and releases its slot. Safe to repeat.
///
/// # Errors
/// `Bcce.Internal`: S3 or the ledger failed; a retry finishes the work. Also if the stored manifest does not have the
/// digest of the request; nothing is counted then.
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
    let what = "the manifest that was sealed";
    let body = objects::bytes_of(&ports.store, &key, &sha256, what).await?;
    let manifest: Manifest = parse(&key, &body)?;
    // No call of the run is under way any more. An item of a batch has no slot of its own.
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

/// Returns true if the execution that invokes the function sends the notification of a run. An execution that reached
/// its own last states has sent it.
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

/// Returns true if the run's execution ended in its own `Fail` state. The workflow machine fails with the error of the
/// manifest only after it has sent the notification.
fn came_to_its_end(ending: &Ending, closed: &ClosedRun) -> bool {
    let Some(error) = &closed.manifest.error else { return false };
    let same_cause = ending.cause.as_ref().is_none_or(|cause| *cause == error.message);
    !ending.is_kill() && ending.error.as_deref() == Some(error.name.as_str()) && same_cause
}
