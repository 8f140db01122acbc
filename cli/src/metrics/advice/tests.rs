use rust_decimal::Decimal;
use serde_json::json;

use super::finding::{Change, Kind};
use super::print::Report;
use super::samples::{
    HAIKU, OLD_HAIKU, advice, answers, cached, configuration, failures, only, with_batches,
};
use super::*;
use crate::metrics::Selected;
use crate::metrics::dimension::Dimension;
use crate::paint::render;

const EAST: (&str, &str) = ("us-east-1", HAIKU);
const WEST: (&str, &str) = ("us-west-2", HAIKU);

fn decimal(text: &str) -> Decimal {
    text.parse().unwrap()
}

/// Returns answers of the second target.
fn in_west(calls: u64) -> CountedCalls {
    let mut answered = answers(&[(10, calls)], 100);
    answered.usage.line.region = WEST.0.into();
    answered
}

mod of_max_tokens {
    use super::*;

    #[test]
    fn a_value_far_above_the_answers_is_lowered_with_room_and_in_figures() {
        let found = only("max_tokens: 8000", &[answers(&[(100, 98), (512, 2)], 1_000)]).unwrap();
        assert_eq!(found.kind, Kind::MaxTokens);
        assert_eq!(found.about, json!({ "workflow": "review", "step": "summary" }));
        // 512 tokens are in the bucket that ends at 575; half as much again is 863.
        assert_eq!((&found.change.from, &found.change.to), (&json!(8_000), &json!(900)));
        assert_eq!(found.change.key, "steps.summary.max_tokens");
        assert_eq!(found.change.document, "workflows/review.yaml");
        let figures = &found.figures;
        assert_eq!((&figures["answers"], &figures["p50_tokens"]), (&json!(100), &json!(100)));
        assert_eq!(
            (&figures["reserved_tokens"], &figures["reserved_tokens_proposed"]),
            (&json!(9_000), &json!(1_900))
        );
        assert!(
            found.matters[1].contains("room for 111 such calls at a time, and for 526"),
            "{found:?}"
        );
        assert_eq!(found.usd, None, "unused tokens are not paid");
    }

    #[test]
    fn a_healthy_step_gets_no_advice() {
        assert_eq!(only("max_tokens: 900", &[answers(&[(100, 98), (512, 2)], 1_000)]), None);
    }

    /// The middle of the bucket of 512 is 544, and four times that is 2,176.
    #[test]
    fn four_times_the_99th_percentile_is_far() {
        let found = |max_tokens: u64| {
            only(&format!("max_tokens: {max_tokens}"), &[answers(&[(512, 100)], 1_000)])
        };
        assert_eq!(found(2_175), None);
        assert!(found(2_176).is_some());
    }

    #[test]
    fn no_value_is_proposed_that_would_have_cut_an_answer() {
        // The 99th percentile is 100 tokens, but one answer had 6,000.
        assert_eq!(only("max_tokens: 8000", &[answers(&[(100, 999), (6_000, 1)], 1_000)]), None);
        let longer =
            only("max_tokens: 8000", &[answers(&[(100, 999), (2_000, 1)], 1_000)]).unwrap();
        assert!(longer.change.to.as_u64() > Some(2_000), "{longer:?}");
        let mut cut = answers(&[(100, 100)], 1_000);
        cut.usage.detail.cut_answers = 1;
        assert_eq!(
            only("max_tokens: 8000", &[cut]),
            None,
            "nobody knows how long it would have been"
        );
    }

    #[test]
    fn answers_of_every_tenant_and_of_bulk_jobs_count() {
        let few = answers(&[(100, 100)], 1_000);
        let mut other = answers(&[(5_000, 1)], 1_000);
        other.allocation.tenant = "payments".into();
        assert_eq!(only("max_tokens: 8000", &[few.clone(), other.clone()]), None);
        other.allocation.tenant = "default".into();
        other.usage.tier = "batch".into();
        assert_eq!(only("max_tokens: 8000", &[few, other]), None);
    }

    #[test]
    fn a_step_needs_a_hundred_answers() {
        let of = |answered: u64| {
            advice(configuration("max_tokens: 8000"), &[answers(&[(100, answered)], 1_000)])
        };
        let few = of(99);
        assert_eq!((few.findings.len(), few.examined_steps), (0, 0));
        let expected =
            TooFew { of: "review.summary".into(), counted: "answers", count: 99, needed: 100 };
        assert_eq!(few.too_few, [expected]);
        let enough = of(100);
        assert_eq!((enough.findings.len(), enough.too_few.len(), enough.examined_steps), (1, 0, 1));
    }

    /// A call reserves 8,000 tokens and its prompt, and 200 and its prompt with the proposed value.
    #[test]
    fn a_change_that_frees_little_of_what_a_call_reserves_is_no_advice() {
        let found = |prompt: u64| only("max_tokens: 8000", &[answers(&[(100, 100)], prompt)]);
        assert!(found(31_000).is_some(), "7,800 of 39,000 is a fifth");
        assert_eq!(found(31_001), None);
    }

    #[test]
    fn a_default_with_room_for_thinking_is_named_as_what_it_sends() {
        let found = only("effort: high", &[answers(&[(100, 100)], 1_000)]).unwrap();
        assert_eq!((&found.change.from, &found.change.to), (&json!(null), &json!(200)));
        assert_eq!(found.figures["sent_max_tokens"], 2_048 + 16_384);
        assert!(found.measured[1].starts_with("max_tokens is not set"), "{found:?}");
    }

    #[test]
    fn bulk_jobs_reserve_no_quota() {
        let mut bulk = answers(&[(100, 100)], 1_000);
        bulk.usage.tier = "batch".into();
        assert_eq!(only("max_tokens: 8000", &[bulk]), None);
    }

    fn cut(lengths: &[(u64, u64)], cut: u64) -> CountedCalls {
        let mut answered = answers(lengths, 1_000);
        answered.usage.detail.cut_answers = cut;
        answered
    }

    #[test]
    fn a_value_that_cuts_one_answer_in_a_hundred_is_raised() {
        let found = only("max_tokens: 400", &[cut(&[(100, 198), (400, 2)], 2)]).unwrap();
        assert_eq!(found.kind, Kind::CutAnswers);
        assert_eq!((&found.change.from, &found.change.to), (&json!(400), &json!(800)));
        assert_eq!(found.figures["cut_answers"], 2);
        assert_eq!(only("max_tokens: 400", &[cut(&[(100, 199), (400, 1)], 1)]), None);
    }

    #[test]
    fn a_value_that_was_raised_since_or_is_the_highest_of_the_model_is_no_advice() {
        let answered = cut(&[(100, 198), (400, 2)], 2);
        assert_eq!(only("max_tokens: 1000", &[answered]), None);
        assert_eq!(only("max_tokens: 128000", &[cut(&[(128_000, 100)], 100)]), None);
    }
}

mod of_caches {
    use super::*;

    const CACHE: &str = "max_tokens: 300, cache: 5m";

    fn hundred() -> CountedCalls {
        answers(&[(100, 100)], 1_000)
    }

    #[test]
    fn a_cache_that_costs_more_than_it_saves_is_removed() {
        let found = only(CACHE, &[cached(hundred(), (200_000, "0.03"), (1_000, "0.01"))]).unwrap();
        assert_eq!((found.kind, found.usd), (Kind::CacheLoss, Some(decimal("0.02"))));
        assert_eq!((&found.change.from, &found.change.to), (&json!("5m"), &json!(null)));
        assert_eq!(found.change.key, "steps.summary.cache");
        assert!(
            found.matters[0].contains("cost $0.0300 more than input, and reading saved $0.0100"),
            "{found:?}"
        );
    }

    #[test]
    fn a_loss_below_one_cent_and_a_cache_that_saves_are_no_advice() {
        let loss =
            |extra: &str| only(CACHE, &[cached(hundred(), (200_000, extra), (1_000, "0.01"))]);
        assert!(loss("0.02").is_some());
        assert_eq!(loss("0.0199"), None);
        assert_eq!(only(CACHE, &[cached(hundred(), (2_000, "0.01"), (200_000, "0.5"))]), None);
    }

    #[test]
    fn a_cache_without_effect_is_removed() {
        let found = only(CACHE, &[hundred()]).unwrap();
        assert_eq!((found.kind, found.usd), (Kind::UnusedCache, None));
        assert_eq!(only("max_tokens: 300", &[hundred()]), None, "the step has no cache");
        assert_eq!(only(CACHE, &[answers(&[(100, 99)], 1_000)]), None, "too few answers");
    }

    #[test]
    fn records_of_bulk_jobs_do_not_count() {
        let mut bulk = hundred();
        bulk.usage.tier = "batch".into();
        assert_eq!(only(CACHE, &[bulk]), None);
    }
}

mod of_targets {
    use super::*;

    const HEALTHY: &str = "max_tokens: 100";

    #[test]
    fn a_target_that_always_fails_first_is_moved_to_the_end() {
        let calls = [failures(EAST, "Bcce.TargetThrottled", 20), in_west(100)];
        let found = only(HEALTHY, &calls).unwrap();
        assert_eq!(found.kind, Kind::FailingTarget);
        assert!(
            found.measured[0].contains("20 of 20 calls to it failed: 20 Bcce.TargetThrottled."),
            "{found:?}"
        );
        assert!(found.measured[0].contains("answered 100 calls"), "{found:?}");
        assert!(found.matters[0].contains("took 800 ms, 40 ms each"), "{found:?}");
        let place = |value: &serde_json::Value, n: usize| {
            (value[n]["region"].clone(), value[n]["model_id"].clone())
        };
        let Change { document, key, from, to, .. } = &found.change;
        assert_eq!((document.as_str(), key.as_str()), ("models.yaml", "models.haiku.targets"));
        assert_eq!(place(from, 0), place(to, 3));
        assert_eq!(place(to, 0), (json!(WEST.0), json!(HAIKU)));
    }

    #[test]
    fn nineteen_calls_are_too_few() {
        let calls = [failures(EAST, "Bcce.TargetThrottled", 19), in_west(100)];
        let found = advice(configuration(HEALTHY), &calls);
        assert!(found.findings.is_empty(), "{found:?}");
        let few = &found.too_few[0];
        assert_eq!((few.counted, few.count, few.needed), ("calls", 19, 20));
        assert!(few.of.ends_with("in us-east-1, which nearly always fails for haiku"), "{few:?}");
    }

    #[test]
    fn a_target_that_answers_more_than_a_tenth_of_its_calls_is_healthy() {
        let found = |answered: u64| {
            let calls = [
                failures(EAST, "Bcce.TargetBroken", 90),
                answers(&[(10, answered)], 100),
                in_west(100),
            ];
            only(HEALTHY, &calls)
        };
        assert!(found(10).is_some());
        assert_eq!(found(11), None);
    }

    #[test]
    fn if_no_other_target_answers_another_order_does_not_help() {
        let found = |elsewhere: u64| {
            let calls = [failures(EAST, "Bcce.TargetUnavailable", 40), in_west(elsewhere)];
            advice(configuration(HEALTHY), &calls).findings.len()
        };
        assert_eq!((found(20), found(21)), (0, 1));
    }

    #[test]
    fn errors_that_are_not_of_the_target_do_not_count() {
        let calls = [failures(EAST, "Bcce.RequestRejected", 40), in_west(100)];
        assert_eq!(only(HEALTHY, &calls), None);
    }

    #[test]
    fn a_target_that_is_not_listed_any_more_is_no_advice() {
        let calls = [failures(("us-east-2", HAIKU), "Bcce.TargetRejected", 40), in_west(100)];
        assert_eq!(only(HEALTHY, &calls), None);
        let old = [failures(("us-east-1", OLD_HAIKU), "Bcce.TargetRejected", 40), in_west(100)];
        assert!(only(HEALTHY, &old).is_some(), "a later target may fail as well");
    }

    #[test]
    fn the_change_follows_the_priorities_and_the_strategy() {
        let calls = [failures(EAST, "Bcce.TargetThrottled", 20), in_west(100)];
        let changed = |configuration| advice(configuration, &calls).findings.remove(0).change;
        let mut prioritized = configuration(HEALTHY);
        let targets = &mut prioritized.models.models.get_mut("haiku").unwrap().targets;
        (targets[0].priority, targets[1].priority) = (Some(1), Some(7));
        let change = changed(prioritized);
        assert_eq!(change.key, "models.haiku.targets[0].priority");
        assert_eq!((change.from, change.to), (json!(1), json!(8)));
        let mut in_turn = configuration(HEALTHY);
        in_turn.routing.strategy = bcce_core::config::routing::Strategy::RoundRobin;
        let change = changed(in_turn);
        assert!(
            change.text.contains("remove us.anthropic.claude-haiku-5-5 in us-east-1"),
            "{change:?}"
        );
        assert_eq!(change.to.as_array().unwrap().len(), 3);
    }

    #[test]
    fn a_target_that_rejects_calls_is_removed_or_corrected() {
        let rejected = failures(EAST, "Bcce.TargetRejected", 20);
        let change = only(HEALTHY, &[rejected, in_west(100)]).unwrap().change;
        assert_eq!(change.to.as_array().unwrap().len(), 3);
        assert!(change.text.ends_with("or correct its id or the access to it"), "{change:?}");
    }
}

fn batch(usd: &str, in_bulk: &str) -> MeasuredBatch {
    MeasuredBatch {
        workflow: "review".into(),
        batch_id: "review-batch-1".into(),
        items: 500,
        usd: decimal(usd),
        usd_in_bulk: decimal(in_bulk),
    }
}

#[test]
fn batches_of_a_workflow_are_one_piece_of_advice() {
    let batches = [batch("12", "6"), batch("0.5", "0.25")];
    let found = with_batches(configuration(""), &[], &batches).findings;
    assert_eq!((found.len(), found[0].kind, found[0].usd), (1, Kind::Bulk, Some(decimal("6.25"))));
    assert_eq!(found[0].figures["items"], 1_000);
    assert_eq!(
        (&found[0].change.key, &found[0].change.to),
        (&"batch.mode".to_owned(), &json!("auto"))
    );
    let cents = |usd| with_batches(configuration(""), &[], &[batch(usd, "0.01")]).findings.len();
    assert_eq!((cents("0.02"), cents("0.0199")), (1, 0));
}

/// Returns a report with all kinds of advice and one step with too few answers.
fn all() -> (Selected, Advice) {
    let configured = configuration("max_tokens: 8000, cache: 1h");
    let lost = cached(answers(&[(96, 1_200), (310, 40)], 1_200), (900_000, "0.9"), (10_000, "0.1"));
    let calls = [
        lost,
        failures(WEST, "Bcce.TargetThrottled", 25),
        failures(("us-west-2", OLD_HAIKU), "Bcce.TargetThrottled", 3),
    ];
    let advice = with_batches(configured, &calls, &[batch("12.40", "6.20")]);
    let selected = crate::metrics::samples::selected(Dimension::Step);
    (selected, advice)
}

#[test]
fn the_largest_amount_of_money_comes_first() {
    let kinds: Vec<Kind> = all().1.findings.iter().map(|finding| finding.kind).collect();
    assert_eq!(kinds, [Kind::Bulk, Kind::CacheLoss, Kind::FailingTarget, Kind::MaxTokens]);
}

fn shown(selected: &Selected, advice: &Advice, unread: &[(String, String)]) -> String {
    let report = Report { selected, advice, unread };
    report.text().iter().map(|line| render(line, false, usize::MAX) + "\n").collect()
}

#[test]
fn the_docs_show_what_the_command_prints() {
    let (mut selected, advice) = all();
    selected.days.clear();
    let printed = shown(&selected, &advice, &[]);
    assert_eq!(printed, include_str!("advice.txt"));
    let docs = include_str!("../../../../docs/costs.md");
    assert!(docs.contains(printed.trim_end()), "docs/costs.md has other advice");
}

#[test]
fn without_advice_the_command_says_so() {
    let (mut selected, _) = all();
    selected.days.clear();
    let none = advice(configuration("max_tokens: 200"), &[answers(&[(100, 100)], 10)]);
    let heading = "Advice in dev, 2026-11-01 to 2026-11-03 (3 days, UTC)\n\n";
    let expected = "no advice: there is nothing to change for 1 step with 100 answers or more\n";
    assert_eq!(shown(&selected, &none, &[]), format!("{heading}{expected}"));
    let unread = [("gone".to_owned(), "workflow: there is no workflow gone".to_owned())];
    let empty = shown(&selected, &Advice::default(), &unread);
    assert!(empty.contains("no advice: no step has 100 answers or more in these days"), "{empty}");
    assert!(
        empty.contains("Not examined: workflow gone, because workflow: there is no"),
        "{empty}"
    );
}

#[test]
fn json_has_the_figures_and_the_change() {
    let (selected, advice) = all();
    let json = Report { selected: &selected, advice: &advice, unread: &[] }.json();
    assert_eq!((&json["version"], &json["examined_steps"]), (&json!(1), &json!(1)));
    assert_eq!(json["advice"][1]["kind"], "cache_loss");
    assert_eq!(json["advice"][1]["usd"], "0.8");
    assert_eq!(json["advice"][3]["change"]["to"], 500);
    assert_eq!(json["too_few"][0]["count"], 3);
}
