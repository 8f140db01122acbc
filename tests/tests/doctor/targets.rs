//! Faults that the control plane of Bedrock and Service Quotas report, planted in the scripted model.

use bcce_tests::harness::plants::Planted;
use serde_json::{Value, json};

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
    found(&json!("missing"), "model", "fail", "");
    found(&json!("no-agreement"), "access", "fail", "");
    found(&json!("denied"), "access", "fail", "");
    found(&json!("legacy"), "lifecycle", "warn", "");
    found(&json!({ "ends_in_days": 20 }), "end-of-life", "fail", "bcce config push DIR");
    found(&json!("no-profile"), "profile", "fail", "");
    found(&json!({ "quota": 0.0 }), "quota", "fail", "request-service-quota-increase");
    let abroad = json!({ "reach": ["us-east-1", "eu-west-1"] });
    found(&abroad, "residency", "fail", "");
    found(&json!({ "started": "2026-11-29" }), "price", "fail", "");
}

#[tokio::test]
async fn a_quota_below_an_answer_is_named() {
    healthy().await;
    found(&json!({ "quota": 100.0 }), "max-tokens", "warn", "max_tokens");
}

#[tokio::test]
async fn a_call_that_only_the_canary_makes_is_named() {
    healthy().await;
    let _planted = Planted::in_model("us-east-1", MODEL, &json!({ "call": "denied" }));
    let found = doctor_with(&["--live", "--yes"], &[]);
    found.one("call", "fail", "claude-haiku-5-5 in us-east-1", "");
}
