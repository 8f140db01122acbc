//! Builds the configuration of a function's clients. Lambda puts the region and the credentials into the environment,
//! so the SDK's provider chain is not needed. The chain would take most of the time that a function needs to start.

use std::time::Duration;

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_async::rt::sleep::{SharedAsyncSleep, TokioSleep};
use aws_smithy_async::time::{SharedTimeSource, SystemTimeSource};
use aws_smithy_runtime_api::client::behavior_version::BehaviorVersion;
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use aws_types::SdkConfig;
use aws_types::region::Region;

use crate::environment::{StartError, flag, optional_variable};
use crate::http::client_that_trusts;

/// Returns the configuration that all clients of a function share.
///
/// # Errors
/// - [`StartError::Missing`] if a variable that Lambda sets is missing.
/// - [`StartError::NotTrueOrFalse`] if `AWS_USE_FIPS_ENDPOINT` is neither `true` nor `false`.
/// - [`StartError::TrustStore`] if the file that `AWS_CA_BUNDLE` names cannot be used.
pub fn sdk_config() -> Result<SdkConfig, StartError> {
    configured(optional_variable)
}

fn configured(read: impl Fn(&str) -> Option<String>) -> Result<SdkConfig, StartError> {
    let required = |name: &'static str| read(name).ok_or(StartError::Missing(name));
    let credentials = Credentials::new(
        required("AWS_ACCESS_KEY_ID")?,
        required("AWS_SECRET_ACCESS_KEY")?,
        read("AWS_SESSION_TOKEN"),
        None,
        "lambda environment",
    );
    let mut config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(required("AWS_REGION")?))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .http_client(client_that_trusts(read("AWS_CA_BUNDLE"))?)
        .sleep_impl(sleep_impl())
        .time_source(SharedTimeSource::new(SystemTimeSource::new()))
        .retry_config(RetryConfig::standard().with_max_attempts(4))
        .timeout_config(timeouts());
    let (endpoint, fips) = (read("AWS_ENDPOINT_URL"), flag("AWS_USE_FIPS_ENDPOINT", &read)?);
    // The SDK refuses every call of a client that has both an endpoint and FIPS.
    config.set_use_fips(fips.filter(|_| endpoint.is_none()));
    config.set_endpoint_url(endpoint);
    Ok(config.build())
}

/// Returns the timer that the clients use.
pub fn sleep_impl() -> SharedAsyncSleep {
    SharedAsyncSleep::new(TokioSleep::new())
}

/// Returns the time limits of all clients except the one that calls models. An object of 1 MiB takes well under a
/// second, and a hung connection must leave time for a retry within the function's minute.
fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(2))
        .operation_attempt_timeout(Duration::from_secs(8))
        .operation_timeout(Duration::from_secs(25))
        .build()
}

/// Returns `config` with short time limits, for a function whose caller waits: the webhook provider with the shortest
/// timeout gives up after three seconds. Each operation takes milliseconds, and one that hangs is tried once more.
pub fn impatient(config: SdkConfig) -> SdkConfig {
    let limits = TimeoutConfig::builder()
        .connect_timeout(Duration::from_millis(500))
        .operation_attempt_timeout(Duration::from_millis(900))
        .operation_timeout(Duration::from_secs(2));
    let retries = RetryConfig::standard()
        .with_max_attempts(2)
        .with_initial_backoff(Duration::from_millis(50));
    config.into_builder().timeout_config(limits.build()).retry_config(retries).build()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(further: &[(&str, &str)]) -> Result<SdkConfig, StartError> {
        let mut variables: std::collections::BTreeMap<String, String> =
            ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"]
                .map(|name| (name.to_owned(), "x".to_owned()))
                .into();
        variables.extend(further.iter().map(|(name, value)| (name.to_string(), value.to_string())));
        configured(|name| variables.get(name).cloned())
    }

    #[test]
    fn fips_endpoints_are_used_when_the_environment_asks_for_them() {
        assert_eq!(with(&[]).unwrap().use_fips(), None);
        assert_eq!(with(&[("AWS_USE_FIPS_ENDPOINT", "true")]).unwrap().use_fips(), Some(true));
        assert_eq!(with(&[("AWS_USE_FIPS_ENDPOINT", "false")]).unwrap().use_fips(), Some(false));
        let error = with(&[("AWS_USE_FIPS_ENDPOINT", "yes")]).unwrap_err().to_string();
        assert!(error.contains("AWS_USE_FIPS_ENDPOINT must be `true` or `false`"), "{error}");
    }

    #[test]
    fn a_given_endpoint_is_used_without_fips() {
        let endpoint = ("AWS_ENDPOINT_URL", "http://127.0.0.1:1");
        let config = with(&[endpoint, ("AWS_USE_FIPS_ENDPOINT", "true")]).unwrap();
        assert_eq!((config.endpoint_url(), config.use_fips()), (Some(endpoint.1), None));
    }

    #[test]
    fn a_bundle_that_cannot_be_used_ends_the_start_and_is_named() {
        for path in ["/none/roots.pem", "/dev/null"] {
            let error = with(&[("AWS_CA_BUNDLE", path)]).unwrap_err().to_string();
            assert!(error.contains(path), "{error}");
        }
        let broken = std::env::temp_dir().join(format!("bcce-broken-{}.pem", std::process::id()));
        let pem = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        std::fs::write(&broken, pem).unwrap();
        let error = with(&[("AWS_CA_BUNDLE", broken.to_str().unwrap())]).unwrap_err().to_string();
        std::fs::remove_file(&broken).unwrap();
        assert!(error.contains("bcce-broken"), "{error}");
        let roots = concat!(env!("CARGO_MANIFEST_DIR"), "/src/amazon-roots.pem");
        assert!(with(&[("AWS_CA_BUNDLE", roots)]).is_ok());
    }
}
