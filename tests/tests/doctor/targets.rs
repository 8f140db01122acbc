//! Faults that the control plane of Bedrock and Service Quotas report, planted in the scripted model.

use bcce_tests::harness::plants::Planted;
use serde_json::{Value, json};

use crate::configuration::with;
use crate::found::{doctor, doctor_with};
use crate::healthy::healthy;

const MODEL: &str = "anthropic.claude-haiku-5-5";

/// Asserts what is found while a model has a fault in us-east-1.
#[track_caller]
fn found(fault: &Value, name: &str, state: &str, remedy: &str) {
    let _planted = Planted::in_model("us-east-1", MODEL, fault);
    doctor().one(name, state, "claude-haiku-5-5 in us-east-1", remedy);
}

#[tokio::test]
async fn each_fault_of_a_model_is_named() {
    healthy().await;
    found(&json!("missing"), "model", "fail", "aws bedrock list-foundation-models");
    found(&json!("elsewhere"), "model", "fail", "another region");
    found(&json!("no-agreement"), "access", "fail", "create-foundation-model-agreement");
    found(&json!("pending"), "access", "warn", "15 minutes");
    found(&json!("denied"), "access", "fail", "get-foundation-model-availability");
    found(&json!("legacy"), "lifecycle", "warn", "models.yaml");
    found(&json!({ "ends_in_days": -1 }), "end-of-life", "fail", "bcce config push DIR");
    found(&json!({ "ends_in_days": 20 }), "end-of-life", "fail", "bcce config push DIR");
    found(&json!("no-profile"), "profile", "fail", "aws bedrock list-inference-profiles");
    found(&json!({ "quota": 0.0 }), "quota", "fail", "request-service-quota-increase");
    let abroad = json!({ "reach": ["us-east-1", "eu-west-1"] });
    found(&abroad, "residency", "fail", "policy.yaml");
    let narrower = json!({ "reach": ["us-east-1", "us-west-2"] });
    found(&narrower, "reach", "warn", "bcce config push DIR");
    found(&json!({ "started": "2026-11-29" }), "price", "fail", "bcce prices import");
}

#[tokio::test]
async fn a_quota_below_an_answer_is_named() {
    healthy().await;
    found(&json!({ "quota": 100.0 }), "max-tokens", "fail", "lower `max_tokens`");
}

/// An alias whose only target has a guardrail.
const GUARDED: &str = r#"
  guarded:
    takes: { temperature: true, thinking: never, json_schema: true, max_output_tokens: 64000, context_tokens: 200000 }
    targets:
      - region: us-west-2
        model_id: us.anthropic.claude-haiku-4-5-20251001-v1:0
        guardrail: { id: g1, version: "1" }
"#;

#[tokio::test]
async fn a_missing_guardrail_is_named() {
    let _planted = Planted::in_guardrail("us-west-2", "g1", &json!("missing"));
    let models = format!("{}{GUARDED}", include_str!("../../../infra/config/dev/models.yaml"));
    let found = with("models", |_| models.clone()).await;
    found.one("guardrail", "fail", "in us-west-2 (guarded)", "aws bedrock list-guardrails");
}

#[tokio::test]
async fn a_data_retention_that_the_policy_forbids_is_named() {
    let retention = json!({ "retention": "provider_data_share" });
    let _planted = Planted::in_region("us-west-2", &retention);
    let found = with("policy", |policy| format!("{policy}\ndata_retention: [none]\n")).await;
    let remedy = "aws bedrock put-account-data-retention --mode none";
    found.some("retention", "fail", "in us-west-2", remedy);
}

#[tokio::test]
async fn a_call_that_only_the_canary_makes_is_named() {
    healthy().await;
    let _planted = Planted::in_model("us-east-1", MODEL, &json!({ "call": "denied" }));
    let found = doctor_with(&["--live", "--yes"], &[]);
    found.one("call", "fail", "claude-haiku-5-5 in us-east-1", "");
}
