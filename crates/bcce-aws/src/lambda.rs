//! Lists, enables and disables the event source mappings through which a function receives messages from the inboxes.
//! Invokes functions, and reads their VPC.

use std::time::Duration;

use aws_sdk_lambda::Client;
use aws_sdk_lambda::config::Builder;
use aws_sdk_lambda::config::retry::RetryConfig;
use aws_sdk_lambda::config::timeout::TimeoutConfig;
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::EventSourceMappingConfiguration;
use aws_types::SdkConfig;
use bcce_core::base::error::Fault;
use serde_json::Value;

use crate::fault::internal;
use crate::lazily::Lazily;

/// The longest time of an invocation that waits for its result. No function runs longer than 15 minutes.
const LONGEST_INVOCATION: Duration = Duration::from_secs(905);

/// Invokes a function and waits for its result.
///
/// # Errors
/// `Bcce.Internal`: Lambda cannot be called, or the function failed.
pub async fn invoke(config: &SdkConfig, function: &str, event: &Value) -> Result<Value, Fault> {
    let timeouts = TimeoutConfig::builder()
        .operation_timeout(LONGEST_INVOCATION)
        .operation_attempt_timeout(LONGEST_INVOCATION)
        .read_timeout(LONGEST_INVOCATION)
        .build();
    let config = Builder::from(config)
        .timeout_config(timeouts)
        // A second try would invoke the function, and pay for its calls, twice.
        .retry_config(RetryConfig::disabled())
        .build();
    let what = "lambda:InvokeFunction";
    let invoke = Client::from_conf(config).invoke().function_name(function);
    let invoked = invoke.payload(Blob::new(event.to_string())).send().await;
    let invoked = invoked.map_err(|error| internal(what, &error))?;
    let payload = invoked.payload().map(Blob::as_ref).unwrap_or_default();
    let result: Value = serde_json::from_slice(payload)
        .map_err(|_| Fault::internal(format!("{what}: the result is not JSON")))?;
    match invoked.function_error() {
        Some(_) => {
            let cause = result["errorMessage"].as_str().unwrap_or("no message");
            Err(Fault::internal(format!("{what}: {function} failed: {cause}")))
        }
        None => Ok(result),
    }
}

/// Returns the id of the VPC in which a function runs. Returns `None` if it runs in none.
///
/// # Errors
/// `Bcce.Internal`: Lambda cannot be called, or the function does not exist.
pub async fn vpc_of(config: &SdkConfig, function: &str) -> Result<Option<String>, Fault> {
    let get = Client::new(config).get_function_configuration().function_name(function).send().await;
    let got = get.map_err(|error| internal("lambda:GetFunctionConfiguration", &error))?;
    let vpc = got.vpc_config().and_then(|vpc| vpc.vpc_id()).filter(|vpc| !vpc.is_empty());
    Ok(vpc.map(str::to_owned))
}

/// The inboxes from which a function receives messages.
pub struct Inboxes {
    client: Lazily<Client>,
    function: String,
}

/// An inbox with the state of its event source mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inbox {
    /// The UUID of the event source mapping.
    pub id: String,
    pub queue_arn: String,
    /// The state in Lambda's spelling, such as `Enabled`, `Disabling`, `Disabled` or `Enabling`.
    pub state: String,
}

impl Inboxes {
    /// Creates the adapter for the function with this name or ARN.
    pub fn new(config: &SdkConfig, function: &str) -> Self {
        Self { client: Lazily::new(config, Client::new), function: function.to_owned() }
    }

    /// Lists the inboxes of the function.
    ///
    /// # Errors
    /// `Bcce.Internal`: Lambda cannot be called.
    pub async fn list(&self) -> Result<Vec<Inbox>, Fault> {
        let list = self.client.get().list_event_source_mappings().function_name(&self.function);
        let mut pages = list.into_paginator().send();
        let mut found = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| internal("lambda:ListEventSourceMappings", &error))?;
            found.extend(page.event_source_mappings().iter().filter_map(inbox));
        }
        Ok(found)
    }

    /// Enables or disables the event source mapping with the UUID `id`.
    ///
    /// # Errors
    /// `Bcce.Internal`: Lambda cannot be called, or refuses the change.
    pub async fn enable(&self, id: &str, enabled: bool) -> Result<(), Fault> {
        let update = self.client.get().update_event_source_mapping().uuid(id).enabled(enabled);
        let updated = update.send().await;
        updated.map(|_| ()).map_err(|error| internal("lambda:UpdateEventSourceMapping", &error))
    }
}

fn inbox(mapping: &EventSourceMappingConfiguration) -> Option<Inbox> {
    Some(Inbox {
        id: mapping.uuid()?.to_owned(),
        queue_arn: mapping.event_source_arn().filter(|arn| arn.contains(":sqs:"))?.to_owned(),
        state: mapping.state().unwrap_or_default().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_lambda::operation::list_event_source_mappings::ListEventSourceMappingsOutput;
    use aws_sdk_lambda::operation::update_event_source_mapping::UpdateEventSourceMappingOutput;
    use aws_smithy_mocks::{mock, mock_client};

    fn inboxes(rule: &aws_smithy_mocks::Rule) -> Inboxes {
        Inboxes { client: mock_client!(aws_sdk_lambda, [rule]).into(), function: "f".into() }
    }

    #[tokio::test]
    async fn the_queues_of_a_function_are_its_inboxes() {
        let rule = mock!(Client::list_event_source_mappings)
            .match_requests(|list| list.function_name() == Some("f"))
            .then_output(|| {
                let mapping = |id: &str, arn: &str| {
                    let mapping = EventSourceMappingConfiguration::builder().uuid(id);
                    mapping.event_source_arn(arn).state("Enabled").build()
                };
                ListEventSourceMappingsOutput::builder()
                    .event_source_mappings(mapping("1", "arn:aws:sqs:us-east-1:1:inbox"))
                    .event_source_mappings(mapping("2", "arn:aws:kinesis:us-east-1:1:stream/s"))
                    .build()
            });
        let found = inboxes(&rule).list().await.unwrap();
        let queue_arn = "arn:aws:sqs:us-east-1:1:inbox".to_owned();
        assert_eq!(found, [Inbox { id: "1".into(), queue_arn, state: "Enabled".into() }]);
    }

    #[tokio::test]
    async fn an_inbox_is_disabled_by_its_id() {
        let rule = mock!(Client::update_event_source_mapping)
            .match_requests(|update| update.uuid() == Some("1") && update.enabled() == Some(false))
            .then_output(|| UpdateEventSourceMappingOutput::builder().build());
        assert_eq!(inboxes(&rule).enable("1", false).await, Ok(()));
    }
}
