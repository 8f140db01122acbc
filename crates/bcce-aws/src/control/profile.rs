//! Describes inference profiles: which model and which regions they call.

use bcce_core::base::error::Fault;
use bcce_core::config::profiles::Profile;
use bcce_core::ports::DescribeProfile;

use super::{ControlPlane, reason_or_fault};

impl DescribeProfile for ControlPlane {
    async fn describe_profile(
        &self,
        region: &str,
        id: &str,
    ) -> Result<Result<Profile, String>, Fault> {
        let get = self.client(region).get_inference_profile().inference_profile_identifier(id);
        match get.send().await {
            Ok(got) => Ok(Profile::of(
                region,
                id,
                got.models()
                    .iter()
                    .map(|model| model.model_arn().unwrap_or("a model without an ARN")),
            )),
            Err(error) => reason_or_fault("GetInferenceProfile", region, id, &error).map(Err),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use aws_sdk_bedrock::Client;
    use aws_sdk_bedrock::operation::get_inference_profile::{
        GetInferenceProfileError, GetInferenceProfileOutput,
    };
    use aws_sdk_bedrock::types::{
        InferenceProfileModel, InferenceProfileStatus, InferenceProfileType,
    };
    use aws_smithy_mocks::{Rule, mock, mock_client};
    use aws_smithy_types::error::ErrorMetadata;

    use crate::control::UNKNOWN_ID;
    use crate::control::tests::plane;

    const ARN: &str = "arn:aws:bedrock:us-east-1:000000000000:application-inference-profile/a1b2";

    async fn described(rule: Rule) -> Result<Result<Profile, String>, Fault> {
        let plane = plane(mock_client!(aws_sdk_bedrock, [&rule]));
        plane.describe_profile("us-east-1", ARN).await
    }

    fn refused(code: &'static str) -> Rule {
        mock!(Client::get_inference_profile).then_error(move || {
            GetInferenceProfileError::generic(ErrorMetadata::builder().code(code).build())
        })
    }

    #[tokio::test]
    async fn a_profile_is_described_by_its_models() {
        let rule = mock!(Client::get_inference_profile)
            .match_requests(|get| get.inference_profile_identifier() == Some(ARN))
            .then_output(|| {
                let model = |region: &str| {
                    let arn = format!("arn:aws:bedrock:{region}::foundation-model/anthropic.c");
                    InferenceProfileModel::builder().model_arn(arn).build()
                };
                GetInferenceProfileOutput::builder()
                    .inference_profile_name("search")
                    .inference_profile_arn(ARN)
                    .inference_profile_id("a1b2")
                    .models(model("us-west-2"))
                    .models(model("us-east-1"))
                    .status(InferenceProfileStatus::Active)
                    .r#type(InferenceProfileType::Application)
                    .build()
                    .unwrap()
            });
        let profile = described(rule).await.unwrap().unwrap();
        assert_eq!((profile.region.as_str(), profile.id.as_str()), ("us-east-1", ARN));
        assert_eq!(profile.model, "anthropic.c");
        assert_eq!(profile.regions, ["us-east-1", "us-west-2"]);
    }

    #[tokio::test]
    async fn an_unknown_profile_is_an_answer_and_any_other_error_is_none() {
        for code in UNKNOWN_ID {
            assert!(described(refused(code)).await.unwrap().is_err(), "{code}");
        }
        for code in ["AccessDeniedException", "ThrottlingException"] {
            let fault = described(refused(code)).await.unwrap_err();
            let expected = format!("bedrock:GetInferenceProfile {ARN} in us-east-1: {code}");
            assert_eq!(fault.message, expected);
        }
    }
}
