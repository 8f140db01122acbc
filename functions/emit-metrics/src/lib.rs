//! Counts a sealed run exactly once: the ledger's run record and usage counters in one transaction,
//! and then its metrics. The run's slot is released before.

#[cfg(test)]
mod tests;

use bcce_aws::{StartError, variable};
use bcce_core::base::digest::sha256_hex;
use bcce_core::base::error::Fault;
use bcce_core::base::json::parse;
use bcce_core::ledger::ClosedRun;
use bcce_core::ports::{CloseRun, Closed, GetObject, ReleaseSlot, TakeOver};
use bcce_core::run::ending::Ending;
use bcce_core::run::ids::Run;
use bcce_core::run::manifest::{Manifest, ManifestRef};
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

pub struct Ports<S, L> {
    pub store: S,
    pub ledger: L,
}

#[derive(Debug, Deserialize)]
pub struct Request {
    pub run: Run,
    pub manifest: ManifestRef,
    /// ARN of the execution that asks.
    pub notification_owner: String,
    /// The run's own execution was ended from outside: it is the settle machine that asks.
    #[serde(default)]
    pub ending: Option<Ending>,
}

#[derive(Debug, PartialEq, Serialize)]
pub struct Response {
    /// `false`: an earlier call counted the run.
    pub counted: bool,
    /// The notification is the asking execution's to send.
    pub tells: bool,
}

/// # Errors
/// `Bcce.Internal`: nothing is counted, a retry counts it.
pub async fn handle<S, L>(
    ports: &Ports<S, L>,
    config: &Config,
    emit: &impl Fn(&str),
    request: Request,
) -> Result<Response, Fault>
where
    S: GetObject,
    L: CloseRun + TakeOver + ReleaseSlot,
{
    let Request { run, manifest: ManifestRef { key, sha256 }, notification_owner, ending } =
        request;
    let body =
        ports.store.get(&key).await?.ok_or_else(|| Fault::internal(format!("{key} is missing")))?;
    if sha256_hex(&body) != sha256 {
        return Err(Fault::internal(format!("{key} is not the manifest that was sealed")));
    }
    let manifest: Manifest = parse(&key, &body)?;
    // None of its calls is at work any more. The slot of an item is its batch's.
    if run.batch.is_none() {
        ports.ledger.release_slot(Lane::Runs, &run.tenant, &run.execution_name()).await?;
    }
    let closed =
        ClosedRun { run, manifest, manifest_key: key, manifest_sha256: sha256, notification_owner };
    match ports.ledger.close(&closed).await? {
        Closed::Now => {
            bcce_core::run::metrics::of_run(&config.environment, &closed.manifest)
                .iter()
                .for_each(|document| emit(document));
            // Of an item its batch tells.
            Ok(Response { counted: true, tells: closed.run.batch.is_none() })
        }
        Closed::Before { notification_owner } => {
            tracing::info!(run_id = closed.run.run_id, "the run was counted before");
            let tells =
                tells(&ports.ledger, &closed, ending.as_ref(), notification_owner.as_deref())
                    .await?;
            Ok(Response { counted: false, tells })
        }
    }
}

/// Whoever counts a run tells of it, so that one does. An execution that counted and did not come to its own
/// last states may not have told: then the one that settles the run takes that over.
async fn tells(
    ledger: &impl TakeOver,
    closed: &ClosedRun,
    ending: Option<&Ending>,
    notification_owner: Option<&str>,
) -> Result<bool, Fault> {
    let (run, us) = (&closed.run, closed.notification_owner.as_str());
    match notification_owner {
        _ if run.batch.is_some() => Ok(false),
        Some(notification_owner) if notification_owner == us => Ok(true),
        Some(notification_owner)
            if notification_owner == run.execution_arn
                && ending.is_some_and(|end| !came_to_its_end(end, closed)) =>
        {
            ledger.take_over(run, notification_owner, us).await
        }
        _ => Ok(false),
    }
}

/// The workflow machine fails with the manifest's own error after it has told, and only then.
fn came_to_its_end(ending: &Ending, closed: &ClosedRun) -> bool {
    let Some(error) = &closed.manifest.error else { return false };
    let same_cause = ending.cause.as_ref().is_none_or(|cause| *cause == error.message);
    !ending.is_kill() && ending.error.as_deref() == Some(error.name.as_str()) && same_cause
}
