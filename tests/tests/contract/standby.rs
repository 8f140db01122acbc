//! Simulates the canary over a month, on a virtual clock: its decisions on each hour, with what a healthy or a dead
//! standby would answer, and the alarms of the template over the metrics that it writes.

mod world;

use std::collections::{BTreeMap, BTreeSet};

use bcce_core::failover::breaker::Breaker;
use bcce_core::standby::alert::{StandbyAlert, metric, reported};
use bcce_core::standby::canary::{LastCall, is_due};
use bcce_core::standby::checks::{Rules, watched};
use bcce_core::standby::finding::{Check, Finding, Level};
use time::macros::datetime;
use time::{Duration, OffsetDateTime};

use crate::alarms::evaluator::Alarms;
use world::{Fault, World};

const START: OffsetDateTime = datetime!(2026-12-01 00:07 UTC);
const DAYS: i64 = 30;
/// The standby that dies in each scenario.
const STANDBY: &str = "us.anthropic.claude-haiku-4-5-20251001-v1:0 in us-west-2";

/// What happened in a month.
struct Month {
    messages: Vec<StandbyAlert>,
    /// The alarms that fired, with the time.
    fired: Vec<(OffsetDateTime, String)>,
    calls: BTreeMap<String, Vec<OffsetDateTime>>,
}

/// Simulates the function `canary` hour by hour.
fn simulate(world: &World) -> Month {
    let (mut last, mut known) = (BTreeMap::<String, LastCall>::new(), BTreeSet::new());
    let mut alarms = Alarms::of_the_template();
    let mut month = Month { messages: vec![], fired: vec![], calls: BTreeMap::new() };
    for hour in 0..DAYS * 24 {
        let now = START + Duration::hours(hour);
        let (max_tokens, none) = (BTreeMap::new(), Breaker::default());
        let rules = Rules {
            policy: &world.policy,
            prices: &world.prices,
            profiles: &world.profiles,
            max_tokens: &max_tokens,
            now,
        };
        let mut findings: Vec<Finding> = Vec::new();
        for watched in watched(&world.models) {
            findings.extend(rules.check(&watched, &world.facts(&watched, now)));
            let open = world.breaker(&watched, now);
            let before = last.get(&watched.key());
            if is_due(before, open.as_ref().unwrap_or(&none), now) {
                let calls = month.calls.entry(watched.key()).or_default();
                let report = world.call(&watched, calls.len(), now);
                calls.push(now);
                let call = LastCall::ended(&watched, before, now, &report);
                last.insert(watched.key(), call);
            }
            findings.extend(last.get(&watched.key()).and_then(|call| call.finding(&watched)));
        }
        month.messages.extend(StandbyAlert::due("dev", &findings, &known, now));
        known = reported(&findings);
        alarms.write(&metric("dev", &findings, now));
        world.other_metrics(now).iter().for_each(|document| alarms.write(document));
        month.fired.extend(alarms.fired(now).into_iter().map(|alarm| (now, alarm)));
    }
    month
}

#[test]
fn thirty_healthy_days_are_silent_and_each_target_is_called_once_a_day() {
    let world = World::healthy();
    let month = simulate(&world);
    assert_eq!(month.messages, []);
    assert_eq!(month.fired, []);
    let targets = watched(&world.models).len();
    assert_eq!(month.calls.len(), targets);
    for (target, calls) in &month.calls {
        let between = calls.windows(2).map(|pair| pair[1] - pair[0]).min().unwrap();
        assert!(between >= Duration::days(1), "{target}: two calls within {between}");
        assert!((28..=30).contains(&calls.len()), "{target}: {} calls", calls.len());
    }
}

/// Dies in the middle of the month, at the worst time: just after the canary has called the target.
#[test]
fn each_kind_of_dead_standby_is_reported_within_a_day_with_target_and_remedy() {
    let dies_at = START + Duration::days(10) + Duration::minutes(1);
    let table = [
        (Fault::LegacyAndUnused, Check::Call, "Legacy"),
        (Fault::EndsIn40Days, Check::EndOfLife, "replace the target in models.yaml"),
        (Fault::QuotaOf0, Check::Quota, "request-service-quota-increase"),
        (Fault::GuardrailMissing, Check::Guardrail, "correct `guardrail` in models.yaml"),
        (Fault::DenyOnDestination, Check::Call, "an explicit deny in a service control policy"),
        (Fault::PriceOlderThanModel, Check::Price, "bcce prices import"),
    ];
    for (fault, check, remedy) in table {
        let month = simulate(&World::with(fault, STANDBY, dies_at));
        let found = month.messages.iter().find_map(|message| {
            let mut all = message.findings.iter();
            Some((message.at, all.find(|it| it.check == check && it.level == Level::Fail)?))
        });
        let (at, finding) = found.unwrap_or_else(|| panic!("{fault:?}: {:?}", month.messages));
        assert!(at >= dies_at && at - dies_at <= Duration::hours(24), "{fault:?} at {at}");
        assert_eq!(finding.target.to_string(), STANDBY, "{fault:?}");
        let text = format!("{} {}", finding.cause, finding.remedy);
        assert!(text.contains(remedy), "{fault:?}: {text}");
        let (fired_at, alarm) =
            month.fired.first().unwrap_or_else(|| panic!("{fault:?}: no alarm"));
        assert_eq!((alarm.as_str(), *fired_at), ("DeadStandbyAlarm", at), "{fault:?}");
        let others = month.fired.iter().filter(|(_, alarm)| alarm != "DeadStandbyAlarm").count();
        assert_eq!(others, 0, "{fault:?}: {:?}", month.fired);
        let messages = month
            .messages
            .iter()
            .filter(|message| message.findings.iter().any(|finding| finding.check == check));
        assert_eq!(messages.count(), 1, "{fault:?} is reported once");
    }
}
