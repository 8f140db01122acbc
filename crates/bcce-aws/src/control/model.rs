//! Describes foundation models: the times of their life.

use aws_sdk_bedrock::types::{FoundationModelLifecycle, FoundationModelLifecycleStatus};
use bcce_core::base::error::Fault;
use bcce_core::ports::DescribeModel;
use bcce_core::standby::facts::ModelFacts;

use super::{ControlPlane, moment, reason_or_fault};

impl DescribeModel for ControlPlane {
    async fn describe_model(
        &self,
        region: &str,
        model: &str,
    ) -> Result<Result<ModelFacts, String>, Fault> {
        let get = self.client(region).get_foundation_model().model_identifier(model);
        match get.send().await {
            Ok(got) => {
                let life = got.model_details().and_then(|details| details.model_lifecycle());
                Ok(Ok(life.map(facts).unwrap_or_default()))
            }
            Err(error) => reason_or_fault("GetFoundationModel", region, model, &error).map(Err),
        }
    }
}

fn facts(life: &FoundationModelLifecycle) -> ModelFacts {
    ModelFacts {
        is_legacy: *life.status() == FoundationModelLifecycleStatus::Legacy,
        started_at: life.start_of_life_time().and_then(moment),
        legacy_at: life.legacy_time().and_then(moment),
        extended_at: life.public_extended_access_time().and_then(moment),
        ends_at: life.end_of_life_time().and_then(moment),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use aws_sdk_bedrock::Client;
    use aws_sdk_bedrock::operation::get_foundation_model::{
        GetFoundationModelError, GetFoundationModelOutput,
    };
    use aws_sdk_bedrock::types::FoundationModelDetails;
    use aws_smithy_mocks::{Rule, mock, mock_client};
    use aws_smithy_types::DateTime;
    use aws_smithy_types::error::ErrorMetadata;
    use time::macros::datetime;

    use crate::control::UNKNOWN_ID;
    use crate::control::tests::plane;

    const MODEL: &str = "anthropic.claude-haiku-5-5";

    async fn described(rule: Rule) -> Result<Result<ModelFacts, String>, Fault> {
        plane(mock_client!(aws_sdk_bedrock, [&rule])).describe_model("us-east-1", MODEL).await
    }

    fn answers(details: fn() -> FoundationModelDetails) -> Rule {
        mock!(Client::get_foundation_model)
            .match_requests(|get| get.model_identifier() == Some(MODEL))
            .then_output(move || {
                GetFoundationModelOutput::builder().model_details(details()).build()
            })
    }

    fn refused(code: &'static str) -> Rule {
        mock!(Client::get_foundation_model).then_error(move || {
            let metadata = ErrorMetadata::builder().code(code).message("no").build();
            GetFoundationModelError::generic(metadata)
        })
    }

    #[tokio::test]
    async fn a_model_is_described_by_the_times_of_its_life() {
        let rule = answers(|| {
            let life = FoundationModelLifecycle::builder()
                .status(FoundationModelLifecycleStatus::Legacy)
                .start_of_life_time(DateTime::from_secs(1_791_331_200))
                .legacy_time(DateTime::from_secs(1_791_417_600))
                .public_extended_access_time(DateTime::from_secs(1_791_504_000))
                .end_of_life_time(DateTime::from_secs(1_791_590_400));
            FoundationModelDetails::builder()
                .model_arn("a")
                .model_id(MODEL)
                .model_lifecycle(life.build().unwrap())
                .build()
                .unwrap()
        });
        let expected = ModelFacts {
            is_legacy: true,
            started_at: Some(datetime!(2026-10-07 0:00 UTC)),
            legacy_at: Some(datetime!(2026-10-08 0:00 UTC)),
            extended_at: Some(datetime!(2026-10-09 0:00 UTC)),
            ends_at: Some(datetime!(2026-10-10 0:00 UTC)),
        };
        assert_eq!(described(rule).await.unwrap(), Ok(expected));
    }

    #[tokio::test]
    async fn a_model_without_a_life_cycle_has_no_times() {
        let rule = answers(|| {
            FoundationModelDetails::builder().model_arn("a").model_id(MODEL).build().unwrap()
        });
        assert_eq!(described(rule).await.unwrap(), Ok(ModelFacts::default()));
    }

    #[tokio::test]
    async fn an_unknown_model_is_an_answer_and_any_other_error_is_none() {
        for code in UNKNOWN_ID {
            let reason = described(refused(code)).await.unwrap().unwrap_err();
            assert_eq!(reason, "Bedrock does not describe it in us-east-1: no", "{code}");
        }
        let fault = described(refused("AccessDeniedException")).await.unwrap_err();
        let expected =
            format!("bedrock:GetFoundationModel {MODEL} in us-east-1: AccessDeniedException");
        assert_eq!(fault.message, expected);
    }
}
