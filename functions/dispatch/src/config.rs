//! Reads the settings of the function, and derives a message's tenant from them.

use bcce_aws::{StartError, optional_number, variable};
use bcce_core::base::error::Fault;

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
    /// The ARN of the workflow machine (`BCCE_WORKFLOW_ARN`).
    pub workflow_arn: String,
    /// The ARN of the batch machine (`BCCE_BATCH_ARN`).
    pub batch_arn: String,
    /// The ARN of the notifications topic (`BCCE_TOPIC_ARN`).
    pub topic_arn: String,
    /// The URL of the dead-letter queue (`BCCE_DEAD_LETTER_QUEUE_URL`).
    pub dead_letter_queue_url: String,
    /// The name of the default tenant's inbox (`BCCE_INBOX_NAME`). The inbox of another tenant is `<this
    /// name>-<tenant>`.
    pub inbox_name: String,
    /// The most runs that a tenant may have under way; 0 means no limit (`BCCE_TENANT_MAXIMUM_RUNS`).
    pub tenant_maximum_runs: u32,
    /// The most items that a tenant's batches may run at a time, all together; 0 means no limit
    /// (`BCCE_TENANT_MAXIMUM_BATCH_ITEMS`).
    pub tenant_maximum_batch_items: u32,
}

impl Config {
    /// Reads the settings from the environment.
    ///
    /// # Errors
    /// A [`StartError`] that names the variable that is missing or is not a whole number.
    pub fn from_env() -> Result<Self, StartError> {
        Ok(Self {
            environment: variable("BCCE_ENVIRONMENT")?,
            ledger_table: variable("BCCE_LEDGER_TABLE")?,
            bucket: variable("BCCE_ARTIFACT_BUCKET")?,
            key_arn: variable("BCCE_ARTIFACT_KEY_ARN")?,
            workflow_arn: variable("BCCE_WORKFLOW_ARN")?,
            batch_arn: variable("BCCE_BATCH_ARN")?,
            topic_arn: variable("BCCE_TOPIC_ARN")?,
            dead_letter_queue_url: variable("BCCE_DEAD_LETTER_QUEUE_URL")?,
            inbox_name: variable("BCCE_INBOX_NAME")?,
            tenant_maximum_runs: optional_number("BCCE_TENANT_MAXIMUM_RUNS")?.unwrap_or_default(),
            tenant_maximum_batch_items: optional_number("BCCE_TENANT_MAXIMUM_BATCH_ITEMS")?
                .unwrap_or_default(),
        })
    }

    /// Returns the tenant that sent a message. The queue that the message came through decides it, never the body.
    ///
    /// # Errors
    /// `Bcce.Internal`: the queue is not an inbox of this stack.
    pub fn tenant_of<'a>(&self, queue_arn: &'a str) -> Result<&'a str, Fault> {
        let queue = queue_arn.rsplit(':').next().unwrap_or_default();
        match queue.strip_prefix(&self.inbox_name) {
            Some("") => Ok("default"),
            Some(rest) if rest.len() > 1 && rest.starts_with('-') => Ok(&rest[1..]),
            _ => Err(Fault::internal(format!("{queue} is not an inbox of this stack"))),
        }
    }
}
