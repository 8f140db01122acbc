//! Parses and validates the request that starts a job.

use serde::Deserialize;
use serde_json::{Value, json};

/// A CreateModelInvocationJob request.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Order {
    pub job_name: String,
    #[serde(rename = "clientRequestToken")]
    pub token: Option<String>,
    pub role_arn: String,
    pub model_id: String,
    #[serde(default)]
    model_invocation_type: Option<String>,
    input_data_config: Input,
    output_data_config: Output,
    timeout_duration_in_hours: Option<u64>,
    #[serde(default)]
    tags: Vec<Tag>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Input {
    s3_input_data_config: S3Input,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct S3Input {
    s3_uri: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Output {
    s3_output_data_config: S3Output,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct S3Output {
    s3_uri: String,
    s3_encryption_key_id: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Tag {
    key: String,
    value: String,
}

impl Order {
    /// Parses the body of a request.
    ///
    /// # Errors
    /// A sentence for the caller.
    pub fn parse(body: &[u8]) -> Result<Self, String> {
        let order: Self = serde_json::from_slice(body).map_err(|error| {
            format!("The body is not a CreateModelInvocationJob request: {error}")
        })?;
        order.fault().map_or(Ok(order), |field| {
            Err(format!(
                "1 validation error detected: Value at '{field}' failed to satisfy constraint"
            ))
        })
    }

    pub fn input(&self) -> &str {
        &self.input_data_config.s3_input_data_config.s3_uri
    }

    pub fn output(&self) -> &str {
        &self.output_data_config.s3_output_data_config.s3_uri
    }

    pub fn key(&self) -> Option<&str> {
        self.output_data_config.s3_output_data_config.s3_encryption_key_id.as_deref()
    }

    /// Returns the fields that the service includes in the description of a job.
    pub fn to_json(&self) -> Value {
        json!({
            "jobName": self.job_name,
            "clientRequestToken": self.token,
            "roleArn": self.role_arn,
            "modelId": self.model_id,
            "modelInvocationType": self.model_invocation_type,
            "timeoutDurationInHours": self.timeout_duration_in_hours,
            "inputDataConfig": { "s3InputDataConfig": { "s3Uri": self.input() } },
            "outputDataConfig": { "s3OutputDataConfig": {
                "s3Uri": self.output(), "s3EncryptionKeyId": self.key() } },
        })
    }

    /// Returns the first field that violates a pattern or bound of the service.
    fn fault(&self) -> Option<&'static str> {
        let hours = self.timeout_duration_in_hours.is_none_or(|hours| (24..=168).contains(&hours));
        let tag = |text: &str, most: usize| {
            let sign = |c: char| c.is_ascii_whitespace() || "._:/=+@-".contains(c);
            text.len() <= most && text.chars().all(|c| c.is_ascii_alphanumeric() || sign(c))
        };
        let fits = [
            (name(&self.job_name, 63, "+-."), "jobName"),
            (self.token.as_ref().is_none_or(|token| name(token, 256, "-")), "clientRequestToken"),
            (
                self.role_arn.starts_with("arn:aws:iam::") && self.role_arn.contains(":role/"),
                "roleArn",
            ),
            // Without `Converse`, the service would expect records in the format of InvokeModel.
            (self.model_invocation_type.as_deref() == Some("Converse"), "modelInvocationType"),
            (uri(self.input()), "inputDataConfig.s3InputDataConfig.s3Uri"),
            (uri(self.output()), "outputDataConfig.s3OutputDataConfig.s3Uri"),
            (hours, "timeoutDurationInHours"),
            (self.tags.iter().all(|t| tag(&t.key, 128) && tag(&t.value, 256)), "tags"),
        ];
        fits.into_iter().find(|(fits, _)| !fits).map(|(_, field)| field)
    }
}

fn name(text: &str, most: usize, signs: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric();
    (1..=most).contains(&text.len())
        && text.starts_with(plain)
        && text.ends_with(plain)
        && text.chars().all(|c| plain(c) || signs.contains(c))
}

fn uri(text: &str) -> bool {
    let path = text.strip_prefix("s3://").unwrap_or_default();
    let fits = |c: char| c.is_ascii_alphanumeric() || "/-!_*'().".contains(c);
    path.contains('/') && !path.contains("//") && path.chars().all(fits)
}
