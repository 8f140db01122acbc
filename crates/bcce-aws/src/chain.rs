//! Loads the SDK's configuration through its default credential chain (keys, profile, SSO, role), for the command.

use aws_config::BehaviorVersion;
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
