//! Checks that functions in a VPC reach the services that they use.

use bcce_aws::SdkConfig;
use bcce_aws::lambda::vpc_of;
use bcce_aws::signed::Services;
use bcce_core::base::error::Fault;

use super::Check;

/// The services that functions call. A call of a model goes to `bedrock-runtime`.
const NEEDED: [&str; 9] =
    ["bedrock", "bedrock-runtime", "dynamodb", "kms", "s3", "sns", "sqs", "ssm", "states"];

/// The VPC of the function `invoke` with the endpoints in it. `None`: the function is in no VPC.
pub type Facts = Result<Option<(String, Vec<String>)>, Fault>;

pub async fn read(config: &SdkConfig, services: &Services, stack: &str) -> Facts {
    let Some(vpc) = vpc_of(config, &format!("{stack}-invoke")).await? else { return Ok(None) };
    let endpoints = services.vpc_endpoints(&vpc).await?;
    Ok(Some((vpc, endpoints)))
}

pub fn check(facts: &Facts) -> Vec<Check> {
    let name = "vpc-endpoints";
    vec![match facts {
        Err(fault) => Check::unread(name, "functions", fault),
        Ok(None) => Check::pass(name, "functions", "the functions are in no VPC"),
        Ok(Some((vpc, endpoints))) => in_vpc(name, vpc, endpoints),
    }]
}

fn in_vpc(name: &'static str, vpc: &str, endpoints: &[String]) -> Check {
    let has = |service: &str| {
        let is_it = |endpoint: &String| endpoint.splitn(4, '.').nth(3) == Some(service);
        endpoints.iter().any(is_it)
    };
    let missing: Vec<&str> = NEEDED.into_iter().filter(|service| !has(service)).collect();
    if missing.is_empty() {
        return Check::pass(
            name,
            vpc,
            "the VPC has an endpoint for each service; only NAT or peering reaches another region",
        );
    }
    let reason = format!(
        "the functions are in a VPC that has no endpoint for {}: without NAT, their calls time out",
        missing.join(", ")
    );
    let remedy = format!(
        "`aws ec2 create-vpc-endpoint --vpc-id {vpc} --vpc-endpoint-type Interface --service-name com.amazonaws.REGION.SERVICE --subnet-ids SUBNETS --security-group-ids GROUPS` for each, or a NAT gateway, which other regions need too"
    );
    Check::warn(name, vpc, reason, remedy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::State;

    #[test]
    fn an_endpoint_that_is_missing_is_named() {
        let all: Vec<String> =
            NEEDED.iter().map(|service| format!("com.amazonaws.us-east-1.{service}")).collect();
        let checked =
            |endpoints: &[String]| check(&Ok(Some(("vpc-1".into(), endpoints.to_vec())))).remove(0);
        assert_eq!(checked(&all).state, State::Pass);
        let without: Vec<String> =
            all.iter().filter(|e| !e.ends_with("bedrock-runtime")).cloned().collect();
        let found = checked(&without);
        assert_eq!(found.state, State::Warn);
        assert!(found.reason.contains("no endpoint for bedrock-runtime:"), "{found:?}");
        assert_eq!(check(&Ok(None))[0].state, State::Pass);
    }
}
