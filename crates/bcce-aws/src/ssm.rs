//! Reads and writes the SSM parameters of the configuration.

use std::collections::BTreeMap;

use aws_sdk_ssm::Client;
use aws_sdk_ssm::types::ParameterType;
use aws_types::SdkConfig;
use bcce_core::base::error::Fault;
use bcce_core::config::documents::fits_parameter;
use bcce_core::ports::{GetParameters, ListParameters, Parameter, PutParameter};
use time::OffsetDateTime;

use crate::fault::internal;
use crate::lazily::Lazily;

/// The versions of a parameter that its revision tells apart within a second.
const VERSIONS: u64 = 10_000;

/// The SSM parameters of the region.
pub struct Parameters {
    client: Lazily<Client>,
}

impl Parameters {
    pub fn new(config: &SdkConfig) -> Self {
        Self { client: Lazily::new(config, Client::new) }
    }
}

impl PutParameter for Parameters {
    async fn put_parameter(&self, name: &str, value: &str) -> Result<(), Fault> {
        if !fits_parameter(value) {
            return Err(Fault::internal(format!("{name} does not fit into an SSM parameter")));
        }
        let put = self.client.get().put_parameter().name(name).value(value).overwrite(true);
        let put = put.r#type(ParameterType::String).send().await;
        put.map(|_| ()).map_err(|error| internal(&format!("ssm:PutParameter {name}"), &error))
    }
}

impl ListParameters for Parameters {
    async fn below(&self, path: &str) -> Result<BTreeMap<String, String>, Fault> {
        let get = self.client.get().get_parameters_by_path().path(path).recursive(true);
        let mut pages = get.into_paginator().send();
        let mut found = BTreeMap::new();
        while let Some(page) = pages.next().await {
            let page =
                page.map_err(|error| internal(&format!("ssm:GetParametersByPath {path}"), &error))?;
            found.extend(page.parameters().iter().filter_map(pair));
        }
        Ok(found)
    }
}

/// Returns the revision of a parameter: the second in which it was written, and the version within that second. The
/// version alone starts again if the parameter is deleted and created again.
fn revision(parameter: &aws_sdk_ssm::types::Parameter) -> u64 {
    let at = parameter.last_modified_date().map_or(0, aws_smithy_types::DateTime::secs);
    let (at, version) = (u64::try_from(at), u64::try_from(parameter.version()));
    at.unwrap_or_default() * VERSIONS + version.unwrap_or_default() % VERSIONS
}

/// Returns the time at which the parameter of a revision was written. Returns `None` if SSM did not say it.
pub fn written_at(revision: u64) -> Option<OffsetDateTime> {
    let second = i64::try_from(revision / VERSIONS).ok().filter(|second| *second > 0)?;
    OffsetDateTime::from_unix_timestamp(second).ok()
}

fn pair(parameter: &aws_sdk_ssm::types::Parameter) -> Option<(String, String)> {
    Some((parameter.name()?.to_owned(), parameter.value()?.to_owned()))
}

impl GetParameters for Parameters {
    async fn parameters(&self, names: &[String]) -> Result<BTreeMap<String, Parameter>, Fault> {
        let get = self
            .client
            .get()
            .get_parameters()
            .set_names(Some(names.to_vec()))
            .with_decryption(true);
        let got = get.send().await.map_err(|error| internal("ssm:GetParameters", &error))?;
        let versioned = |parameter: &aws_sdk_ssm::types::Parameter| {
            let (name, value) = pair(parameter)?;
            Some((name, Parameter { value, revision: revision(parameter) }))
        };
        Ok(got.parameters().iter().filter_map(versioned).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_ssm::operation::get_parameters::GetParametersOutput;
    use aws_sdk_ssm::types::Parameter;
    use aws_smithy_mocks::{mock, mock_client};
    use aws_smithy_types::DateTime;

    #[tokio::test]
    async fn a_missing_parameter_is_left_out() {
        let rule = mock!(Client::get_parameters).then_output(|| {
            let found = Parameter::builder()
                .name("/a")
                .value("1")
                .version(7)
                .last_modified_date(DateTime::from_secs(3))
                .build();
            GetParametersOutput::builder().parameters(found).invalid_parameters("/b").build()
        });
        let parameters = Parameters { client: mock_client!(aws_sdk_ssm, [&rule]).into() };
        let got = parameters.parameters(&["/a".into(), "/b".into()]).await.unwrap();
        let parameter = bcce_core::ports::Parameter { value: "1".into(), revision: 30_007 };
        assert_eq!(written_at(parameter.revision), OffsetDateTime::from_unix_timestamp(3).ok());
        assert_eq!(written_at(7), None, "without a time");
        assert_eq!(got, BTreeMap::from([("/a".into(), parameter)]));
    }

    #[tokio::test]
    async fn a_value_that_ssm_would_refuse_is_not_sent() {
        let parameters = Parameters { client: mock_client!(aws_sdk_ssm, []).into() };
        assert!(parameters.put_parameter("/a", "{{ x }}").await.is_err());
    }
}
