//! The SDK's whole credential chain (keys, profile, SSO, role), for a person at a terminal.

use aws_config::BehaviorVersion;
use aws_types::SdkConfig;

use crate::environment::StartError;

/// Returns what the command's clients are made from.
///
/// # Errors
/// The trust store cannot be read, or no region is configured.
pub async fn sdk_config() -> Result<SdkConfig, StartError> {
    let loader =
        aws_config::defaults(BehaviorVersion::latest()).http_client(crate::http::client()?);
    let config = loader.load().await;
    match config.region() {
        Some(_) => Ok(config),
        None => Err(StartError::Missing("AWS_REGION")),
    }
}
