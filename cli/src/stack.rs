//! Finds the resources of a deployed stack through the SSM parameter that names them.

use std::borrow::Cow;

use bcce_aws::SdkConfig;
use bcce_aws::dynamodb::Ledger;
use bcce_aws::kms::SigningKey;
use bcce_aws::lambda::Inboxes;
use bcce_aws::logs::LogGroups;
use bcce_aws::s3::{S3Store, Sources};
use bcce_aws::sfn::StateMachine;
use bcce_aws::sqs::Queues;
use bcce_aws::sqs::letters::DeadLetterQueue;
use bcce_aws::ssm::Parameters;
use bcce_core::base::error::Fault;
use bcce_core::batch::{BatchRef, BatchStatus};
use bcce_core::config::documents::parameter_name;
use bcce_core::io::writer::write_document;
use bcce_core::ledger::BatchRecord;
use bcce_core::ports::{GetParameters, ListParameters};
use serde::Deserialize;

use crate::exit::{Failure, Outcome};
use crate::references::{batch_reference, first_batch};
use crate::world::World;

/// The outputs of the stack by name, as the SSM parameter `/bcce/<env>/stack` holds them.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Outputs {
    /// The name of the CloudFormation stack.
    #[serde(default)]
    pub stack: String,
    /// The version of the template. `None` for a stack that is older than this field.
    #[serde(default)]
    pub version: Option<String>,
    pub inbox_queue_url: String,
    pub dead_letter_queue_url: String,
    pub dispatch_function: String,
    pub workflow_arn: String,
    pub finalize_arn: String,
    pub batch_arn: String,
    pub artifact_bucket: String,
    pub artifact_key_arn: String,
    pub signing_key_arn: String,
    pub notifications_topic_arn: String,
    pub ledger_table: String,
    /// The URL of the Bedrock endpoint. If it is empty, the AWS endpoint is used.
    #[serde(default)]
    pub bedrock_endpoint_url: Option<String>,
}

/// A deployed stack, with a client for each of its resources.
pub struct Stack {
    pub environment: String,
    pub outputs: Outputs,
    pub parameters: Parameters,
    pub store: S3Store,
    /// The objects of any bucket, read with the permissions of the caller.
    pub sources: Sources,
    pub ledger: Ledger,
    pub machine: StateMachine,
    pub finalize_machine: StateMachine,
    pub batch_machine: StateMachine,
    pub inboxes: Inboxes,
    pub dead_letters: DeadLetterQueue,
    pub queues: Queues,
    pub signing_key: SigningKey,
    pub logs: LogGroups,
}

impl Stack {
    /// Finds the stack of the environment.
    ///
    /// # Errors
    /// The SSM parameter does not exist or has no valid content, or AWS cannot be reached.
    pub async fn find(world: &World) -> Outcome<Self> {
        Self::with(&world.environment, &world.sdk_config().await?).await
    }

    /// Finds the stack of an environment with the given configuration of clients.
    ///
    /// # Errors
    /// As [`Self::find`].
    pub async fn with(environment: &str, config: &SdkConfig) -> Outcome<Self> {
        let parameters = Parameters::new(config);
        let name = parameter_name(environment, "stack");
        let mut found = parameters.parameters(std::slice::from_ref(&name)).await?;
        let value = found.remove(&name).ok_or_else(|| missing(&name, config))?.value;
        let outputs: Outputs = serde_json::from_str(&value).map_err(|error| {
            let what = format!("the SSM parameter {name} has invalid content: {error}");
            Failure::unreachable(
                what,
                "deploy the stack again: `make up` locally, `make deploy` on AWS",
            )
        })?;
        Ok(Self {
            environment: environment.to_owned(),
            store: S3Store::new(config, &outputs.artifact_bucket, Some(&outputs.artifact_key_arn)),
            sources: Sources::new(config),
            ledger: Ledger::new(config, &outputs.ledger_table),
            machine: StateMachine::new(config, &outputs.workflow_arn),
            finalize_machine: StateMachine::new(config, &outputs.finalize_arn),
            batch_machine: StateMachine::new(config, &outputs.batch_arn),
            inboxes: Inboxes::new(config, &outputs.dispatch_function),
            dead_letters: DeadLetterQueue::new(config, &outputs.dead_letter_queue_url),
            queues: Queues::new(config),
            signing_key: SigningKey::new(config, &outputs.signing_key_arn),
            logs: LogGroups::new(config),
            parameters,
            outputs,
        })
    }

    /// Returns the region of the stack, which is the fourth part of each ARN.
    pub fn region(&self) -> &str {
        self.outputs.workflow_arn.split(':').nth(3).unwrap_or_default()
    }

    /// Writes a document of the configuration.
    ///
    /// # Errors
    /// `Bcce.Internal`: the bucket or SSM cannot be reached.
    pub async fn write_document(&self, name: &str, text: &str) -> Result<(), Fault> {
        let place = (self.outputs.artifact_bucket.as_str(), self.environment.as_str());
        write_document(&self.store, &self.parameters, place, name, text).await
    }

    /// Returns a command line for this stack, with `--env` unless the environment is the default.
    pub fn command(&self, rest: &str) -> String {
        command_of(&self.environment, rest)
    }

    /// Returns the names of the workflows.
    ///
    /// # Errors
    /// `Bcce.Internal`: SSM cannot be called.
    pub async fn workflows(&self) -> Result<Vec<String>, Fault> {
        let found = self.parameters.below(&parameter_name(&self.environment, "workflows")).await?;
        let names = found.keys().filter_map(|name| name.rsplit('/').next());
        Ok(names.map(str::to_owned).collect())
    }

    /// Returns the records of the attempts of a batch, oldest first and at least one.
    ///
    /// # Errors
    /// The batch does not exist, or the ledger cannot be read.
    pub async fn batch_records(&self, batch_id: &str) -> Outcome<Vec<BatchRecord>> {
        let records = self.ledger.batch_attempts(batch_id).await?;
        if records.is_empty() {
            return Err(unknown_batch(&self.environment, batch_id));
        }
        Ok(records)
    }

    /// Returns the latest attempt of a batch with its record. An attempt that is being opened has no record yet.
    pub async fn latest_batch(&self, batch_id: &str) -> Outcome<(BatchRef, Option<BatchRecord>)> {
        let Some(record) = self.ledger.batch_attempts(batch_id).await?.pop() else {
            let opening = first_batch(batch_id);
            let status = self.batch_machine.status(&opening.execution_name()).await?;
            let none = unknown_batch(&self.environment, batch_id);
            return status.map(|_| (opening, None)).ok_or(none);
        };
        let batch = batch_reference(&record);
        let may_have_next = !matches!(record.status, BatchStatus::Running | BatchStatus::Succeeded);
        if let Some(next) = batch.retry().filter(|_| may_have_next)
            && self.batch_machine.status(&next.execution_name()).await?.is_some()
        {
            return Ok((next, None));
        }
        Ok((batch, Some(record)))
    }
}

/// Returns a command line for an environment, with `--env` unless it is the default.
pub fn command_of(environment: &str, rest: &str) -> String {
    match environment {
        "dev" => format!("bcce {rest}"),
        other => format!("bcce --env {other} {rest}"),
    }
}

/// Returns an argument as a shell reads it: `a.html` as it is, and others in quotes, such as `'my file.html'`.
pub fn quoted(argument: &str) -> String {
    // Only a text with a NUL cannot be quoted, and no argument has one.
    shlex::try_quote(argument).map_or_else(|_| argument.to_owned(), Cow::into_owned)
}

/// Returns the failure for a run or a batch that does not exist. `group` is its group of commands, such as `runs`.
pub fn unknown(environment: &str, noun: &str, group: &str, id: &str) -> Failure {
    let items = if noun == "run" { ", `bcce batch results` those of a batch" } else { "" };
    Failure::usage(
        format!("there is no {noun} {id} in {environment}"),
        format!(
            "`bcce {group} list` shows the existing ones, including a new one within seconds{items}; --env and AWS_PROFILE \
             select the stack"
        ),
    )
}

fn unknown_batch(environment: &str, batch_id: &str) -> Failure {
    unknown(environment, "batch", "batch", batch_id)
}

fn missing(name: &str, config: &SdkConfig) -> Failure {
    let region = config.region().map(ToString::to_string).unwrap_or_default();
    Failure::unreachable(
        format!("there is no SSM parameter {name} in {region}"),
        "check that the stack is deployed in this account and region; `make up` starts one locally; --env selects another",
    )
}
