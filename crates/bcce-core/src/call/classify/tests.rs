use super::*;
use ErrorName::*;
use time::macros::datetime;

#[test]
fn every_documented_error_has_its_name() {
    #[rustfmt::skip]
    let table: &[(Option<&str>, Option<u16>, &str, ErrorName)] = &[
        (Some("ThrottlingException"), Some(429), "Too many tokens, please wait before trying again.", TargetThrottled),
        (Some("ThrottlingException"), Some(429), "Too many tokens per day, please wait before trying again.", TargetThrottled),
        (Some("ModelNotReadyException"), Some(429), "", TargetThrottled),
        (Some("ServiceUnavailableException"), Some(503), "", TargetUnavailable),
        (Some("overloaded_error"), Some(529), "", TargetUnavailable),
        (None, Some(529), "", TargetUnavailable),
        (Some("InternalServerException"), Some(500), "", TargetUnavailable),
        (Some("InternalFailure"), Some(500), "", TargetUnavailable),
        (Some("ModelTimeoutException"), Some(408), "", TargetTimeout),
        (Some("ModelErrorException"), Some(424), "", TargetBroken),
        (Some("ModelStreamErrorException"), Some(424), "", TargetBroken),
        (Some("ServiceQuotaExceededException"), Some(400), "", TargetThrottled),
        (Some("ValidationException"), Some(400), "Input is too long for requested model.", RequestRejected),
        (Some("ValidationException"), Some(400), "The text field in the ContentBlock object at messages.0.content.0 is blank. Add text to the text field, and try again.", RequestRejected),
        (Some("ValidationException"), Some(400), "Invocation of model ID x with on-demand throughput isn\u{2019}t supported.", TargetRejected),
        (Some("ValidationException"), Some(400), "The provided model identifier is invalid.", TargetRejected),
        (Some("ValidationException"), Some(400), "Operation not allowed", TargetRejected),
        (Some("ValidationException"), Some(400), "The guardrail identifier or version provided in the request does not exist.", TargetRejected),
        (Some("ValidationException"), Some(400), "This action doesn\u{2019}t support the model that you provided. Try again with a supported text or chat model.", TargetRejected),
        (Some("ValidationException"), Some(400), "The requested service tier is not supported for this model.", TargetRejected),
        (Some("ValidationException"), Some(400), "This model version has reached the end of its life.", TargetRejected),
        (Some("AccessDeniedException"), Some(403), "", TargetRejected),
        (Some("MPAgreementBeingCreated"), Some(403), "", TargetRejected),
        (Some("ResourceNotFoundException"), Some(404), "", TargetRejected),
        (Some("FTUFormNotFilled"), Some(404), "", TargetRejected),
        (Some("NotAuthorized"), Some(400), "", Internal),
        (Some("RequestExpired"), Some(400), "", Internal),
        (Some("throttlingException"), None, "", TargetThrottled),
        (Some("ThrottlingException:http://internal.amazon.com/coral/"), Some(429), "", TargetThrottled),
        (None, None, "", TargetUnavailable),
    ];
    for (code, status, message, name) in table {
        let error = ServiceError { code: *code, status: *status, message };
        assert_eq!(classify(error), *name, "{code:?} {status:?} {message}");
    }
}

#[test]
fn an_unknown_code_is_classified_by_its_status() {
    let error =
        |status| ServiceError { code: Some("NewException"), status: Some(status), message: "" };
    assert_eq!(classify(error(429)), TargetThrottled);
    assert_eq!(classify(error(418)), TargetUnavailable);
}

fn advice(code: &str, message: &str) -> String {
    find(ServiceError { code: Some(code), status: None, message }).advice.unwrap_or_default()
}

#[test]
fn each_fault_of_a_target_has_its_own_advice() {
    #[rustfmt::skip]
    let table = [
        ("ValidationException", "Operation not allowed", "Service Quotas"),
        ("ValidationException", "The guardrail identifier or version provided in the request does not exist.", "`guardrail` in models.yaml"),
        ("ValidationException", "This action doesn't support the model that you provided.", "ConverseStream"),
        ("ValidationException", "The service tier is not supported.", "service tier"),
        ("ValidationException", "Invocation of model ID x with on-demand throughput isn\u{2019}t supported.", "profile's id"),
        ("ResourceNotFoundException", "Access denied. This Model is marked by provider as Legacy and you have not been actively using the model in the last 15 days. Please upgrade to an active model on Amazon Bedrock", "Legacy"),
        ("ResourceNotFoundException", "This model version has reached the end of its life. Please refer to the AWS documentation for more details.", "retired"),
        ("ResourceNotFoundException", "Model use case details have not been submitted for this account.", "use-case form"),
        ("FTUFormNotFilled", "", "use-case form"),
        ("MPAgreementBeingCreated", "", "15 minutes"),
        ("AccessDeniedException", "The agreement is pending.", "15 minutes"),
        ("AccessDeniedException", "Model access is denied due to INVALID_PAYMENT_INSTRUMENT:A valid payment instrument must be provided. Your AWS Marketplace subscription for this model cannot be completed at this time.", "payment method"),
        ("AccessDeniedException", "Model access is denied due to IAM user or service role is not authorized to perform the required AWS Marketplace actions (aws-marketplace:ViewSubscriptions, aws-marketplace:Subscribe) to enable access to this model.", "aws-marketplace:Unsubscribe"),
        ("AccessDeniedException", "Your AWS Marketplace subscription for this model is still being processed.", "15 minutes"),
        ("AccessDeniedException", "You don't have access to the model with the specified model ID.", "use-case form"),
        ("ThrottlingException", "Too many tokens per day, please wait before trying again.", "tokens per day"),
    ];
    for (code, message, part) in table {
        let advice = advice(code, message);
        assert!(advice.contains(part), "{code}: {message} -> {advice}");
    }
    let access = advice("AccessDeniedException", "You don't have access to the model.");
    for action in ["Subscribe", "Unsubscribe", "ViewSubscriptions"] {
        assert!(access.contains(&format!("aws-marketplace:{action}")), "{access}");
    }
    assert_eq!(advice("ThrottlingException", "Too many requests"), "");
}

const DENY: &str = "User: arn:aws:sts::123456789012:assumed-role/invoke/x is not authorized to perform: bedrock:InvokeModelWithResponseStream on resource: ";

#[test]
fn a_deny_is_reported_with_its_policy_and_the_region_that_it_is_about() {
    let reported = |rest: &str| advice("AccessDeniedException", &format!("{DENY}{rest}"));
    let model = "arn:aws:bedrock:us-west-2::foundation-model/anthropic.claude-sonnet-5-5";
    assert_eq!(
        reported(&format!("{model} with an explicit deny in a service control policy")),
        "an explicit deny in a service control policy forbids the model in us-west-2; allow it there, or use a target that does not reach it"
    );
    let kinds = [
        "a resource control policy",
        "a permissions boundary",
        "a session policy",
        "an identity-based policy",
        "a resource-based policy",
        "a VPC endpoint policy",
    ];
    for kind in kinds {
        let reported =
            reported(&format!("{model} with an explicit deny in {kind}: arn:aws:iam::1:p/x"));
        let expected = format!("an explicit deny in {} forbids", kind.to_ascii_lowercase());
        assert!(reported.starts_with(&expected), "{reported}");
    }
    assert_eq!(
        reported(&format!("{model} because no identity-based policy allows the bedrock:x action")),
        "no identity-based policy allows the model in us-west-2; allow it there"
    );
    let global = "arn:aws:bedrock:::foundation-model/x with an explicit deny";
    assert!(reported(global).starts_with(
        "an explicit deny in a policy forbids the model in all regions of its global profile;"
    ));
    let govern =
        reported("arn:aws-us-gov:bedrock:us-gov-west-1::foundation-model/x with an explicit deny");
    assert!(govern.contains("in us-gov-west-1;"), "{govern}");
}

#[test]
fn a_deny_quotes_nothing_but_a_region() {
    for arn in ["hunter2", "arn:aws:bedrock:hunter2$:x", "arn:aws:s3:hunter2:x", ""] {
        let reported =
            advice("AccessDeniedException", &format!("{DENY}{arn} with an explicit deny"));
        assert!(reported.contains("forbids the model there;"), "{reported}");
    }
}

#[test]
fn only_a_quota_of_the_day_lasts_for_the_day() {
    let leave = |message| {
        find(ServiceError { code: Some("throttlingException"), status: None, message }).leave
    };
    assert_eq!(leave("Too many tokens, please wait before trying again."), Leave::AsSet);
    assert_eq!(leave("Too many tokens per day, please wait."), Leave::ForTheDay);
    assert_eq!(Leave::AsSet.until(datetime!(2026-11-01 12:00 UTC)), None);
}

#[test]
fn a_day_turns_at_midnight_in_utc_and_is_looked_at_again_an_hour_later() {
    let turns = |now| Leave::ForTheDay.until(now).unwrap();
    let midnight = datetime!(2026-12-01 00:00 UTC);
    assert_eq!(turns(datetime!(2026-11-30 01:00 UTC)), midnight);
    assert_eq!(turns(datetime!(2026-11-30 23:59:59.9 UTC)), midnight);
    assert_eq!(turns(datetime!(2026-11-30 22:00 -05:00)), datetime!(2026-12-02 00:00 UTC));
    assert_eq!(turns(midnight), datetime!(2026-12-01 01:00 UTC));
    assert_eq!(turns(datetime!(2026-12-01 00:59:59 UTC)), datetime!(2026-12-01 01:00 UTC));
}

#[test]
fn a_request_that_does_not_fit_is_known_by_the_services_words() {
    let cause =
        |code, message| find(ServiceError { code: Some(code), status: Some(400), message }).cause;
    let long = "The model returned the following errors: Input is too long for requested model.";
    let large = "The compiled grammar is too large, which would cause performance issues.";
    assert_eq!(cause("ValidationException", long), Some(Cause::ContextTooLong));
    assert_eq!(cause("ValidationException", large), Some(Cause::GrammarTooLarge));
    let keyword = "output_config.format.schema: For 'integer' type, property 'x' is not supported";
    assert_eq!(cause("ValidationException", keyword), Some(Cause::GrammarTooLarge));
    assert_eq!(cause("ValidationException", "messages: roles must alternate"), None);
    assert_eq!(cause("ThrottlingException", long), None);
}

#[test]
fn a_deny_names_the_kind_of_resource_that_it_forbids() {
    let guardrail = "arn:aws:bedrock:us-east-1:111122223333:guardrail/x with an explicit deny";
    let reported = advice("AccessDeniedException", &format!("{DENY}{guardrail}"));
    assert!(reported.contains("forbids the guardrail in us-east-1;"), "{reported}");
    let market = "arn:aws:aws-marketplace::1:x because no identity-based policy allows it";
    let reported = advice("AccessDeniedException", &format!("{DENY}{market}"));
    assert!(!reported.contains("allows the model"), "{reported}");
}
