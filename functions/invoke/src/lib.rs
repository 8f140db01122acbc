//! Executes a step: calls the router's targets in order until one answers, and stores the answer. If the answer is
//! stored already, the function returns without a call.
//!
//! The state `Invoke` of the workflow machine invokes [`handle`]. It returns whether the step is answered, has used up
//! the list of targets, or has failed. The function must never call a target that is not on the router's list, take a
//! cut stream for an answer, or make a call for a step whose answer is stored.

mod admission; // the call log
mod context; // the values that a prompt is rendered with
mod plans; // the plan of the run
#[cfg(test)]
mod tests;

use std::time::Duration;

use bcce_aws::{StartError, optional_variable, variable};
use bcce_core::base::error::Fault;
use bcce_core::base::target::Target;
use bcce_core::call::attempt::Attempt;
use bcce_core::failover::decision::{Decision, Next};
use bcce_core::io::objects::store_value_once;
use bcce_core::io::responses::{ResponseKeys, execute_unless_cached};
use bcce_core::io::step::{Caller, DecidedStep, Reports, StepWork, TakeReports, Walked, short};
use bcce_core::ports::{BudgetLedger, CallModel, Clock, GetObject, LogCall, PutOnce};
use bcce_core::run::artifact::{StepArtifact, StepStatus};
use bcce_core::run::ids::{Run, StepRef};
use bcce_core::run::plan::Plan;
use futures::future::join;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use admission::LogCalls;
use plans::Plans;

/// The time of the function that is reserved for storing the answer. An operation on S3 may take 25 s with the client's
/// retries, and there may be two, if the answer of another writer has to be read.
const MARGIN: Duration = Duration::from_secs(60);

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
    pub caller: Caller<M, C, L>,
    pub plans: Plans,
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

impl Request {
    fn decided(&self) -> DecidedStep<'_> {
        DecidedStep { run: &self.run, reference: &self.step, decisions: &self.decisions }
    }
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
    L: TakeReports + LogCall + BudgetLedger,
    F: Fn(&str),
{
    let reports = Reports::default();
    // Boxed, because nested futures exceed the compiler's limit on type depth.
    let response = reports.send_during(Box::pin(respond(ports, &reports, &request))).await;
    reports.finish().await;
    let documents =
        ports.caller.health.metrics(&config.environment, "invoke", ports.caller.clock.now());
    documents.iter().for_each(|document| (ports.metrics)(document));
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
    L: TakeReports + LogCall + BudgetLedger,
{
    let key = request.run.step_key(&request.step.step, request.step.item);
    // Both are read at the same time, because the answer is seldom stored already.
    let plan = async {
        let plan = ports.plans.read(&ports.store, &request.run, &request.plan_sha256);
        match request.next {
            Next::Targets(_) => Some(plan.await),
            _ => None,
        }
    };
    let (stored, plan) = join(ports.store.get(&key), plan).await;
    if stored?.is_some() {
        return Ok(Response::Answered { status: StepStatus::Succeeded });
    }
    let (walked, keys) = match (&request.next, plan.transpose()?) {
        (Next::Targets(targets), Some(plan)) => {
            walk(ports, reports, request, &plan, targets).await?
        }
        (Next::Stop(name), _) => {
            let attempts = request.attempts.clone();
            let error = request.decided().stopped(*name, &attempts);
            (Walked::Failed { attempts, error }, None)
        }
        _ => {
            let message = "received a wait decision; the state machine must handle waits";
            return Err(Fault::internal(message));
        }
    };
    let (response, artifact) = conclude(&ports.store, request, &key, walked).await?;
    if let (Some(keys), Some(artifact)) = (keys, artifact) {
        enter(ports, reports, request, &keys, &artifact);
    }
    Ok(response)
}

/// Enters an answer that is stored in the response cache.
fn enter<'a, S, M, C: Clock, L: TakeReports, F>(
    ports: &'a Ports<S, M, C, L, F>,
    reports: &Reports<'a>,
    request: &Request,
    keys: &ResponseKeys,
    artifact: &StepArtifact,
) {
    let Caller { health, clock, .. } = &ports.caller;
    if let Some(entry) = keys.entry(&request.run, artifact) {
        reports.add(entry.enter(health.ledger(), None, clock.now()));
    }
}

/// Calls the targets of the router's list, unless the step uses the response cache and that has its answer.
async fn walk<'a, S, M, C, L, F>(
    ports: &'a Ports<S, M, C, L, F>,
    reports: &Reports<'a>,
    request: &Request,
    plan: &Plan,
    targets: &[Target],
) -> Result<(Walked, Option<ResponseKeys>), Fault>
where
    S: GetObject,
    M: CallModel,
    C: Clock,
    L: TakeReports + LogCall + BudgetLedger,
{
    let (caller, id) = (&ports.caller, &request.step.step);
    let step =
        plan.step(id).ok_or_else(|| Fault::internal(format!("the plan has no step {id}")))?;
    let context = context::of(&ports.store, request, plan, step).await?;
    let work = StepWork {
        decided: request.decided(),
        plan,
        step,
        context: &context,
        deadline: request.deadline,
        until: caller.clock.now() + request.remaining.saturating_sub(MARGIN),
        attempts: request.attempts.clone(),
    };
    let admission = LogCalls::new(caller, reports);
    execute_unless_cached(caller, &ports.store, reports, &admission, work, targets).await
}

/// Stores the answer or the failure of a step that is over. The first writer wins. Returns the stored answer as well.
async fn conclude(
    store: &(impl GetObject + PutOnce),
    request: &Request,
    key: &str,
    walked: Walked,
) -> Result<(Response, Option<StepArtifact>), Fault> {
    let (run, step, decided) = (&request.run, &request.step, request.decided());
    match walked {
        Walked::Answered { attempts, answer } => {
            let artifact = decided.artifact(attempts, answer);
            let artifact = store_value_once(store, key, &run.run_id, artifact).await?;
            Ok((Response::Answered { status: StepStatus::Succeeded }, Some(artifact)))
        }
        Walked::Exhausted { attempts } | Walked::Interrupted { attempts } => {
            Ok((Response::Exhausted { attempts }, None))
        }
        Walked::Failed { attempts, error } => {
            let failure = decided.failure(attempts, error);
            let key = run.failure_key(&step.step, step.item);
            let failure = store_value_once(store, &key, &run.run_id, failure).await?;
            let (run_id, step_id, error) = (&run.run_id, &step.step, failure.error.name.as_str());
            tracing::warn!(run_id, step_id, error, "the step failed: {}", failure.error.message);
            Ok((Response::Failed { status: failure.status, error: short(failure.error) }, None))
        }
    }
}
