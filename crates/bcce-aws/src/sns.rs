//! Publishes notifications to the SNS topic.

use aws_sdk_sns::Client;
use aws_sdk_sns::types::MessageAttributeValue;
use aws_types::SdkConfig;
use bcce_core::base::error::Fault;
use bcce_core::config::budgets::Scope;
use bcce_core::ports::{Publish, PublishAlert, PublishStandbyAlert};
use bcce_core::run::budget_alert::BudgetAlert;
use bcce_core::run::notification::RunNotification;
use bcce_core::standby::alert::StandbyAlert;
use serde::Serialize;

use crate::fault::internal;
use crate::lazily::Lazily;

/// The notifications topic.
pub struct Topic {
    client: Lazily<Client>,
    arn: String,
}

impl Topic {
    /// Creates the adapter for the topic with this ARN.
    pub fn new(config: &SdkConfig, arn: &str) -> Self {
        Self { client: Lazily::new(config, Client::new), arn: arn.to_owned() }
    }
}

impl Topic {
    /// Publishes a message with these attributes. SNS refuses an empty attribute, so it is left out.
    async fn send(
        &self,
        message: &impl Serialize,
        attributes: [(&str, Option<&str>); 3],
    ) -> Result<(), Fault> {
        let message = serde_json::to_string(message).map_err(|e| Fault::internal(e.to_string()))?;
        let mut publish = self.client.get().publish().topic_arn(&self.arn).message(message);
        for (name, value) in attributes {
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                let attribute =
                    MessageAttributeValue::builder().data_type("String").string_value(value);
                let attribute = attribute.build().map_err(|e| Fault::internal(e.to_string()))?;
                publish = publish.message_attributes(name, attribute);
            }
        }
        publish.send().await.map(|_| ()).map_err(|error| internal("sns:Publish", &error))
    }
}

impl Publish for Topic {
    async fn publish(&self, notification: &RunNotification) -> Result<(), Fault> {
        let attributes = [
            ("workflow", notification.workflow.as_deref()),
            ("status", Some(notification.status.as_str())),
            ("tenant", Some(notification.tenant.as_str())),
        ];
        self.send(notification, attributes).await
    }
}

impl PublishAlert for Topic {
    async fn publish_alert(&self, alert: &BudgetAlert) -> Result<(), Fault> {
        let of = |scope: Scope| Some(alert.value.as_str()).filter(|_| alert.scope == scope);
        let attributes = [
            ("kind", Some(alert.kind.as_str())),
            ("workflow", of(Scope::Workflow)),
            ("tenant", of(Scope::Tenant)),
        ];
        self.send(alert, attributes).await
    }
}

impl PublishStandbyAlert for Topic {
    async fn publish_standby_alert(&self, alert: &StandbyAlert) -> Result<(), Fault> {
        self.send(
            alert,
            [("kind", Some(alert.kind.as_str())), ("workflow", None), ("tenant", None)],
        )
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_sns::operation::publish::PublishOutput;
    use aws_smithy_mocks::{mock, mock_client};
    use bcce_core::call::attempt::Totals;
    use bcce_core::run::notification::RunStatus;
    use time::OffsetDateTime;

    #[tokio::test]
    async fn an_unknown_workflow_leaves_its_attribute_out() {
        let rule = mock!(Client::publish)
            .match_requests(|publish| {
                let attributes = publish.message_attributes().unwrap();
                attributes.len() == 2 && attributes["status"].string_value() == Some("REJECTED")
            })
            .then_output(|| PublishOutput::builder().build());
        let notification = RunNotification {
            version: 1,
            run_id: None,
            request_id: "m-1".into(),
            tenant: "default".into(),
            workflow: None,
            status: RunStatus::Rejected,
            ended_at: OffsetDateTime::UNIX_EPOCH,
            manifest: None,
            manifest_sha256: None,
            totals: Totals::default(),
            truncated: 0,
            error: None,
        };
        let topic = Topic { client: mock_client!(aws_sdk_sns, [&rule]).into(), arn: "a".into() };
        assert_eq!(topic.publish(&notification).await, Ok(()));
    }
}
