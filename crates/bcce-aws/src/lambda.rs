//! The inboxes' event source mappings: whether their messages are taken out.

use aws_sdk_lambda::Client;
use aws_sdk_lambda::types::EventSourceMappingConfiguration;
use aws_types::SdkConfig;
use bcce_core::base::error::Fault;

use crate::fault::internal;
use crate::lazily::Lazily;

/// The queues that a function takes its messages from.
pub struct Inboxes {
    client: Lazily<Client>,
    function: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inbox {
    pub id: String,
    pub queue_arn: String,
    /// As Lambda spells it: `Enabled`, `Disabling`, `Disabled`, `Enabling`, …
    pub state: String,
}

impl Inboxes {
    pub fn new(config: &SdkConfig, function: &str) -> Self {
        Self { client: Lazily::new(config, Client::new), function: function.to_owned() }
    }

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
