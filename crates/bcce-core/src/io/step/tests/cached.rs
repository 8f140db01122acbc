//! Tests of the prompt cache: the cache points of calls, and what attempts record.

use rust_decimal::Decimal;

use super::*;
use crate::base::usage::Usage;
use crate::config::cache::CacheTtl;

/// Changes the step of the sample, so that it caches a prefix with an input.
fn cached(plan: &mut Value) {
    plan["steps"][0]["prompt"] = json!("Handbook: {{ inputs.text | cached }}. Sum it up.");
    plan["steps"][0]["cache"] = json!("1h");
}

fn used(text: &str, usage: Usage) -> CallReport {
    CallReport { usage: Some(usage), ..says(text) }
}

fn attempts(walked: Walked) -> Vec<Attempt> {
    match walked {
        Walked::Answered { attempts, .. } | Walked::Exhausted { attempts } => attempts,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_attempt_records_what_the_cache_saved() {
    let usage = Usage { input_tokens: 10, cache_read_tokens: 5_000, ..Usage::default() };
    let sample = sample([used("Yes.", usage)], cached);
    let ledger = MemoryHealth::default();
    let walked = run(&sample, &Scripted::new([Some(NOW)]), &ledger);
    let [attempt] = &attempts(walked)[..] else { panic!() };
    let cache = attempt.cache.unwrap();
    assert_eq!(cache.prefix_tokens, 5_000);
    assert!(cache.saved_usd.unwrap() > Decimal::ZERO, "{cache:?}");
    assert_eq!(cache.extra_usd, Some(Decimal::ZERO));
    let [(_, points, lasts)] = &sample.model.sent.borrow()[..] else { panic!() };
    assert_eq!((*points, *lasts), (1, Some(CacheTtl::Hour)));
}

#[test]
fn an_attempt_records_that_its_prefix_is_too_short() {
    let usage = Usage { input_tokens: 60, ..Usage::default() };
    let sample = sample([used("Yes.", usage)], cached);
    let walked = run(&sample, &Scripted::new([Some(NOW)]), &MemoryHealth::default());
    let attempt = &attempts(walked)[0];
    let why = attempt.cache.unwrap().not_cached(&usage).unwrap();
    assert!(why.ends_with("is below the minimum of 4,096: not cached"), "{why}");
}

#[test]
fn a_call_without_a_cached_prefix_records_nothing() {
    let usage = Usage { input_tokens: 60, ..Usage::default() };
    let sample = sample([used("Yes.", usage)], |_| {});
    let walked = run(&sample, &Scripted::new([Some(NOW)]), &MemoryHealth::default());
    assert_eq!(attempts(walked)[0].cache, None);
}

#[test]
fn a_repair_keeps_the_prefix() {
    let sample = sample([says("no"), says("{}")], |plan| {
        cached(plan);
        plan["steps"][0]["output"] = json!({ "type": "json" });
    });
    let walked = run(&sample, &Scripted::new([Some(NOW), Some(NOW)]), &MemoryHealth::default());
    assert_eq!(attempts(walked).len(), 2);
    let sent = sample.model.sent.borrow();
    assert_eq!((sent.len(), &sent[0]), (2, &sent[1]));
}

/// The points are dropped for the second target, which has no prompt cache, and the attempt says so.
#[test]
fn failing_over_to_a_target_without_a_cache_drops_the_points_and_says_so() {
    let sample = sample([throttles(), says("Yes.")], |plan| {
        cached(plan);
        plan["takes"]["haiku"][1]["cache"] = json!([]);
    });
    let admission = Scripted::new([Some(NOW), Some(NOW)]);
    let walked = run(&sample, &admission, &MemoryHealth::default());
    let attempts = attempts(walked);
    assert_eq!(attempts[1].adapted.len(), 1, "{:?}", attempts[1].adapted);
    assert!(attempts[1].adapted[0].starts_with("cache is left out"), "{:?}", attempts[1].adapted);
    let sent = sample.model.sent.borrow();
    assert_eq!([sent[0].1, sent[1].1], [1, 0]);
    assert_eq!(sent[0].0, sent[1].0, "the text is the same");
    let cached: Vec<bool> = admission.sizes.borrow().iter().map(|s| s.bytes.cached > 0).collect();
    assert_eq!(cached, [true, false], "only what may be written to a cache is reserved as such");
}

/// The first target caches any prefix, and the second one only long ones.
#[test]
fn a_prefix_by_length_is_marked_for_the_targets_that_it_is_long_enough_for() {
    let sample = sample([throttles(), says("Yes.")], |plan| {
        plan["steps"][0]["prompt"] = json!("A handbook of some words. {{ inputs.text }}");
        plan["steps"][0]["cache"] = json!({ "ttl": "5m", "prefix": "auto" });
        plan["takes"]["haiku"][0]["cache_minimum_tokens"] = json!(1);
    });
    let admission = Scripted::new([Some(NOW), Some(NOW)]);
    let attempts = attempts(run(&sample, &admission, &MemoryHealth::default()));
    let sent = sample.model.sent.borrow();
    assert_eq!([sent[0].1, sent[1].1], [1, 0]);
    assert_eq!(attempts[0].adapted, [""; 0]);
    let why = "the prefix of at most about 8 tokens is below the minimum of 4,096: not cached";
    assert_eq!(attempts[1].adapted, [why]);
}
