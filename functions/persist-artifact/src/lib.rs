//! Seals a run: reads every artifact back and takes its digest, counts the calls that no artifact records, signs the
//! manifest and writes it once with its signature. A second seal finds the first one's manifest and returns it.

mod evidence;
#[cfg(test)]
mod tests;

use bcce_aws::{StartError, variable};
use bcce_core::base::error::Fault;
use bcce_core::io::seal;
use bcce_core::io::seal::{Sealed, Subject};
use bcce_core::ports::{
    Clock, GetObject, GetSealed, ListObjects, PutOnce, PutSealed, ReadCallLog, SignDigest,
    VerifyDigest,
};
use bcce_core::run::ending::Ending;
use bcce_core::run::ids::Run;
use bcce_core::run::manifest::{ManifestRef, StepFault};
use bcce_core::run::notification::RunNotification;
use serde::{Deserialize, Serialize};

pub struct Config {
    pub bucket: String,
    pub key_arn: String,
    pub signing_key_arn: String,
    pub ledger_table: String,
}

impl Config {
    pub fn from_env() -> Result<Self, StartError> {
        Ok(Self {
            bucket: variable("BCCE_ARTIFACT_BUCKET")?,
            key_arn: variable("BCCE_ARTIFACT_KEY_ARN")?,
            signing_key_arn: variable("BCCE_SIGNING_KEY_ARN")?,
            ledger_table: variable("BCCE_LEDGER_TABLE")?,
        })
    }
}

pub struct Ports<S, K, C, L> {
    pub store: S,
    pub ledger: L,
    pub signing_key: K,
    pub clock: C,
}

/// A run whose execution is over, with what only the state machine knows of it.
#[derive(Debug, Deserialize)]
pub struct Request {
    pub run: Run,
    /// Steps of the last wave that did not succeed.
    #[serde(default)]
    pub failures: Vec<StepFault>,
    /// What ended the run outside of any step.
    #[serde(default)]
    pub fault: Option<Fault>,
    /// How the run's execution ended, if the finalize machine asks.
    #[serde(default)]
    pub ending: Option<Ending>,
}

#[derive(Debug, PartialEq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Response {
    Sealed {
        manifest: ManifestRef,
        /// The message for the notifications topic.
        notification: Box<RunNotification>,
    },
    /// A call of the execution that ended may still be answered and stored.
    AtWork { wait_s: u64 },
}

/// # Errors
/// `Bcce.Internal`: nothing is sealed, or the seal is not finished; a retry finishes it. A manifest that no sealer made is
/// one, too, and stays so.
pub async fn handle<S, K, C, L>(
    ports: &Ports<S, K, C, L>,
    _: &Config,
    request: Request,
) -> Result<Response, Fault>
where
    S: GetObject + PutOnce + GetSealed + PutSealed + ListObjects,
    K: SignDigest + VerifyDigest,
    C: Clock,
    L: ReadCallLog,
{
    let run = request.run.clone();
    let subject = Subject::of_run(&run);
    let Ports { store, signing_key: key, .. } = ports;
    let sealed = match seal::find(store, key, &subject).await? {
        Some(sealed) => sealed,
        None => {
            let found = evidence::gather(store, &run).await?;
            if let Some(wait_s) = found.wait_s(&request, ports.clock.now()) {
                return Ok(Response::AtWork { wait_s });
            }
            let calls = ports.ledger.logged_calls(&run).await?;
            let manifest = found.seal(&request, calls, ports.clock.now());
            seal::seal(store, key, &subject, manifest).await?
        }
    };
    let Sealed { manifest, reference } = sealed;
    let notification = Box::new(manifest.notification(&reference.key, &reference.sha256));
    tracing::info!(run_id = run.run_id, status = manifest.status.as_str(), "the run is sealed");
    Ok(Response::Sealed { manifest: reference, notification })
}
