//! Tests the adapter for Bedrock's Converse API against real event streams: each way in which a call can end in the
//! scripted model, and the error name that it must get.
//!
//! It needs no stack and no emulator: `make offline`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bcce_aws::bedrock::Bedrock;
use bcce_core::base::error::ErrorName;
use bcce_core::base::target::Target;
use bcce_core::base::usage::Usage;
use bcce_core::call::answer::judge;
use bcce_core::call::attempt::Cause;
use bcce_core::call::model::{CallLimits, CallReport, ModelCall};
use bcce_core::call::parameters::Parameters;
use bcce_core::document::prompt::Prompt;
use bcce_core::ports::CallModel;
use bcce_tests::scripted_model::{Jobs, Model, Store, serve};
use tokio::net::TcpListener;

async fn endpoint() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let model = Arc::new(Model::default());
    let jobs = Jobs::new(model.clone(), Store::default());
    tokio::spawn(serve(listener, model, Arc::new(jobs)));
    format!("http://{address}/{{region}}")
}

fn bedrock(endpoint: String) -> Bedrock {
    use aws_config::timeout::TimeoutConfig;
    use aws_config::{BehaviorVersion, Region, SdkConfig};
    let credentials = aws_sdk_s3::config::Credentials::new("test", "test", None, None, "test");
    let config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(aws_sdk_s3::config::SharedCredentialsProvider::new(credentials))
        .http_client(bcce_aws::http_client().unwrap())
        // The SDK refuses FIPS together with a custom endpoint. The adapter has to switch FIPS off for its endpoint.
        .use_fips(true)
        .sleep_impl(bcce_aws::sleep_impl())
        // These timeouts are shorter than the limits of a call. They are for other clients and must not end a call to a
        // model.
        .timeout_config(
            TimeoutConfig::builder()
                .operation_attempt_timeout(Duration::from_millis(50))
                .operation_timeout(Duration::from_millis(80))
                .read_timeout(Duration::from_millis(50))
                .build(),
        )
        .build();
    Bedrock::new(&config, Some(endpoint))
}

const LIMITS: CallLimits = CallLimits {
    first_token: Duration::from_millis(1_500),
    stall: Duration::from_millis(1_500),
    attempt: Duration::from_millis(60_000),
};

async fn call(bedrock: &Bedrock, script: &str) -> CallReport {
    let target = Target {
        account: None,
        region: "us-east-1".into(),
        model_id: "us.anthropic.claude".into(),
        guardrail: None,
    };
    let prompt = Prompt {
        user: format!("@model *: {script}\nSay something in a few words."),
        ..Prompt::default()
    };
    let run_id = script.replace(['(', ')'], "-");
    let metadata = BTreeMap::from([("run_id".to_owned(), run_id), ("step".into(), "a".into())]);
    let call = ModelCall {
        target: &target,
        prompt: &prompt,
        repair: None,
        parameters: &Parameters { max_tokens: 100, ..Parameters::default() },
        cache: None,
        metadata,
        limits: LIMITS,
    };
    bedrock.call(&call).await
}

/// Returns the error name of the attempt: the name of the call's error, or the one that its stop reason leads to.
fn name(report: &CallReport) -> Option<ErrorName> {
    match &report.result {
        Ok(answer) => judge(&answer.stop_reason).err(),
        Err(failure) => Some(failure.name),
    }
}

/// The usage of a call, as far as the adapter knows it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Used {
    /// No tokens, because no model processed the call.
    Nothing,
    /// The service did not report the usage, and may have charged for it.
    Unknown,
    /// The service reported the usage.
    Reported,
}

fn used(report: &CallReport) -> Used {
    match report.usage {
        None => Used::Unknown,
        Some(usage) if usage == Usage::default() => Used::Nothing,
        Some(_) => Used::Reported,
    }
}

/// Each scripted behavior leads to the listed error name and usage, and silence is given up neither early nor late.
#[tokio::test]
async fn every_fault_has_its_error_name_and_usage() {
    use ErrorName::*;
    use Used::*;
    #[rustfmt::skip]
    let table = [
        ("answer", None, Reported),
        ("thinks", None, Reported),
        ("slow(100)", None, Reported),
        ("max-tokens", None, Reported),
        ("cached(50)", None, Reported),
        ("no-usage", None, Unknown),
        ("throttle(2)", Some(TargetThrottled), Nothing),
        ("too-many-tokens", Some(TargetThrottled), Nothing),
        ("too-many-tokens-per-day", Some(TargetThrottled), Nothing),
        ("not-ready", Some(TargetThrottled), Nothing),
        ("quota", Some(TargetThrottled), Nothing),
        ("unavailable", Some(TargetUnavailable), Nothing),
        ("overloaded", Some(TargetUnavailable), Nothing),
        ("internal", Some(TargetUnavailable), Nothing),
        ("model-timeout", Some(TargetTimeout), Nothing),
        ("model-error", Some(TargetBroken), Nothing),
        ("validation", Some(RequestRejected), Nothing),
        ("too-long", Some(RequestRejected), Nothing),
        ("grammar", Some(RequestRejected), Nothing),
        ("needs-profile", Some(TargetRejected), Nothing),
        ("not-allowed", Some(TargetRejected), Nothing),
        ("no-guardrail", Some(TargetRejected), Nothing),
        ("no-such-action", Some(TargetRejected), Nothing),
        ("no-tier", Some(TargetRejected), Nothing),
        ("legacy", Some(TargetRejected), Nothing),
        ("retired", Some(TargetRejected), Nothing),
        ("explicit-deny", Some(TargetRejected), Nothing),
        ("no-subscription", Some(TargetRejected), Nothing),
        ("denied", Some(TargetRejected), Nothing),
        ("agreement-pending", Some(TargetRejected), Nothing),
        ("not-found", Some(TargetRejected), Nothing),
        ("form-not-filled", Some(TargetRejected), Nothing),
        ("not-authorized", Some(Internal), Nothing),
        ("expired", Some(Internal), Nothing),
        ("reset", Some(TargetUnavailable), Unknown),
        ("silent", Some(TargetTimeout), Unknown),
        ("slow(20000)", Some(TargetTimeout), Unknown),
        ("stall", Some(TargetTimeout), Unknown),
        ("cut", Some(TargetBroken), Unknown),
        ("ends-early", Some(TargetBroken), Unknown),
        ("no-stop", Some(TargetBroken), Reported),
        ("bad-crc", Some(TargetBroken), Unknown),
        ("stream-throttle", Some(TargetThrottled), Unknown),
        ("stream-error(modelStreamErrorException)", Some(TargetBroken), Unknown),
        ("stream-error(serviceUnavailableException)", Some(TargetUnavailable), Unknown),
        ("stream-error(internalServerException)", Some(TargetUnavailable), Unknown),
        ("stream-error(validationException)", Some(RequestRejected), Unknown),
        ("filtered", Some(RequestRejected), Reported),
        ("context", Some(RequestRejected), Reported),
        ("guardrail", Some(GuardrailIntervened), Reported),
        ("malformed", Some(TargetBroken), Reported),
    ];
    let bedrock = bedrock(endpoint().await);
    for (script, expected, usage) in table {
        let report = call(&bedrock, script).await;
        assert_eq!((name(&report), used(&report)), (expected, usage), "{script}: {report:?}");
        if script == "silent" {
            assert!(
                report.latency >= LIMITS.first_token,
                "{script} was given up early: {report:?}"
            );
        }
        if let Err(failure) = &report.result {
            let cause = match script {
                "too-long" => Some(Cause::ContextTooLong),
                "grammar" => Some(Cause::GrammarTooLarge),
                _ => None,
            };
            assert_eq!(failure.blame.cause(), cause, "{script}");
            assert_eq!(failure.retry_after_s, (script == "throttle(2)").then_some(2), "{script}");
        }
        // A call that a different limit had ended would have taken longer, even on a fast machine.
        assert!(
            report.latency < Duration::from_millis(20_000),
            "{script} took {:?}",
            report.latency
        );
    }
}

/// If the endpoint refuses the connection, the call is `TargetUnavailable` and has used no tokens.
#[tokio::test]
async fn a_refused_connection_is_unavailable_and_uses_no_tokens() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let free = listener.local_addr().unwrap();
    drop(listener);
    let report = call(&bedrock(format!("http://{free}/{{region}}")), "answer").await;
    assert_eq!((name(&report), used(&report)), (Some(ErrorName::TargetUnavailable), Used::Nothing));
}

/// Reasoning ends the wait for the first token, but is not in the text of the answer.
#[tokio::test]
async fn reasoning_counts_as_the_first_token_but_not_as_the_answer() {
    let report = call(&bedrock(endpoint().await), "thinks").await;
    let answer = report.result.unwrap();
    assert!(answer.thought);
    let answer = answer.text;
    assert!(report.first_token.is_some() && answer.starts_with("[scripted model]"), "{answer}");
}

/// The report has the service tier and the origins of guardrails if the stream has them, and is empty otherwise.
#[tokio::test]
async fn the_service_tier_and_the_guardrail_origins_are_read_if_reported() {
    let bedrock = bedrock(endpoint().await);
    let served = call(&bedrock, "answer").await.served;
    assert_eq!((served.service_tier, served.guardrail_origin), (None, vec![]));
    let served = call(&bedrock, "tier(flex)").await.served;
    assert_eq!(served.service_tier.as_deref(), Some("flex"));
    let served = call(&bedrock, "enforced").await.served;
    assert_eq!(served.guardrail_origin, ["ACCOUNT_ENFORCED", "REQUEST"]);
}
