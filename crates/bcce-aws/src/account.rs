//! Who calls, with which credentials, and what the caller may do.

use std::time::Duration;

use aws_credential_types::credential_feature::AwsCredentialFeature as Feature;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_types::SdkConfig;
use bcce_core::base::error::Fault;
use time::OffsetDateTime;

use crate::signed::{Action, Services, child, each, texts};

/// The credentials that the SDK has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The place, such as `environment variables`.
    pub source: &'static str,
    pub expires_at: Option<OffsetDateTime>,
}

/// The caller, as STS sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub account: String,
    pub arn: String,
}

/// Finds the credentials of a configuration within `limit`, and returns a configuration with them. So a source is asked
/// once, also if it is a process that asks a person, and one that hangs ends.
///
/// # Errors
/// `Bcce.Internal`: no source has valid credentials, or the one that is asked does not answer.
pub async fn resolved(config: &SdkConfig, limit: Duration) -> Result<(SdkConfig, Origin), Fault> {
    let none = || Fault::internal("credentials: no credentials");
    let provider = config.credentials_provider().ok_or_else(none)?;
    let found = tokio::time::timeout(limit, provider.provide_credentials()).await;
    let hangs = |_| Fault::internal(format!("credentials: no answer in {} s", limit.as_secs()));
    let found = found.map_err(hangs)?.map_err(|_| none())?;
    let features = found.get_property::<Vec<Feature>>().cloned().unwrap_or_default();
    let origin = Origin {
        source: features.last().map_or("the default chain", source),
        expires_at: found.expiry().map(OffsetDateTime::from),
    };
    let provider = SharedCredentialsProvider::new(found);
    Ok((config.clone().into_builder().credentials_provider(provider).build(), origin))
}

fn source(feature: &Feature) -> &'static str {
    match feature {
        Feature::CredentialsEnvVars => "environment variables",
        Feature::CredentialsSso | Feature::CredentialsProfileSso => "IAM Identity Center (SSO)",
        Feature::CredentialsHttp => "the container",
        Feature::CredentialsImds => "the instance (IMDS)",
        Feature::CredentialsProcess | Feature::CredentialsProfileProcess => "a process",
        Feature::CredentialsStsAssumeRole
        | Feature::CredentialsStsAssumeRoleWebId
        | Feature::CredentialsStsAssumeRoleSaml
        | Feature::CredentialsProfileSourceProfile => "an assumed role",
        Feature::CredentialsProfile => "a profile",
        _ => "the default chain",
    }
}

const IDENTITY: Action = Action { service: "sts", host: "sts", name: "GetCallerIdentity" };
const SIMULATE: Action = Action { service: "iam", host: "iam", name: "SimulatePrincipalPolicy" };
const ENDPOINTS: Action = Action { service: "ec2", host: "ec2", name: "DescribeVpcEndpoints" };

impl Services {
    /// Reads whose credentials are used.
    ///
    /// # Errors
    /// `Bcce.Internal`: STS cannot be reached, or refuses the credentials.
    pub async fn identity(&self) -> Result<Identity, Fault> {
        let answer = self.form(IDENTITY, "2011-06-15", &[]).await?;
        let first = |name| texts(&answer.body, name).into_iter().next();
        let (Some(account), Some(arn)) = (first("Account"), first("Arn")) else {
            return Err(IDENTITY.fault("the response could not be read"));
        };
        Ok(Identity { account, arn })
    }

    /// Returns those of `actions` on a resource that the policies of the user or role `arn` do not allow.
    ///
    /// # Errors
    /// `Bcce.Internal`: IAM cannot be reached, or refuses to simulate.
    pub async fn denied(
        &self,
        arn: &str,
        resource: &str,
        actions: &[&str],
    ) -> Result<Vec<String>, Fault> {
        let named = [("PolicySourceArn", arn), ("ResourceArns.member.1", resource)];
        let mut fields = named.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let numbered = actions.iter().enumerate();
        fields
            .extend(numbered.map(|(n, action)| {
                (format!("ActionNames.member.{}", n + 1), (*action).to_owned())
            }));
        let answer = self.form(SIMULATE, "2010-05-08", &fields).await?;
        let decided = each(&answer.body, "member", |member| {
            (child(member, "EvalActionName"), child(member, "EvalDecision"))
        });
        let is_denied = |(action, decision): &(String, String)| {
            !action.is_empty() && decision.as_str() != "allowed"
        };
        Ok(decided.into_iter().filter(is_denied).map(|(action, _)| action).collect())
    }

    /// Lists the services that have an endpoint in a VPC, such as `com.amazonaws.us-east-1.sqs`.
    ///
    /// # Errors
    /// `Bcce.Internal`: EC2 cannot be reached, or refuses the call.
    pub async fn vpc_endpoints(&self, vpc: &str) -> Result<Vec<String>, Fault> {
        let fields = [("Filter.1.Name", "vpc-id"), ("Filter.1.Value.1", vpc)];
        let fields = fields.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let answer = self.form(ENDPOINTS, "2016-11-15", &fields).await?;
        Ok(texts(&answer.body, "serviceName"))
    }
}
