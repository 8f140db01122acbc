//! Faults of keys, bucket, queues, rules and alarms. Each test mends what it breaks.

use aws_sdk_s3::types::{
    BucketVersioningStatus, PublicAccessBlockConfiguration, VersioningConfiguration,
};
use bcce_tests::harness::cli::bcce;
use bcce_tests::harness::stack::output;
use serde_json::{Value, json};

use crate::found::{call, doctor, doctor_with};
use crate::healthy::healthy;

#[tokio::test]
async fn a_key_that_will_be_deleted_is_named() {
    let stack = healthy().await;
    let key = output("SigningKeyArn");
    stack.kms.schedule_key_deletion().key_id(&key).pending_window_in_days(7).send().await.unwrap();
    let found = doctor();
    stack.kms.cancel_key_deletion().key_id(&key).send().await.unwrap();
    stack.kms.enable_key().key_id(&key).send().await.unwrap();
    found.one("key-state", "fail", &key, "aws kms cancel-key-deletion");
    doctor().nothing();
}

#[tokio::test]
async fn a_key_that_is_disabled_is_named() {
    let stack = healthy().await;
    let key = output("SigningKeyArn");
    stack.kms.disable_key().key_id(&key).send().await.unwrap();
    let found = doctor();
    stack.kms.enable_key().key_id(&key).send().await.unwrap();
    found.one("key-state", "fail", &key, "aws kms enable-key");
}

#[tokio::test]
async fn a_bucket_without_versions_is_named() {
    let stack = healthy().await;
    let set = async |status: BucketVersioningStatus| {
        let versioning = VersioningConfiguration::builder().status(status).build();
        let put = stack.s3.put_bucket_versioning().bucket(output("ArtifactBucket"));
        put.versioning_configuration(versioning).send().await.unwrap();
    };
    set(BucketVersioningStatus::Suspended).await;
    let found = doctor();
    set(BucketVersioningStatus::Enabled).await;
    found.one("versioning", "fail", &output("ArtifactBucket"), "put-bucket-versioning");
}

#[tokio::test]
async fn a_bucket_that_allows_public_access_is_named() {
    let stack = healthy().await;
    let set = async |is_on: bool| {
        let block = PublicAccessBlockConfiguration::builder()
            .block_public_acls(true)
            .block_public_policy(is_on)
            .ignore_public_acls(true)
            .restrict_public_buckets(true)
            .build();
        let put = stack.s3.put_public_access_block().bucket(output("ArtifactBucket"));
        put.public_access_block_configuration(block).send().await.unwrap();
    };
    set(false).await;
    let found = doctor();
    set(true).await;
    found.one("public-access", "fail", &output("ArtifactBucket"), "put-public-access-block");
}

#[tokio::test]
async fn dead_letters_are_named() {
    let stack = healthy().await;
    let queue = output("DeadLetterQueueUrl");
    stack.send_to(&queue, "{}").await;
    let found = doctor();
    for message in stack.sweep(&queue, 60).await {
        let delete = stack.sqs.delete_message().queue_url(&queue);
        delete.receipt_handle(message.receipt_handle.unwrap()).send().await.unwrap();
    }
    found.one("dead-letters", "warn", "dead-letter queue", "bcce dlq redrive");
}

#[tokio::test]
async fn a_paused_inbox_is_named() {
    healthy().await;
    assert_eq!(bcce("dev", &["pause"]).0, 0);
    let found = doctor();
    assert_eq!(bcce("dev", &["resume"]).0, 0);
    found.one("inbox", "warn", "inbox", "bcce resume");
}

/// Returns the name of the rule of the stack with this logical name.
pub fn rule(logical: &str) -> String {
    let listed: Value = serde_json::from_str(&call("events", "AWSEvents.ListRules", "{}")).unwrap();
    let rules = listed["Rules"].as_array().unwrap();
    let names = rules.iter().filter_map(|rule| rule["Name"].as_str());
    let is_it = |name: &&str| name.contains(&format!("-{logical}"));
    names.into_iter().find(is_it).unwrap_or_else(|| panic!("{logical}: {listed}")).to_owned()
}

#[tokio::test]
async fn a_disabled_rule_is_named_and_enabled_again() {
    healthy().await;
    let name = rule("FinalizeRule");
    call("events", "AWSEvents.DisableRule", &json!({ "Name": name }).to_string());
    doctor().one("rule", "fail", &name, &format!("aws events enable-rule --name {name}"));
    doctor_with(&["--fix", "--yes"], &[]).nothing();
}

#[tokio::test]
async fn an_alarm_without_a_target_is_named() {
    healthy().await;
    let name = format!("{}-TestAlarm", output("BCCE_STACK"));
    let alarm = format!(
        "Action=PutMetricAlarm&Version=2010-08-01&AlarmName={name}&Namespace=N&MetricName=M&Statistic=Sum\
         &Period=60&EvaluationPeriods=1&Threshold=1&ComparisonOperator=GreaterThanThreshold\
         &TreatMissingData=notBreaching"
    );
    call("monitoring", "", &alarm);
    let found = doctor();
    let delete = format!("Action=DeleteAlarms&Version=2010-08-01&AlarmNames.member.1={name}");
    call("monitoring", "", &delete);
    found.one("alarm-target", "warn", "alarms", "AlarmTopicArn");
    doctor().nothing();
}
