//! Request -> plan: everything is resolved, checked and frozen before the first call, and a request
//! that may not run never reaches a model.

mod documents;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use bcce_aws::{StartError, optional_number, variable};
use bcce_core::base::digest::sha256_hex;
use bcce_core::base::error::{ErrorName, Fault, Problems};
use bcce_core::base::json::{parse, to_json};
use bcce_core::config::routing::Retries;
use bcce_core::failover::route::Route;
use bcce_core::io::objects::{self, store_once};
use bcce_core::io::reader::Reader;
use bcce_core::ledger::OpenedRun;
use bcce_core::ports::{Clock, GetObject, GetParameters, OpenRun, Opened, PutOnce};
use bcce_core::run::ids::Run;
use bcce_core::run::plan::{Plan, Sources, Wave};
use bcce_core::run::request::StoredRequest;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

pub use documents::Documents;

pub struct Config {
    pub environment: String,
    pub bucket: String,
    pub key_arn: String,
    pub ledger_table: String,
    /// What stands in the place of the routing document's.
    pub retries: Retries,
}

impl Config {
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

pub struct Ports<S, P, L, C> {
    pub store: S,
    pub parameters: P,
    pub ledger: L,
    pub clock: C,
    pub documents: Documents,
}

#[derive(Debug, Deserialize)]
pub struct Request {
    pub run: Run,
}

/// Step Functions ends an execution whose state is above 256 KiB, and nothing can catch that.
const MAX_PLANNED_BYTES: usize = 200_000;

/// What the state machine needs of the plan: references and routes, no bodies.
#[derive(Debug, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Response {
    Planned(Box<Planned>),
    Refused { error: Fault },
}

#[derive(Debug, Serialize)]
pub struct Planned {
    /// Digest of `plan.json`.
    pub plan_sha256: String,
    /// Of this execution.
    #[serde(with = "time::serde::rfc3339")]
    pub deadline: OffsetDateTime,
    pub waves: Vec<Wave>,
    pub routes: BTreeMap<String, Route>,
}

/// # Errors
/// `Bcce.Internal`. What is wrong with the request is a response.
pub async fn handle<S, P, L, C>(
    ports: &Ports<S, P, L, C>,
    config: &Config,
    request: Request,
) -> Result<Response, Fault>
where
    S: GetObject + PutOnce,
    P: GetParameters,
    L: OpenRun,
    C: Clock,
{
    let run = request.run;
    // First, so that a run that is refused can be followed too.
    if ports.ledger.open(&OpenedRun { run: run.clone() }).await? == Opened::Over {
        let message = "id: its run is over and counted; its manifest has the outcome";
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
    S: GetObject + PutOnce,
    P: GetParameters,
    C: Clock,
{
    async fn plan(&self, config: &Config, run: &Run) -> Result<Planned, Fault> {
        let key = run.plan_key();
        // A retry of the run goes by the plan that its first attempt made.
        let body = match self.store.get(&key).await? {
            Some(body) => body,
            None => {
                let plan = self.resolve(config, run).await?;
                store_once(&self.store, &key, &run.run_id, to_json(&plan)?).await?
            }
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
                let cause =
                    format!("their routes take {bytes} bytes, the most is {MAX_PLANNED_BYTES}");
                Err(Problems::one("steps", cause).into())
            }
        }
    }

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
