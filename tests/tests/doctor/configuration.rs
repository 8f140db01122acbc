//! Faults of the parameters in SSM. Each test restores the value that it changes.

use aws_sdk_ssm::types::ParameterType;
use bcce_tests::harness::stack::{Stack, output};
use serde_json::{Value, json};

use crate::found::{Found, doctor};
use crate::healthy::healthy;

async fn value(stack: &Stack, name: &str) -> String {
    let get = stack.ssm.get_parameter().name(format!("/bcce/dev/{name}")).send().await.unwrap();
    get.parameter.unwrap().value.unwrap()
}

async fn put(stack: &Stack, name: &str, value: &str) {
    let put = stack.ssm.put_parameter().name(format!("/bcce/dev/{name}")).value(value);
    put.overwrite(true).r#type(ParameterType::String).send().await.unwrap();
}

/// Returns what is found while a parameter has another value.
pub async fn with(name: &str, change: impl Fn(&str) -> String) -> Found {
    let stack = healthy().await;
    let before = value(&stack, name).await;
    put(&stack, name, &change(&before)).await;
    let found = doctor();
    put(&stack, name, &before).await;
    found
}

#[tokio::test]
async fn a_stack_of_another_version_is_named() {
    let found = with("stack", |text| {
        let mut outputs: Value = serde_json::from_str(text).unwrap();
        outputs["Version"] = json!("0.0.1");
        outputs.to_string()
    });
    found.await.one("version", "fail", "bcce", "0.0.1");
}

#[tokio::test]
async fn a_parameter_of_a_stack_that_is_no_json_is_named() {
    with("stack", |_| "{".into()).await.one("stack", "fail", "dev", "deploy the stack again");
}

#[tokio::test]
async fn a_document_that_is_missing_is_named() {
    let stack = healthy().await;
    let before = value(&stack, "routing").await;
    stack.ssm.delete_parameter().name("/bcce/dev/routing").send().await.unwrap();
    let found = doctor();
    put(&stack, "routing", &before).await;
    found.one("document", "fail", "routing.yaml", "bcce config push DIR");
}

#[tokio::test]
async fn a_document_that_is_invalid_is_named() {
    let found = with("routing", |_| "version: 1\nstrategi: priority\n".into()).await;
    found.one("document", "fail", "routing.yaml", "bcce config diff DIR");
}

#[tokio::test]
async fn a_pointer_to_nothing_is_named() {
    let uri = format!("s3://{}/config/none.yaml", output("ArtifactBucket"));
    let pointer = json!({ "uri": uri, "sha256": "0".repeat(64) }).to_string();
    with("routing", |_| pointer.clone()).await.one("pointer", "fail", "routing.yaml", "push DIR");
}

#[tokio::test]
async fn a_digest_that_is_wrong_is_named() {
    let stack = healthy().await;
    let pointer = stack.put_template("doctor", b"version: 1\n").await;
    let mut pointer = serde_json::to_value(pointer).unwrap();
    pointer["sha256"] = json!("0".repeat(64));
    let found = with("routing", |_| pointer.to_string()).await;
    found.one("digest", "fail", "routing.yaml", "bcce config push DIR");
}

#[tokio::test]
async fn old_prices_are_named() {
    let stack = healthy().await;
    let text = include_str!("../../../infra/config/dev/prices.yaml");
    let date = text.lines().find(|line| line.starts_with("date:")).unwrap();
    let old = text.replace(date, "date: 2026-01-02");
    let key = "config/prices/doctor.yaml";
    let bucket = output("ArtifactBucket");
    let object =
        stack.s3.put_object().bucket(&bucket).key(key).body(old.clone().into_bytes().into());
    object.send().await.unwrap();
    let pointer = bcce_core::config::documents::Pointer::to(&bucket, key, old.as_bytes());
    let pointer = serde_json::to_string(&pointer).unwrap();
    with("prices", |_| pointer.clone()).await.one(
        "prices",
        "warn",
        "prices.yaml",
        "bcce prices import",
    );
}

#[tokio::test]
async fn a_secret_that_a_webhook_needs_is_named() {
    let stack = healthy().await;
    stack.ssm.delete_parameter().name("/bcce/dev/secrets/github").send().await.unwrap();
    let found = doctor();
    healthy().await;
    found.one("secret", "fail", "webhooks", "aws ssm put-parameter");
}

#[tokio::test]
async fn half_a_configuration_is_named() {
    let stack = healthy().await;
    let names = ["models", "policy"];
    let mut before = Vec::new();
    for name in names {
        before.push(value(&stack, name).await);
        let parameter = format!("/bcce/dev/{name}");
        stack.ssm.delete_parameter().name(parameter).send().await.unwrap();
    }
    let found = doctor();
    for (name, value) in names.iter().zip(before) {
        put(&stack, name, &value).await;
    }
    for name in names {
        found.one("document", "fail", &format!("{name}.yaml"), "bcce config push DIR");
    }
}
