//! A function's configuration. Lambda puts region and credentials into the environment, so the SDK's
//! provider chain, which costs a function most of its start, is not needed here.

use std::str::FromStr;
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_async::rt::sleep::{SharedAsyncSleep, TokioSleep};
use aws_smithy_async::time::SystemTimeSource;
use aws_smithy_runtime_api::client::behavior_version::BehaviorVersion;
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use aws_types::SdkConfig;
use aws_types::region::Region;

/// Why a function cannot start. Lambda shows it as the init error.
#[derive(Debug)]
pub enum StartError {
    Missing(&'static str),
    NotANumber(&'static str),
    TrustStore(String),
    Runtime(String),
}

impl std::fmt::Display for StartError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Missing(name) => write!(f, "the environment variable {name} is not set"),
            Self::NotANumber(name) => {
                write!(f, "the environment variable {name} must be a whole number")
            }
            Self::TrustStore(cause) => write!(f, "the trust store cannot be used: {cause}"),
            Self::Runtime(cause) => write!(f, "the Lambda runtime ended: {cause}"),
        }
    }
}

impl std::error::Error for StartError {}

/// # Errors
/// The variable is missing or empty.
pub fn variable(name: &'static str) -> Result<String, StartError> {
    optional_variable(name).ok_or(StartError::Missing(name))
}

/// `None` when it is missing or empty: an empty template parameter is one that was left out.
pub fn optional_variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// `None` when it is missing, empty or 0: a template parameter that leaves the matter to the configuration.
///
/// # Errors
/// It is no whole number, or one that is too large.
pub fn optional_number<N: FromStr + Default + PartialEq>(
    name: &'static str,
) -> Result<Option<N>, StartError> {
    number(name, optional_variable(name))
}

fn number<N: FromStr + Default + PartialEq>(
    name: &'static str,
    text: Option<String>,
) -> Result<Option<N>, StartError> {
    let Some(text) = text else { return Ok(None) };
    let number: N = text.parse().map_err(|_| StartError::NotANumber(name))?;
    Ok((number != N::default()).then_some(number))
}

/// What every client of a function is made from.
///
/// # Errors
/// A variable that Lambda sets is missing, or `AWS_CA_BUNDLE` cannot be read.
pub fn sdk_config() -> Result<SdkConfig, StartError> {
    let credentials = Credentials::new(
        variable("AWS_ACCESS_KEY_ID")?,
        variable("AWS_SECRET_ACCESS_KEY")?,
        optional_variable("AWS_SESSION_TOKEN"),
        None,
        "lambda environment",
    );
    let mut config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(variable("AWS_REGION")?))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .http_client(crate::http::client()?)
        .sleep_impl(sleep_impl())
        .time_source(aws_smithy_async::time::SharedTimeSource::new(SystemTimeSource::new()))
        .retry_config(RetryConfig::standard().with_max_attempts(4))
        .timeout_config(timeouts());
    config.set_endpoint_url(optional_variable("AWS_ENDPOINT_URL"));
    Ok(config.build())
}

/// The clients' timer.
pub fn sleep_impl() -> SharedAsyncSleep {
    SharedAsyncSleep::new(TokioSleep::new())
}

/// For everything but models: an object of 1 MiB takes well under a second, and a hung connection
/// must leave room for a retry inside the function's minute.
fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(2))
        .operation_attempt_timeout(Duration::from_secs(8))
        .operation_timeout(Duration::from_secs(25))
        .build()
}

/// The same for somebody who waits for an answer: a provider of webhooks gives up after three seconds, the least
/// patient of them. Each operation takes milliseconds, and what hangs is tried once more.
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

    #[test]
    fn a_number_that_is_none_is_told_by_its_variable() {
        let read =
            |text: Option<&str>| number::<u32>("BCCE_RETRY_ATTEMPTS", text.map(str::to_owned));
        assert_eq!(read(Some("3")).unwrap(), Some(3));
        assert_eq!((read(Some("0")).unwrap(), read(None).unwrap()), (None, None));
        for wrong in ["three", "-1", "1.5", "4294967296"] {
            let told = read(Some(wrong)).unwrap_err().to_string();
            assert_eq!(told, "the environment variable BCCE_RETRY_ATTEMPTS must be a whole number");
        }
    }
}
