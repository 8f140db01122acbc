//! What the command does without a consent: nothing that changes or costs anything.

use bcce_tests::harness::cli::bcce;
use bcce_tests::harness::stack::all_calls;
use serde_json::{Value, json};

use crate::found::call;
use crate::healthy::healthy;
use crate::resources::rule;

#[tokio::test]
async fn live_calls_nothing_without_a_consent() {
    healthy().await;
    let before = all_calls().len();
    let (exit, output) = bcce("dev", &["doctor", "--live"]);
    assert_eq!((exit, all_calls().len()), (2, before), "{output}");
    assert!(output.contains("12 targets") && output.contains("--yes"), "{output}");
}

#[tokio::test]
async fn fix_changes_nothing_without_a_consent() {
    healthy().await;
    let name = json!({ "Name": rule("FinalizeRule") }).to_string();
    let events = |operation: &str| call("events", &format!("AWSEvents.{operation}"), &name);
    events("DisableRule");
    let (exit, output) = bcce("dev", &["doctor", "--fix"]);
    let rule: Value = serde_json::from_str(&events("DescribeRule")).unwrap();
    events("EnableRule");
    assert_eq!(rule["State"], "DISABLED", "{output}");
    assert!(exit == 2 && output.contains("would enable") && output.contains("--yes"), "{output}");
}
