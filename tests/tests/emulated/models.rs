//! `bcce models`: what the stack and Bedrock's control plane know about the targets of the aliases.

use bcce_tests::harness::cli::bcce;
use bcce_tests::harness::plants::Planted;
use serde_json::{Value, json};

/// The targets of no run of this suite, so that a fault of theirs disturbs no other test.
const MODEL: &str = "anthropic.claude-opus-5";

/// Returns the targets of `opus` whose model is [`MODEL`], in the order of their regions.
fn listed(args: &[&str]) -> Vec<Value> {
    let (code, text) = bcce("dev", &[&["models", "opus", "--json"], args].concat());
    assert_eq!(code, 0, "{text}");
    let report: Value = serde_json::from_str(&text).unwrap();
    let is_it = |entry: &&Value| {
        let model = entry["target"]["model_id"].as_str().unwrap();
        entry["alias"] == "opus" && model == format!("us.{MODEL}")
    };
    let found: Vec<Value> =
        report["models"].as_array().unwrap().iter().filter(is_it).cloned().collect();
    assert_eq!(found.len(), 2, "{text}");
    found
}

fn checks(entry: &Value) -> Vec<&str> {
    let findings = entry["findings"].as_array().unwrap();
    findings.iter().map(|finding| finding["check"].as_str().unwrap()).collect()
}

#[test]
fn bedrock_is_asked_about_each_target_only_if_the_user_wants_it() {
    let _quota = Planted::in_model("us-west-2", MODEL, &json!({ "quota": 0 }));
    let _ends = Planted::in_model("us-west-2", MODEL, &json!({ "ends_in_days": 40 }));
    let without = listed(&[]);
    for entry in &without {
        assert_eq!((&entry["reachable"], &entry["life"]), (&json!(true), &Value::Null), "{entry}");
        let amount = |field: &str| entry["price"][field].as_str().unwrap().parse::<f64>().unwrap();
        assert_eq!((amount("input"), amount("output")), (5.5, 27.5), "{entry}");
    }
    let live = listed(&["--live"]);
    assert_eq!((&live[0]["reachable"], checks(&live[0])), (&json!(true), vec![]));
    assert_eq!(live[0]["life"]["started_at"], "2026-07-24T00:00:00Z");
    assert_eq!(
        (&live[1]["reachable"], checks(&live[1])),
        (&json!(false), vec!["end-of-life", "quota"])
    );

    let (code, table) = bcce("dev", &["models", "opus", "--live"]);
    assert_eq!(code, 0, "{table}");
    let row = format!("us.{MODEL} in us-west-2");
    let row = table.lines().find(|line| line.starts_with("opus") && line.contains(&row)).unwrap();
    assert!(row.contains("no: quota") && row.contains("ends 20"), "{row}");
    assert!(table.contains("request-service-quota-increase"), "{table}");
    let (code, text) = bcce("dev", &["models", "opsu"]);
    assert_eq!(code, 2, "{text}");
    assert!(text.contains("dev has no model alias `opsu`"), "{text}");
}
