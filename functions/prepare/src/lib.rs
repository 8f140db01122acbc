//! Plans a run: resolves its request against the configuration, validates it, and stores `plan.json` before the first
//! call.
//!
//! The state `Prepare` of the workflow machine invokes [`handle`], which returns the waves and routes of the plan, or
//! the error for which the run is refused. A request that may not run must never reach a model, and a plan that is
//! stored must never change.

mod documents; // the configuration, with a short cache
mod packed; // the objects of a run that a batch packed
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use bcce_aws::{StartError, optional_number, variable};
use bcce_core::base::digest::sha256_hex;
use bcce_core::base::error::{ErrorName, Fault, Problems};
use bcce_core::base::json::{parse, to_json};
use bcce_core::base::trace::TraceId;
use bcce_core::config::routing::Retries;
use bcce_core::failover::route::Route;
use bcce_core::io::objects::{self, store_once};
use bcce_core::io::reader::Reader;
use bcce_core::ledger::OpenedRun;
use bcce_core::ports::{
    Clock, FindPlaces, GetObject, GetParameters, ListObjects, OpenRun, PutOnce, RecordState,
};
use bcce_core::run::ids::Run;
use bcce_core::run::plan::{Plan, Sources, Wave};
use bcce_core::run::request::StoredRequest;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

pub use documents::Documents;

/// The settings of the function, from its environment variables.
pub struct Config {
    /// The name of the environment, such as `dev` (`BCCE_ENVIRONMENT`).
    pub environment: String,
    /// The name of the artifact bucket (`BCCE_ARTIFACT_BUCKET`).
    pub bucket: String,
    /// The ARN of the KMS key that encrypts the objects of the bucket (`BCCE_ARTIFACT_KEY_ARN`).
    pub key_arn: String,
    /// The name of the ledger's DynamoDB table (`BCCE_LEDGER_TABLE`).
    pub ledger_table: String,
    /// The retry limits that override the routing document (`BCCE_RETRY_ATTEMPTS`, `BCCE_RETRY_DELAY`).
    pub retries: Retries,
}

impl Config {
    /// Reads the settings from the environment.
    ///
    /// # Errors
    /// A [`StartError`] that names the variable that is missing or is not a whole number.
    pub fn from_env() -> Result<Self, StartError> {
        Ok(Self {
            environment: variable("BCCE_ENVIRONMENT")?,
            bucket: variable("BCCE_ARTIFACT_BUCKET")?,
            key_arn: variable("BCCE_ARTIFACT_KEY_ARN")?,
            ledger_table: variable("BCCE_LEDGER_TABLE")?,
            retries: Retries {
                attempts: optional_number("BCCE_RETRY_ATTEMPTS")?,
                base_delay_ms: optional_number("BCCE_RETRY_DELAY")?,
            },
        })
    }
}

/// The services that [`handle`] uses, and the configuration that it keeps between invocations.
pub struct Ports<S, P, L, C> {
    pub store: S,
    pub parameters: P,
    pub ledger: L,
    pub clock: C,
    pub documents: Documents,
}

/// The run to plan.
#[derive(Debug, Deserialize)]
pub struct Request {
    pub run: Run,
    /// The trace that the execution belongs to. It is not in the event: `main` sets it.
    #[serde(skip)]
    pub trace_id: Option<TraceId>,
}

/// The largest size of [`Planned`] as JSON, in bytes. Step Functions ends an execution whose state exceeds 256 KiB, and
/// no Catch of the state machine sees that.
const MAX_PLANNED_BYTES: usize = 200_000;

/// The outcome of planning, with references and routes for the state machine. It contains no text of the request.
#[derive(Debug, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Response {
    /// The plan is stored.
    Planned(Box<Planned>),
    /// The run may not start.
    Refused { error: Fault },
}

/// The part of a plan that the state machine needs.
#[derive(Debug, Serialize)]
pub struct Planned {
    /// The SHA-256 of `plan.json`, in lower-case hex.
    pub plan_sha256: String,
    /// The time by which this run attempt has to end.
    #[serde(with = "time::serde::rfc3339")]
    pub deadline: OffsetDateTime,
    pub waves: Vec<Wave>,
    /// The routes by the name that the steps of the waves refer to.
    pub routes: BTreeMap<String, Route>,
}

/// Plans a run and opens its record in the ledger. A later run attempt gets the plan of the first one.
///
/// # Errors
/// `Bcce.Internal`: S3, SSM or the ledger failed. An invalid request is the response [`Response::Refused`].
pub async fn handle<S, P, L, C>(
    ports: &Ports<S, P, L, C>,
    config: &Config,
    request: Request,
) -> Result<Response, Fault>
where
    S: GetObject + ListObjects + PutOnce,
    P: GetParameters,
    L: OpenRun + FindPlaces,
    C: Clock,
{
    let Request { run, trace_id } = request;
    // The record is opened first, so that a refused run can be followed too.
    if ports.ledger.open(&OpenedRun { run: run.clone(), trace_id }).await? == RecordState::Over {
        let message = "id: the run with this id has ended, and its manifest has the outcome; send the request \
                       under a new id, or retry a failed run with `bcce runs retry`";
        return Ok(Response::Refused { error: Fault::new(ErrorName::InvalidRequest, message) });
    }
    match ports.plan(config, &run).await {
        Ok(planned) => Ok(Response::Planned(Box::new(planned))),
        Err(fault) if fault.name == ErrorName::Internal => Err(fault),
        Err(error) => {
            let name = error.name.as_str();
            tracing::warn!(
                run_id = run.run_id,
                error = name,
                "the run is refused: {}",
                error.message
            );
            Ok(Response::Refused { error })
        }
    }
}

impl<S, P, L, C> Ports<S, P, L, C>
where
    S: GetObject + ListObjects + PutOnce,
    P: GetParameters,
    L: FindPlaces,
    C: Clock,
{
    /// Returns the stored plan, or makes and stores one.
    async fn plan(&self, config: &Config, run: &Run) -> Result<Planned, Fault> {
        let key = run.plan_key();
        // A retry of the run uses the plan that its first run attempt stored. The first one looks for a plan only if it
        // cannot make one or if another invocation has stored one.
        let mut stored = None;
        if run.attempt_no > 1 {
            self.copy_packed(run).await?;
            stored = self.store.get(&key).await?;
        }
        let body = match stored {
            Some(body) => body,
            None => match self.resolve(config, run).await {
                Ok(plan) => store_once(&self.store, &key, &run.run_id, to_json(&plan)?).await?,
                Err(fault) => self.store.get(&key).await?.ok_or(fault)?,
            },
        };
        let plan: Plan = parse(&key, &body)?;
        let planned = Planned {
            plan_sha256: sha256_hex(&body),
            deadline: run.started_at + Duration::from_secs(plan.timeout),
            waves: plan.waves,
            routes: plan.routes,
        };
        match to_json(&planned)?.len() {
            ..=MAX_PLANNED_BYTES => Ok(planned),
            bytes => {
                let cause = format!(
                    "their routes take {bytes} bytes (limit: {MAX_PLANNED_BYTES}); use fewer targets or fewer steps \
                     with different routes"
                );
                Err(Problems::one("steps", cause).into())
            }
        }
    }

    /// Copies what a batch has packed of the run, if it is the item of a batch. Answers that an earlier copy does not
    /// have are added to it.
    async fn copy_packed(&self, run: &Run) -> Result<(), Fault> {
        let places = self.ledger.places(&run.run_id).await?;
        if places.is_empty() {
            return Ok(());
        }
        packed::copy(&self.store, &places, run).await
    }

    /// Reads the request and the configuration, and makes the plan.
    async fn resolve(&self, config: &Config, run: &Run) -> Result<Plan, Fault> {
        let request: StoredRequest = objects::read(&self.store, &run.request_key()).await?;
        let source = Reader {
            store: &self.store,
            parameters: &self.parameters,
            bucket: &config.bucket,
            environment: &config.environment,
        };
        let configuration =
            self.documents.read(&source, self.clock.now(), &request.workflow).await?;
        let retries = config.retries;
        let sources = Sources { request: &request, configuration: &configuration, retries };
        Plan::resolve(&sources).map_err(Fault::from)
    }
}
