//! A report for the tests.

use bcce_core::base::target::Target;
use bcce_core::config::models::Takes;
use bcce_core::config::pricing::Price;
use bcce_core::failover::breaker::Breaker;
use bcce_core::failover::latency::Histogram;
use bcce_core::standby::canary::{CallResult, LastCall};
use bcce_core::standby::checks::WatchedTarget;
use bcce_core::standby::finding::{Check, Finding, Level};
use rust_decimal::Decimal;
use time::OffsetDateTime;
use time::macros::{date, datetime};

use super::{Known, Report};

pub const NOON: OffsetDateTime = datetime!(2026-11-30 12:00 UTC);

fn target(region: &str) -> Target {
    let (region, model_id) = (region.to_owned(), "us.anthropic.claude-haiku-5-5".to_owned());
    Target { account: None, region, model_id, guardrail: None }
}

pub fn known(region: &str, calls: u64) -> Known {
    let takes: Takes = serde_json::from_str(r#"{"max_output_tokens": 9}"#).unwrap();
    let price = |cents| Decimal::new(cents, 2);
    Known {
        watched: WatchedTarget { target: target(region), aliases: vec!["haiku".into()], takes },
        forbidden: None,
        price: Some(Price {
            input: price(11),
            output: price(55),
            cache_read: price(1),
            cache_write_5m: price(14),
            cache_write_1h: price(22),
        }),
        breaker: Breaker::default(),
        latency: Histogram::default(),
        calls,
        last_call: None,
        facts: None,
        findings: vec![],
    }
}

pub fn finding(level: Level, check: Check) -> Finding {
    let (cause, remedy) = ("the cause".to_owned(), "the remedy".to_owned());
    Finding {
        level,
        check,
        target: target("us-east-1"),
        aliases: vec!["haiku".into()],
        cause,
        remedy,
    }
}

/// A target that answers, a standby whose breaker is open and whose canary call failed, and one that the policy forbids.
pub fn report() -> Report {
    let (mut first, mut second, mut third) =
        (known("us-east-1", 3), known("us-west-2", 1), known("eu-west-1", 0));
    first.latency.add(5, 9);
    let result = Some(CallResult::Answered { latency_ms: 850 });
    let started_at = datetime!(2026-11-30 09:07 UTC);
    first.last_call = Some(LastCall { started_at, result, unanswered: 0 });
    second.breaker.open_until = Some(datetime!(2026-11-30 12:05 UTC));
    let result = Some(CallResult::Failed {
        error: bcce_core::base::error::ErrorName::TargetRejected,
        cause: "no access".into(),
        advice: None,
    });
    second.last_call = Some(LastCall { started_at, result, unanswered: 1 });
    second.findings = vec![finding(Level::Fail, Check::Call)];
    third.forbidden = Some("residency: it may reach eu-west-1, which is not allowed".into());
    third.price = None;
    Report {
        environment: "dev".into(),
        now: NOON,
        since: date!(2026 - 11 - 29),
        is_live: false,
        targets: vec![first, second, third],
        aliases: vec![("haiku".into(), vec![0, 1]), ("opus".into(), vec![2])],
        unread: vec![],
    }
}
