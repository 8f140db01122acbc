//! Seals a run: reads every artifact and computes its digest, finds the lost calls, and stores the signed manifest.
//!
//! The state `PersistArtifact` of the workflow machine and of the finalize machine invokes [`handle`]. It returns the
//! manifest's reference and the notification, or a wait while a call of an execution that ended may still be under way.
//! If the run is sealed already, the existing manifest is returned. The function must never seal a run that is not
//! over, leave an artifact out, or sign a manifest that it did not make.

mod evidence; // the artifacts of a run
#[cfg(test)]
mod tests;

use bcce_aws::{StartError, variable};
use bcce_core::base::error::Fault;
use bcce_core::io::seal;
use bcce_core::io::seal::{Sealed, Subject};
use bcce_core::ports::{
    Clock, CommitCall, GetObject, GetSealed, ListObjects, PutOnce, PutSealed, ReadCallLog,
    SignDigest, VerifyDigest,
};
use bcce_core::run::ending::Ending;
use bcce_core::run::ids::Run;
use bcce_core::run::manifest::{ManifestRef, StepFault};
use bcce_core::run::notification::RunNotification;
use serde::{Deserialize, Serialize};

/// The settings of the function, from its environment variables.
pub struct Config {
    /// The name of the artifact bucket (`BCCE_ARTIFACT_BUCKET`).
    pub bucket: String,
    /// The ARN of the KMS key that encrypts the objects of the bucket (`BCCE_ARTIFACT_KEY_ARN`).
    pub key_arn: String,
    /// The ARN of the KMS key that signs manifests (`BCCE_SIGNING_KEY_ARN`).
    pub signing_key_arn: String,
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
            bucket: variable("BCCE_ARTIFACT_BUCKET")?,
            key_arn: variable("BCCE_ARTIFACT_KEY_ARN")?,
            signing_key_arn: variable("BCCE_SIGNING_KEY_ARN")?,
            ledger_table: variable("BCCE_LEDGER_TABLE")?,
        })
    }
}

/// The services that [`handle`] uses.
pub struct Ports<S, K, C, L> {
    pub store: S,
    pub ledger: L,
    pub signing_key: K,
    pub clock: C,
}

/// A run to seal, with the faults that only the state machine has seen.
#[derive(Debug, Deserialize)]
pub struct Request {
    pub run: Run,
    /// The steps of the last wave that did not succeed.
    #[serde(default)]
    pub failures: Vec<StepFault>,
    /// The fault that ended the run outside of any step.
    #[serde(default)]
    pub fault: Option<Fault>,
    /// The end of the run's execution, if the finalize machine invokes the function.
    #[serde(default)]
    pub ending: Option<Ending>,
}

/// The outcome of a seal.
#[derive(Debug, PartialEq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Response {
    /// The manifest and its signature are stored.
    Sealed {
        manifest: ManifestRef,
        /// The message for the notifications topic.
        notification: Box<RunNotification>,
    },
    /// A call of the execution that ended may still be answered and stored. `wait_s` is the time to wait, in seconds.
    AtWork { wait_s: u64 },
}

/// Seals a run. Safe to repeat.
///
/// # Errors
/// `Bcce.Internal`: S3, KMS or the ledger failed, so nothing is sealed or the signature is missing; a retry finishes
/// the seal. Also if the manifest's key has an object that no sealer made; a retry does not change that.
pub async fn handle<S, K, C, L>(
    ports: &Ports<S, K, C, L>,
    _: &Config,
    request: Request,
) -> Result<Response, Fault>
where
    S: GetObject + PutOnce + GetSealed + PutSealed + ListObjects,
    K: SignDigest + VerifyDigest,
    C: Clock,
    L: ReadCallLog + CommitCall,
{
    let run = request.run.clone();
    let subject = Subject::of_run(&run);
    let Ports { store, signing_key: key, .. } = ports;
    let keys = store.list(&run.prefix()).await?;
    // The listing shows whether there is a manifest. One that another invocation writes after it is found by its seal.
    let known = match keys.contains(&run.manifest_key()) {
        true => seal::find(store, key, &subject).await?,
        false => None,
    };
    let sealed = match known {
        Some(sealed) => sealed,
        None => {
            let found = evidence::gather(store, &run, &keys).await?;
            if let Some(wait_s) = found.wait_s(&request, ports.clock.now()) {
                return Ok(Response::AtWork { wait_s });
            }
            let calls = ports.ledger.logged_calls(&run).await?;
            found.commit(&ports.ledger, &run, &calls).await?;
            let manifest = found.seal(&request, calls, ports.clock.now());
            seal::seal(store, key, &subject, manifest).await?
        }
    };
    let Sealed { manifest, reference } = sealed;
    let notification = Box::new(manifest.notification(&reference.key, &reference.sha256));
    tracing::info!(run_id = run.run_id, status = manifest.status.as_str(), "the run is sealed");
    Ok(Response::Sealed { manifest: reference, notification })
}
