//! Checks guardrails.

use aws_sdk_bedrock::operation::get_guardrail::GetGuardrailOutput;
use aws_sdk_bedrock::types::GuardrailStatus;
use bcce_core::base::error::Fault;
use bcce_core::base::target::Guardrail;
use bcce_core::ports::CheckGuardrail;

use super::{ControlPlane, reason_or_fault};

impl CheckGuardrail for ControlPlane {
    async fn check_guardrail(
        &self,
        region: &str,
        guardrail: &Guardrail,
    ) -> Result<Result<(), String>, Fault> {
        let Guardrail { id, version, .. } = guardrail;
        let get = self.client(region).get_guardrail().guardrail_identifier(id);
        match get.guardrail_version(version).send().await {
            Ok(got) => Ok(ready(&got)),
            Err(error) => reason_or_fault("GetGuardrail", region, id, &error).map(Err),
        }
    }
}

/// # Errors
/// A sentence that says why the guardrail cannot be used.
fn ready(got: &GetGuardrailOutput) -> Result<(), String> {
    if *got.status() == GuardrailStatus::Ready {
        return Ok(());
    }
    let reasons = match got.status_reasons() {
        [] => String::new(),
        reasons => format!(": {}", reasons.join("; ")),
    };
    Err(format!("its status is {}, expected READY{reasons}", got.status().as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    use aws_sdk_bedrock::Client;
    use aws_sdk_bedrock::operation::get_guardrail::GetGuardrailError;
    use aws_smithy_mocks::{Rule, mock, mock_client};
    use aws_smithy_types::DateTime;
    use aws_smithy_types::error::ErrorMetadata;

    use crate::control::UNKNOWN_ID;
    use crate::control::tests::plane;

    async fn checked(version: &str, rule: Rule) -> Result<Result<(), String>, Fault> {
        let guardrail = Guardrail { id: "g1".into(), version: version.into(), name: None };
        plane(mock_client!(aws_sdk_bedrock, [&rule])).check_guardrail("us-east-1", &guardrail).await
    }

    fn answers(version: &'static str, status: GuardrailStatus) -> Rule {
        mock!(Client::get_guardrail)
            .match_requests(move |get| {
                let asked = (get.guardrail_identifier(), get.guardrail_version());
                asked == (Some("g1"), Some(version))
            })
            .then_output(move || {
                GetGuardrailOutput::builder()
                    .name("guard")
                    .guardrail_id("g1")
                    .guardrail_arn("a")
                    .version(version)
                    .status(status.clone())
                    .status_reasons("a topic is too long")
                    .created_at(DateTime::from_secs(0))
                    .updated_at(DateTime::from_secs(0))
                    .blocked_input_messaging("no")
                    .blocked_outputs_messaging("no")
                    .build()
                    .unwrap()
            })
    }

    fn refused(code: &'static str) -> Rule {
        mock!(Client::get_guardrail).then_error(move || {
            GetGuardrailError::generic(ErrorMetadata::builder().code(code).build())
        })
    }

    #[tokio::test]
    async fn a_version_and_a_draft_that_are_ready_can_be_used() {
        for version in ["3", "DRAFT"] {
            let rule = answers(version, GuardrailStatus::Ready);
            assert_eq!(checked(version, rule).await.unwrap(), Ok(()), "{version}");
        }
        let failed = checked("3", answers("3", GuardrailStatus::Failed)).await.unwrap();
        let expected = "its status is FAILED, expected READY: a topic is too long";
        assert_eq!(failed, Err(expected.to_owned()));
    }

    #[tokio::test]
    async fn an_unknown_guardrail_is_an_answer_and_any_other_error_is_none() {
        for code in UNKNOWN_ID {
            assert!(checked("3", refused(code)).await.unwrap().is_err(), "{code}");
        }
        let fault = checked("3", refused("ThrottlingException")).await.unwrap_err();
        assert_eq!(fault.message, "bedrock:GetGuardrail g1 in us-east-1: ThrottlingException");
    }
}
