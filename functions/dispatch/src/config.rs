use bcce_aws::{StartError, optional_number, variable};
use bcce_core::base::error::Fault;

pub struct Config {
    pub environment: String,
    pub ledger_table: String,
    pub bucket: String,
    pub key_arn: String,
    pub workflow_arn: String,
    pub batch_arn: String,
    pub topic_arn: String,
    pub dead_letter_queue_url: String,
    /// Name of the default tenant's inbox; `<that>-<tenant>` is another tenant's.
    pub inbox_name: String,
    /// Runs that a tenant may have under way; 0 is no limit.
    pub tenant_maximum_runs: u32,
    /// Items at a time that the batches of a tenant may have together; 0 is no limit.
    pub tenant_maximum_batch_items: u32,
}

impl Config {
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

    /// Returns the tenant that sent a message. It follows from the queue that the message came through, never from its
    /// body.
    pub fn tenant_of<'a>(&self, queue_arn: &'a str) -> Result<&'a str, Fault> {
        let queue = queue_arn.rsplit(':').next().unwrap_or_default();
        match queue.strip_prefix(&self.inbox_name) {
            Some("") => Ok("default"),
            Some(rest) if rest.len() > 1 && rest.starts_with('-') => Ok(&rest[1..]),
            _ => Err(Fault::internal(format!("{queue} is not an inbox of this stack"))),
        }
    }
}
