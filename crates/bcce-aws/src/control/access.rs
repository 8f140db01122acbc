//! Reads the access of the account to foundation models.

use aws_sdk_bedrock::operation::get_foundation_model_availability::GetFoundationModelAvailabilityOutput;
use aws_sdk_bedrock::types::{
    AgreementAvailability, AgreementStatus, AuthorizationStatus, EntitlementAvailability,
    RegionAvailability,
};
use bcce_core::base::error::Fault;
use bcce_core::ports::ReadAccess;
use bcce_core::standby::facts::{Access, Agreement};

use super::{ControlPlane, reason_or_fault};

/// The answer for a model that the region does not know. Nothing else is known of it, so nothing else is missing.
const ELSEWHERE: Access = Access {
    agreement: Agreement::Accepted,
    is_authorized: true,
    is_entitled: true,
    is_in_region: false,
};

impl ReadAccess for ControlPlane {
    async fn access(&self, region: &str, model: &str) -> Result<Access, Fault> {
        let operation = "GetFoundationModelAvailability";
        let get = self.client(region).get_foundation_model_availability().model_id(model);
        match get.send().await {
            Ok(got) => access(&got).map_err(|reason| {
                Fault::internal(format!("bedrock:{operation} {model} in {region}: {reason}"))
            }),
            Err(error) => reason_or_fault(operation, region, model, &error).map(|_| ELSEWHERE),
        }
    }
}

/// # Errors
/// A sentence about a value that is not known.
fn access(got: &GetFoundationModelAvailabilityOutput) -> Result<Access, String> {
    Ok(Access {
        agreement: got.agreement_availability().map_or(Ok(Agreement::Missing), agreement)?,
        is_authorized: *got.authorization_status() == AuthorizationStatus::Authorized,
        is_entitled: *got.entitlement_availability() == EntitlementAvailability::Available,
        is_in_region: *got.region_availability() == RegionAvailability::Available,
    })
}

fn agreement(got: &AgreementAvailability) -> Result<Agreement, String> {
    Ok(match got.status() {
        AgreementStatus::Available => Agreement::Accepted,
        AgreementStatus::Pending => Agreement::Pending,
        AgreementStatus::NotAvailable => Agreement::Missing,
        AgreementStatus::Error => {
            Agreement::Failed(got.error_message().unwrap_or("no reason given").to_owned())
        }
        other => {
            let expected = "expected one of AVAILABLE, PENDING, NOT_AVAILABLE, ERROR";
            return Err(format!(
                "unknown status of the agreement `{}`, {expected}",
                other.as_str()
            ));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    use aws_sdk_bedrock::Client;
    use aws_sdk_bedrock::operation::get_foundation_model_availability::GetFoundationModelAvailabilityError;
    use aws_smithy_mocks::{Rule, mock, mock_client};
    use aws_smithy_types::error::ErrorMetadata;

    use crate::control::UNKNOWN_ID;
    use crate::control::tests::plane;

    const MODEL: &str = "anthropic.claude-haiku-5-5";

    async fn read(rule: Rule) -> Result<Access, Fault> {
        plane(mock_client!(aws_sdk_bedrock, [&rule])).access("us-east-1", MODEL).await
    }

    /// Answers with an agreement of this status. The other three values are those of a usable model, or not.
    fn answers(status: &'static str, is_usable: bool) -> Rule {
        mock!(Client::get_foundation_model_availability)
            .match_requests(|get| get.model_id() == Some(MODEL))
            .then_output(move || {
                let agreement = AgreementAvailability::builder()
                    .status(AgreementStatus::from(status))
                    .error_message("no card");
                let (available, authorized) = match is_usable {
                    true => ("AVAILABLE", "AUTHORIZED"),
                    false => ("NOT_AVAILABLE", "NOT_AUTHORIZED"),
                };
                GetFoundationModelAvailabilityOutput::builder()
                    .model_id(MODEL)
                    .agreement_availability(agreement.build().unwrap())
                    .authorization_status(authorized.into())
                    .entitlement_availability(available.into())
                    .region_availability(available.into())
                    .build()
                    .unwrap()
            })
    }

    fn refused(code: &'static str) -> Rule {
        mock!(Client::get_foundation_model_availability).then_error(move || {
            let metadata = ErrorMetadata::builder().code(code).build();
            GetFoundationModelAvailabilityError::generic(metadata)
        })
    }

    #[tokio::test]
    async fn each_state_of_the_access_is_read() {
        let usable = Access { is_in_region: true, ..ELSEWHERE };
        assert_eq!(read(answers("AVAILABLE", true)).await.unwrap(), usable);
        let failed = Agreement::Failed("no card".into());
        for (status, agreement) in [
            ("PENDING", Agreement::Pending),
            ("NOT_AVAILABLE", Agreement::Missing),
            ("ERROR", failed),
        ] {
            let expected =
                Access { agreement, is_authorized: false, is_entitled: false, is_in_region: false };
            assert_eq!(read(answers(status, false)).await.unwrap(), expected);
        }
        let fault = read(answers("MAYBE", true)).await.unwrap_err();
        assert!(fault.message.contains("unknown status of the agreement `MAYBE`"), "{fault:?}");
    }

    #[tokio::test]
    async fn an_unknown_model_is_not_in_the_region_and_any_other_error_is_no_answer() {
        for code in UNKNOWN_ID {
            assert_eq!(read(refused(code)).await.unwrap(), ELSEWHERE, "{code}");
        }
        let fault = read(refused("AccessDeniedException")).await.unwrap_err();
        let expected = format!(
            "bedrock:GetFoundationModelAvailability {MODEL} in us-east-1: AccessDeniedException"
        );
        assert_eq!(fault.message, expected);
    }
}
