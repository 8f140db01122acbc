//! Checks the rules of EventBridge that start functions and state machines of the stack.

use bcce_aws::signed::Services;
use bcce_aws::watch::{Metric, Rule};
use bcce_core::base::error::Fault;
use futures::stream::{StreamExt, iter};
use time::OffsetDateTime;

use super::{Check, Mend};

/// The logical names of the rules in the templates. CloudFormation makes the names of the rules from them.
const RULES: [&str; 6] = [
    "CanaryRule",
    "DailySweepRule",
    "DroppedRule",
    "FinalizeRule",
    "SweepRule",
    "WatchBudgetsRule",
];
/// The time of which failed invocations are reported.
const HOURS: i64 = 24;
const AT_A_TIME: usize = 4;

/// A rule, and the number of its invocations that failed within the last day.
pub type Found = (Rule, Result<f64, Fault>);

/// Reads the rules of a stack.
///
/// # Errors
/// `Bcce.Internal`: EventBridge cannot be read.
pub async fn read(
    services: &Services,
    stack: &str,
    now: OffsetDateTime,
) -> Result<Vec<Found>, Fault> {
    let mut rules = services.rules(&format!("{stack}-")).await?;
    // Another stack, such as a companion, may have a name that begins with the name of this one.
    rules.retain(|rule| RULES.iter().any(|logical| is_made_from(&rule.name, stack, logical)));
    let each = rules.into_iter().map(async |rule| {
        let metric = Metric {
            namespace: "AWS/Events",
            name: "FailedInvocations",
            dimension: ("RuleName", &rule.name),
            statistic: "Sum",
        };
        let failed = services.statistic(metric, HOURS, now).await;
        (rule, failed)
    });
    Ok(iter(each).buffered(AT_A_TIME).collect().await)
}

pub fn check(stack: &str, rules: &Result<Vec<Found>, Fault>) -> Vec<Check> {
    let rules = match rules {
        Ok(rules) => rules,
        Err(fault) => return vec![Check::unread("rule", "rules", fault)],
    };
    let mut checks: Vec<Check> = rules.iter().map(one).collect();
    let is_missing =
        |logical: &&&str| !rules.iter().any(|(rule, _)| is_made_from(&rule.name, stack, logical));
    checks.extend(RULES.iter().filter(is_missing).map(|logical| {
        let reason = "the stack does not have this rule, so what it starts is never started";
        Check::fail("rule", logical, reason, "deploy the stack again: `make deploy`")
    }));
    checks
}

/// Returns true if a rule is the one with a logical name: `<stack>-<logical name>-<random>` or `<stack>-<logical name>`.
fn is_made_from(rule: &str, stack: &str, logical: &str) -> bool {
    let rest = rule.strip_prefix(stack).and_then(|rest| rest.strip_prefix('-'));
    rest.is_some_and(|rest| rest.split('-').next() == Some(logical))
}

fn one((rule, failed): &Found) -> Check {
    let name = &*rule.name;
    if !rule.is_enabled {
        let reason = "the rule is disabled, so what it starts is never started";
        let remedy = format!("`aws events enable-rule --name {name}`, or `bcce doctor --fix`");
        return Check::fail("rule", name, reason, remedy).with(Mend::EnableRule(name.to_owned()));
    }
    match failed {
        Ok(0.0) => Check::pass("rule", name, "enabled"),
        Ok(failed) => {
            let reason = format!("{failed:.0} invocations failed within the last {HOURS} hours");
            let remedy = format!(
                "`aws events list-targets-by-rule --rule {name}` shows its targets; compare the permissions of the target with infra/template.yaml, and deploy the stack again: `make deploy`"
            );
            Check::fail("rule-failures", name, reason, remedy)
        }
        Err(fault) => Check::unread("rule-failures", name, fault),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::State;

    fn all() -> Vec<Found> {
        let named =
            |logical: &str| Rule { name: format!("bcce-dev-{logical}-X1"), is_enabled: true };
        RULES.iter().map(|logical| (named(logical), Ok(0.0))).collect()
    }

    fn findings(rules: Vec<Found>) -> Vec<Check> {
        let mut checks = check("bcce-dev", &Ok(rules));
        checks.retain(|check| check.state != State::Pass);
        checks
    }

    #[test]
    fn enabled_rules_are_no_finding() {
        assert_eq!(findings(all()), []);
    }

    /// `--fix` must not enable the rules of others, which may be disabled on purpose.
    #[test]
    fn a_rule_of_another_stack_is_not_one_of_this_stack() {
        let is_own = |name| is_made_from(name, "bcce-dev", "SweepRule");
        assert!(is_own("bcce-dev-SweepRule-X1") && is_own("bcce-dev-SweepRule"));
        for other in ["bcce-dev-2-SweepRule-X1", "bcce-dev-DailySweepRule-X1", "bcce-devSweepRule"]
        {
            assert!(!is_own(other), "{other}");
        }
    }

    #[test]
    fn a_disabled_a_failing_and_a_missing_rule_are_found() {
        let mut rules = all();
        rules[0].0.is_enabled = false;
        rules[1].1 = Ok(3.0);
        let _sweep = rules.remove(4);
        let found = findings(rules);
        let names: Vec<_> = found.iter().map(|check| (check.name, &*check.subject)).collect();
        let expected = [
            ("rule", "bcce-dev-CanaryRule-X1"),
            ("rule-failures", "bcce-dev-DailySweepRule-X1"),
            ("rule", "SweepRule"),
        ];
        assert_eq!(names, expected);
        assert_eq!(found[0].mend, Some(Mend::EnableRule("bcce-dev-CanaryRule-X1".into())));
        assert!(found[0].remedy.contains("enable-rule --name bcce-dev-CanaryRule-X1"));
    }
}
