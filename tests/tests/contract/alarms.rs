//! Simulates stacks over days, on a virtual clock: the metrics that their functions write, and the alarms of the template
//! over them. An alarm must fire for its own cause, and a healthy stack must be silent.

pub mod evaluator;
pub mod runs;

use std::collections::BTreeSet;

use bcce_core::run::budget_alert;
use bcce_core::run::manifest::Manifest;
use bcce_core::run::metrics::of_run;
use dispatch::metrics::of_start;
use serde_json::json;
use time::macros::datetime;
use time::{Duration, OffsetDateTime};

use crate::template::{read, template_of};
use evaluator::Alarms;
use runs::{Ended, ended};

const START: OffsetDateTime = datetime!(2026-12-01 00:00 UTC);

/// Simulates a stack that starts a run each `every` for the time `lasts`, and returns the names of the alarms that fired. `outcome`
/// says how run number `n` ends, or that it hangs. A run takes three minutes.
fn fired(lasts: Duration, every: Duration, outcome: impl Fn(i64) -> Option<Ended>) -> Vec<String> {
    let mut alarms = Alarms::of_the_template();
    let mut all = BTreeSet::new();
    let end = START + lasts;
    let mut evaluated = START;
    for n in 0.. {
        let at = START + every * i32::try_from(n).unwrap();
        while evaluated <= at.min(end) {
            all.extend(alarms.fired(evaluated));
            evaluated += Duration::minutes(5);
        }
        if at >= end {
            break;
        }
        alarms.write(&of_start("dev", at));
        let Some(outcome) = outcome(n) else { continue };
        let manifest = ended(outcome, at + Duration::minutes(3));
        of_run("dev", &manifest).iter().for_each(|document| alarms.write(document));
    }
    all.into_iter().collect()
}

const HOURS_8: Duration = Duration::hours(8);
const HALF_DAY: Duration = Duration::hours(12);
const MINUTE: Duration = Duration::MINUTE;

/// Three runs a day, one of which fails: a notification reports the run, and no alarm does.
#[test]
fn a_quiet_stack_is_silent_for_a_month() {
    let outcome = |n: i64| if n % 3 == n / 3 % 3 { Ended::Failed } else { Ended::Succeeded };
    assert_eq!(fired(Duration::days(30), HOURS_8, |n| Some(outcome(n))), [""; 0]);
    // A day on which each run fails is no alarm either.
    let bad_day = |n: i64| if n / 3 == 10 { Ended::Failed } else { Ended::Succeeded };
    assert_eq!(fired(Duration::days(30), HOURS_8, |n| Some(bad_day(n))), [""; 0]);
}

/// A busy stack has runs that fail and fail over, now and then in a row, and an hour in which its first region is out.
#[test]
fn a_busy_stack_is_silent_for_days() {
    let outcome = |n: i64| match n {
        1_000..1_060 => Ended::FailedOver,
        2_000..2_010 => Ended::Failed,
        _ if n % 20 == 7 => Ended::Failed,
        _ if n % 9 == 4 => Ended::FailedOver,
        _ if n % 50 == 3 => Ended::Cancelled,
        _ => Ended::Succeeded,
    };
    assert_eq!(fired(Duration::days(3), MINUTE, |n| Some(outcome(n))), [""; 0]);
}

/// The causes that the rates of runs have.
#[test]
fn each_alarm_about_runs_fires_for_its_cause_only() {
    // The first half is healthy.
    let some = |lasts: Duration, every: Duration, bad: fn(i64) -> Option<Ended>| {
        let first = lasts.whole_minutes() / 2 / every.whole_minutes();
        fired(lasts, every, move |n| if n < first { Some(Ended::Succeeded) } else { bad(n) })
    };
    let third_fails = |n| Some(if n % 3 == 0 { Ended::Failed } else { Ended::Succeeded });
    assert_eq!(some(HALF_DAY, MINUTE, third_fails), ["FailureRateAlarm"]);
    let all_fail = |_| Some(Ended::Failed);
    assert_eq!(some(HALF_DAY, MINUTE, all_fail), ["FailureRateAlarm", "NoSuccessAlarm"]);
    assert_eq!(some(Duration::days(8), HOURS_8, all_fail), ["NoSuccessForDaysAlarm"]);
    assert_eq!(some(HALF_DAY, Duration::minutes(30), all_fail), ["NoSuccessAlarm"]);
    let all_hang = |_| None;
    assert_eq!(some(HALF_DAY, MINUTE, all_hang), ["NoSuccessAlarm"]);
    assert_eq!(some(Duration::days(8), HOURS_8, all_hang), ["NoSuccessForDaysAlarm"]);
    let most_fail_over = |n| Some(if n % 3 == 0 { Ended::Succeeded } else { Ended::FailedOver });
    assert_eq!(some(HALF_DAY, MINUTE, most_fail_over), ["FailoverRateAlarm"]);
    let one_unpriced = |n| Some(if n == 500 { Ended::Unpriced } else { Ended::Succeeded });
    assert_eq!(some(HALF_DAY, MINUTE, one_unpriced), ["UnpricedUsageAlarm"]);
    let some_rejected = |n| Some(if n == 500 { Ended::Rejected } else { Ended::Succeeded });
    assert_eq!(some(HALF_DAY, MINUTE, some_rejected), ["TargetRejectedAlarm"]);
    // The usage of a cut stream is unknown, so its cost is, and nobody has to correct a price.
    let cut = |_| Some(Ended::Cut);
    assert_eq!(some(HALF_DAY, MINUTE, cut), [""; 0]);
}

/// A stack with 1,000 runs an hour, a third of which fail or most of which fail over, has 30 healthy runs an hour after
/// it. An alarm that kept its state with few runs would never end.
#[test]
fn an_alarm_about_rates_ends_when_few_runs_come() {
    for (bad, name) in
        [(Ended::Failed, "FailureRateAlarm"), (Ended::FailedOver, "FailoverRateAlarm")]
    {
        let mut alarms = Alarms::of_the_template();
        let mut write = |at: OffsetDateTime, how: Ended| {
            let documents = of_run("dev", &ended(how, at));
            documents.iter().for_each(|document| alarms.write(document));
        };
        let few = START + Duration::hours(6);
        for n in 0..6_000 {
            let is_bad = if bad == Ended::Failed { n % 3 == 0 } else { n % 3 != 0 };
            let how = if is_bad { bad } else { Ended::Succeeded };
            write(START + Duration::milliseconds(3_600) * n, how);
        }
        for n in 0..60 {
            write(few + Duration::minutes(2) * n, Ended::Succeeded);
        }
        assert_eq!(alarms.fired(few), [name]);
        assert_eq!(alarms.fired(few + Duration::minutes(61)), [""; 0], "{name}");
    }
}

/// The failed items of a batch are in the notification of the batch.
#[test]
fn the_items_of_a_batch_do_not_count_in_the_rates() {
    assert_eq!(
        fired(HALF_DAY, MINUTE, |n| Some(if n % 2 == 0 {
            Ended::Succeeded
        } else {
            Ended::FailedItem
        })),
        [""; 0]
    );
}

/// A sender whose requests are invalid sees that in its notifications. If all requests are refused, the fault may be the
/// operator's, such as a workflow that was pushed with other inputs.
#[test]
fn the_invalid_requests_of_a_sender_do_not_count_in_the_rates() {
    let half_refused = |n| if n % 2 == 0 { Ended::Succeeded } else { Ended::Refused };
    assert_eq!(fired(HALF_DAY, MINUTE, |n| Some(half_refused(n))), [""; 0]);
    assert_eq!(fired(HALF_DAY, MINUTE, |_| Some(Ended::Refused)), ["NoSuccessAlarm"]);
}

#[test]
fn a_budget_fires_the_alarm_of_each_threshold_that_it_has_reached() {
    let of = |percent: i64| {
        let mut alarms = Alarms::of_the_template();
        let used = [("month".to_owned(), percent.into()), ("day".to_owned(), 10.into())];
        budget_alert::metrics("dev", &used, START).iter().for_each(|it| alarms.write(it));
        alarms.fired(START)
    };
    assert_eq!(of(79), [""; 0]);
    assert_eq!(of(85), ["BudgetAt80Alarm"]);
    assert_eq!(of(95), ["BudgetAt80Alarm", "BudgetAt90Alarm"]);
    assert_eq!(of(100), ["BudgetAt80Alarm", "BudgetAt90Alarm", "BudgetAt100Alarm"]);
}

/// The alarms whose metric another alarm has, too, fire with it by design.
const TOGETHER: [&[&str]; 2] = [
    &["BudgetAt100Alarm", "BudgetAt80Alarm", "BudgetAt90Alarm"],
    &["NoSuccessAlarm", "NoSuccessForDaysAlarm"],
];

/// Each alarm fires on its own metric at its threshold, no other alarm does, and just below it none does. The values last
/// for two days, which is the longest time that an alarm looks at.
#[test]
fn each_alarm_fires_on_its_own_metric_only() {
    for (name, threshold) in Alarms::of_the_template().thresholds() {
        let fired = |value: f64| {
            let mut alarms = Alarms::of_the_template();
            let mut all = BTreeSet::new();
            for minute in 0..=2 * 24 * 60 {
                let now = START + MINUTE * minute;
                alarms.put(&name, now, value);
                if minute % 60 == 0 {
                    all.extend(alarms.fired(now));
                }
            }
            all
        };
        let together = TOGETHER.iter().find(|group| group.contains(&name.as_str()));
        let of_group = fired(threshold);
        assert!(of_group.contains(&name), "{name}");
        let others = of_group.iter().filter(|it| **it != name);
        for other in others {
            assert!(
                together.is_some_and(|group| group.contains(&other.as_str())),
                "{name}: {other}"
            );
        }
        // The sum of many small values is large, so that only the others have a value just below.
        let sums = template_of("alarms")["Resources"][&name]["Properties"]["Statistic"] == "Sum";
        let below = if sums { 0.0 } else { threshold - 0.01 };
        assert!(!fired(below).contains(&name), "{name}: {below}");
    }
}

/// The description of each alarm names its section of the runbook, and that section is about it.
#[test]
fn every_alarm_names_its_section_of_the_runbook() {
    let runbook = read("docs/runbook.md");
    let sections: Vec<(String, &str)> = runbook
        .split("\n## ")
        .skip(1)
        .map(|section| (anchor(section.lines().next().unwrap()), section))
        .collect();
    let templates = [template_of("alarms"), template_of("observability")];
    let mut named = BTreeSet::new();
    for (name, alarm) in templates.iter().flat_map(|it| it["Resources"].as_object().unwrap()) {
        let properties = &alarm["Properties"];
        let Some(description) = properties["AlarmDescription"].as_str() else { continue };
        let (_, link) = description
            .rsplit_once("; docs/runbook.md#")
            .unwrap_or_else(|| panic!("{name}: {description}"));
        let section = sections.iter().find(|(anchor, _)| anchor == link);
        let (_, section) =
            section.unwrap_or_else(|| panic!("{name}: no section {link} in docs/runbook.md"));
        assert!(
            section.contains(&format!("`{name}`")),
            "docs/runbook.md#{link} is not about {name}"
        );
        assert_eq!(properties["AlarmName"], json!(format!("${{Stack}}-{name}")));
        named.insert(link.to_owned());
    }
    // The section of each alarm has a command or says that there is none, and no section is about nothing.
    for (anchor, section) in sections {
        assert!(named.contains(&anchor), "docs/runbook.md#{anchor} is about no alarm");
        for what in ["**Means.**", "**First.**", "**Mends it.**"] {
            assert!(section.contains(what), "docs/runbook.md#{anchor} has no {what}");
        }
    }
}

/// Returns the anchor of a heading, as GitHub makes it.
pub fn anchor(heading: &str) -> String {
    let kept = heading.trim().to_lowercase().replace(' ', "-");
    kept.chars().filter(|c| c.is_alphanumeric() || *c == '-').collect()
}

/// A composite alarm names alarms that exist.
#[test]
fn every_alarm_of_a_composite_alarm_exists() {
    let (alarms, template) = (template_of("alarms"), template_of("observability"));
    let mut seen = 0;
    for (name, it) in template["Resources"].as_object().unwrap() {
        let Some(rule) = it["Properties"]["AlarmRule"].as_str() else { continue };
        for part in rule.split("ALARM(\"").skip(1) {
            let of = part.split('"').next().unwrap().strip_prefix("${Stack}-").unwrap();
            assert_eq!(alarms["Resources"][of]["Type"], "AWS::CloudWatch::Alarm", "{name}: {of}");
            assert_eq!(alarms["Resources"][of]["Condition"], json!(null), "{name}: {of}");
            seen += 1;
        }
        assert_eq!(rule.matches("ALARM(").count(), rule.matches("ALARM(\"").count());
    }
    assert_eq!(seen, 5);
}

/// Returns the alarms over alarms that ring while the alarms of the list do.
fn over(firing: &[String]) -> Vec<String> {
    let template = template_of("observability");
    let resources = template["Resources"].as_object().unwrap().iter();
    let rings = |rule: &str| {
        rule.split(" OR ").any(|part| {
            let of =
                part.trim().strip_prefix("ALARM(\"${Stack}-").and_then(|it| it.strip_suffix("\")"));
            let of = of.unwrap_or_else(|| panic!("not evaluated here: {part}"));
            firing.iter().any(|name| name == of)
        })
    };
    let rules =
        resources.filter_map(|(name, it)| Some((name, it["Properties"]["AlarmRule"].as_str()?)));
    rules.filter(|(_, rule)| rings(rule)).map(|(name, _)| name.clone()).collect()
}

/// A person is woken for what lasts and for what somebody misses: not for one call, and not for a month by a budget,
/// during which DegradedAlarm would be silent.
#[test]
fn an_alarm_over_alarms_rings_for_an_outage_and_for_what_may_become_one() {
    let of = |outcome: fn(i64) -> Ended| over(&fired(HALF_DAY, MINUTE, |n| Some(outcome(n))));
    assert_eq!(of(|n| if n % 3 == 0 { Ended::Failed } else { Ended::Succeeded }), ["OutageAlarm"]);
    assert_eq!(of(|_| Ended::Refused), ["OutageAlarm"]);
    assert_eq!(of(|_| Ended::FailedOver), ["DegradedAlarm"]);
    assert_eq!(of(|n| if n == 500 { Ended::Rejected } else { Ended::Succeeded }), [""; 0]);
    for (alarm, value, over_it) in [
        ("LedgerUnreachableAlarm", 1.0, None),
        ("BudgetAt100Alarm", 100.0, None),
        ("DeadStandbyAlarm", 1.0, Some("DegradedAlarm")),
    ] {
        let mut alarms = Alarms::of_the_template();
        alarms.put(alarm, START, value);
        let firing = alarms.fired(START);
        assert!(firing.contains(&alarm.to_owned()), "{firing:?}");
        assert_eq!(over(&firing), Vec::from_iter(over_it), "{alarm}");
    }
}

/// The simulation is of runs that are no items of a batch.
#[test]
fn a_simulated_run_is_a_run() {
    use bcce_core::run::manifest::Kind;
    let Manifest { kind, .. } = ended(Ended::Failed, START);
    assert_eq!(kind, Kind::Run);
    assert_eq!(ended(Ended::FailedItem, START).kind, Kind::Item);
}
