use time::macros::datetime;

use super::*;
use crate::base::target::tests::target;
use crate::call::model::{Blame, ModelAnswer, Served};
use crate::failover::breaker::Breaker;

const NOON: OffsetDateTime = datetime!(2026-11-30 12:00 UTC);

fn takes(thinking: Thinks) -> Takes {
    let takes: Takes = serde_json::from_str(r#"{ "max_output_tokens": 1000 }"#).unwrap();
    Takes { thinking, ..takes }
}

fn watched() -> WatchedTarget {
    let takes = takes(Thinks::Optional);
    WatchedTarget { target: target("us-east-1"), aliases: vec!["haiku".into()], takes }
}

fn report(result: Result<ModelAnswer, CallFailure>) -> CallReport {
    let latency = Duration::from_millis(700);
    CallReport { result, latency, first_token: None, usage: None, served: Served::default() }
}

fn failure(name: ErrorName, advice: Option<&str>) -> CallReport {
    report(Err(CallFailure {
        name,
        message: "AccessDeniedException (403): secret words".into(),
        advice: advice.map(str::to_owned),
        retry_after_s: None,
        blame: Blame::Target,
    }))
}

fn called(before: Option<&LastCall>, report: &CallReport) -> LastCall {
    LastCall::ended(&watched(), before, NOON, report)
}

#[test]
fn a_target_is_called_once_a_day_and_not_while_its_breaker_is_open() {
    let last = |hours: i64, minutes: i64| {
        let ago = time::Duration::hours(hours) + time::Duration::minutes(minutes);
        let result = Some(CallResult::Answered { latency_ms: 1 });
        LastCall { started_at: NOON - ago, result, unanswered: 0 }
    };
    let closed = Breaker::default();
    assert!(is_due(None, &closed, NOON));
    assert!(!is_due(Some(&last(23, 0)), &closed, NOON));
    assert!(
        is_due(Some(&last(23, 55)), &closed, NOON),
        "the schedule was some minutes late before"
    );
    let open = Breaker { open_until: Some(NOON + time::Duration::MINUTE), ..Breaker::default() };
    assert!(!is_due(None, &open, NOON));
    assert!(is_due(None, &open, NOON + time::Duration::minutes(2)), "no run may probe it for days");
    let claimed = LastCall { result: None, ..last(0, 9) };
    assert!(is_under_way(Some(&claimed), NOON) && !is_due(Some(&claimed), &closed, NOON));
    let lost = LastCall { result: None, ..last(0, 10) };
    assert!(is_due(Some(&lost), &closed, NOON) && !is_under_way(Some(&lost), NOON));
}

#[test]
fn an_answer_that_is_cut_and_one_of_a_guardrail_are_alive() {
    let cut = ModelAnswer { text: String::new(), stop_reason: "max_tokens".into(), thought: false };
    for report in [report(Ok(cut)), failure(ErrorName::GuardrailIntervened, None)] {
        let call = called(None, &report);
        assert_eq!(call.result, Some(CallResult::Answered { latency_ms: 700 }));
        assert_eq!(call.finding(&watched()), None);
    }
}

#[test]
fn a_rejected_call_is_reported_with_the_advice_and_without_the_message() {
    let call = called(None, &failure(ErrorName::TargetRejected, Some("allow it there")));
    let finding = call.finding(&watched()).unwrap();
    assert_eq!((finding.level, finding.check), (Level::Fail, Check::Call));
    assert_eq!(finding.remedy, "allow it there");
    assert!(finding.cause.ends_with("AccessDeniedException (403)"), "{}", finding.cause);
    let other = called(None, &failure(ErrorName::RequestRejected, None));
    assert!(other.finding(&watched()).unwrap().remedy.contains("bcce doctor --live"));
}

#[test]
fn a_target_that_is_unavailable_is_reported_on_the_second_day() {
    let unavailable = failure(ErrorName::TargetUnavailable, None);
    let first = called(None, &unavailable);
    assert_eq!(first.finding(&watched()), None);
    let again = called(Some(&first), &unavailable);
    assert_eq!((again.unanswered, again.finding(&watched())), (1, None), "the same day");
    let yesterday = LastCall { started_at: NOON - time::Duration::DAY, ..first };
    let second = called(Some(&yesterday), &unavailable);
    let cause = second.finding(&watched()).unwrap().cause;
    assert!(cause.starts_with("no canary call was answered on 2 days in a row"), "{cause}");
    let answer = ModelAnswer { text: "OK".into(), stop_reason: "end_turn".into(), thought: false };
    let third = called(Some(&second), &report(Ok(answer)));
    assert_eq!((third.unanswered, third.finding(&watched())), (0, None));
}

#[test]
fn the_call_asks_for_one_token_and_no_thinking_where_it_can_be_switched_off() {
    let optional = parameters(&watched().takes);
    assert_eq!((optional.max_tokens, optional.thinking), (1, Some(Thinking::Off)));
    let always = parameters(&takes(Thinks::Always));
    assert_eq!(always.thinking, None);
}
