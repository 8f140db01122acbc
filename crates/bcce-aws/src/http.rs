//! Builds the HTTP client that all services share. Its TLS uses ring and a trust store of five root certificates.
//! Reading the machine's native trust store would be the largest part of the cost of creating a client.

use std::time::Duration;

use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_smithy_runtime_api::client::connector_metadata::ConnectorMetadata;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::environment::{StartError, optional_variable};

/// The root certificates of AWS endpoints (Amazon Trust Services: Amazon Root CA 1-4, Starfield Services Root G2).
/// `AWS_CA_BUNDLE` can name a PEM file that replaces them, for a proxy that terminates TLS.
const AMAZON_ROOTS: &[u8] = include_bytes!("amazon-roots.pem");

/// The time after which an idle connection is not used again. NAT gateways, VPC endpoints and load balancers drop a
/// connection silently after 350 s, and S3 closes one after about 20 s. A frozen function detects neither. A call on a
/// dead connection fails over without need, while a new connection costs only a millisecond of CPU.
const IDLE: Duration = Duration::from_secs(15);

/// Returns the HTTP client that all services share.
///
/// # Errors
/// [`StartError::TrustStore`] if the file that `AWS_CA_BUNDLE` names cannot be read, contains no certificate
/// or contains a broken one.
pub fn client() -> Result<SharedHttpClient, StartError> {
    client_that_trusts(optional_variable("AWS_CA_BUNDLE"))
}

/// Returns a client that trusts the root certificates in the PEM file `bundle`, or Amazon's if `bundle` is `None`.
pub(crate) fn client_that_trusts(bundle: Option<String>) -> Result<SharedHttpClient, StartError> {
    let roots = match bundle {
        Some(path) => read(&path).map_err(|e| StartError::TrustStore(format!("{path}: {e}")))?,
        None => AMAZON_ROOTS.to_vec(),
    };
    let context = TlsContext::builder()
        .with_trust_store(TrustStore::empty().with_pem_certificate(roots))
        .build()
        .map_err(|error| StartError::TrustStore(error.to_string()))?;
    let client = Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .tls_context(context)
        .pool_idle_timeout(IDLE)
        .build_https();
    Ok(SharedHttpClient::new(MadeOnFirstUse(client)))
}

/// An HTTP client whose connectors are made when they are first used. The SDK makes one more for each of its clients at
/// the start, to have the certificates of the machine loaded, and drops it: 0.24 M instructions for nothing.
#[derive(Debug)]
struct MadeOnFirstUse(SharedHttpClient);

impl HttpClient for MadeOnFirstUse {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        self.0.http_connector(settings, components)
    }

    fn connector_metadata(&self) -> Option<ConnectorMetadata> {
        self.0.connector_metadata()
    }
}

/// Reads a PEM file and parses each of its certificates, so that a broken one ends the start and not the first call.
fn read(path: &str) -> Result<Vec<u8>, String> {
    let pem = std::fs::read(path).map_err(|error| error.to_string())?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| error.to_string())?;
        roots.add(certificate).map_err(|error| error.to_string())?;
    }
    // Without a certificate every call would fail, and the error would point to the service.
    if roots.is_empty() { Err("no certificate in PEM format".to_owned()) } else { Ok(pem) }
}
