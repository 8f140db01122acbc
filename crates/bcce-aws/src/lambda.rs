//! Lists, enables and disables the event source mappings through which a function receives messages from the inboxes.

use aws_sdk_lambda::Client;
use aws_sdk_lambda::types::EventSourceMappingConfiguration;
use aws_types::SdkConfig;
use bcce_core::base::error::Fault;

use crate::fault::internal;
use crate::lazily::Lazily;

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
