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
    NotTrueOrFalse(&'static str),
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
            Self::NotTrueOrFalse(name) => {
                write!(f, "the environment variable {name} must be `true` or `false`")
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
/// A variable that Lambda sets is missing, `AWS_USE_FIPS_ENDPOINT` is neither `true` nor `false`, or `AWS_CA_BUNDLE`
/// cannot be used.
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
        .http_client(crate::http::client_that_trusts(read("AWS_CA_BUNDLE"))?)
        .sleep_impl(sleep_impl())
        .time_source(aws_smithy_async::time::SharedTimeSource::new(SystemTimeSource::new()))
        .retry_config(RetryConfig::standard().with_max_attempts(4))
        .timeout_config(timeouts());
    let (endpoint, fips) = (read("AWS_ENDPOINT_URL"), flag("AWS_USE_FIPS_ENDPOINT", &read)?);
    // The SDK refuses every call of a client that is given both.
    config.set_use_fips(fips.filter(|_| endpoint.is_none()));
    config.set_endpoint_url(endpoint);
    Ok(config.build())
}

fn flag(
    name: &'static str,
    read: impl Fn(&str) -> Option<String>,
) -> Result<Option<bool>, StartError> {
    let parsed = read(name).map(|text| text.parse());
    parsed.transpose().map_err(|_| StartError::NotTrueOrFalse(name))
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

    fn with(further: &[(&str, &str)]) -> Result<SdkConfig, StartError> {
        let mut variables: std::collections::BTreeMap<String, String> =
            ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"]
                .map(|name| (name.to_owned(), "x".to_owned()))
                .into();
        variables.extend(further.iter().map(|(name, value)| (name.to_string(), value.to_string())));
        configured(|name| variables.get(name).cloned())
    }

    #[test]
    fn fips_endpoints_are_used_when_the_environment_says_so() {
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
        let roots = concat!(env!("CARGO_MANIFEST_DIR"), "/src/amazon-roots.pem");
        assert!(with(&[("AWS_CA_BUNDLE", roots)]).is_ok());
    }

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
