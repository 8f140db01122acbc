//! Counts a sealed run exactly once: the ledger's run record and usage counters in one transaction,
//! and then its metrics.

mod emf;
#[cfg(test)]
mod tests;

use bcce_aws::{StartError, variable};
use bcce_core::artifact::parse;
use bcce_core::digest::sha256_hex;
use bcce_core::error::Fault;
use bcce_core::ledger::ClosedRun;
use bcce_core::manifest::{Manifest, ManifestRef};
use bcce_core::ports::{CloseRun, Closed, GetObject};
use bcce_core::run::Run;
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
}

#[derive(Debug, PartialEq, Serialize)]
pub struct Response {
    /// `false`: an earlier call counted the run.
    pub counted: bool,
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
    L: CloseRun,
{
    let ManifestRef { key, sha256 } = request.manifest;
    let body =
        ports.store.get(&key).await?.ok_or_else(|| Fault::internal(format!("{key} is missing")))?;
    if sha256_hex(&body) != sha256 {
        return Err(Fault::internal(format!("{key} is not the manifest that was sealed")));
    }
    let manifest: Manifest = parse(&key, &body)?;
    let closed =
        ClosedRun { run: request.run, manifest, manifest_key: key, manifest_sha256: sha256 };
    match ports.ledger.close(&closed).await? {
        Closed::Counted => {
            emf::documents(&config.environment, &closed.manifest)
                .iter()
                .for_each(|document| emit(document));
            Ok(Response { counted: true })
        }
        Closed::Before => {
            tracing::info!(run_id = closed.run.run_id, "the run was counted before");
            Ok(Response { counted: false })
        }
    }
}
