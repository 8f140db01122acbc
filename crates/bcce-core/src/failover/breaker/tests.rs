use super::*;
use crate::base::target::Guardrail;
use time::macros::datetime;

const NOW: OffsetDateTime = datetime!(2026-11-01 12:00 UTC);
pub const SETTINGS: BreakerSettings = BreakerSettings {
    failures: 3,
    window_s: 120,
    cool_down_s: 5,
    max_cool_down_s: 20,
    set_aside_s: 300,
};
const LEASE: Duration = Duration::from_secs(25);

fn at(seconds: u64) -> OffsetDateTime {
    NOW + Duration::from_secs(seconds)
}

fn failing(error: ErrorName) -> Signal {
    Signal::Failing { error, retry_after_s: None }
}

fn hears(breaker: &mut Breaker, signal: Signal, seconds: u64) -> bool {
    let report = Report { signal, started_at: at(seconds), probe: None };
    breaker.hear(&report, at(seconds), &SETTINGS)
}

fn probed(breaker: &mut Breaker, signal: Signal, seconds: u64) {
    let report = Report { signal, started_at: at(seconds), probe: Some("me") };
    breaker.hear(&report, at(seconds), &SETTINGS);
}

/// Returns a breaker that failures opened at `seconds`.
fn opened(seconds: u64) -> Breaker {
    let mut breaker = Breaker::default();
    (0..3).for_each(|_| {
        hears(&mut breaker, failing(ErrorName::TargetUnavailable), seconds);
    });
    breaker
}

#[test]
fn it_opens_on_its_evidence_and_is_due_after_the_cool_down() {
    let mut breaker = Breaker::default();
    for _ in 0..2 {
        assert!(hears(&mut breaker, failing(ErrorName::TargetThrottled), 0));
        assert_eq!(breaker.status(at(0)), BreakerStatus::Closed);
    }
    hears(&mut breaker, failing(ErrorName::TargetThrottled), 0);
    assert_eq!(breaker.status(at(4)), BreakerStatus::Open { until: at(5) });
    assert_eq!(breaker.status(at(5)), BreakerStatus::Due);
    assert_eq!(breaker.cause, Some(ErrorName::TargetThrottled));
}

#[test]
fn an_answer_takes_a_failure_back() {
    let mut breaker = Breaker::default();
    for _ in 0..20 {
        hears(&mut breaker, failing(ErrorName::TargetBroken), 0);
        assert!(hears(&mut breaker, Signal::Alive, 0));
    }
    assert_eq!((breaker.failures, breaker.status(NOW)), (0, BreakerStatus::Closed));
    assert!(!hears(&mut breaker, Signal::Alive, 0), "nothing is left to take back");
}

#[test]
fn failures_of_long_ago_do_not_count() {
    let mut breaker = Breaker::default();
    for n in 0..10 {
        hears(&mut breaker, failing(ErrorName::TargetBroken), n * 121);
    }
    assert_eq!((breaker.failures, breaker.status(at(1_300))), (1, BreakerStatus::Closed));
}

#[test]
fn retry_after_opens_at_once_and_for_as_long() {
    let mut breaker = Breaker::default();
    let asks = |retry_after_s| Signal::Failing { error: ErrorName::TargetThrottled, retry_after_s };
    hears(&mut breaker, asks(Some(7)), 0);
    assert_eq!(breaker.status(at(6)), BreakerStatus::Open { until: at(7) });
    hears(&mut breaker, asks(Some(86_000)), 1);
    assert_eq!(
        breaker.status(at(7)),
        BreakerStatus::Open { until: at(601) },
        "ten minutes at most"
    );
}

#[test]
fn a_rejected_target_is_set_aside_at_once() {
    let mut breaker = Breaker::default();
    hears(&mut breaker, failing(ErrorName::TargetRejected), 0);
    assert_eq!(breaker.status(at(299)), BreakerStatus::Open { until: at(300) });
}

#[test]
fn a_quota_of_the_day_that_is_used_up_leaves_the_target_alone_at_once_and_for_hours() {
    let used_up = |until| Signal::UsedUp { until: at(until) };
    let mut breaker = Breaker::default();
    assert!(hears(&mut breaker, used_up(40_000), 0));
    assert_eq!(breaker.status(at(39_999)), BreakerStatus::Open { until: at(40_000) });
    assert_eq!((breaker.cause, breaker.used_up), (Some(ErrorName::TargetThrottled), true));
    // Calls that were in flight and report an earlier end change nothing.
    assert!(!hears(&mut breaker, used_up(30_000), 1));
    assert!(!hears(&mut breaker, failing(ErrorName::TargetUnavailable), 1));
    // The target is probed on the next day.
    assert!(breaker.elect("me", at(40_000), LEASE));
    probed(&mut breaker, used_up(43_600), 40_000);
    assert_eq!(breaker.status(at(43_599)), BreakerStatus::Open { until: at(43_600) });
    assert!(breaker.elect("me", at(43_600), LEASE));
    probed(&mut breaker, Signal::Alive, 43_600);
    assert_eq!((breaker.status(at(43_600)), breaker.used_up), (BreakerStatus::Closed, false));
    // A breaker that opened before for another reason stays open until the later of both times.
    let mut breaker = opened(0);
    hears(&mut breaker, used_up(3), 1);
    assert_eq!(breaker.status(at(4)), BreakerStatus::Open { until: at(5) });
}

#[test]
fn one_probe_at_a_time() {
    let mut breaker = opened(0);
    assert!(!breaker.elect("me", at(4), LEASE), "it is not due");
    assert!(breaker.elect("me", at(5), LEASE));
    assert!(!breaker.elect("another", at(6), LEASE));
    assert!(breaker.elect("me", at(6), LEASE), "the elected step may ask again");
    assert_eq!(breaker.status(at(7)), BreakerStatus::Probed { until: at(31) });
    assert!(breaker.elect("another", at(31), LEASE), "the lease of the first is over");
}

#[test]
fn a_probe_that_answers_closes_and_one_that_fails_doubles_the_cool_down() {
    let mut breaker = opened(0);
    for (now, next) in [(5, 15), (15, 35), (35, 55), (55, 75)] {
        assert!(breaker.elect("me", at(now), LEASE));
        probed(&mut breaker, failing(ErrorName::TargetUnavailable), now);
        assert_eq!(breaker.status(at(now)), BreakerStatus::Open { until: at(next) });
    }
    assert!(breaker.elect("me", at(75), LEASE));
    probed(&mut breaker, Signal::Alive, 75);
    assert_eq!((breaker.status(at(75)), breaker.failures), (BreakerStatus::Closed, 0));
}

#[test]
fn a_probe_that_says_nothing_makes_room_for_the_next() {
    let mut breaker = opened(0);
    breaker.elect("me", at(5), LEASE);
    probed(&mut breaker, Signal::Silent, 6);
    assert!(breaker.elect("another", at(6), LEASE));
}

#[test]
fn what_was_in_flight_neither_closes_an_open_breaker_nor_opens_a_closed_one() {
    let mut breaker = opened(0);
    assert!(!hears(&mut breaker, Signal::Alive, 1));
    assert!(!hears(&mut breaker, failing(ErrorName::TargetUnavailable), 1));
    breaker.elect("me", at(5), LEASE);
    probed(&mut breaker, Signal::Alive, 6);
    let late =
        Report { signal: failing(ErrorName::TargetUnavailable), started_at: at(5), probe: None };
    assert!(!breaker.hear(&late, at(7), &SETTINGS));
}

#[test]
fn what_opens_again_soon_is_left_alone_for_longer() {
    let mut breaker = opened(0);
    breaker.elect("me", at(5), LEASE);
    probed(&mut breaker, Signal::Alive, 5);
    (0..3).for_each(|_| {
        hears(&mut breaker, failing(ErrorName::TargetUnavailable), 6);
    });
    assert_eq!(breaker.status(at(6)), BreakerStatus::Open { until: at(16) });
    breaker.elect("me", at(16), LEASE);
    probed(&mut breaker, Signal::Alive, 16);
    (0..3).for_each(|_| {
        hears(&mut breaker, failing(ErrorName::TargetUnavailable), 60);
    });
    assert_eq!(breaker.status(at(60)), BreakerStatus::Open { until: at(65) }, "after a calm time");
}

#[test]
fn only_the_targets_own_failures_are_evidence() {
    use crate::call::model::Limit;
    let failure = |name, blame| CallFailure {
        name,
        message: "".into(),
        advice: None,
        retry_after_s: None,
        blame,
    };
    let signal = |name, blame| Signal::of(AttemptOutcome::Failed, Some(&failure(name, blame)));
    let throttled = ErrorName::TargetThrottled;
    assert_eq!(signal(throttled, Blame::Target), failing(throttled));
    for limit in [Limit::FirstToken, Limit::Stall, Limit::Attempt] {
        assert_eq!(signal(ErrorName::TargetTimeout, Blame::Limit(limit)), Signal::Silent);
    }
    assert_eq!(signal(throttled, Blame::TargetUntil(at(7))), Signal::UsedUp { until: at(7) });
    assert_eq!(signal(ErrorName::TargetBroken, Blame::Request), Signal::Silent);
    assert_eq!(signal(ErrorName::Internal, Blame::Target), Signal::Silent);
    for name in [ErrorName::RequestRejected, ErrorName::GuardrailIntervened] {
        assert_eq!(signal(name, Blame::Target), Signal::Alive, "it answers");
    }
}

#[test]
fn a_breaker_is_known_by_region_model_account_and_guardrail() {
    let target = |account: Option<&str>| Target {
        account: account.map(str::to_owned),
        region: "us-east-1".into(),
        model_id: "us.m".into(),
        guardrail: None,
    };
    assert_eq!(target_key(&target(None)), "us-east-1#us.m");
    assert_eq!(target_key(&target(Some("arn:role"))), "us-east-1#us.m#arn:role");
    let guardrail = |account| Target {
        guardrail: Some(Guardrail { id: "g".into(), version: "1".into(), name: None }),
        ..target(account)
    };
    assert_eq!(target_key(&guardrail(None)), "us-east-1#us.m#guardrail:g:1");
    assert_eq!(target_key(&guardrail(Some("r"))), "us-east-1#us.m#r#guardrail:g:1");
}

#[test]
fn settings_that_cannot_work_are_reported() {
    let settings = BreakerSettings { failures: 0, max_cool_down_s: 4, ..SETTINGS };
    assert_eq!(
        settings.check("breaker").to_string(),
        "breaker.failures: must be 1 to 86400; breaker.max_cool_down_s: must not be below cool_down_s"
    );
}

#[test]
fn a_probe_that_answers_after_its_lease_closes_all_the_same() {
    let mut breaker = opened(0);
    breaker.elect("me", at(5), LEASE);
    breaker.elect("another", at(30), LEASE);
    let late = Report { signal: Signal::Alive, started_at: at(6), probe: Some("me") };
    assert!(breaker.hear(&late, at(60), &SETTINGS));
    assert_eq!(breaker.status(at(60)), BreakerStatus::Closed);
}
