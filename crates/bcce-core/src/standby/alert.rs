//! The message about targets that cannot take calls, and the metric of the alarm.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::json;
use time::OffsetDateTime;

use crate::base::emf;
use crate::standby::finding::{Finding, Level};

/// The message on the notifications topic. `kind` tells it from the notification of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StandbyAlert {
    pub version: u32,
    /// Always `standby`.
    pub kind: String,
    pub environment: String,
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// The findings that no earlier message had, the worst first.
    pub findings: Vec<Finding>,
}

impl StandbyAlert {
    /// Returns the message about the findings that are not `reported` yet. Returns `None` if there is none.
    pub fn due(
        environment: &str,
        findings: &[Finding],
        reported: &BTreeSet<String>,
        at: OffsetDateTime,
    ) -> Option<Self> {
        let is_new = |finding: &&Finding| !reported.contains(&finding.key());
        let mut findings: Vec<Finding> = findings.iter().filter(is_new).cloned().collect();
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.level));
        let (version, kind, environment) = (1, "standby".to_owned(), environment.to_owned());
        (!findings.is_empty()).then_some(Self { version, kind, environment, at, findings })
    }
}

/// Returns what the ledger records as reported: the keys of all findings that there are. A finding that has gone and
/// returns is reported again.
pub fn reported(findings: &[Finding]) -> BTreeSet<String> {
    findings.iter().map(Finding::key).collect()
}

/// Returns the metric: the number of targets that take no calls, or will soon take none. It is 0 as long as all is well.
pub fn metric(environment: &str, findings: &[Finding], at: OffsetDateTime) -> String {
    let failing = findings.iter().filter(|finding| finding.level == Level::Fail);
    let targets: BTreeSet<String> = failing.map(|finding| finding.target.to_string()).collect();
    let metrics = [("DeadStandbys", "Count", json!(targets.len()))];
    let properties = [("function", json!("canary")), ("targets", json!(targets))];
    emf::document(at, &[("Environment", environment)], &metrics, &properties)
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;
    use crate::base::target::tests::target;
    use crate::standby::finding::Check;

    const NOON: OffsetDateTime = datetime!(2026-11-30 12:00 UTC);

    fn finding(level: Level, check: Check, region: &str) -> Finding {
        let (cause, remedy) = (String::new(), String::new());
        Finding { level, check, target: target(region), aliases: vec![], cause, remedy }
    }

    #[test]
    fn a_finding_is_reported_once_until_it_has_gone() {
        let old = finding(Level::Fail, Check::Quota, "us-east-1");
        let new = finding(Level::Warn, Check::Lifecycle, "us-west-2");
        let worse = finding(Level::Fail, Check::Call, "us-west-2");
        let known = reported(std::slice::from_ref(&old));
        let due = |findings: &[Finding]| StandbyAlert::due("dev", findings, &known, NOON);
        assert_eq!(due(std::slice::from_ref(&old)), None);
        let alert = due(&[old.clone(), new.clone(), worse.clone()]).unwrap();
        assert_eq!(alert.findings, [worse, new]);
        let gone = reported(&[]);
        assert!(StandbyAlert::due("dev", &[old], &gone, NOON).is_some());
    }

    #[test]
    fn the_metric_counts_dead_targets_once_and_is_zero_without_one() {
        let dead = |findings: &[Finding]| {
            let document: serde_json::Value =
                serde_json::from_str(&metric("dev", findings, NOON)).unwrap();
            document["DeadStandbys"].as_u64().unwrap()
        };
        let fail = |check| finding(Level::Fail, check, "us-east-1");
        assert_eq!(dead(&[]), 0);
        assert_eq!(dead(&[finding(Level::Warn, Check::Reach, "us-east-1")]), 0);
        let both = [fail(Check::Quota), fail(Check::Call)];
        assert_eq!(dead(&both), 1);
        assert_eq!(dead(&[fail(Check::Quota), finding(Level::Fail, Check::Quota, "us-west-2")]), 2);
    }
}
