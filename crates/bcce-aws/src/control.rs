//! Reads Bedrock's control plane: models, access, profiles, guardrails and data retention. An id that a region does not
//! know is an answer, and any other error a fault.

mod access; // ReadAccess
mod guardrail; // CheckGuardrail
mod model; // DescribeModel
mod profile; // DescribeProfile
mod retention; // ReadDataRetention

use aws_sdk_bedrock::Client;
use aws_sdk_bedrock::config::{Builder, Region};
use aws_sdk_bedrock::error::SdkError;
use aws_smithy_types::DateTime;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use aws_types::SdkConfig;
use bcce_core::base::error::Fault;
use time::OffsetDateTime;

use crate::fault::internal;
use crate::regional::Regional;

/// The errors for an id that names nothing in the region.
const UNKNOWN_ID: [&str; 2] = ["ResourceNotFoundException", "ValidationException"];

/// Bedrock's control plane in any region.
pub struct ControlPlane {
    clients: Regional<Client>,
}

impl ControlPlane {
    /// Creates the adapter. `endpoint` replaces AWS's own endpoint; `{region}` in it stands for the region of a call.
    pub fn new(config: &SdkConfig, endpoint: Option<String>) -> Self {
        Self { clients: Regional::new(config, endpoint, client) }
    }

    fn client(&self, region: &str) -> Client {
        self.clients.client(region)
    }
}

/// Returns a client of the control plane of `region`.
pub(crate) fn client(config: &SdkConfig, region: &str, endpoint: Option<&str>) -> Client {
    let mut builder = Builder::from(config).region(Region::new(region.to_owned()));
    // Set here and not in the shared configuration, where the endpoint of the environment would take precedence.
    if let Some(endpoint) = endpoint {
        // The SDK refuses a client that is given an endpoint and FIPS.
        builder = builder.endpoint_url(endpoint.replace("{region}", region)).use_fips(false);
    }
    Client::from_conf(builder.build())
}

pub(crate) fn moment(at: &DateTime) -> Option<OffsetDateTime> {
    OffsetDateTime::from_unix_timestamp_nanos(at.as_nanos()).ok()
}

/// Returns Bedrock's reason if the error says that `region` does not know an id, and the fault otherwise. `operation` is
/// that of the control plane, such as `GetGuardrail`.
fn reason_or_fault<E, R>(
    operation: &str,
    region: &str,
    id: &str,
    error: &SdkError<E, R>,
) -> Result<String, Fault>
where
    E: ProvideErrorMetadata,
{
    if error.code().is_some_and(|code| UNKNOWN_ID.contains(&code)) {
        let message = error.message().unwrap_or("no reason given");
        return Ok(format!("Bedrock does not describe it in {region}: {message}"));
    }
    Err(internal(&format!("bedrock:{operation} {id} in {region}"), error))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a control plane whose client for `us-east-1` is `client`.
    pub fn plane(client: Client) -> ControlPlane {
        let plane = ControlPlane::new(&SdkConfig::builder().build(), None);
        plane.clients.insert("us-east-1", client);
        plane
    }
}
