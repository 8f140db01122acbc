//! Reads the quotas of Bedrock from Service Quotas.

use aws_sdk_servicequotas::Client;
use aws_sdk_servicequotas::config::{Builder, Region};
use aws_sdk_servicequotas::types::ServiceQuota;
use aws_types::SdkConfig;
use bcce_core::base::error::Fault;
use bcce_core::ports::ReadQuotas;
use bcce_core::standby::quotas::Quota;

use crate::fault::internal;
use crate::regional::Regional;

/// The code of Bedrock in Service Quotas.
const SERVICE: &str = "bedrock";
/// The largest page. Bedrock has more than a thousand quotas in a region.
const PAGE: i32 = 100;

/// Service Quotas in any region.
pub struct ServiceQuotas {
    clients: Regional<Client>,
}

impl ServiceQuotas {
    /// Creates the adapter. `endpoint` replaces AWS's own endpoint; `{region}` in it stands for the region of a call.
    pub fn new(config: &SdkConfig, endpoint: Option<String>) -> Self {
        Self { clients: Regional::new(config, endpoint, client) }
    }
}

fn client(config: &SdkConfig, region: &str, endpoint: Option<&str>) -> Client {
    let mut builder = Builder::from(config).region(Region::new(region.to_owned()));
    if let Some(endpoint) = endpoint {
        // The SDK refuses a client that is given an endpoint and FIPS.
        builder = builder.endpoint_url(endpoint.replace("{region}", region)).use_fips(false);
    }
    Client::from_conf(builder.build())
}

impl ReadQuotas for ServiceQuotas {
    async fn quotas(&self, region: &str) -> Result<Vec<Quota>, Fault> {
        let client = self.clients.client(region);
        let list = client.list_service_quotas().service_code(SERVICE).max_results(PAGE);
        let mut quotas = list.into_paginator().items().send();
        let mut found = Vec::new();
        while let Some(quota) = quotas.next().await {
            let what = || format!("servicequotas:ListServiceQuotas {SERVICE} in {region}");
            let quota = quota.map_err(|error| internal(&what(), &error))?;
            found.extend(read(quota));
        }
        Ok(found)
    }
}

/// Returns a quota. Returns `None` if Service Quotas could not determine its value.
fn read(quota: ServiceQuota) -> Option<Quota> {
    Some(Quota { name: quota.quota_name?, code: quota.quota_code?, value: quota.value? })
}

#[cfg(test)]
mod tests {
    use super::*;

    use aws_sdk_servicequotas::operation::list_service_quotas::{
        ListServiceQuotasError, ListServiceQuotasOutput,
    };
    use aws_smithy_mocks::{Rule, RuleMode, mock, mock_client};
    use aws_smithy_types::error::ErrorMetadata;

    async fn listed(rules: &[&Rule]) -> Result<Vec<Quota>, Fault> {
        let adapter = ServiceQuotas::new(&SdkConfig::builder().build(), None);
        let client = mock_client!(aws_sdk_servicequotas, RuleMode::Sequential, rules);
        adapter.clients.insert("us-east-1", client);
        adapter.quotas("us-east-1").await
    }

    fn page(token: Option<&'static str>, names: &'static [&str], next: Option<&str>) -> Rule {
        let next = next.map(str::to_owned);
        mock!(Client::list_service_quotas)
            .match_requests(move |list| {
                let asked = (list.service_code(), list.next_token(), list.max_results());
                asked == (Some("bedrock"), token, Some(100))
            })
            .then_output(move || {
                let quota = |name: &&str| {
                    let quota = ServiceQuota::builder().quota_name(*name).quota_code("L-1");
                    quota.set_value((*name != "unknown").then_some(7.0)).build()
                };
                ListServiceQuotasOutput::builder()
                    .set_quotas(Some(names.iter().map(quota).collect()))
                    .set_next_token(next.clone())
                    .build()
            })
    }

    #[tokio::test]
    async fn the_quotas_of_all_pages_that_have_a_value_are_read() {
        let first = page(None, &["a", "unknown"], Some("more"));
        let last = page(Some("more"), &["b"], None);
        let found = listed(&[&first, &last]).await.unwrap();
        let quota = |name: &str| Quota { name: name.into(), code: "L-1".into(), value: 7.0 };
        assert_eq!(found, [quota("a"), quota("b")]);
    }

    #[tokio::test]
    async fn an_error_on_any_page_is_a_fault() {
        let first = page(None, &["a"], Some("more"));
        let refused = mock!(Client::list_service_quotas).then_error(|| {
            let metadata = ErrorMetadata::builder().code("TooManyRequestsException").build();
            ListServiceQuotasError::generic(metadata)
        });
        let expected =
            "servicequotas:ListServiceQuotas bedrock in us-east-1: TooManyRequestsException";
        assert_eq!(listed(&[&first, &refused]).await.unwrap_err().message, expected);
    }
}
