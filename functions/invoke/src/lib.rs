//! Executes a step: calls the router's targets in order until one answers, and stores the answer. If the answer is
//! stored already, the function returns without a call.
//!
//! The state `Invoke` of the workflow machine invokes [`handle`]. It returns whether the step is answered, has used up
//! the list of targets, or has failed. The function must never call a target that is not on the router's list, take a
//! cut stream for an answer, or make a call for a step whose answer is stored.

mod call; // one call and its attempt
mod context; // the values that a prompt is rendered with
mod grammars; // schemas that the service has compiled or refused
mod plans; // the plan of the run
mod reports; // what calls report to the ledger
#[cfg(test)]
mod tests;
mod walk; // the targets in order

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

/// The settings of the function, from its environment variables.
pub struct Config {
    /// The name of the environment, such as `dev` (`BCCE_ENVIRONMENT`).
    pub environment: String,
    /// The name of the ledger's DynamoDB table (`BCCE_LEDGER_TABLE`).
    pub ledger_table: String,
    /// The name of the artifact bucket (`BCCE_ARTIFACT_BUCKET`).
    pub bucket: String,
    /// The ARN of the KMS key that encrypts the objects of the bucket (`BCCE_ARTIFACT_KEY_ARN`).
    pub key_arn: String,
    /// The URL of the Bedrock endpoint, in which `{region}` stands for the region of the target
    /// (`AWS_ENDPOINT_URL_BEDROCK_RUNTIME`). `None` means the endpoint of AWS.
    pub bedrock_endpoint: Option<String>,
}

impl Config {
    /// Reads the settings from the environment.
    ///
    /// # Errors
    /// A [`StartError`] that names the variable that is missing.
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

/// The services that [`handle`] uses, and the caches that it keeps between invocations.
pub struct Ports<S, M, C, L, F> {
    pub store: S,
    pub model: M,
    pub clock: C,
    pub health: SharedBreakers<L>,
    pub plans: Plans,
    pub grammars: Grammars,
    /// Writes a metrics document to the function's log.
    pub metrics: F,
}

/// A step to execute, with the router's decision.
#[derive(Clone, Debug, Deserialize)]
pub struct Request {
    pub run: Run,
    pub step: StepRef,
    /// The SHA-256 of `plan.json`, in lower-case hex.
    pub plan_sha256: String,
    /// The time by which the run has to end.
    #[serde(with = "time::serde::rfc3339")]
    pub deadline: OffsetDateTime,
    /// The router's decision: targets to call, or to stop.
    pub next: Next,
    /// All attempts of the step so far.
    pub attempts: Vec<Attempt>,
    /// All decisions about the step so far.
    pub decisions: Vec<Decision>,
    /// The time left before Lambda ends the function. It is not in the event: `main` sets it.
    #[serde(skip)]
    pub remaining: Duration,
}

/// The outcome of a step.
#[derive(Debug, PartialEq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Response {
    /// The answer is stored.
    Answered { status: StepStatus },
    /// The list of targets or the time is used up. The router decides again, given every attempt of the step.
    Exhausted { attempts: Vec<Attempt> },
    /// The step is over without an answer, and its failure is stored.
    Failed { status: StepStatus, error: Fault },
}

/// Executes a step, and reports its calls to the ledger.
///
/// # Errors
/// `Bcce.Internal`: S3 failed, the plan is not the one of the request, or a fault that no other target can correct. An
/// answer, or the lack of one, is a response.
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
    // Boxed, because nested futures exceed the compiler's limit on type depth.
    let response = reports.send_during(Box::pin(respond(ports, &reports, &request))).await;
    reports.finish().await;
    if let Some(cause) = ports.health.blindness() {
        let now = ports.clock.now();
        (ports.metrics)(&ledger_unreachable(&config.environment, "invoke", now, &cause));
    }
    response
}

/// Executes a step unless its answer is stored.
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

/// The most pieces of advice in the error of a step.
const ADVISED: usize = 2;

/// Returns the error of a step that the router stopped. The message has the router's reasons and the advice, which name
/// targets and limits and quote no input. It is cut, since the failures of a whole wave are in the state of the
/// execution together. The step's failure has every attempt.
fn stopped(name: ErrorName, request: &Request) -> Fault {
    let because = request.decisions.last().map(Decision::describe);
    let errors: BTreeSet<&str> =
        request.attempts.iter().filter_map(|a| a.error).map(ErrorName::as_str).collect();
    let errors = errors.into_iter().collect::<Vec<_>>().join(", ");
    // Several targets often have the same advice.
    let advice: BTreeSet<&str> =
        request.attempts.iter().filter_map(|a| a.advice.as_deref()).collect();
    let advice: String =
        advice.into_iter().take(ADVISED).map(|a| format!("; to do: {a}")).collect();
    let because = cut(&because.unwrap_or_default(), MAX_MESSAGE_CHARS);
    let message = format!("after {} calls ({errors}): {because}{advice}", request.attempts.len());
    Fault::new(name, cut_bytes(&message, MAX_STATE_MESSAGE_BYTES))
}

/// Stores the answer or the failure of a step that is over. The first writer wins.
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

/// Cuts the message of an error. The failures of 200 items are in the state of the execution together, which may have
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
