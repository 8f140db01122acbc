//! One HTTP client for every service: ring, and a trust store of a handful of roots. Reading the
//! machine's native store is most of what a client costs at start.

use std::time::Duration;

use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_smithy_runtime_api::client::http::SharedHttpClient;

use crate::environment::{StartError, optional_variable};

/// The roots that AWS endpoints chain to (Amazon Trust Services: Amazon Root CA 1-4, Starfield
/// Services Root G2). `AWS_CA_BUNDLE` names a PEM file that takes their place, for a proxy that ends TLS.
const AMAZON_ROOTS: &[u8] = include_bytes!("amazon-roots.pem");

/// NAT gateways, VPC endpoints and load balancers drop a connection silently after 350 s, S3 closes one
/// after about 20 s, and a frozen function sees neither. A call that meets a dead connection fails
/// over for nothing, and a new connection costs a millisecond of CPU.
const IDLE: Duration = Duration::from_secs(15);

/// Returns the client of every service.
///
/// # Errors
/// `AWS_CA_BUNDLE` cannot be read, or has no certificate.
pub fn client() -> Result<SharedHttpClient, StartError> {
    client_that_trusts(optional_variable("AWS_CA_BUNDLE"))
}

/// Returns the client for the roots of the PEM file `bundle`. `None`: Amazon's.
pub(crate) fn client_that_trusts(bundle: Option<String>) -> Result<SharedHttpClient, StartError> {
    let roots = match bundle {
        Some(path) => read(&path).map_err(|e| StartError::TrustStore(format!("{path}: {e}")))?,
        None => AMAZON_ROOTS.to_vec(),
    };
    let context = TlsContext::builder()
        .with_trust_store(TrustStore::empty().with_pem_certificate(roots))
        .build()
        .map_err(|error| StartError::TrustStore(error.to_string()))?;
    Ok(Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .tls_context(context)
        .pool_idle_timeout(IDLE)
        .build_https())
}

fn read(path: &str) -> Result<Vec<u8>, String> {
    let pem = std::fs::read(path).map_err(|error| error.to_string())?;
    let begins = b"-----BEGIN CERTIFICATE-----";
    // Without one, every call would fail and blame the service.
    let has_certificate = pem.windows(begins.len()).any(|part| part == begins);
    if has_certificate { Ok(pem) } else { Err("no certificate in PEM format".to_owned()) }
}
