//! Watches every target of every alias, so that a dead standby is known before it is needed. Reads what Bedrock says about
//! a target, calls each target once a day with `max_tokens: 1`, and reports what a person has to correct.
//!
//! A schedule invokes [`handle`] every hour, and `bcce doctor --live` invokes it to call all targets at once. The function
//! must never call a target that the policy forbids or whose breaker is open, and must not report a finding twice while it
//! lasts. Its calls are counted in the ledger under a workflow of their own. They are not paid by a budget.

mod calls; // the canary calls
mod profiles; // the descriptions of profiles in the stack
mod questions; // the time limits of the questions to Bedrock
mod reports; // the message and the metric
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bcce_aws::{StartError, optional_variable, variable};
use bcce_core::base::error::Fault;
use bcce_core::io::reader::Reader;
use bcce_core::io::standby::ReadFacts;
use bcce_core::ports::{
    CallModel, CheckGuardrail, ClaimCanaryCall, Clock, DescribeModel, DescribeProfile, GetObject,
    GetParameters, PublishStandbyAlert, PutDocument, PutParameter, ReadAccess, ReadBreakers,
    ReadDataRetention, ReadLastCalls, ReadQuotas, ReadReportedFindings, RecordCanaryCall,
    WriteReportedFindings,
};
use bcce_core::standby::checks::watched;
use bcce_core::standby::finding::Finding;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use calls::Called;

/// The part of the remaining time that the questions may take. The calls, their records and the report need the rest.
const FOR_QUESTIONS: u32 = 3;

/// The settings of the function, from its environment variables.
pub struct Config {
    /// The name of the environment, such as `dev` (`BCCE_ENVIRONMENT`).
    pub environment: String,
    /// The name of the artifact bucket (`BCCE_ARTIFACT_BUCKET`).
    pub bucket: String,
    /// The ARN of the key that encrypts its objects (`BCCE_ARTIFACT_KEY_ARN`).
    pub key_arn: String,
    /// The name of the ledger's DynamoDB table (`BCCE_LEDGER_TABLE`).
    pub ledger_table: String,
    /// The ARN of the notifications topic (`BCCE_TOPIC_ARN`).
    pub topic_arn: String,
    /// The endpoint that replaces those of Bedrock and of Service Quotas; `{region}` in it stands for the region of the
    /// call (`AWS_ENDPOINT_URL_BEDROCK_RUNTIME`).
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
            bucket: variable("BCCE_ARTIFACT_BUCKET")?,
            key_arn: variable("BCCE_ARTIFACT_KEY_ARN")?,
            ledger_table: variable("BCCE_LEDGER_TABLE")?,
            topic_arn: variable("BCCE_TOPIC_ARN")?,
            bedrock_endpoint: optional_variable("AWS_ENDPOINT_URL_BEDROCK_RUNTIME"),
        })
    }
}

/// The services that [`handle`] uses.
pub struct Ports<S, P, L, H, M, B, Q, T, C, F> {
    pub store: S,
    pub parameters: P,
    pub ledger: L,
    /// The breakers of the ledger.
    pub health: H,
    pub model: M,
    /// Bedrock's control plane.
    pub control: B,
    pub quotas: Q,
    pub topic: T,
    pub clock: C,
    /// Writes a metrics document to the function's log.
    pub metrics: F,
}

impl<S, P, L, H, M, B, Q, T, C, F> Ports<S, P, L, H, M, B, Q, T, C, F> {
    /// Returns the reader of the stack's documents.
    fn reader<'a>(&'a self, config: &'a Config) -> Reader<'a, S, P> {
        let (store, parameters) = (&self.store, &self.parameters);
        Reader { store, parameters, bucket: &config.bucket, environment: &config.environment }
    }
}

/// The event of the schedule, of which nothing is used, or that of `bcce doctor --live`.
#[derive(Debug, Default, Deserialize)]
pub struct Request {
    /// True if all targets are called now, although they were called within the last day.
    #[serde(default)]
    pub live: bool,
    /// The time that is left to the function.
    #[serde(skip)]
    pub remaining: Duration,
}

/// What was found.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct Response {
    /// The number of targets of all aliases.
    pub targets: usize,
    /// The number of calls that were made.
    pub called: usize,
    /// The targets that were not called because the policy forbids them or their breakers are open.
    pub skipped: Vec<String>,
    /// The targets that were called and did not answer, each with the cause. One call is no finding by itself.
    pub unanswered: Vec<String>,
    /// What a person has to correct, also if it was reported before.
    pub findings: Vec<Finding>,
    /// The questions that Bedrock did not answer.
    pub unread: Vec<String>,
}

/// Watches all targets. Safe to repeat.
///
/// # Errors
/// `Bcce.Internal`: a document is missing or invalid, or SSM, S3, the ledger, SNS or a question to Bedrock failed. What can
/// be found without it is reported before.
pub async fn handle<S, P, L, H, M, B, Q, T, C, F>(
    ports: &Ports<S, P, L, H, M, B, Q, T, C, F>,
    config: &Config,
    request: Request,
) -> Result<Response, Fault>
where
    S: GetObject + PutDocument,
    P: GetParameters + PutParameter,
    L: ReadLastCalls
        + ClaimCanaryCall
        + RecordCanaryCall
        + ReadReportedFindings
        + WriteReportedFindings,
    H: ReadBreakers,
    M: CallModel,
    B: DescribeModel + ReadAccess + DescribeProfile + CheckGuardrail + ReadDataRetention,
    Q: ReadQuotas,
    T: PublishStandbyAlert,
    C: Clock,
    F: Fn(&str),
{
    let until = ports.clock.now() + request.remaining;
    let answers_until = Instant::now() + request.remaining / FOR_QUESTIONS;
    let documents = ports.reader(config).targets().await?;
    let targets = watched(&documents.models);
    let ReadFacts { facts, unread } = ports.ask(&targets, &documents, answers_until).await;
    let max_tokens = BTreeMap::new();
    let mut findings = documents.rules(&max_tokens, ports.clock.now()).findings(&targets, &facts);
    let profiles = profiles::renewed(&documents.profiles, &facts);
    let stored = profiles::store(ports, config, &facts).await;
    let called = ports.call_due(&targets, &documents, &profiles, request.live, until).await;
    findings.extend(called.iter().flat_map(|called| called.findings.clone()));
    ports.report(config, &findings, unread.is_empty() && called.is_ok()).await?;
    let Called { called, skipped, unanswered, .. } = called?;
    stored?;
    // `bcce doctor --live` shows the other results, too.
    if !request.live {
        all_answered(&unread)?;
    }
    let (targets, unread) = (targets.len(), unread.into_iter().collect());
    Ok(Response { targets, called, skipped, unanswered, findings, unread })
}

/// # Errors
/// `Bcce.Internal`: a question was not answered, so that Lambda and the alarm know that not everything was watched.
fn all_answered(unread: &BTreeSet<String>) -> Result<(), Fault> {
    let Some(first) = unread.first() else { return Ok(()) };
    let more = unread.len() - 1;
    Err(Fault::internal(format!("{first} (and {more} more questions to Bedrock)")))
}
