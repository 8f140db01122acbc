//! Reads the data retention of the account.

use aws_sdk_bedrock::types::DataRetentionMode;
use bcce_core::base::error::Fault;
use bcce_core::config::policy::DataRetention;
use bcce_core::ports::ReadDataRetention;

use super::ControlPlane;
use crate::fault::internal;

impl ReadDataRetention for ControlPlane {
    async fn data_retention(&self, region: &str) -> Result<DataRetention, Fault> {
        let what = format!("bedrock:GetAccountDataRetention in {region}");
        let got = self.client(region).get_account_data_retention().send().await;
        let got = got.map_err(|error| internal(&what, &error))?;
        mode(got.mode()).ok_or_else(|| {
            let (mode, known) =
                (got.mode().as_str(), "default, none, inherit, aws_review, provider_data_share");
            Fault::internal(format!("{what}: unknown mode `{mode}`, expected one of {known}"))
        })
    }
}

fn mode(mode: &DataRetentionMode) -> Option<DataRetention> {
    Some(match mode {
        DataRetentionMode::Default => DataRetention::Default,
        DataRetentionMode::None => DataRetention::None,
        DataRetentionMode::Inherit => DataRetention::Inherit,
        DataRetentionMode::AwsReview => DataRetention::AwsReview,
        DataRetentionMode::ProviderDataShare => DataRetention::ProviderDataShare,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    use aws_sdk_bedrock::Client;
    use aws_sdk_bedrock::operation::get_account_data_retention::{
        GetAccountDataRetentionError, GetAccountDataRetentionOutput,
    };
    use aws_smithy_mocks::{Rule, mock, mock_client};
    use aws_smithy_types::error::ErrorMetadata;

    use crate::control::tests::plane;

    async fn read(rule: Rule) -> Result<DataRetention, Fault> {
        plane(mock_client!(aws_sdk_bedrock, [&rule])).data_retention("us-east-1").await
    }

    fn answers(mode: DataRetentionMode) -> Rule {
        mock!(Client::get_account_data_retention).then_output(move || {
            GetAccountDataRetentionOutput::builder().mode(mode.clone()).build().unwrap()
        })
    }

    #[tokio::test]
    async fn each_mode_of_the_sdk_is_read() {
        for name in DataRetentionMode::values() {
            let mode = read(answers(DataRetentionMode::from(*name))).await.unwrap();
            assert_eq!(mode.as_str(), *name);
        }
    }

    #[tokio::test]
    async fn an_unknown_mode_and_an_error_are_faults() {
        let unknown = read(answers("forever".into())).await.unwrap_err();
        assert!(unknown.message.contains("unknown mode `forever`"), "{unknown:?}");
        let refused = mock!(Client::get_account_data_retention).then_error(|| {
            let metadata = ErrorMetadata::builder().code("AccessDeniedException").build();
            GetAccountDataRetentionError::generic(metadata)
        });
        let expected = "bedrock:GetAccountDataRetention in us-east-1: AccessDeniedException";
        assert_eq!(read(refused).await.unwrap_err().message, expected);
    }
}
