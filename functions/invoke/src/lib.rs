//! One step: the stored answer if there is one, else the router's targets one after the other until
//! one answers, and the answer is stored.

mod call;
mod context;
mod grammars;
mod plans;
mod reports;
#[cfg(test)]
mod tests;
mod walk;

use std::collections::BTreeSet;
use std::time::Duration;

use bcce_aws::{StartError, optional_variable, variable};
use bcce_core::base::error::{ErrorName, Fault};
use bcce_core::base::limits::{MAX_MESSAGE_CHARS, MAX_STATE_MESSAGE_BYTES, cut, cut_bytes};
use bcce_core::call::attempt::{Attempt, Totals};
use bcce_core::failover::decision::{Decision, Next};
use bcce_core::io::objects::store_value_once;
use bcce_core::io::shared_breakers::SharedBreakers;
use bcce_core::io::shared_breakers::ledger_unreachable;
use bcce_core::ports::{CallModel, Clock, GetObject, PutOnce};
use bcce_core::run::artifact::{StepArtifact, StepFailure, StepRecord, StepStatus};
use bcce_core::run::ids::{Run, StepRef};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

pub use grammars::Grammars;
use plans::Plans;
use reports::Reports;
pub use reports::TakeReports;
use walk::{Walk, Walked};

pub struct Config {
    pub environment: String,
    pub ledger_table: String,
    pub bucket: String,
    pub key_arn: String,
    /// With an optional `{region}`; `None`: AWS's own.
    pub bedrock_endpoint: Option<String>,
}

impl Config {
    pub fn from_env() -> Result<Self, StartError> {
        Ok(Self {
            environment: variable("BCCE_ENVIRONMENT")?,
            ledger_table: variable("BCCE_LEDGER_TABLE")?,
            bucket: variable("BCCE_ARTIFACT_BUCKET")?,
            key_arn: variable("BCCE_ARTIFACT_KEY_ARN")?,
            bedrock_endpoint: optional_variable("AWS_ENDPOINT_URL_BEDROCK_RUNTIME"),
        })
    }
}

pub struct Ports<S, M, C, L, F> {
    pub store: S,
    pub model: M,
    pub clock: C,
    pub health: SharedBreakers<L>,
    pub plans: Plans,
    pub grammars: Grammars,
    /// Takes documents of metrics.
    pub metrics: F,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Request {
    pub run: Run,
    pub step: StepRef,
    pub plan_sha256: String,
    /// The run's.
    #[serde(with = "time::serde::rfc3339")]
    pub deadline: OffsetDateTime,
    /// The router's: targets, or that it is over.
    pub next: Next,
    pub attempts: Vec<Attempt>,
    pub decisions: Vec<Decision>,
    /// The time left before Lambda ends the function. It is not in the event: `main` sets it.
    #[serde(skip)]
    pub remaining: Duration,
}

#[derive(Debug, PartialEq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Response {
    Answered {
        status: StepStatus,
    },
    /// The list is used up, or the time: back to the router, with every attempt of the step.
    Exhausted {
        attempts: Vec<Attempt>,
    },
    Failed {
        status: StepStatus,
        error: Fault,
    },
}

/// # Errors
/// `Bcce.Internal`; how the models answered is a response.
pub async fn handle<S, M, C, L, F>(
    ports: &Ports<S, M, C, L, F>,
    config: &Config,
    request: Request,
) -> Result<Response, Fault>
where
    S: GetObject + PutOnce,
    M: CallModel,
    C: Clock,
    L: TakeReports,
    F: Fn(&str),
{
    let reports = Reports::default();
    // Boxed: the compiler lays out a future with all that it waits for, and does so only so deep.
    let response = reports.send_during(Box::pin(respond(ports, &reports, &request))).await;
    reports.finish().await;
    if let Some(cause) = ports.health.blindness() {
        let now = ports.clock.now();
        (ports.metrics)(&ledger_unreachable(&config.environment, "invoke", now, &cause));
    }
    response
}

async fn respond<'a, S, M, C, L, F>(
    ports: &'a Ports<S, M, C, L, F>,
    reports: &Reports<'a>,
    request: &Request,
) -> Result<Response, Fault>
where
    S: GetObject + PutOnce,
    M: CallModel,
    C: Clock,
    L: TakeReports,
{
    let key = request.run.step_key(&request.step.step, request.step.item);
    if ports.store.get(&key).await?.is_some() {
        return Ok(Response::Answered { status: StepStatus::Succeeded });
    }
    let walked = match &request.next {
        Next::Targets(targets) => {
            let plan = ports.plans.read(&ports.store, &request.run, &request.plan_sha256).await?;
            let walk = Walk::prepare(ports, reports, request, &plan).await?;
            match walk {
                Ok(mut walk) => walk.along(targets).await?,
                Err(fault) => Walked::Failed { attempts: request.attempts.clone(), error: fault },
            }
        }
        Next::Stop(name) => {
            Walked::Failed { attempts: request.attempts.clone(), error: stopped(*name, request) }
        }
        Next::WaitS(_) => {
            let message = "received a wait decision; the state machine must handle waits";
            return Err(Fault::internal(message));
        }
    };
    conclude(&ports.store, request, &key, walked).await
}

/// Pieces of advice in the error of a step.
const ADVISED: usize = 2;

/// Returns the error of a step that the router ended. The router's reasons and the advice name targets and limits,
/// nothing of the input. The message is bounded, since the failures of a whole wave travel through the state machine
/// together; every attempt is in the step's failure.
fn stopped(name: ErrorName, request: &Request) -> Fault {
    let because = request.decisions.last().map(Decision::describe);
    let errors: BTreeSet<&str> =
        request.attempts.iter().filter_map(|a| a.error).map(ErrorName::as_str).collect();
    let errors = errors.into_iter().collect::<Vec<_>>().join(", ");
    // Several targets often want the same.
    let advice: BTreeSet<&str> =
        request.attempts.iter().filter_map(|a| a.advice.as_deref()).collect();
    let advice: String =
        advice.into_iter().take(ADVISED).map(|a| format!("; to do: {a}")).collect();
    let because = cut(&because.unwrap_or_default(), MAX_MESSAGE_CHARS);
    let message = format!("after {} calls ({errors}): {because}{advice}", request.attempts.len());
    Fault::new(name, cut_bytes(&message, MAX_STATE_MESSAGE_BYTES))
}

/// Stores the answer or the failure of a step that is over.
async fn conclude(
    store: &(impl GetObject + PutOnce),
    request: &Request,
    key: &str,
    walked: Walked,
) -> Result<Response, Fault> {
    let (run, step) = (&request.run, &request.step);
    match walked {
        Walked::Answered { attempts, answer } => {
            let artifact = StepArtifact {
                record: step_record(request, attempts),
                output: answer.output,
                truncated: answer.truncated,
                stop_reason: answer.stop_reason,
                prompt_sha256: answer.prompt_sha256,
            };
            store_value_once(store, key, &run.run_id, artifact).await?;
            Ok(Response::Answered { status: StepStatus::Succeeded })
        }
        Walked::Exhausted { attempts } => Ok(Response::Exhausted { attempts }),
        Walked::Failed { attempts, error } => {
            let status = StepStatus::of_error(error.name);
            let failure = StepFailure { record: step_record(request, attempts), status, error };
            let key = run.failure_key(&step.step, step.item);
            let failure = store_value_once(store, &key, &run.run_id, failure).await?;
            let (run_id, step_id, error) = (&run.run_id, &step.step, failure.error.name.as_str());
            tracing::warn!(run_id, step_id, error, "the step failed: {}", failure.error.message);
            Ok(Response::Failed { status: failure.status, error: short(failure.error) })
        }
    }
}

/// Shortens an error. The failures of 200 items travel through the state machine together, and its state ends at
/// 256 KiB. The whole message is in the step's failure.
fn short(error: Fault) -> Fault {
    Fault { message: cut_bytes(&error.message, MAX_STATE_MESSAGE_BYTES), ..error }
}

fn step_record(request: &Request, attempts: Vec<Attempt>) -> StepRecord {
    StepRecord {
        version: 1,
        run_id: request.run.run_id.clone(),
        attempt_no: request.run.attempt_no,
        step_id: request.step.step.clone(),
        item: request.step.item,
        decisions: request.decisions.clone(),
        totals: Totals::of(&attempts),
        attempts,
    }
}
