//! Loads the SDK's configuration through its default credential chain (keys, profile, SSO, role), for the command.

use std::time::Duration;

use aws_config::BehaviorVersion;
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use aws_types::SdkConfig;

use crate::environment::StartError;

/// Returns the configuration of the command's clients.
///
/// # Errors
/// [`StartError::TrustStore`] if the trust store cannot be read, [`StartError::Missing`] if no region is configured.
pub async fn sdk_config() -> Result<SdkConfig, StartError> {
    let loader =
        aws_config::defaults(BehaviorVersion::latest()).http_client(crate::http::client()?);
    let config = loader.load().await;
    match config.region() {
        Some(_) => Ok(config),
        None => Err(StartError::Missing("AWS_REGION")),
    }
}

/// Returns `config` with a time limit for each operation and one retry, for a command that must end soon.
pub fn patient_for(config: SdkConfig, limit: Duration) -> SdkConfig {
    let limits = TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(3))
        .operation_attempt_timeout(limit / 2)
        .operation_timeout(limit);
    let retries = RetryConfig::standard().with_max_attempts(2);
    config.into_builder().timeout_config(limits.build()).retry_config(retries).build()
}
